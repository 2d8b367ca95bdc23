"""The layout of csrc/tl_dsp_w8a8.h: the stream of pack_dsp.py, x and h apart."""

from __future__ import annotations

import numpy as np

from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices
from toolkit.codegen.pack_dsp import groups_of, in_groups, products_of, starts_of, units_of
from toolkit.codegen.pack_w8a8 import numbers, scales

MOST = 1900
"""Columns, in whole groups, that the offsets of csrc/tl_dsp_w8a8_layer.h can reach."""


def lstm_dsp(q: QLayer) -> Packed | None:
    """None with gemmlowp's activations, where twice a sum would not fit int32, or for too many columns."""
    a, p, size, inputs = q.arrays, q.params, lstm_w8a8.hidden_size(q), lstm_w8a8.input_size(q)
    reach = sum(-(-n // 4) * 4 for n in (size, inputs))
    if not p["table"] or lstm_w8a8.bounds(q).max() >= 2**30 or reach > MOST:
        return None
    parts = []
    for w, b in (("wx", "bx"), ("wh", "bh")):
        rows = in_groups(units_of(a[w], 4), 4)[..., [0, 2, 1, 3]].reshape(size, 4, -1)
        parts += [starts_of(2 * units_of(a[b], 4)[..., 0], products_of(rows)), groups_of(rows)]
    words = np.hstack(parts) & 0xFFFFFFFF
    shifts = ", ".join(map(str, a["s"].tolist()))
    shape = (("INPUTS", inputs), ("HIDDEN", size), ("SHIFTS", shifts), ("BITS", p["bits"]), ("CLIP", p["clip"]))
    meaning = "[unit]: starts and groups of x, of h; tl_dsp_w8a8.h has the layout"
    return Packed(
        "tl_lstm_w8a8_dsp",
        (
            PackedArray("w", "uint32_t", words.astype(np.uint32), meaning, [f"unit {u}" for u in range(size)]),
            *scales(q),
        ),
        (("w", "@w"), ("step", "{layer}_step"), ("m", "@m"), ("s", "@s"), *numbers(q)),
        Slices(1, (("w", words.shape[1]),), (("units", "uint16_t", 1),)),
        (
            "#define TL_LAYER {layer}_step",
            *(f"#define TL_{name} {value}" for name, value in (*shape, ("H_ZERO", p["h_zero"]))),
            '#include "tl_dsp_w8a8_layer.h"',
        ),
    )
