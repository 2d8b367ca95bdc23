"""LSTM, scheme w8a8: the arithmetic of TFLite's fused int8 UNIDIRECTIONAL_SEQUENCE_LSTM (8x8_16). docs/w8a8.md.

Rows in gate order i, f, g, o. Quantized arrays: `wx` int8 [4H, in], `wh` int8 [4H, H], `bx`, `bh` int32 [4H] (the
biases with the zero points folded in), `m` int32 and `s` int8 [9]: the multipliers m * 2**(s - 31) of the input's and
the recurrent part of each gate, and of h. Parameters: `table` 0 the activations of TFLite, 1 of TFLite Micro;
`bits` integer bits of c; `clip` of |c|, 0 for none; `x_zero`, `h_zero` zero points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quantize import gemmlowp
from quantize.errors import QuantizeError
from quantize.fixedpoint import sat16
from quantize.network import Layer, frozen_arrays
from quantize.ops import lstm, rows
from quantize.qnetwork import QLayer

GATES = lstm.GATES
KERNEL = "lstm_step_w8a8"
STATE = {"h": "int8", "c": "int16"}
DTYPES = {k: ("int8",) for k in ("wx", "wh", "s")} | {k: ("int32",) for k in ("bx", "bh", "m")}
PARAMS = {"table": (0, 1), "bits": (0, 6), "clip": (0, 32767), "x_zero": (-128, 127), "h_zero": (-128, 127)}
hidden_size = output_size = rows.hidden_size
input_size = rows.input_size


def shapes(layer: QLayer) -> dict[str, tuple[int, ...]]:
    """The shape that each array must have."""
    weights = rows.shapes(layer, 4, 4)
    return {"wx": weights["wx"], "wh": weights["wh"], "bx": weights["b"], "bh": weights["b"], "m": (9,), "s": (9,)}


def macs(layer: QLayer) -> int:
    """Multiply-accumulates of one step."""
    return rows.macs(layer, 4)


def start(q: QLayer) -> dict[str, int]:
    """What the state holds before the first step: 0 is the zero point of h."""
    return {"h": q.params["h_zero"], "c": 0}


def quantize(
    layer: Layer, x_scale: float, x_zero: int, h_scale: float, h_zero: int, c_absmax: float, *, table: bool
) -> QLayer:
    """A float LSTM whose input has x = x_scale * (q - x_zero), and whose h is to be h_scale * (q - h_zero).

    Weights are symmetric per gate; c gets the power of two above its calibrated range.
    Raises: QuantizeError when a weight is not finite, |c| is beyond 64 or a row does not fit int32."""
    w_x, w_h, b = (np.asarray(layer.weights[k], np.float64) for k in ("w_ih", "w_hh", "b"))
    if not all(np.isfinite(v).all() for v in (w_x, w_h, b)):
        raise QuantizeError(f"{layer.name}: a weight is NaN or infinite; train or import it again")
    bits = max(0, math.ceil(math.log2(max(c_absmax, 2.0**-20))))
    if bits > 6:
        raise QuantizeError(f"{layer.name}: the cell reached {c_absmax:g}; w8a8 holds at most 64; retrain with clipping")
    q_x, s_x = _gates(w_x)
    q_h, s_h = _gates(w_h)
    size = len(w_h[0])
    scale_x = s_x * x_scale
    bias = np.rint(b / np.repeat(scale_x, size))
    scales = [*(scale_x * 4096), *(s_h * h_scale * 4096), 2.0**-30 / h_scale]
    m, s = zip(*(gemmlowp.multiplier(float(v)) for v in scales), strict=True)
    out = QLayer(
        layer.name,
        "lstm_w8a8",
        frozen_arrays(
            {
                "wx": q_x.astype(np.int8),
                "wh": q_h.astype(np.int8),
                "bx": np.clip(bias - x_zero * q_x.sum(1), -(2**31), 2**31 - 1).astype(np.int32),
                "bh": (-h_zero * q_h.sum(1)).astype(np.int32),
                "m": np.array(m, np.int32),
                "s": np.array(s, np.int8),
            }
        ),
        {"table": int(table), "bits": bits, "clip": 0, "x_zero": x_zero, "h_zero": h_zero},
    )
    if not fits(out).all():
        row = int(np.flatnonzero(~fits(out))[0])
        raise QuantizeError(
            f"{layer.name}: row {row} ({GATES[row // size]}{row % size}): its bias {b[row]:g} does not fit int32 in the "
            f"units of its weights; retrain, or use the scheme w8a16"
        )
    return out


def _gates(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[4H, n] -> integers in +-127 and the scale of each gate [4]."""
    gates = w.reshape(4, -1)
    scale = np.maximum(np.abs(gates).max(1), 2.0**-20) / 127
    return np.rint(gates / scale[:, None]).reshape(w.shape), scale


def bounds(q: QLayer) -> np.ndarray:
    """Largest possible |accumulator|, shifted left where its multiplier asks for that, per row. Must be < 2**31."""
    size = hidden_size(q)
    parts = []
    for w, b, s in (("wx", "bx", q.arrays["s"][:4]), ("wh", "bh", q.arrays["s"][4:8])):
        top = 128 * np.abs(q.arrays[w].astype(np.int64)).sum(1) + np.abs(q.arrays[b].astype(np.int64))
        parts.append(top << np.repeat(np.clip(s, 0, 31), size).astype(np.int64))
    return np.maximum(*parts)


def fits(q: QLayer) -> np.ndarray:
    """Rows whose accumulators provably fit int32, with multipliers that the kernels take."""
    m, s = q.arrays["m"].astype(np.int64), q.arrays["s"].astype(np.int64)
    scaled = bool(((m >= 0) & (s >= -31)).all() and s[8] <= 0)
    return np.asarray((bounds(q) < 2**31) & scaled)


def int_step(
    q: QLayer, x: np.ndarray, state: Mapping[str, np.ndarray], trace: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One integer step, int64 arrays: x [batch, in], state h, c [batch, H] -> h', state.

    `trace` receives every named tensor: ax, ah (accumulators), z (Q3.12), the gates i, f, g, o (Q0.15), c and h."""
    a, p = q.arrays, q.params
    table, bits = bool(p["table"]), p["bits"]
    ax = a["bx"] + x @ a["wx"].T.astype(np.int64)
    ah = a["bh"] + state["h"] @ a["wh"].T.astype(np.int64)
    m, s = ([int(v) for v in a[k]] for k in ("m", "s"))
    z = [
        sat16(sat16(gemmlowp.multiply(vx, m[k], s[k])) + gemmlowp.multiply(vh, m[4 + k], s[4 + k]))
        for k, (vx, vh) in enumerate(zip(np.split(ax, 4, axis=1), np.split(ah, 4, axis=1), strict=True))
    ]
    i, f, o = (gemmlowp.sigmoid(z[k], table=table) for k in (0, 1, 3))
    g = gemmlowp.tanh(z[2], 3, table=table)
    kept, fresh = gemmlowp.rounding_shift(f * state["c"], 15), gemmlowp.rounding_shift(i * g, 15 + bits)
    c = sat16(kept + fresh)
    if p["clip"]:
        c = np.clip(c, -p["clip"], p["clip"])
    y = gemmlowp.multiply(o * gemmlowp.tanh(c, bits, table=table), m[8], s[8])
    h = np.clip(y + p["h_zero"], -128, 127)
    if trace is not None:
        named = {"ax": ax, "ah": ah, "z": np.concatenate(z, 1), "i": i, "f": f, "g": g, "o": o, "c": c, "h": h}
        trace.update({f"{q.name}.{k}": v for k, v in named.items()})
    return h, {"h": h, "c": c}
