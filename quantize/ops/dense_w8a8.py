"""A dense layer on int8, scheme w8a8: the arithmetic of TFLite's int8 FULLY_CONNECTED. docs/w8a8.md.

Quantized arrays: `w` int8 [out, in], `b` int32 [out] (the bias with the zero point of x folded in), `m` int32 and `s`
int8 [out]: the multipliers m * 2**(s - 31) of the rows. Parameters: `h_zero` zero point of the output, which `low` and
`high` bound: a fused relu is a bound. Its output h is kept in the state like that of a recurrent layer, but no step
reads the one before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantize import gemmlowp
from quantize.ops import dense
from quantize.qnetwork import QLayer

KERNEL = "dense_w8a8"
STATE = {"h": "int8"}
DTYPES = {"w": ("int8",), "b": ("int32",), "m": ("int32",), "s": ("int8",)}
PARAMS = {"h_zero": (-128, 127), "low": (-128, 127), "high": (-128, 127)}
input_size, output_size, macs = dense.input_size, dense.output_size, dense.macs


def shapes(layer: QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have."""
    found = dense.shapes(layer)
    return {**found, "m": found["b"], "s": found["b"]}


def start(q: QLayer) -> dict[str, int]:
    """What the state holds before the first step: the zero point of h."""
    return {"h": q.params["h_zero"]}


def bounds(q: QLayer) -> np.ndarray:
    """Largest possible |accumulator| per row. Must be < 2**31."""
    return dense.bounds_for(q, 128)


def fits(q: QLayer) -> np.ndarray:
    """Rows whose accumulators provably fit int32, with multipliers that the kernel takes."""
    a = q.arrays
    scaled = (a["m"] >= 0) & (a["s"] >= -31) & (a["s"] <= 0) & (q.params["low"] <= q.params["high"])
    return np.asarray((bounds(q) < 2**31) & scaled)


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """x [batch, in], which saturates to int8 -> h [batch, out], int64. `trace`: acc and h."""
    a, p = q.arrays, q.params
    acc = a["b"] + np.clip(x, -128, 127) @ a["w"].T.astype(np.int64)
    y = gemmlowp.multiply_once(acc, a["m"].astype(np.int64), a["s"].astype(np.int64))
    h = np.clip(y + p["h_zero"], p["low"], p["high"])
    if trace is not None:
        trace.update({f"{q.name}.acc": acc, f"{q.name}.h": h})
    return h, {"h": h}
