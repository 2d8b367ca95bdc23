"""One file per op; OPS is the registry that quantize, oracle, codegen and tests read."""

from __future__ import annotations

from types import ModuleType

from quantize.ops import dense, dense_hidden, dense_w8a8, dense_w16a8, gru, lstm, lstm_norm, lstm_w8a8

OPS: dict[str, ModuleType] = {
    "lstm": lstm,
    "lstm_norm": lstm_norm,
    "gru": gru,
    "dense_hidden": dense_hidden,
    "dense": dense,
    "lstm_w8a8": lstm_w8a8,
    "dense_w8a8": dense_w8a8,
    "dense_w16a8": dense_w16a8,
}
FLOAT = ("lstm", "lstm_norm", "gru", "dense_hidden", "dense")
"""The ops of a float network: they have `float_step`."""
