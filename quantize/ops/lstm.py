"""LSTM: float forward, quantization to w8a16, and the integer step.

    i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b), c' = f c + i g, h' = o tanh(c')

(Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000.) Rows in gate order i, f, g, o.

Quantized arrays: `wh` int8 [4H, H], `wx` int16 (first layer) or int8 [4H, in], `b` int32 [4H], `m` int16 [4H].
Parameters: `t` shift of the requantization, `f` shift of the input sum, `frac` fractional bits of c.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quantize import fixedpoint as fp
from quantize.errors import QuantizeError
from quantize.network import Layer, frozen_arrays
from quantize.ops import rows
from quantize.qnetwork import QLayer

GATES = "ifgo"
KERNEL = "lstm_step_w8a16"
STATE = {"h": "int16", "c": "int16"}
DTYPES = {"wh": ("int8",), "wx": ("int16", "int8"), "b": ("int32",), "m": ("int16",)}
PARAMS = {"t": (0, 15), "f": (0, 15), "frac": (0, 12)}
UNIT = rows.UNIT
HEADROOM = 1.5  # of c over calibration; docs/arithmetic.md has the measurement
hidden_size = output_size = rows.hidden_size
input_size = rows.input_size


def shapes(layer: Layer | QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have."""
    return rows.shapes(layer, 4, 4)


def macs(layer: Layer | QLayer) -> int:
    """Multiply-accumulates of one step."""
    return rows.macs(layer, 4)


def float_step(layer: Layer, x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One float64 step: x [batch, in], state h, c [batch, H] -> h', state."""
    w = layer.weights
    pre = x @ w["w_ih"].T.astype(np.float64) + state["h"] @ w["w_hh"].T.astype(np.float64) + w["b"]
    i, f, g, o = np.split(pre, 4, axis=1)
    c = rows.sigmoid(f) * state["c"] + rows.sigmoid(i) * np.tanh(g)
    h = rows.sigmoid(o) * np.tanh(c)
    return h, {"h": h, "c": c}


def quantize(layer: Layer, x_scale: np.ndarray, ranges: Mapping[str, float], wx_bits: int) -> QLayer:
    """docs/arithmetic.md, "Offline".

    `x_scale [in]`: real value of one input step; `ranges`: largest |c| in calibration as "c"; `wx_bits` 8 or 16.
    Raises: QuantizeError when a row cannot be made to fit int32 or |c| is beyond int16."""
    w_x = np.asarray(layer.weights["w_ih"], np.float64) * x_scale / UNIT  # W~: in steps of h
    w_hh, b = (np.asarray(layer.weights[k], np.float64) for k in ("w_hh", "b"))
    size = hidden_size(layer)
    labels = tuple(f"{g}{u}" for g in GATES for u in range(size))
    p = rows.Rows(layer.name, w_hh, w_x, b, gains(size), rows.joint(4 * size), labels)
    frac = cell_bits(layer.name, ranges["c"])
    arrays, params = rows.quantize_rows(p, wx_bits)
    return QLayer(layer.name, "lstm", frozen_arrays(arrays), {**params, "frac": frac})


def gains(size: int) -> np.ndarray:
    """What turns a row's real sum into its gate input [4H]."""
    return np.repeat([rows.SIGMOID_GAIN, rows.SIGMOID_GAIN, rows.TANH_GAIN, rows.SIGMOID_GAIN], size)


def cell_bits(name: str, c_absmax: float) -> int:
    """Fractional bits of c: room for HEADROOM times the calibrated range, at most 12."""
    frac = min(12, 15 - math.ceil(math.log2(HEADROOM * max(c_absmax, 2.0**-20))))
    if frac < 0:
        raise QuantizeError(f"{name}: the cell reached {c_absmax:g}; int16 holds at most 21845; retrain with clipping")
    return frac


def bounds(q: QLayer) -> np.ndarray:
    """Largest possible |accumulator| or |input sum| per row, over every state and input. Must be < 2**31."""
    return np.maximum(*rows.row_bounds(q.arrays, q.params["f"], rows.joint(len(q.arrays["b"]))))


def fits(q: QLayer) -> np.ndarray:
    """Rows whose accumulator provably fits int32."""
    return np.asarray(bounds(q) < 2**31)


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One integer step, int64 arrays: x [batch, in], state h, c [batch, H] -> h', state.

    `trace` receives every named tensor: acc, z (Q3.12), the gates i, f, g, o (Q0.15), c and h."""
    a, p = q.arrays, q.params
    sum_h, sum_x = rows.products(q, state["h"], x)
    acc = a["b"] + sum_h + sum_x
    z = fp.requantize(acc, a["m"].astype(np.int64), p["t"])
    zi, zf, zg, zo = np.split(z, 4, axis=1)
    i, f, o = (fp.lookup(fp.SIGMOID_NODES, v) for v in (zi, zf, zo))
    g = fp.lookup(fp.TANH_NODES, zg)
    c = fp.cell(f, state["c"], i, g, p["frac"])
    h = fp.hidden(o, c, p["frac"])
    if trace is not None:
        named = {"acc": acc, "z": z, "i": i, "f": f, "g": g, "o": o, "c": c, "h": h}
        trace.update({f"{q.name}.{k}": v for k, v in named.items()})
    return h, {"h": h, "c": c}
