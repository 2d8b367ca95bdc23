"""The protocol of firmware/serve.c, seen from the computer: docs/protocol.md."""
