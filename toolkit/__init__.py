"""Tealight's tools: data, training, code generation, builds, emulation and reports."""

__version__ = "0.1.0"
