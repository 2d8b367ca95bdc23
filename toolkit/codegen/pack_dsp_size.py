"""The layout of csrc/tl_dsp_size.h: a stream of words, unit after unit, two columns of all four gates at a time."""

from __future__ import annotations

import numpy as np

from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices
from toolkit.codegen.pack_dsp import pairs, units_of, word

GATES = [3, 1, 0, 2]
"""The order in which the kernel squashes i, f, g, o."""


def lstm_dsp_size(q: QLayer) -> Packed:
    """The stream of csrc/tl_dsp_size.h."""
    wx, wh, b, m = (units_of(q.arrays[k], 4) for k in ("wx", "wh", "b", "m"))
    wide = q.arrays["wx"].dtype == np.int16
    parts = [pairs(wx) if wide else _bytes(wx), b[..., 0], _bytes(wh), word(*m[:, GATES].reshape(-1, 2, 2).T).T]
    words = np.hstack(parts) & 0xFFFFFFFF
    size, inputs = len(wh), wx.shape[2]
    numbers = {"inputs": inputs, "hidden": size, "units": size, "wide": int(wide), "t": q.params["t"]}
    numbers |= {"f": q.params["f"], "cell": 15 - q.params["frac"]}
    meaning = "weights [unit]: inputs, biases, h, multipliers; tl_dsp_size.h has the layout"
    labels = [f"unit {u}" for u in range(size)]
    return Packed(
        "tl_lstm_w8a16_dsp_size",
        (PackedArray("w", "uint32_t", words.astype(np.uint32), meaning, labels),),
        (("w", "@w"), *((name, str(n)) for name, n in numbers.items())),
        Slices(1, (("w", words.shape[1]),), (("units", "uint16_t", 1),)),
    )


def _bytes(w8: np.ndarray) -> np.ndarray:
    """int8 weights [units, 4, columns]: per columns k and l the bytes i[k] f[k] i[l] f[l], then g[k] o[k] g[l] o[l]."""
    i, f, g, o = (w8 & 0xFF).transpose(1, 0, 2)
    return pairs(np.stack([i | f << 8, g | o << 8], axis=1))
