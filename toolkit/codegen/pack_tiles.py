"""The layout of csrc/tl_tiled.h: blocks of hidden units side by side in the lanes of vectors, read forwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantize.ops import gru, rows
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices

_LANES_LAST = (1, 5, 0, 6, 3, 2, 4)  # block, group, gate, column, half, j, lane
_COLUMNS_LAST = (1, 5, 0, 3, 2, 4, 6)


def _words(tiles: np.ndarray) -> np.ndarray:
    """The weights of both halves as bytes of words 256 * half 0 + (half 1 + 128); a pad of half 1 is 128 likewise."""
    halves = tiles.reshape(*tiles.shape[:3], 2, -1)
    lower = (halves[:, :, :, 1].astype(np.int16) + 128).astype(np.uint8).view(np.int8)
    return np.stack([lower, halves[:, :, :, 0]], axis=-1)


def _no_correction(w: np.ndarray) -> np.ndarray:
    return np.zeros(len(w), np.int64)


def _pair_products(w: np.ndarray) -> np.ndarray:
    """sum w0 w1 over pairs of columns."""
    even, odd = w[:, ::2], w[:, 1::2]
    return np.asarray((even[:, : odd.shape[1]] * odd).sum(1))


@dataclass(frozen=True, slots=True)
class Form:
    """What a target leaves open in tl_tiled.h.

    lanes: int32 lanes of a vector; group: columns of a tile of w8; order: of a tile, and words, in the comment;
    x_columns: of a tile of wx16; correction: of a row's bias, from its int8 weights [row, column];
    shift: 0 for plain multipliers, else the kernel takes m << (shift - t).
    """

    lanes: int
    group: int
    order: str
    x_columns: int
    correction: Callable[[np.ndarray], np.ndarray]
    shift: int


FORMS = {
    "avx2": Form(8, 2, "[lane][column][half 1 + 128, half 0]", 2, _no_correction, 0),
    # the kernel adds 32768 to each activation
    "avx512vnni": Form(16, 4, "[half][lane][column]", 2, lambda w: -32768 * w.sum(1), 0),
    # (w0 + x1)(w1 + x0) = w0 x0 + w1 x1 + w0 w1 + x0 x1
    "neon": Form(4, 4, "[column][half][lane]", 1, lambda w: -_pair_products(w), 15),
    # the kernel takes 128 off each activation
    "neon_dotprod": Form(4, 4, "[half][lane][column]", 1, lambda w: 128 * w.sum(1), 15),
    "wasm_simd128": Form(4, 2, "[lane][column][half 1 + 128, half 0]", 2, _no_correction, 16),
}


def packer(target: str) -> Callable[[QLayer], Packed]:
    """The packer of LSTM and GRU layers for a target of FORMS."""
    return lambda q: _pack(q, target)


def _pack(q: QLayer, target: str) -> Packed:
    form, a, p, size = FORMS[target], q.arrays, q.params, rows.hidden_size(q)
    wide = a["wx"].dtype == np.int16
    after = q.op == "gru" and gru.reset_after(q)
    passes, blocks = [slice(None)], f"{2 * form.lanes} units a block, padded with zeros"
    if q.op == "gru" and not after:
        passes, blocks = [slice(2 * size), slice(2 * size, None)], f"{blocks}; all of r and z, then all of n"
    b, m = _biases(q, form, wide=wide, after=after), _multipliers(q, form, after=after)
    w8, wx, bs, ms = [], [], [], []
    for own in passes:
        narrow = [a["wh"][own]] if wide else [a["wx"][own], a["wh"][own]]
        w8.append(np.concatenate([_tile8(w, size, form) for w in narrow], axis=1).reshape(-1))
        wx.append(_tiles(a["wx"][own], size, form.lanes, form.x_columns, _COLUMNS_LAST).reshape(-1))
        bs.append(rows_in_blocks(b[own], size, form.lanes))
        ms.append(rows_in_blocks(m[own], size, form.lanes))
    arrays = [
        PackedArray(
            "w8",
            "_Alignas(64) int8_t",
            np.concatenate(w8),
            f"int8 weights [block][{form.group} columns][gate]{form.order}; {blocks}",
            None,
        ),
        PackedArray("b", "int32_t", np.concatenate(bs), f"biases [block][gate][half][lane]; {blocks}", None),
        PackedArray("m", "int32_t", np.concatenate(ms), "multipliers of the requantization, like b", None),
    ]
    if wide:
        columns, column = ("2 columns", "[column]") if form.x_columns == 2 else ("column", "")
        meaning = f"input weights [block][{columns}][gate][half][lane]{column}; {blocks}"
        arrays.insert(1, PackedArray("wx", "_Alignas(64) int16_t", np.concatenate(wx), meaning, None))
    fields = [("w8", "@w8"), *([("wx16", "@wx")] if wide else []), ("b", "@b"), ("m", "@m")]
    fields += [("inputs", str(rows.input_size(q))), ("hidden", str(size)), ("units", str(size))]
    fields += [("t", str(p["t"])), ("f", str(p["f"]))]
    fields.append(("reset_after", str(int(after))) if q.op == "gru" else ("frac", str(p["frac"])))
    slices = None
    if len(passes) == 1:
        block, streams = 2 * form.lanes, {"w8": w8[0], **({"wx16": wx[0]} if wide else {}), "b": bs[0], "m": ms[0]}
        blocks_of = -(-size // block)
        slices = Slices(block, tuple((k, len(v) // blocks_of) for k, v in streams.items()), (("units", "uint16_t", 1),))
    return Packed(f"tl_{q.op}_w8a16_{target}", tuple(arrays), tuple(fields), slices)


def _biases(q: QLayer, form: Form, *, wide: bool, after: bool) -> np.ndarray:
    """With what the kernel's way of summing int8 weights must be corrected by."""
    a, b = q.arrays, q.arrays["b"].astype(np.int64)
    own = np.arange(len(a["wh"]))
    if not wide:
        b[own] += form.correction(a["wx"].astype(np.int64))
    if after:  # the recurrent part of n has a bias of its own, behind the others
        own[2 * rows.hidden_size(q) :] += rows.hidden_size(q)
    b[own] += form.correction(a["wh"].astype(np.int64))
    return b


def _multipliers(q: QLayer, form: Form, *, after: bool) -> np.ndarray:
    m, t = q.arrays["m"].astype(np.int64), q.params["t"]
    if not form.shift:
        return m
    shifts = np.full(len(m), form.shift - t)
    if after:
        shifts[2 * rows.hidden_size(q) :] = form.shift  # n is shifted by t when its two parts are joined
    return m << shifts


def _tile8(w: np.ndarray, units: int, form: Form) -> np.ndarray:
    """int8 weights [gates * units, columns] -> [block, group, tile of every gate]."""
    order = _LANES_LAST if form.order.startswith("[column]") else _COLUMNS_LAST
    tiles = _tiles(w, units, form.lanes, form.group, order)
    if "half 1" in form.order:
        tiles = _words(tiles)
    return tiles.reshape(*tiles.shape[:2], -1)


def _tiles(w: np.ndarray, units: int, lanes: int, group: int, order: tuple[int, ...]) -> np.ndarray:
    """[gates * units, columns] -> [block, columns / group, gate, 2 * lanes * group], padded with zeros.

    Two vectors of int32 become one of int16 in pieces of 4 lanes: half s holds the units 8 j + 4 s .. 8 j + 4 s + 3."""
    gates, columns = len(w) // units, w.shape[1]
    blocks, groups = -(-units // (2 * lanes)), -(-columns // group)
    padded = np.zeros((gates, blocks * 2 * lanes, groups * group), w.dtype)
    padded[:, :units, :columns] = w.reshape(gates, units, columns)
    split = padded.reshape(gates, blocks, lanes // 4, 2, 4, groups, group)  # j, half, lane of 4
    return np.ascontiguousarray(split.transpose(order)).reshape(blocks, groups, gates, -1)


def tiles(w: np.ndarray, units: int, lanes: int, columns: int) -> np.ndarray:
    """[gates * units, columns] -> [block, columns / group, gate, half, lane, column]; the last three as one axis."""
    return _tiles(w, units, lanes, columns, _COLUMNS_LAST)


def words(w: np.ndarray, units: int, lanes: int, columns: int) -> np.ndarray:
    """The same, but each row of half 0 in a word with one of half 1."""
    return _words(tiles(w, units, lanes, columns))


def rows_in_blocks(v: np.ndarray, units: int, lanes: int) -> np.ndarray:
    """A number per row modulo 2^32, in the order of `_tiles`."""
    return _tiles(v.astype(np.int32)[:, None], units, lanes, 1, _COLUMNS_LAST).reshape(-1)
