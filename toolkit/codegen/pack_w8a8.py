"""Layouts of the scheme w8a8: `ref`, and the blocks of csrc/tl_tiled_w8a8.h."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices
from toolkit.codegen.pack_tiles import rows_in_blocks, tiles, words


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


SCALED = "of x in i, f, g, o, of h in i, f, g, o, of the new h"


@dataclass(frozen=True, slots=True)
class Form:
    """What a target leaves open in csrc/tl_tiled_w8a8.h.

    lanes: int32 lanes of a vector; group, order: columns of a tile, and its words in the comment; tile: makes the tiles
    of [gates * units, columns]; offset: what the kernel adds to each activation; top: of |w|."""

    lanes: int
    group: int
    order: str
    tile: Callable[[np.ndarray, int, int, int], np.ndarray] = tiles
    offset: int = 0
    top: int = 128


def _pairs(w: np.ndarray, units: int, lanes: int, group: int) -> np.ndarray:
    """The two pairs of columns of a half one behind the other."""
    quads = tiles(w, units, lanes, group)
    split = quads.reshape(*quads.shape[:3], 2, lanes, 2, 2)
    return np.ascontiguousarray(split.swapaxes(4, 5)).reshape(quads.shape)


FORMS = {
    "avx2": Form(8, 4, "[half][lane][column]", top=127),
    "avx512vnni": Form(16, 4, "[half][lane][column]", offset=128),
    "neon": Form(4, 4, "[half][pair][lane][column]", _pairs, top=127),
    "neon_dotprod": Form(4, 4, "[half][lane][column]"),
    "wasm_simd128": Form(4, 2, "[lane][column][half 1 + 128, half 0]", words),
}


def lstm_tiled(target: str) -> Callable[[QLayer], Packed | None]:
    """The packer of LSTM layers for a target of FORMS."""
    return lambda q: _pack(q, FORMS[target])


def _pack(q: QLayer, form: Form) -> Packed | None:
    """None where a weight is too large, or where there is no room beside the sum for the half that a shift rounds with,
    or for the int16 of the gate's other part."""
    s = q.arrays["s"].astype(np.int64)
    scaling = np.stack([q.arrays["m"].astype(np.int64), np.maximum(s, 0), np.maximum(-s, 0)], axis=1)
    room = max(int((1 << scaling[:8, 2] >> 1).max()), 2**15)
    parts = [(q.arrays[w].astype(np.int64), q.arrays[b].astype(np.int64)) for w, b in (("wx", "bx"), ("wh", "bh"))]
    if int(lstm_w8a8.bounds(q).max()) + room >= 2**31 or max(abs(w).max() for w, _ in parts) > form.top:
        return None
    size, rows = lstm_w8a8.hidden_size(q), 8 * form.lanes
    biases = [rows_in_blocks(b - form.offset * w.sum(1), size, form.lanes) for w, b in parts]
    b = np.stack([v.reshape(-1, rows) for v in biases], axis=1).reshape(-1)
    tiled = [form.tile(w.astype(np.int8), size, form.lanes, form.group) for w, _ in parts]
    w8 = np.concatenate([v.reshape(*v.shape[:2], -1) for v in tiled], axis=1).reshape(-1)
    units = 2 * form.lanes
    blocks = f"{units} units a block, padded with zeros"
    slices = Slices(units, (("w", w8.size // (len(b) // (2 * rows))), ("b", 2 * rows)), (("units", "uint16_t", 1),))
    meaning = f"[block][{form.group} columns][gate]{form.order}; {blocks}"
    arrays = (
        PackedArray("w", "_Alignas(64) int8_t", w8, f"weights {meaning}", None),
        PackedArray("b", "int32_t", b, f"biases [block][of x, of h][gate][half][lane]; {blocks}", None),
        PackedArray(
            "m",
            "int32_t",
            scaling.astype(np.int32).reshape(-1),
            f"[multiplier, shift left, shift right], {SCALED}",
            None,
        ),
    )
    fields = (*((k, f"@{k}") for k in "wbm"), *numbers(q), ("table", str(q.params["table"])))
    return Packed("tl_lstm_w8a8_tiled", arrays, fields, slices)


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


def dense_hidden_ref(q: QLayer) -> Packed:
    """The reference layout of dense_w8a8, the only one."""
    size, inputs = q.arrays["w"].shape
    arrays = (
        PackedArray("w", "int8_t", q.arrays["w"], "weights [unit][input]", [f"h{row}" for row in range(size)]),
        PackedArray("b", "int32_t", q.arrays["b"], "biases [unit], less the zero point of x", None),
        PackedArray("m", "int32_t", q.arrays["m"], "multipliers [unit], m * 2^(s - 31)", None),
        PackedArray("s", "int8_t", q.arrays["s"], "their shifts [unit]", None),
    )
    fields = (*((k, f"@{k}") for k in "wbms"), ("inputs", str(inputs)), ("units", str(size)))
    limits = ((k, str(q.params[k])) for k in ("h_zero", "low", "high"))
    slices = Slices(1, (("w", inputs), ("b", 1), ("m", 1), ("s", 1)), (("units", "uint16_t", 1),))
    return Packed("tl_dense_w8a8", arrays, (*fields, *limits), slices)


def scales(q: QLayer) -> tuple[PackedArray, PackedArray]:
    """Multipliers and shifts."""
    return (
        PackedArray("m", "int32_t", q.arrays["m"], f"multipliers, m * 2^(s - 31): {SCALED}", None),
        PackedArray("s", "int8_t", q.arrays["s"], "their shifts", None),
    )


def numbers(q: QLayer) -> tuple[tuple[str, str], ...]:
    """Fields that every layout has."""
    sizes = (
        ("inputs", str(lstm_w8a8.input_size(q))),
        *((k, str(lstm_w8a8.hidden_size(q))) for k in ("hidden", "units")),
    )
    return (*sizes, *((k, str(q.params[k])) for k in ("clip", "h_zero", "bits")))
