"""Weights for csrc/tl_avx2.c and csrc/tl_avx512vnni.c: blocks of hidden units in one forward stream."""

from __future__ import annotations

import numpy as np

from quantize.ops import lstm
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray


def lstm_avx2(q: QLayer) -> Packed:
    """Blocks of 16 units, pairs of columns; a word holds a weight of either half of the block."""
    return _lstm(q, "avx2", lanes=8, group=2)


def lstm_avx512vnni(q: QLayer) -> Packed:
    """Blocks of 32 units, quads of columns. The kernel adds 32768 to each activation: `b` takes that off again."""
    return _lstm(q, "avx512vnni", lanes=16, group=4)


def _lstm(q: QLayer, target: str, *, lanes: int, group: int) -> Packed:
    a, p, size, inputs = q.arrays, q.params, lstm.hidden_size(q), lstm.input_size(q)
    wide = a["wx"].dtype == np.int16
    narrow = [a["wh"]] if wide else [a["wx"], a["wh"]]
    b = a["b"].astype(np.int64)
    if group == 4:
        b = b - 32768 * sum(w.sum(1, dtype=np.int64) for w in narrow)
    blocks = f"{2 * lanes} units a block, padded with zeros"
    w8, order = np.concatenate([tiles(w, lanes, group) for w in narrow], axis=1), "[half][lane][column]"
    if group == 2:
        w8, order = _words(w8), "[lane][column][half 1 + 128, half 0]"
    arrays = [
        PackedArray(
            "w8",
            "_Alignas(64) int8_t",
            w8.reshape(-1),
            f"int8 weights [block][{group} columns][gate]{order}; {blocks}",
            None,
        ),
        PackedArray("b", "int32_t", rows_in_blocks(b, lanes), f"biases [block][gate][half][lane]; {blocks}", None),
        PackedArray("m", "int32_t", rows_in_blocks(a["m"], lanes), "multipliers of the requantization, like b", None),
    ]
    if wide:
        meaning = f"input weights [block][2 columns][gate][half][lane][column]; {blocks}"
        wx = tiles(a["wx"], lanes, 2).reshape(-1)
        arrays.insert(1, PackedArray("wx", "_Alignas(64) int16_t", wx, meaning, None))
    fields = [("w8", "@w8"), *([("wx16", "@wx")] if wide else []), ("b", "@b"), ("m", "@m")]
    fields += [("inputs", str(inputs)), ("hidden", str(size)), *((k, str(p[k])) for k in ("t", "f", "frac"))]
    return Packed(f"tl_lstm_w8a16_{target}", tuple(arrays), tuple(fields))


def tiles(w: np.ndarray, lanes: int, group: int) -> np.ndarray:
    """[4 * units, columns] -> [block, columns / group, 4 * 2 * lanes * group], padded with zeros.

    PACKSSDW joins two vectors in pieces of 4 lanes: half s holds the units 8 j + 4 s .. 8 j + 4 s + 3 of a block."""
    units, columns = w.shape[0] // 4, w.shape[1]
    blocks, groups = -(-units // (2 * lanes)), -(-columns // group)
    padded = np.zeros((4, blocks * 2 * lanes, groups * group), w.dtype)
    padded[:, :units, :columns] = w.reshape(4, units, columns)
    split = padded.reshape(4, blocks, lanes // 4, 2, 4, groups, group)  # gate, block, j, half, lane of 4, group, column
    return np.ascontiguousarray(split.transpose(1, 5, 0, 3, 2, 4, 6)).reshape(blocks, groups, -1)


def _words(tiles: np.ndarray) -> np.ndarray:
    """The weights of both halves as bytes of words 256 * half 0 + (half 1 + 128); a pad of half 1 is 128 likewise."""
    halves = tiles.reshape(*tiles.shape[:2], 4, 2, -1)
    lower = (halves[:, :, :, 1].astype(np.int16) + 128).astype(np.uint8).view(np.int8)
    return np.stack([lower, halves[:, :, :, 0]], axis=-1)


def rows_in_blocks(v: np.ndarray, lanes: int) -> np.ndarray:
    """A number per row modulo 2^32, in the order of `tiles`."""
    return tiles(v.astype(np.int32)[:, None], lanes, 1).reshape(-1)
