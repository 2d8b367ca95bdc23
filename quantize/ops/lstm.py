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
from quantize.qnetwork import QLayer

GATES = "ifgo"
STATE = ("h", "c")
DTYPES = {"wh": ("int8",), "wx": ("int16", "int8"), "b": ("int32",), "m": ("int16",)}
PARAMS = {"t": (0, 15), "f": (0, 15), "frac": (0, 12)}
UNIT = 1 / fp.AMPLITUDE  # s_h: one step of h


def hidden_size(layer: Layer | QLayer) -> int:
    """H."""
    weights = layer.weights if isinstance(layer, Layer) else layer.arrays
    return int(weights["w_hh" if isinstance(layer, Layer) else "wh"].shape[1])


def output_size(layer: Layer | QLayer) -> int:
    """Width of the layer's output."""
    return hidden_size(layer)


def input_size(layer: Layer | QLayer) -> int:
    """Width of the layer's input."""
    weights = layer.weights if isinstance(layer, Layer) else layer.arrays
    return int(weights["w_ih" if isinstance(layer, Layer) else "wx"].shape[1])


def shapes(layer: Layer | QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have."""
    wx, wh = ("w_ih", "w_hh") if isinstance(layer, Layer) else ("wx", "wh")
    sizes = {k: v.shape for k, v in (layer.weights if isinstance(layer, Layer) else layer.arrays).items()}
    h, n = (sizes[k][-1] if len(sizes.get(k, ())) == 2 else 1 for k in (wh, wx))
    out: dict[str, tuple[int, ...]] = {wx: (4 * h, n), wh: (4 * h, h), "b": (4 * h,)}
    return out if isinstance(layer, Layer) else {**out, "m": (4 * h,)}


def macs(layer: Layer | QLayer) -> int:
    """Multiply-accumulates of one step."""
    h = hidden_size(layer)
    return 4 * h * (h + input_size(layer))


def float_step(layer: Layer, x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One float64 step: x [batch, in], state h, c [batch, H] -> h', state."""
    w = layer.weights
    pre = x @ w["w_ih"].T.astype(np.float64) + state["h"] @ w["w_hh"].T.astype(np.float64) + w["b"]
    i, f, g, o = np.split(pre, 4, axis=1)
    c = _sigmoid(f) * state["c"] + _sigmoid(i) * np.tanh(g)
    h = _sigmoid(o) * np.tanh(c)
    return h, {"h": h, "c": c}


def _sigmoid(v: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * v))


def quantize(layer: Layer, x_scale: np.ndarray, c_absmax: float, wx_bits: int) -> QLayer:
    """ARITHMETIC v1, "Per layer, offline", steps 1 to 8.

    `x_scale [in]`: real value of one input step; `c_absmax`: largest |c| in calibration; `wx_bits` 8 or 16.
    Raises: QuantizeError when a row cannot be made to fit int32 or |c| is beyond int16."""
    w_hh = np.asarray(layer.weights["w_hh"], np.float64)
    w_x = np.asarray(layer.weights["w_ih"], np.float64) * x_scale / UNIT  # W~: in steps of h
    b = np.asarray(layer.weights["b"], np.float64)
    if not all(np.isfinite(v).all() for v in (w_hh, w_x, b)):
        raise QuantizeError(f"{layer.name}: a weight is NaN or infinite; train or import it again")
    gain = np.repeat([4096.0, 4096.0, 4096.0 * fp.AMPLITUDE / 32768, 4096.0], hidden_size(layer))
    least = _least_scale(w_hh, w_x, wx_bits)
    for _ in range(200):
        q = _quantize_rows(layer.name, w_hh, w_x, b, gain, least, wx_bits, cell_bits(layer.name, c_absmax))
        bad = ~fits(q)
        if not bad.any():
            return q
        least = np.where(bad, least * 1.05, least)
    row = int(np.flatnonzero(bad)[0])
    raise QuantizeError(
        f"{layer.name}: row {row} ({GATES[row // hidden_size(layer)]}{row % hidden_size(layer)}): bias {b[row]:g} "
        f"does not fit the int32 accumulator; retrain with smaller weights"
    )


def cell_bits(name: str, c_absmax: float) -> int:
    """Fractional bits of c: room for twice the calibrated range, at most 12."""
    frac = min(12, 15 - math.ceil(math.log2(2 * max(c_absmax, 2.0**-20))))
    if frac < 0:
        raise QuantizeError(f"{name}: the cell reached {c_absmax:g}; int16 holds at most 16383; retrain with clipping")
    return frac


def _least_scale(w_hh: np.ndarray, w_x: np.ndarray, wx_bits: int) -> np.ndarray:
    top_h, top_x = np.abs(w_hh).max(1), np.abs(w_x).max(1)
    if wx_bits == 16:
        least = np.max([top_h / 127, top_x / 32767, np.abs(w_x).sum(1) / 48000], axis=0)
    else:
        least = np.max([top_h, top_x], axis=0) / 127
    return np.maximum(least, max(least.max(), 2.0**-20) * 2.0**-12)  # a row of zeros still needs a scale


def _quantize_rows(
    name: str,
    w_hh: np.ndarray,
    w_x: np.ndarray,
    b: np.ndarray,
    gain: np.ndarray,
    least: np.ndarray,
    wx_bits: int,
    frac: int,
) -> QLayer:
    t = math.floor(math.log2(32767 / (65536 * float(np.max(least * UNIT * gain)))))
    if not 0 <= t <= 15:
        raise QuantizeError(
            f"{name}: weights as large as {float(least.max()) * 127:g}: no requantization fits; retrain"
        )
    m = np.clip(np.ceil(least * UNIT * gain * 2.0 ** (16 + t)), 1, 32767)
    s = m / (2.0 ** (16 + t) * UNIT * gain)
    f = _input_shift(w_x / s[:, None]) if wx_bits == 16 else 0
    top = 32767 if wx_bits == 16 else 127
    bias = b / (s * UNIT) + 2.0 ** (15 + t) / m + (0.5 if f else 0.0)
    arrays = {
        "wh": np.clip(np.rint(w_hh / s[:, None]), -127, 127).astype(np.int8),
        "wx": np.clip(np.rint(w_x / s[:, None] * 2.0**f), -top, top).astype(np.int16 if wx_bits == 16 else np.int8),
        "b": np.clip(np.rint(bias), fp.INT32_MIN, fp.INT32_MAX).astype(np.int32),
        "m": m.astype(np.int16),
    }
    return QLayer(name, "lstm", frozen_arrays(arrays), {"t": t, "f": f, "frac": frac})


def _input_shift(ratio: np.ndarray) -> int:
    """The largest f in 0 .. 15 for which the int16 input weights and every row sum still fit."""
    for f in range(15, 0, -1):
        q = np.rint(ratio * 2.0**f)
        if np.abs(q).max() <= 32767 and np.abs(q).sum(1).max() <= 65500:
            return f
    return 0


def bounds(q: QLayer) -> tuple[np.ndarray, np.ndarray]:
    """Largest possible |accumulator| and |input sum| per row, over every state and input. Both must be < 2**31."""
    sum_h = fp.AMPLITUDE * np.abs(q.arrays["wh"].astype(np.int64)).sum(1)
    sum_x = fp.AMPLITUDE * np.abs(q.arrays["wx"].astype(np.int64)).sum(1)
    return sum_h + (sum_x >> q.params["f"]) + 1 + np.abs(q.arrays["b"].astype(np.int64)), sum_x


def fits(q: QLayer) -> np.ndarray:
    """Rows whose accumulator provably fits int32 (condition 8 of ARITHMETIC v1)."""
    total, sum_x = bounds(q)
    return (total < 2**31) & (sum_x < 2**31)


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One integer step, int64 arrays: x [batch, in], state h, c [batch, H] -> h', state.

    `trace` receives every named tensor: acc, z (Q3.12), the gates i, f, g, o (Q0.15), c and h."""
    a, p = q.arrays, q.params
    acc = a["b"] + state["h"] @ a["wh"].T.astype(np.int64) + ((x @ a["wx"].T.astype(np.int64)) >> p["f"])
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
