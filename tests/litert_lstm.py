"""Random int8 LSTM models for toolkit/tflite.py, and the same layers as our QLayer."""

from __future__ import annotations

import numpy as np

from quantize import gemmlowp
from quantize.network import frozen_arrays
from quantize.qnetwork import QLayer
from toolkit.tflite import Lstm


def random_lstm(rng: np.random.Generator, inputs: int, hidden: int, bits: int, clip: float) -> Lstm:
    """Scales such that gates move, and now and then saturate."""
    x_scale, h_scale = rng.uniform(0.005, 0.05), rng.uniform(0.9, 2.1) / 256
    wx = rng.integers(-127, 128, (4, hidden, inputs))
    wh = rng.integers(-127, 128, (4, hidden, hidden))
    return Lstm(
        wx,
        wh,
        rng.integers(-20000, 20000, (4, hidden)),
        rng.uniform(0.2, 3.0, 4) * 2.0**bits / 127 / np.sqrt(inputs),
        rng.uniform(0.2, 3.0, 4) / 127 / np.sqrt(hidden),
        float(np.float32(x_scale)),
        int(rng.integers(-128, 128)),
        float(np.float32(h_scale)),
        int(rng.integers(-40, 41)),
        bits,
        clip,
    )


def qlayer(v: Lstm, *, table: bool) -> QLayer:
    """As TFLite prepares it: scales meet in float32, multipliers come from float64."""
    f32 = np.float32
    scales = [float(f32(s) * f32(v.x_scale) / f32(2.0**-12)) for s in v.wx_scale]
    scales += [float(f32(s) * f32(v.h_scale) / f32(2.0**-12)) for s in v.wh_scale]
    scales.append(float(f32(2.0**-15 / float(f32(v.h_scale)) * 2.0**-15)))
    m, s = zip(*map(gemmlowp.multiplier, scales), strict=True)
    size = v.wh.shape[1]
    wx, wh = v.wx.reshape(4 * size, -1), v.wh.reshape(4 * size, -1)
    arrays = {
        "wx": wx.astype(np.int8),
        "wh": wh.astype(np.int8),
        "bx": (v.b.reshape(-1) - v.x_zero * wx.sum(1)).astype(np.int32),
        "bh": (-v.h_zero * wh.sum(1)).astype(np.int32),
        "m": np.array(m, np.int32),
        "s": np.array(s, np.int8),
    }
    clip = int(np.clip(v.clip / 2.0 ** (v.bits - 15), 0, 32767))
    params = {"table": int(table), "bits": v.bits, "clip": clip, "x_zero": v.x_zero, "h_zero": v.h_zero}
    return QLayer("lstm0", "lstm_w8a8", frozen_arrays(arrays), params)
