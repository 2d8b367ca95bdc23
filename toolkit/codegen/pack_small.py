"""The layouts of v6m and v7m, four rows of a hidden unit in one word (csrc/tl_v6m.h), and of rv32 (csrc/tl_rv32.h)."""

from __future__ import annotations

import numpy as np

from quantize.ops import lstm
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices


def lstm_v6m(q: QLayer) -> Packed:
    """The stream of csrc/tl_v6m.h: `w` uint32 [H, columns + 8], one row per hidden unit."""
    return _lstm(q, "v6m")


def lstm_v7m(q: QLayer) -> Packed:
    """The same for csrc/tl_v7m.h."""
    return _lstm(q, "v7m")


def _lstm(q: QLayer, target: str) -> Packed:
    wide = q.arrays["wx"].dtype == np.int16
    size, inputs = lstm.hidden_size(q), lstm.input_size(q)
    # [row, column] -> [unit, gate, column]
    wh, wx, b, m = (
        np.swapaxes(q.arrays[k].astype(np.int64).reshape(4, size, -1), 0, 1) for k in ("wh", "wx", "b", "m")
    )
    columns = np.stack([_two(wx[:, :2]), _two(wx[:, 2:])], axis=-1).reshape(size, -1) if wide else _four(wx)
    gates = np.concatenate([b, m], axis=2)[:, [0, 1, 3, 2]].reshape(size, 8)  # i, f, o, g
    stream = np.concatenate([columns, _four(wh), gates], axis=1) & 0xFFFF_FFFF
    kind = "int16 inputs i << 16 | f + 32768, g << 16 | o + 32768" if wide else "int8 inputs as the units"
    return Packed(
        f"tl_lstm_w8a16_{target}",
        (
            PackedArray(
                "w",
                "uint32_t",
                stream.astype(np.uint32),
                f"[unit]: {kind}; units i << 24 | (f + 128) << 16 | (g + 128) << 8 | o + 128; b, m of i, f, o, g",
                [f"unit {unit}" for unit in range(size)],
            ),
        ),
        (
            ("w", "@w"),
            ("inputs", str(inputs)),
            ("hidden", str(size)),
            ("units", str(size)),
            ("wide", str(int(wide))),
            *((k, str(q.params[k])) for k in ("t", "f", "frac")),
        ),
        Slices(1, (("w", stream.shape[1]),), (("units", "uint16_t", 1),)),
    )


def lstm_rv32(q: QLayer) -> Packed:
    """The blocks of csrc/tl_rv32.h: weights [blocks, columns * 8], one row per two hidden units."""
    wide = q.arrays["wx"].dtype == np.int16
    size, inputs = lstm.hidden_size(q), lstm.input_size(q)
    blocks = (size + 1) // 2
    gates = {k: np.swapaxes(q.arrays[k].astype(np.int64).reshape(4, size, -1), 0, 1) for k in ("wh", "wx", "b", "m")}
    # [unit, gate, column], a unit of zeros behind an odd last one
    wh, wx, b, m = (np.pad(v, ((0, 2 * blocks - size), (0, 0), (0, 0))) for v in gates.values())
    bm = np.concatenate([b[:, :, 0], m[:, :, 0] << (16 - q.params["t"])], axis=1)

    def tiles(rows: np.ndarray) -> np.ndarray:
        swapped: np.ndarray = np.swapaxes(rows.reshape(blocks, 8, -1), 1, 2).reshape(blocks, -1)
        return swapped

    pairs = [f"units {2 * k}, {2 * k + 1}" for k in range(blocks)]
    order = "i, f, g, o of a unit and of the next"
    kind = "int16_t" if wide else "int8_t"
    return Packed(
        "tl_lstm_w8a16_rv32",
        (
            PackedArray(
                "wh", "int8_t", tiles(wh).astype(np.int8), f"recurrent weights [block][column]: {order}", pairs
            ),
            PackedArray("wx", kind, tiles(wx).astype(kind[:-2]), f"input weights [block][column]: {order}", pairs),
            PackedArray(
                "bm",
                "int32_t",
                bm.astype(np.int32),
                "biases of i, f, g, o and their multipliers, m * 2^(16 - t)",
                [f"unit {unit}" for unit in range(2 * blocks)],
            ),
        ),
        (
            ("wh", "@wh"),
            ("wx16" if wide else "wx8", "@wx"),
            ("bm", "@bm"),
            ("inputs", str(inputs)),
            ("hidden", str(size)),
            ("units", str(size)),
            *((k, str(q.params[k])) for k in ("f", "frac")),
        ),
        Slices(
            2,
            (("wh", 8 * size), ("wx16" if wide else "wx8", 8 * inputs), ("bm", 16)),
            (("units", "uint16_t", 1),),
        ),
    )


def _two(rows: np.ndarray) -> np.ndarray:
    """[unit, 2, column] -> [unit, column]."""
    words: np.ndarray = rows[:, 0] << 16 | (rows[:, 1] + 32768)
    return words


def _four(rows: np.ndarray) -> np.ndarray:
    """[unit, 4, column] -> [unit, column]."""
    words: np.ndarray = rows[:, 0] << 24 | (rows[:, 1] + 128) << 16 | (rows[:, 2] + 128) << 8 | (rows[:, 3] + 128)
    return words
