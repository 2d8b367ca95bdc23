"""A dense layer that is not the head: h' = function(W x + b), float forward, quantization, integer step.

Functions: none, relu, tanh, sigmoid. Quantized arrays: `w` int16 [out, in], `b` int32 [out] with the rounding of the
requantization, `m` int16 [out]. Parameters: `t` shift of the requantization; `function`, index of FUNCTIONS; `h_exp`:
one step of h' is 2**h_exp / 32640, for relu and none are not bounded by 1. Its h is kept in the state like that of a
recurrent layer, but no step reads the one before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quantize import fixedpoint as fp
from quantize.activations import activation
from quantize.errors import QuantizeError
from quantize.network import Layer, frozen_arrays
from quantize.ops import dense, rows
from quantize.qnetwork import QLayer

KERNEL = "dense_hidden_w16a16"
STATE = {"h": "int16"}
DTYPES = {"w": ("int16",), "b": ("int32",), "m": ("int16",)}
FUNCTIONS = ("", "relu", "tanh", "sigmoid")
PARAMS = {"t": (0, 15), "function": (0, len(FUNCTIONS) - 1), "h_exp": (-15, 15)}
UNIT = rows.UNIT  # times 2**h_exp
HEADROOM = 2.0  # of h' over calibration, where nothing bounds it
input_size, output_size, macs = dense.input_size, dense.output_size, dense.macs


def shapes(layer: Layer | QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have."""
    found = dense.shapes(layer)
    return found if isinstance(layer, Layer) else {**found, "m": found["b"]}


def float_step(layer: Layer, x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """x [batch, in] -> h' [batch, out], float64."""
    y, _ = dense.float_step(layer, x, state)
    h = activation(layer.activations[0])(y) if layer.activations else y
    return h, {"h": h}


def quantize(layer: Layer, x_scale: np.ndarray, ranges: Mapping[str, float], wx_bits: int) -> QLayer:
    """`x_scale [in]`: real value of one input step; `ranges`: largest |h'| in calibration as "h".

    A row's scale s >= max(max|W~| / 32767, (sum|W~| + |b|) / (65000 - in)), so that the accumulator fits int32, and is
    nudged up to one that its multiplier makes exact: s = m / (2**(16+t) UNIT gain).
    Raises: QuantizeError when a weight is not finite, a row cannot be made to fit, or the function has no table."""
    del wx_bits  # int16 always: there is one such layer where there are four rows a unit elsewhere
    name = layer.activations[0] if layer.activations else ""
    if name not in FUNCTIONS:
        raise QuantizeError(f"{layer.name}: {name} has no integer form; there is: {', '.join(FUNCTIONS[1:])}")
    w = np.asarray(layer.weights["w"], np.float64) * x_scale / UNIT  # W~: in steps of 1 / 32640
    b = np.asarray(layer.weights["b"], np.float64)
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise QuantizeError(f"{layer.name}: a weight is NaN or infinite; train or import it again")
    bounded = name in ("tanh", "sigmoid")
    exp = 0 if bounded else math.ceil(math.log2(HEADROOM * max(ranges["h"], 2.0**-14)))
    gain = {"tanh": rows.TANH_GAIN, "sigmoid": rows.SIGMOID_GAIN}.get(name, 2.0**-exp / UNIT)
    least = np.maximum(np.abs(w).max(1) / 32767, (np.abs(w).sum(1) + np.abs(b)) / (65000 - w.shape[1]))
    least = np.maximum(least, max(least.max(), 2.0**-20) * 2.0**-12)  # a row of zeros still needs a scale
    t = min(15, math.floor(math.log2(32767 / (65536 * float(np.max(least * UNIT * gain))))))
    if t < 0 or exp > 15:
        raise QuantizeError(
            f"{layer.name}: weights up to {np.abs(w).max():g}, outputs up to {ranges['h']:g}: too large"
        )
    m = np.clip(np.ceil(least * UNIT * gain * 2.0 ** (16 + t)), 1, 32767)
    s = m / (2.0 ** (16 + t) * UNIT * gain)
    arrays = {
        "w": np.rint(w / s[:, None]).astype(np.int16),
        "b": np.rint(b / (s * UNIT) + 2.0 ** (15 + t) / m).astype(np.int32),
        "m": m.astype(np.int16),
    }
    params = {"t": t, "function": FUNCTIONS.index(name), "h_exp": exp}
    q = QLayer(layer.name, "dense_hidden", frozen_arrays(arrays), params)
    if not fits(q).all():
        raise QuantizeError(f"{layer.name}: row {int(np.flatnonzero(~fits(q))[0])} does not fit the int32 accumulator")
    return q


bounds, fits = dense.bounds, dense.fits


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """x [batch, in] -> h' [batch, out], int64, |h'| <= 32640. `trace`: acc, z and h."""
    acc = q.arrays["b"] + x @ q.arrays["w"].T.astype(np.int64)
    z = fp.requantize(acc, q.arrays["m"].astype(np.int64), q.params["t"])
    h = _function(FUNCTIONS[q.params["function"]], z)
    if trace is not None:
        trace.update({f"{q.name}.acc": acc, f"{q.name}.z": z, f"{q.name}.h": h})
    return h, {"h": h}


def _function(name: str, z: np.ndarray) -> np.ndarray:
    if name == "tanh":
        return np.asarray(fp.lookup(fp.TANH_NODES, z))
    if name == "sigmoid":  # Q0.15 -> 1 / 32640
        return np.asarray((fp.lookup(fp.SIGMOID_NODES, z) * fp.AMPLITUDE + 2**14) >> 15)
    return np.clip(z, 0 if name == "relu" else -fp.AMPLITUDE, fp.AMPLITUDE)
