"""The layouts of v6m and v7m, four rows of a hidden unit in one word (csrc/tl_v6m.h), and of rv32 (csrc/tl_rv32.h)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantize.ops import gru, lstm
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
    columns = np.stack([_two(wx[:, :2]), _two(wx[:, 2:])], axis=-1).reshape(size, -1) if wide else four_rows(wx)
    gates = np.concatenate([b, m], axis=2)[:, [0, 1, 3, 2]].reshape(size, 8)  # i, f, o, g
    stream = np.concatenate([columns, four_rows(wh), gates], axis=1) & 0xFFFF_FFFF
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


def gru_v6m(q: QLayer) -> Packed | None:
    """The stream of csrc/tl_v6m.h: `w` uint32 [H, columns + 6], one row per hidden unit. None: reset before."""
    return _gru(q, "v6m")


def gru_v7m(q: QLayer) -> Packed | None:
    """The same for csrc/tl_v7m.h."""
    return _gru(q, "v7m")


def _gru(q: QLayer, target: str) -> Packed | None:
    if not gru.reset_after(q):
        return None
    wide = q.arrays["wx"].dtype == np.int16
    size, inputs = gru.hidden_size(q), gru.input_size(q)
    wx, wh, m, b = (units_of(q.arrays[k], gates) for k, gates in (("wx", 3), ("wh", 3), ("m", 3), ("b", 4)))
    columns = np.stack([_two(wx[:, :2]), wx[:, 2]], axis=-1).reshape(size, -1) if wide else _three(wx)
    multipliers = np.stack([m[:, 1, 0] << 16 | m[:, 0, 0], m[:, 2, 0]], axis=1)
    stream = np.concatenate([columns, b[:, :, 0], _three(wh), multipliers], axis=1) & 0xFFFF_FFFF
    kind = "int16 inputs r << 16 | z + 32768, n" if wide else "int8 inputs as the units"
    return Packed(
        f"tl_gru_w8a16_{target}",
        (
            PackedArray(
                "w",
                "uint32_t",
                stream.astype(np.uint32),
                f"[unit]: {kind}; 4 biases; units r << 16 | (z + 128) << 8 | n + 128; 3 multipliers",
                [f"unit {unit}" for unit in range(size)],
            ),
        ),
        (
            ("w", "@w"),
            ("inputs", str(inputs)),
            ("hidden", str(size)),
            ("units", str(size)),
            ("wide", str(int(wide))),
            *((k, str(q.params[k])) for k in ("t", "f")),
        ),
        Slices(1, (("w", stream.shape[1]),), (("units", "uint16_t", 1),)),
    )


def lstm_rv32(q: QLayer) -> Packed:
    """The blocks of csrc/tl_rv32.h: weights [blocks, columns * 8], one row per two hidden units."""
    wx, wh, b, m = (units_of(q.arrays[k], 4) for k in ("wx", "wh", "b", "m"))
    bm = np.concatenate([b[:, :, 0], m[:, :, 0] << (16 - q.params["t"])], axis=1)
    meaning = "biases of i, f, g, o and their multipliers, m * 2^(16 - t)"
    return _blocks(q, "lstm", wx, wh, PackedArray("bm", "int32_t", bm, meaning, []), "frac")


def gru_rv32(q: QLayer) -> Packed | None:
    """The same with the rows r, z, n: weights [blocks, columns * 6]. None: reset before."""
    if not gru.reset_after(q):
        return None
    wx, wh, m, b = (units_of(q.arrays[k], gates) for k, gates in (("wx", 3), ("wh", 3), ("m", 3), ("b", 4)))
    multipliers = m[:, :, 0] << np.array([16 - q.params["t"]] * 2 + [16])
    bm = np.concatenate([b[:, :, 0], multipliers], axis=1)
    meaning = "biases of r, z, nx, nh and multipliers: m * 2^(16 - t) of r, z; m * 2^16 of n"
    return _blocks(q, "gru", wx, wh, PackedArray("bm", "int32_t", bm, meaning, []), "t")


def _blocks(q: QLayer, op: str, wx: np.ndarray, wh: np.ndarray, bm: PackedArray, shift: str) -> Packed:
    """wx, wh [unit, gate, column] and bm [unit, ...] as blocks of two units, of zeros behind an odd last one."""
    (size, gates, _), inputs = wh.shape, wx.shape[2]
    blocks, wide = (size + 1) // 2, q.arrays["wx"].dtype == np.int16
    missing = 2 * blocks - size

    def tiles(rows: np.ndarray, kind: str) -> np.ndarray:
        padded = np.pad(rows, ((0, missing), (0, 0), (0, 0))).reshape(blocks, 2 * gates, -1)
        return np.swapaxes(padded, 1, 2).reshape(blocks, -1).astype(kind)

    pairs = [f"units {2 * k}, {2 * k + 1}" for k in range(blocks)]
    order = ("r, z, n" if op == "gru" else "i, f, g, o") + " of a unit and of the next"
    kind, field = ("int16", "wx16") if wide else ("int8", "wx8")
    numbers = np.pad(bm.array, ((0, missing), (0, 0))).astype(np.int32)
    labels = [f"unit {unit}" for unit in range(2 * blocks)]
    return Packed(
        f"tl_{op}_w8a16_rv32",
        (
            PackedArray("wh", "int8_t", tiles(wh, "int8"), f"recurrent weights [block][column]: {order}", pairs),
            PackedArray("wx", f"{kind}_t", tiles(wx, kind), f"input weights [block][column]: {order}", pairs),
            replace(bm, array=numbers, rows=labels),
        ),
        (
            ("wh", "@wh"),
            (field, "@wx"),
            ("bm", "@bm"),
            ("inputs", str(inputs)),
            ("hidden", str(size)),
            ("units", str(size)),
            *((k, str(q.params[k])) for k in ("f", shift)),
        ),
        Slices(
            2,
            (("wh", 2 * gates * size), (field, 2 * gates * inputs), ("bm", 2 * numbers.shape[1])),
            (("units", "uint16_t", 1),),
        ),
    )


def units_of(a: np.ndarray, gates: int) -> np.ndarray:
    """[gates * units (, columns)] -> int64 [units, gates, columns]."""
    return np.swapaxes(a.astype(np.int64).reshape(gates, len(a) // gates, -1), 0, 1)


def _two(rows: np.ndarray) -> np.ndarray:
    """[unit, 2, column] -> [unit, column]."""
    words: np.ndarray = rows[:, 0] << 16 | (rows[:, 1] + 32768)
    return words


def four_rows(rows: np.ndarray) -> np.ndarray:
    """[unit, 4, column] -> [unit, column]."""
    words: np.ndarray = rows[:, 0] << 24 | (rows[:, 1] + 128) << 16 | (rows[:, 2] + 128) << 8 | (rows[:, 3] + 128)
    return words


def _three(rows: np.ndarray) -> np.ndarray:
    """[unit, 3, column] -> [unit, column]."""
    words: np.ndarray = rows[:, 0] << 16 | (rows[:, 1] + 128) << 8 | (rows[:, 2] + 128)
    return words
