"""GRU: float forward, quantization to w8a16, and the integer step, with both reset modes.

    r, z = sigmoid(W x + U h + b)
    reset after:   n = tanh(W x + b_nx + r (U h + b_nh))     (PyTorch; Keras reset_after; ONNX linear_before_reset)
    reset before:  n = tanh(W x + U (r h) + b)               (Cho et al. 2014)
    h' = (1 - z) n + z h

Rows in gate order r, z, n. Biases r, z, nx, nh with reset after, else r, z, n: their number tells the mode.

Quantized arrays: `wh` int8 [3H, H], `wx` int16 (first layer) or int8 [3H, in], `b` int32 [4H] or [3H], `m` int16 [3H].
Parameters: `t` shift of the requantization, `f` shift of the input sum.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantize import fixedpoint as fp
from quantize.network import Layer, frozen_arrays
from quantize.ops import rows
from quantize.qnetwork import QLayer

GATES = "rzn"
KERNEL = "gru_step_w8a16"
STATE = {"h": "int16"}
DTYPES = {"wh": ("int8",), "wx": ("int16", "int8"), "b": ("int32",), "m": ("int16",)}
PARAMS = {"t": (0, 15), "f": (0, 15)}
UNIT = rows.UNIT
hidden_size = output_size = rows.hidden_size
input_size = rows.input_size


def reset_after(layer: Layer | QLayer) -> bool:
    """Whether the reset gate is applied behind the recurrent product, which then has a bias of its own."""
    biases = (layer.weights if isinstance(layer, Layer) else layer.arrays).get("b", np.empty(0))
    return len(biases) == 4 * hidden_size(layer)


def shapes(layer: Layer | QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have; biases that fit neither mode are asked to fit reset after."""
    biases = (layer.weights if isinstance(layer, Layer) else layer.arrays).get("b", np.empty(0))
    before = rows.shapes(layer, 3, 3)
    return before if before["b"] == biases.shape else rows.shapes(layer, 3, 4)


def macs(layer: Layer | QLayer) -> int:
    """Multiply-accumulates of one step."""
    return rows.macs(layer, 3)


def float_step(layer: Layer, x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One float64 step: x [batch, in], state h [batch, H] -> h', state."""
    w, h, size = layer.weights, state["h"], hidden_size(layer)
    from_x = x @ w["w_ih"].T.astype(np.float64) + w["b"][: 3 * size]
    w_hh = w["w_hh"].astype(np.float64)
    gates = rows.sigmoid(from_x[:, : 2 * size] + h @ w_hh[: 2 * size].T)
    r, z = gates[:, :size], gates[:, size:]
    w_hn = w_hh[2 * size :].T
    from_h = r * (h @ w_hn + w["b"][3 * size :]) if reset_after(layer) else (r * h) @ w_hn
    n = np.tanh(from_x[:, 2 * size :] + from_h)
    h = n + z * (h - n)
    return h, {"h": h}


def quantize(layer: Layer, x_scale: np.ndarray, ranges: Mapping[str, float], wx_bits: int) -> QLayer:
    """docs/arithmetic.md, "Offline". `x_scale [in]`: real value of one input step; `wx_bits` 8 or 16; no ranges.

    Raises: QuantizeError when a row cannot be made to fit int32."""
    w_x = np.asarray(layer.weights["w_ih"], np.float64) * x_scale / UNIT
    w_hh, b = (np.asarray(layer.weights[k], np.float64) for k in ("w_hh", "b"))
    size = hidden_size(layer)
    labels = tuple(f"{g}{u}" for g in GATES for u in range(size))
    p = rows.Rows(layer.name, w_hh, w_x, b, gains(size), sums(layer), labels)
    arrays, params = rows.quantize_rows(p, wx_bits)
    return QLayer(layer.name, "gru", frozen_arrays(arrays), params)


def gains(size: int) -> np.ndarray:
    """What turns a row's real sum into its gate input [3H]."""
    return np.repeat([rows.SIGMOID_GAIN, rows.SIGMOID_GAIN, rows.TANH_GAIN], size)


def sums(layer: Layer | QLayer) -> rows.Sums:
    """The accumulators: with reset after the rows of n have two, of which the input's carries the rounding."""
    size = hidden_size(layer)
    if not reset_after(layer):
        return rows.joint(3 * size)
    one = np.repeat([0, 1, 2, 3], size)
    row = np.concatenate([np.arange(3 * size), np.arange(2 * size, 3 * size)])
    return rows.Sums(row, one != 2, one != 3, one != 3)


def bounds(q: QLayer) -> np.ndarray:
    """Largest possible |accumulator| or |input sum| per bias, over every state and input. Must be < 2**31."""
    return np.maximum(*rows.row_bounds(q.arrays, q.params["f"], sums(q)))


def fits(q: QLayer) -> np.ndarray:
    """Accumulators that provably fit int32."""
    return np.asarray(bounds(q) < 2**31)


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One integer step, int64 arrays: x [batch, in], state h [batch, H] -> h', state.

    `trace` receives every named tensor: z_r, z_z, z_n (Q3.12), the gates r, z (Q0.15), n and h."""
    h, size, t = state["h"], hidden_size(q), q.params["t"]
    b, m = q.arrays["b"].astype(np.int64), q.arrays["m"].astype(np.int64)
    sum_h, sum_x = rows.products(q, h, x)
    two, m_n = slice(2 * size), m[2 * size :]
    zz = fp.requantize(b[two] + sum_h[:, two] + sum_x[:, two], m[two], t)
    r, z = np.split(fp.lookup(fp.SIGMOID_NODES, zz), 2, axis=1)
    from_x = b[2 * size : 3 * size] + sum_x[:, 2 * size :]
    if reset_after(q):
        from_h = fp.mulw(b[3 * size :] + sum_h[:, 2 * size :], m_n)  # Q(12 + t), as the input's part
        zn = fp.sat16((fp.mulw(from_x, m_n) + 2 * fp.mulw(from_h, r)) >> t)
    else:
        kept = (r * h + (1 << 14)) >> 15  # r h, in 1/32640 as h
        from_h = kept @ q.arrays["wh"][2 * size :].T.astype(np.int64)
        zn = fp.requantize(from_x + from_h, m_n, t)
    n = fp.lookup(fp.TANH_NODES, zn)
    new = fp.blend(z, h, n)
    if trace is not None:
        named = {"z_r": zz[:, :size], "z_z": zz[:, size:], "z_n": zn, "r": r, "z": z, "n": n, "h": new}
        trace.update({f"{q.name}.{k}": v for k, v in named.items()})
    return new, {"h": new}
