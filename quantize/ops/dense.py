"""Dense head: y = W h + b. Quantized arrays: `w` int16 [out, in], `b` int32 [out]; y is the int32 accumulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quantize import fixedpoint as fp
from quantize.errors import QuantizeError
from quantize.network import Column, Layer, frozen_arrays
from quantize.qnetwork import QLayer, QOutput, offset_remainder, quantize_output

KERNEL = "dense_w16a16"
STATE: dict[str, str] = {}
DTYPES = {"w": ("int16",), "b": ("int32",)}
PARAMS: dict[str, tuple[int, int]] = {}
UNIT = 1 / fp.AMPLITUDE


def output_size(layer: Layer | QLayer) -> int:
    """Width of the layer's output."""
    return int((layer.weights if isinstance(layer, Layer) else layer.arrays)["w"].shape[0])


def input_size(layer: Layer | QLayer) -> int:
    """Width of the layer's input."""
    return int((layer.weights if isinstance(layer, Layer) else layer.arrays)["w"].shape[1])


def shapes(layer: Layer | QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have."""
    w = (layer.weights if isinstance(layer, Layer) else layer.arrays).get("w", np.empty((1, 1)))
    rows, columns = w.shape if w.ndim == 2 else (1, 1)
    return {"w": (rows, columns), "b": (rows,)}


def macs(layer: Layer | QLayer) -> int:
    """Multiply-accumulates of one step."""
    return output_size(layer) * input_size(layer)


def float_step(layer: Layer, x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """x [batch, in] -> y [batch, out], float64; no state."""
    return x @ layer.weights["w"].T.astype(np.float64) + layer.weights["b"], {}


def quantize(layer: Layer, outputs: Sequence[Column]) -> tuple[QLayer, tuple[QOutput, ...]]:
    """int16 per row; the row's scale is nudged up to one that the output multiplier makes exact.

    Scale at least max(absmax / 32767, (sum|w| + |b|) / (65000 - in)), so that |y| < 2**31 for every |h| <= 32640.
    Raises: QuantizeError when a weight is not finite or the output column does not fit."""
    return quantize_for(layer, outputs, "dense", fp.AMPLITUDE)


def quantize_for(layer: Layer, outputs: Sequence[Column], op: str, top: int) -> tuple[QLayer, tuple[QOutput, ...]]:
    """The same for an h whose 1.0, and largest magnitude, is `top`."""
    unit, room = 1 / top, 65000 * (fp.AMPLITUDE // top) - layer.weights["w"].shape[1]
    w = np.asarray(layer.weights["w"], np.float64)
    b = np.asarray(layer.weights["b"], np.float64)
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise QuantizeError(f"{layer.name}: a weight is NaN or infinite; train or import it again")
    if w.shape[0] != len(outputs):
        raise QuantizeError(f"{layer.name}: {w.shape[0]} outputs for {len(outputs)} output columns")
    b = b - np.array([offset_remainder(c) for c in outputs])
    least = np.maximum(np.abs(w).max(1) / 32767, (np.abs(w).sum(1) + np.abs(b)) / room)
    columns: list[QOutput] = []
    q_w: list[np.ndarray] = []
    q_b: list[np.ndarray] = []
    for row, column in enumerate(outputs):
        q, step = quantize_output(column, max(float(least[row]), 2.0**-30) * unit)
        columns.append(q)
        q_w.append(np.rint(w[row] * unit / step))
        q_b.append(np.rint(b[row] / step))
    arrays: dict[str, np.ndarray] = {"w": np.array(q_w).astype(np.int16), "b": np.array(q_b).astype(np.int32)}
    out = QLayer(layer.name, op, frozen_arrays(arrays), {})
    bad = bounds_for(out, top) >= 2**31
    if bad.any():
        raise QuantizeError(f"{layer.name}: row {int(np.flatnonzero(bad)[0])} does not fit int32")
    return out, tuple(columns)


def bounds(q: QLayer) -> np.ndarray:
    """Largest possible |y| per row; must be < 2**31."""
    return bounds_for(q, fp.AMPLITUDE)


def bounds_for(q: QLayer, top: int) -> np.ndarray:
    """The same for |h| <= top."""
    return top * np.abs(q.arrays["w"].astype(np.int64)).sum(1) + np.abs(q.arrays["b"].astype(np.int64))


def fits(q: QLayer) -> np.ndarray:
    """Rows whose accumulator provably fits int32."""
    return np.asarray(bounds(q) < 2**31)


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """x [batch, in] -> y [batch, out], int64 that fits int32; no state."""
    y = q.arrays["b"] + x @ q.arrays["w"].T.astype(np.int64)
    if trace is not None:
        trace[f"{q.name}.y"] = y
    return y, {}
