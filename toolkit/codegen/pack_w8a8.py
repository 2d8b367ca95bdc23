"""Layouts of the scheme w8a8: `ref`, and the blocks of csrc/tl_avx512vnni_w8a8.c."""

from __future__ import annotations

import numpy as np

from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices
from toolkit.codegen.pack_tiles import rows_in_blocks, tiles


def lstm_ref(q: QLayer) -> Packed:
    """The reference layout: rows i0 .. o[H-1], unpacked."""
    a, size = q.arrays, lstm_w8a8.hidden_size(q)
    rows = [f"{gate}{unit}" for gate in lstm_w8a8.GATES for unit in range(size)]
    arrays = (
        PackedArray("wx", "int8_t", a["wx"], "input weights [row][input]", rows),
        PackedArray("wh", "int8_t", a["wh"], "recurrent weights [row][unit]", rows),
        PackedArray("bx", "int32_t", a["bx"], "biases [row], less the zero point of x", None),
        PackedArray("bh", "int32_t", a["bh"], "of the recurrent part [row]: less the zero point of h", None),
        *scales(q),
    )
    fields = (
        *((k, f"@{k}") for k in ("wx", "wh", "bx", "bh", "m", "s")),
        *numbers(q),
        ("table", str(q.params["table"])),
    )
    inputs = lstm_w8a8.input_size(q)
    slices = Slices(1, (("wx", inputs), ("wh", size), ("bx", 1), ("bh", 1)), (("units", "uint16_t", 1),))
    return Packed("tl_lstm_w8a8", arrays, fields, slices)


def lstm_avx512vnni(q: QLayer) -> Packed | None:
    """Blocks of 32 units, quads of columns; the kernel adds 128 to each activation, which `b` takes off again.

    None with gemmlowp's activations, or where the half that its shift rounds with would not fit beside the sum."""
    half = 1 << np.clip(-q.arrays["s"][:8].astype(np.int64), 0, 31) >> 1
    if not q.params["table"] or int(lstm_w8a8.bounds(q).max()) + int(half.max()) >= 2**31:
        return None
    parts = [(q.arrays[w].astype(np.int64), q.arrays[b].astype(np.int64)) for w, b in (("wx", "bx"), ("wh", "bh"))]
    size = lstm_w8a8.hidden_size(q)
    biases = [rows_in_blocks(b - 128 * w.sum(1), size, 16) for w, b in parts]
    b = np.stack([v.reshape(-1, 128) for v in biases], axis=1).reshape(-1)
    w8 = np.concatenate([tiles(w.astype(np.int8), size, 16, 4) for w, _ in parts], axis=1).reshape(-1)
    blocks = "32 units a block, padded with zeros"
    slices = Slices(32, (("w", w8.size // (len(b) // 256)), ("b", 256)), (("units", "uint16_t", 1),))
    arrays = (
        PackedArray("w", "_Alignas(64) int8_t", w8, f"[block][4 columns][gate][half][lane][column]; {blocks}", None),
        PackedArray("b", "int32_t", b, f"biases [block][of x, of h][gate][half][lane]; {blocks}", None),
        *scales(q),
    )
    return Packed("tl_lstm_w8a8_avx512vnni", arrays, (*((k, f"@{k}") for k in "wbms"), *numbers(q)), slices)


def dense_ref(q: QLayer) -> Packed:
    """The reference layout."""
    rows = [f"y{row}" for row in range(len(q.arrays["w"]))]
    return Packed(
        "tl_dense_w16a8",
        (
            PackedArray("w", "int16_t", q.arrays["w"], "weights [output][unit]", rows),
            PackedArray("b", "int32_t", q.arrays["b"], "biases [output], less the zero point of h", None),
        ),
        (("w", "@w"), ("b", "@b"), ("inputs", str(q.arrays["w"].shape[1])), ("outputs", str(len(rows)))),
    )


def scales(q: QLayer) -> tuple[PackedArray, PackedArray]:
    """Multipliers and shifts."""
    meaning = "of x in i, f, g, o, of h in i, f, g, o, of the new h"
    return (
        PackedArray("m", "int32_t", q.arrays["m"], f"multipliers, m * 2^(s - 31): {meaning}", None),
        PackedArray("s", "int8_t", q.arrays["s"], "their shifts", None),
    )


def numbers(q: QLayer) -> tuple[tuple[str, str], ...]:
    """Fields that every layout has."""
    sizes = (
        ("inputs", str(lstm_w8a8.input_size(q))),
        *((k, str(lstm_w8a8.hidden_size(q))) for k in ("hidden", "units")),
    )
    return (*sizes, *((k, str(q.params[k])) for k in ("clip", "h_zero", "bits")))
