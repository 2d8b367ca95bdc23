"""The layout of csrc/tl_mve.h: the weights of a hidden unit together, 8 columns of one row after the other."""

from __future__ import annotations

import numpy as np

from quantize.ops import gru, lstm, rows
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices

UNITS = 8
"""Of a block; as many columns are a group."""


def lstm_mve(q: QLayer) -> Packed:
    """Rows i, f, g, o."""
    multipliers = q.arrays["m"].astype(np.int64) << (16 - q.params["t"])
    return _packed(q, "tl_lstm_w8a16_mve", lstm.GATES, lstm.GATES, multipliers, ("f", "frac"))


def gru_mve(q: QLayer) -> Packed | None:
    """Rows r, z, n; biases and multipliers r, z, nx, nh. None with reset before: the kernel has no such mode."""
    if not gru.reset_after(q):
        return None
    m, size = q.arrays["m"].astype(np.int64), gru.hidden_size(q)
    n = m[2 * size :] << 16
    multipliers = np.concatenate([m[: 2 * size] << (16 - q.params["t"]), n, n])
    return _packed(q, "tl_gru_w8a16_mve", gru.GATES, ("r", "z", "nx", "nh"), multipliers, ("t", "f"))


def _packed(
    q: QLayer, struct: str, gates: str, sums: str | tuple[str, ...], multipliers: np.ndarray, params: tuple[str, ...]
) -> Packed:
    wide = q.arrays["wx"].dtype == np.int16
    wx, wh = (_groups(q.arrays[k], len(gates)) for k in ("wx", "wh"))
    size = rows.hidden_size(q)
    units = [f"unit {u}" for u in range(size)]
    order = f"[unit][8 columns][{', '.join(gates)}][8]"
    arrays = [
        PackedArray(
            "w8",
            "int8_t",
            wh if wide else np.hstack([wx, wh]),
            f"{'recurrent' if wide else 'input, then recurrent'} weights {order}; the last columns padded with 0",
            units,
        )
    ]
    if wide:
        arrays.append(PackedArray("wx", "int16_t", wx, f"input weights {order}; the last columns padded with 0", units))
    bm = _blocks(np.stack([q.arrays["b"].astype(np.int64), multipliers]), len(sums))
    meaning = f"[8 units][{', '.join(sums)}]: biases and multipliers of the even, then of the odd units; padded with 0"
    arrays.append(PackedArray("bm", "int32_t", bm, meaning, [f"units {8 * k} .." for k in range(len(bm))]))
    fields = [("w8", "@w8"), *([("wx16", "@wx")] if wide else []), ("bm", "@bm")]
    fields += [("inputs", str(rows.input_size(q))), ("hidden", str(size)), ("units", str(size))]
    fields += [(k, str(q.params[k])) for k in params]
    pointers = [("w8", UNITS * arrays[0].array.shape[1]), *([("wx16", UNITS * wx.shape[1])] if wide else [])]
    slices = Slices(UNITS, (*pointers, ("bm", bm.shape[1])), (("units", "uint16_t", 1),))
    return Packed(struct, tuple(arrays), tuple(fields), slices)


def _groups(w: np.ndarray, gates: int) -> np.ndarray:
    """[gates * units, columns] -> [units, groups * gates * 8]."""
    columns = w.shape[1]
    groups = -(-columns // UNITS)
    padded = np.zeros((len(w), groups * UNITS), w.dtype)
    padded[:, :columns] = w
    split = padded.reshape(gates, -1, groups, UNITS)  # gate, unit, group, column
    return np.ascontiguousarray(split.transpose(1, 2, 0, 3)).reshape(len(w) // gates, -1)


def _blocks(bm: np.ndarray, sums: int) -> np.ndarray:
    """[b or m, sums * units] -> [blocks, sums * 2 * 2 * 4]."""
    units = bm.shape[1] // sums
    blocks = -(-units // UNITS)
    padded = np.zeros((2, sums, blocks * UNITS), np.int32)
    padded[:, :, :units] = bm.reshape(2, sums, units)
    split = padded.reshape(2, sums, blocks, UNITS // 2, 2)  # b or m, sum, block, pair, parity
    return np.ascontiguousarray(split.transpose(2, 1, 4, 0, 3)).reshape(blocks, -1)
