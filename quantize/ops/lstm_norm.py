"""LSTM with layer normalisation, as in the modern LSTM of the Burn book: float forward, quantization, integer step.

    gates = LN_x(W x + b_ih) + U h + b_hh         i, f, o = sigmoid, g = tanh
    c' = LN_c(f c + i g)                          what the next step starts from
    h' = LN_h(o tanh(c'))

(Ba, Kiros & Hinton 2016; LN(v) = gain (v - mean) / sqrt(var + 1e-5) + offset, over the 4H gates or the H units.)

Quantized arrays: `wx` int16 [4H, in] and `bx` int32 [4H], in one scale, since LN_x mixes the rows; `wh`, `b`, `m` as in
the LSTM, b with b_hh and the offset of LN_x; gains `gx` [4H], `gc`, `gh` [H] and offsets `oc`, `oh` [H], int16.
Parameters: `t`, `frac` as in the LSTM; `h_exp`: one step of h is 2**h_exp / 32640, since |h| is not bounded by 1; the
shifts of the gains; the epsilons as mantissa and exponent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quantize import fixedpoint as fp
from quantize import norm
from quantize.errors import QuantizeError
from quantize.network import Layer, frozen_arrays
from quantize.ops import lstm, rows
from quantize.qnetwork import QLayer

GATES = "ifgo"
KERNEL = "lstm_norm_step_w8a16"
STATE = {"h": "int16", "c": "int16"}
DTYPES = {
    **{"wh": ("int8",), "wx": ("int16",), "bx": ("int32",), "b": ("int32",), "m": ("int16",)},
    **{k: ("int16",) for k in ("gx", "gc", "gh", "oc", "oh")},
}
PARAMS = {"t": (0, 15), "frac": (0, 12), "h_exp": (-15, 15)} | {
    k: limits
    for part in "xch"
    for k, limits in ((f"s{part}", (1, 30)), (f"e{part}m", (1, 32767)), (f"e{part}e", (-64, 46)))
}
UNIT = rows.UNIT  # times 2**h_exp
AMPLITUDE = fp.AMPLITUDE / 32768  # that g, and so c, carry
DEVIATIONS = 2.0 ** (15 - norm.U_BITS)  # where u saturates
hidden_size = output_size = rows.hidden_size
input_size = rows.input_size


def shapes(layer: Layer | QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have."""
    found = rows.shapes(layer, 4, 4)
    del found["b"]
    h = hidden_size(layer) if found else 1
    if isinstance(layer, Layer):
        more = {"b_ih": (4 * h,), "b_hh": (4 * h,), "norm_x": (2, 4 * h), "norm_c": (2, h), "norm_h": (2, h)}
        return {**found, **more}
    return {**found, "b": (4 * h,), "bx": (4 * h,), "gx": (4 * h,), **{k: (h,) for k in ("gc", "gh", "oc", "oh")}}


def macs(layer: Layer | QLayer) -> int:
    """Multiply-accumulates of one step, without the normalisations."""
    return rows.macs(layer, 4)


def _layer_norm(v: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    gain, offset = np.asarray(parameters, np.float64)
    d = v - v.mean(-1, keepdims=True)
    return np.asarray(gain * d / np.sqrt(np.square(d).mean(-1, keepdims=True) + norm.EPSILON) + offset)


def float_step(layer: Layer, x: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One float64 step: x [batch, in], state h, c [batch, H] -> h', state."""
    w = layer.weights
    from_x = _layer_norm(x @ w["w_ih"].T.astype(np.float64) + w["b_ih"], w["norm_x"])
    pre = from_x + state["h"] @ w["w_hh"].T.astype(np.float64) + w["b_hh"]
    i, f, g, o = np.split(pre, 4, axis=1)
    c = _layer_norm(rows.sigmoid(f) * state["c"] + rows.sigmoid(i) * np.tanh(g), w["norm_c"])
    h = _layer_norm(rows.sigmoid(o) * np.tanh(c), w["norm_h"])
    return h, {"h": h, "c": c}


def quantize(layer: Layer, x_scale: np.ndarray, ranges: Mapping[str, float], wx_bits: int) -> QLayer:
    """`x_scale [in]`: real value of one input step; `ranges`: largest |c| in calibration as "c". `wx_bits` is not
    asked: one scale for all rows needs 16.

    Raises: QuantizeError when a row cannot be made to fit int32, or a value int16."""
    w = {k: np.asarray(v, np.float64) for k, v in layer.weights.items()}
    if not all(np.isfinite(v).all() for v in w.values()):
        raise QuantizeError(f"{layer.name}: a weight is NaN or infinite; train or import it again")
    size, steep = hidden_size(layer), lstm.gains(hidden_size(layer))
    reach = np.abs(w["norm_h"][0]) * min(DEVIATIONS, math.sqrt(max(size - 1, 1))) + np.abs(w["norm_h"][1])
    h_exp = math.ceil(math.log2(max(float(reach.max()), 2.0**-15)))
    labels = tuple(f"{g}{u}" for g in GATES for u in range(size))
    b = w["b_hh"] + w["norm_x"][1]
    nothing = np.zeros((4 * size, 1))
    p = rows.Rows(layer.name, w["w_hh"] * 2.0**h_exp, nothing, b, steep, rows.joint(4 * size), labels)
    arrays, params = rows.quantize_rows(p, 8)
    arrays["wx"], arrays["bx"], scale = _input_rows(w["w_ih"] * x_scale / UNIT, w["b_ih"])
    frac = lstm.cell_bits(layer.name, ranges["c"])
    c_unit, h_unit = AMPLITUDE * 2.0**frac, fp.AMPLITUDE / 2.0**h_exp
    parts = {  # gain and offset of u in steps of the output; real value of a step of v
        "x": (w["norm_x"][0] * steep, None, scale * UNIT),
        "c": (w["norm_c"][0] * c_unit, w["norm_c"][1] * c_unit, 1 / (AMPLITUDE * 2.0 ** (frac + 13))),
        "h": (w["norm_h"][0] * h_unit, w["norm_h"][1] * h_unit, 1 / (2.0**15 * fp.AMPLITUDE)),
    }
    made = {"t": params["t"], "frac": frac, "h_exp": h_exp}
    for k, (gain, offset, step) in parts.items():
        arrays[f"g{k}"], made[f"s{k}"] = norm.quantize_gain(gain / 2.0**norm.U_BITS)
        made[f"e{k}m"], made[f"e{k}e"] = norm.epsilon(step)
        if offset is not None:
            if np.abs(offset).max() > 32767:
                raise QuantizeError(f"{layer.name}: norm_{k}: an offset does not fit int16; retrain with weight decay")
            arrays[f"o{k}"] = np.rint(offset).astype(np.int16)
    return QLayer(layer.name, "lstm_norm", frozen_arrays(arrays), made)


def _input_rows(w_x: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(wx, bx, scale): one scale for all rows, with |sum| < 2**30 for every |x| <= 32640."""
    most = fp.AMPLITUDE * (np.abs(w_x).sum(1) + np.abs(b))
    slack = norm.LARGEST - fp.AMPLITUDE * w_x.shape[1]
    scale = max(float(np.abs(w_x).max()) / 32767, float(most.max()) / slack, 2.0**-30)
    return np.rint(w_x / scale).astype(np.int16), np.rint(b / UNIT / scale).astype(np.int32), scale


def bounds(q: QLayer) -> np.ndarray:
    """Largest possible |U h + b| per row, and twice that of |W x + b|; each must be < 2**31."""
    a = q.arrays
    of_h = fp.AMPLITUDE * np.abs(a["wh"].astype(np.int64)).sum(1) + np.abs(a["b"].astype(np.int64))
    of_x = fp.AMPLITUDE * np.abs(a["wx"].astype(np.int64)).sum(1) + np.abs(a["bx"].astype(np.int64))
    return np.maximum(of_h, 2 * of_x)


def fits(q: QLayer) -> np.ndarray:
    """Rows whose accumulators provably fit."""
    return np.asarray(bounds(q) < 2**31)


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One integer step, int64 arrays: x [batch, in], state h, c [batch, H] -> h', state."""
    a, p = {k: v.astype(np.int64) for k, v in q.arrays.items()}, q.params
    eps = {k: (p[f"e{k}m"], p[f"e{k}e"]) for k in "xch"}
    from_x = norm.scaled(norm.normalise(x @ a["wx"].T + a["bx"], eps["x"]), a["gx"], p["sx"])
    z = fp.sat16(from_x + (fp.mulw(state["h"] @ a["wh"].T + a["b"], a["m"]) >> p["t"]))
    zi, zf, zg, zo = np.split(z, 4, axis=1)
    i, f, o = (fp.lookup(fp.SIGMOID_NODES, v) for v in (zi, zf, zo))
    g = fp.lookup(fp.TANH_NODES, zg)
    raw = (f * state["c"] + ((i * g) >> (15 - p["frac"]))) >> 2  # |sum| < 2**31
    c = fp.sat16(norm.scaled(norm.normalise(raw, eps["c"]), a["gc"], p["sc"]) + a["oc"])
    out = o * fp.lookup(fp.TANH_NODES, fp.sat16(c << (12 - p["frac"])))
    h = norm.scaled(norm.normalise(out, eps["h"]), a["gh"], p["sh"]) + a["oh"]
    h = np.clip(h, -fp.AMPLITUDE, fp.AMPLITUDE)
    if trace is not None:
        named = {"z": z, "i": i, "f": f, "g": g, "o": o, "c": c, "h": h}
        trace.update({f"{q.name}.{k}": v for k, v in named.items()})
    return h, {"h": h, "c": c}
