"""The rows of a recurrent layer, which every cell shares: int8 recurrent and int16 or int8 input weights that meet in
one int32 accumulator, and one multiplier per row. Steps 2 to 6 of docs/arithmetic.md, "Offline".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quantize import fixedpoint as fp
from quantize.errors import QuantizeError
from quantize.network import Layer
from quantize.qnetwork import QLayer

UNIT = 1 / fp.AMPLITUDE  # s_h: one step of h
TANH_GAIN = 4096 * fp.AMPLITUDE / 32768  # of a row whose sum goes into the table of tanh, with its amplitude
SIGMOID_GAIN = 4096.0


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """The accumulators, one per bias: `row` of the weights, and whether it takes the recurrent and the input product.

    `rounds`: whether its bias carries the half step that the requantization rounds with. All [biases]."""

    row: np.ndarray
    with_h: np.ndarray
    with_x: np.ndarray
    rounds: np.ndarray


def hidden_size(layer: Layer | QLayer) -> int:
    """H: the width of a recurrent layer's state and output."""
    weights = layer.weights if isinstance(layer, Layer) else layer.arrays
    return int(weights["w_hh" if isinstance(layer, Layer) else "wh"].shape[1])


def input_size(layer: Layer | QLayer) -> int:
    """Width of a recurrent layer's input."""
    weights = layer.weights if isinstance(layer, Layer) else layer.arrays
    return int(weights["w_ih" if isinstance(layer, Layer) else "wx"].shape[1])


def shapes(layer: Layer | QLayer, gates: int, biases: int) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have, with `gates` rows and `biases` biases per hidden unit."""
    wx, wh = ("w_ih", "w_hh") if isinstance(layer, Layer) else ("wx", "wh")
    found = {k: v.shape for k, v in (layer.weights if isinstance(layer, Layer) else layer.arrays).items()}
    h, n = (found[k][-1] if len(found.get(k, ())) == 2 else 1 for k in (wh, wx))
    out: dict[str, tuple[int, ...]] = {wx: (gates * h, n), wh: (gates * h, h), "b": (biases * h,)}
    return out if isinstance(layer, Layer) else {**out, "m": (gates * h,)}


def macs(layer: Layer | QLayer, gates: int) -> int:
    """Multiply-accumulates of one step."""
    h = hidden_size(layer)
    return gates * h * (h + input_size(layer))


def sigmoid(v: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-v)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * v))


def joint(rows: int) -> Sums:
    """Every row is one accumulator of both products."""
    yes = np.ones(rows, bool)
    return Sums(np.arange(rows), yes, yes, yes)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A layer's rows before quantization, float64: `w_hh [rows, H]`, `w_x [rows, in]` in steps of h, `b [biases]`.

    `gain [rows]`: what turns a real sum into a gate input. `labels [rows]`: what an error calls them."""

    name: str
    w_hh: np.ndarray
    w_x: np.ndarray
    b: np.ndarray
    gain: np.ndarray
    sums: Sums
    labels: tuple[str, ...]


def quantize_rows(p: Rows, wx_bits: int) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Arrays `wh`, `wx`, `b`, `m` and parameters `t`, `f`, in scales that are as small as the accumulators allow.

    Raises: QuantizeError when a weight is not finite, or a row cannot be made to fit int32."""
    if not all(np.isfinite(v).all() for v in (p.w_hh, p.w_x, p.b)):
        raise QuantizeError(f"{p.name}: a weight is NaN or infinite; train or import it again")
    least = _least_scale(p.w_hh, p.w_x, wx_bits)
    for _ in range(1000):
        t = math.floor(math.log2(32767 / (65536 * float(np.max(least * UNIT * p.gain)))))
        if t < 0:
            break
        arrays, params = _in_scale(p, least, wx_bits, min(t, 15))
        bad = np.zeros(len(least), bool)
        np.logical_or.at(bad, p.sums.row, ~rows_fit(arrays, params["f"], p.sums))
        if not bad.any():
            return arrays, params
        least = np.where(bad, least * 1.05, least)
    row = int(np.argmax(least * p.gain))
    top = max(np.abs(p.w_hh[row]).max(), np.abs(p.w_x[row]).max())  # for inputs of the size of h
    raise QuantizeError(
        f"{p.name}: row {row} ({p.labels[row]}): weights up to {top:g}, bias {p.b[p.sums.row == row][0]:g}: too large "
        f"for the int32 accumulator; retrain with smaller ones"
    )


def _least_scale(w_hh: np.ndarray, w_x: np.ndarray, wx_bits: int) -> np.ndarray:
    top_h, top_x = np.abs(w_hh).max(1), np.abs(w_x).max(1)
    if wx_bits == 16:
        least = np.max([top_h / 127, top_x / 32767, np.abs(w_x).sum(1) / 48000], axis=0)
    else:
        least = np.max([top_h, top_x], axis=0) / 127
    return np.maximum(least, max(least.max(), 2.0**-20) * 2.0**-12)  # a row of zeros still needs a scale


def _in_scale(p: Rows, least: np.ndarray, wx_bits: int, t: int) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    m = np.clip(np.ceil(least * UNIT * p.gain * 2.0 ** (16 + t)), 1, 32767)
    s = m / (2.0 ** (16 + t) * UNIT * p.gain)
    f = _input_shift(p.w_x / s[:, None]) if wx_bits == 16 else 0
    top, row = 32767 if wx_bits == 16 else 127, p.sums.row
    bias = p.b / (s[row] * UNIT) + p.sums.rounds * 2.0 ** (15 + t) / m[row] + p.sums.with_x * (0.5 if f else 0.0)
    arrays = {
        "wh": np.clip(np.rint(p.w_hh / s[:, None]), -127, 127).astype(np.int8),
        "wx": np.clip(np.rint(p.w_x / s[:, None] * 2.0**f), -top, top).astype(np.int16 if wx_bits == 16 else np.int8),
        "b": np.clip(np.rint(bias), fp.INT32_MIN, fp.INT32_MAX).astype(np.int32),
        "m": m.astype(np.int16),
    }
    return arrays, {"t": t, "f": f}


def _input_shift(ratio: np.ndarray) -> int:
    """The largest f in 0 .. 15 for which the int16 input weights and every row sum still fit."""
    for f in range(15, 0, -1):
        q = np.rint(ratio * 2.0**f)
        if np.abs(q).max() <= 32767 and np.abs(q).sum(1).max() <= 65500:
            return f
    return 0


def row_scale(q: QLayer, gain: np.ndarray) -> np.ndarray:
    """s per row, exactly as its multiplier makes it: real recurrent weight of one step of `wh`."""
    return np.asarray(q.arrays["m"] / (2.0 ** (16 + q.params["t"]) * UNIT * gain))


def row_bounds(arrays: Mapping[str, np.ndarray], f: int, sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Largest possible |accumulator| and |input sum| per bias, over every state and input; both must be < 2**31."""
    sum_h = fp.AMPLITUDE * np.abs(arrays["wh"].astype(np.int64)).sum(1)[sums.row] * sums.with_h
    sum_x = fp.AMPLITUDE * np.abs(arrays["wx"].astype(np.int64)).sum(1)[sums.row] * sums.with_x
    return sum_h + (sum_x >> f) + sums.with_x + np.abs(arrays["b"].astype(np.int64)), sum_x


def rows_fit(arrays: Mapping[str, np.ndarray], f: int, sums: Sums) -> np.ndarray:
    """Accumulators that provably fit int32."""
    total, sum_x = row_bounds(arrays, f, sums)
    return (total < 2**31) & (sum_x < 2**31)


def products(q: QLayer, h: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recurrent sums and shifted input sums, int64 [batch, rows] each."""
    a = q.arrays
    return h @ a["wh"].T.astype(np.int64), (x @ a["wx"].T.astype(np.int64)) >> q.params["f"]
