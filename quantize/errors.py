"""The one exception of `quantize`."""


class QuantizeError(Exception):
    """A user's mistake: one line that says where, what was found, what was expected, what to do."""
