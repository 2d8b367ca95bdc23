"""The layouts of v6m and v7m, four rows of a hidden unit in one word (csrc/tl_v6m.h), and of rv32 (csrc/tl_rv32.h)."""

from __future__ import annotations

import numpy as np

from quantize.ops import gru, lstm
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices


def lstm_v6m(q: QLayer) -> Packed:
    """The stream of csrc/tl_v6m.h: `w` uint32 [H, columns + 8], one row per hidden unit."""
    return _lstm(q, "v6m", 0)


def lstm_v7m(q: QLayer) -> Packed:
    """The same for csrc/tl_v7m.h, which multiplies by m * 2^(16 - t)."""
    return _lstm(q, "v7m", 16 - q.params["t"])


def _lstm(q: QLayer, target: str, scale: int) -> Packed:
    wx, wh, b, m = (units_of(q.arrays[k], 4) for k in ("wx", "wh", "b", "m"))
    stream = _words(wx, wh, b, m << scale, _wide(q))
    kind = "int16 inputs i << 16 | f + 32768, g << 16 | o + 32768" if _wide(q) else "int8 inputs as the units"
    return _stream(
        f"tl_lstm_w8a16_{target}",
        q,
        PackedArray(
            "w",
            "uint32_t",
            stream,
            f"[unit]: {kind}; units i << 24 | (f + 128) << 16 | (g + 128) << 8 | o + 128; b, m of i, f, o, g",
            [f"unit {unit}" for unit in range(len(stream))],
        ),
        (("frac", str(q.params["frac"])),),
        1,
    )


def gru_v6m(q: QLayer) -> Packed:
    """The stream of csrc/tl_v6m.h: `w` uint32, with reset after a row per four units, else one per four of a gate."""
    return _gru(q, "v6m", 0, 0)


def gru_v7m(q: QLayer) -> Packed:
    """The same for csrc/tl_v7m.h."""
    return _gru(q, "v7m", 16 - q.params["t"], 16)


def _gru(q: QLayer, target: str, scale: int, part: int) -> Packed:
    """scale: multipliers are times 2^scale; those of a part of n times 2^part."""
    after = gru.reset_after(q)
    wx, wh, m, b = (_rows(q.arrays[k], gates, 4) for k, gates in (("wx", 3), ("wh", 3), ("m", 3), ("b", 3 + after)))
    wide, none = _wide(q), wx[2][..., :0]
    r, z, n = (_words(wx[k], wh[k], b[k], m[k] << scale, wide) for k in range(3))
    if after:
        m_n = m[2] << part
        n = np.hstack([_words(wx[2], none, b[2], m_n, wide), _words(none, wh[2], b[3], m_n, False)])
    stream = np.hstack([r, z, n]) if after else np.vstack([r, n, z])
    gates, blocks = ("r, z, n of x, n of h" if after else "of a gate"), len(r)
    kind = "int16 inputs a << 16 | b + 32768, c << 16 | d + 32768" if wide else "int8 inputs as the units"
    units = [f"units {4 * k} .. {4 * k + 3}" for k in range(blocks)]
    return _stream(
        f"tl_gru_w8a16_{target}",
        q,
        PackedArray(
            "w",
            "uint32_t",
            stream,
            f"[four units]: {gates}: {kind}; units a << 24 | (b + 128) << 16 | (c + 128) << 8 | d + 128; "
            "biases and multipliers of a, b, d, c",
            units if after else [f"{gate} of {label}" for gate in "rnz" for label in units],
        ),
        (("reset_after", str(int(after))),),
        4,
    )


def _stream(struct: str, q: QLayer, w: PackedArray, own: tuple[tuple[str, str], ...], block: int) -> Packed:
    """own: fields that the other op has not. block: units of a row of w."""
    size = lstm.hidden_size(q)
    sliced = q.op == "lstm" or gru.reset_after(q)
    return Packed(
        struct,
        (w,),
        (
            ("w", "@w"),
            ("inputs", str(lstm.input_size(q))),
            ("hidden", str(size)),
            ("units", str(size)),
            ("wide", str(int(_wide(q)))),
            *((k, str(q.params[k])) for k in ("t", "f")),
            *own,
        ),
        Slices(block, (("w", w.array.shape[1]),), (("units", "uint16_t", 1),)) if sliced else None,
    )


def _words(wx: np.ndarray, wh: np.ndarray, b: np.ndarray, m: np.ndarray, wide: bool) -> np.ndarray:
    """Blocks of four rows, [block, 4, columns], as words [block, columns + 8]. wide: int16 input weights."""
    columns = np.stack([_two(wx[:, :2]), _two(wx[:, 2:])], axis=-1).reshape(len(wx), -1) if wide else four_rows(wx)
    gates = np.concatenate([b, m], axis=2)[:, [0, 1, 3, 2]].reshape(len(wx), 8)
    words = np.concatenate([columns, four_rows(wh), gates], axis=1) & 0xFFFF_FFFF
    return words.astype(np.uint32)


def lstm_rv32(q: QLayer) -> Packed:
    """The blocks of csrc/tl_rv32.h: weights [blocks, columns * 16], one row per four hidden units."""
    # [gate, block, unit, column] -> [block, row, column]
    wx, wh, b, m = (
        a.transpose(1, 2, 0, 3).reshape(a.shape[1], 16, -1)
        for a in (_rows(q.arrays[k], 4, 4) for k in ("wx", "wh", "b", "m"))
    )
    units = [f"units {4 * k} .. {4 * k + 3}" for k in range(len(wh))]
    return _blocks(q, wx, wh, _biases(b, m << 16 - q.params["t"]), units, "i, f, g, o of a unit, of the next, ..")


def gru_rv32(q: QLayer) -> Packed:
    """The same, one row per eight units of a gate."""
    after, scale = gru.reset_after(q), 16 - q.params["t"]
    wx, wh, m, b = (_rows(q.arrays[k], gates, 8) for k, gates in (("wx", 3), ("wh", 3), ("m", 3), ("b", 3 + after)))
    count = wh.shape[1]
    if after:  # block by block
        wx, wh = (np.swapaxes(a, 0, 1).reshape(3 * count, 8, -1) for a in (wx, wh))
        each = [_biases(b[k], m[min(k, 2)] << (scale if k < 2 else 16)) for k in range(4)]
        bm = np.stack(each, axis=1).reshape(4 * count, 16)
    else:  # gate by gate
        order = [0, 2, 1]
        wx, wh = (a[order].reshape(3 * count, 8, -1) for a in (wx, wh))
        bm = np.vstack([_biases(b[k], m[k] << scale) for k in order])
    units = [f"units {8 * k} .. {8 * k + 7}" for k in range(count)]
    rows = [f"{g} of {u}" for u in units for g in "rzn"] if after else [f"{g} of {u}" for g in "rnz" for u in units]
    return _blocks(q, wx, wh, bm, rows, "eight units of a gate")


def _biases(b: np.ndarray, m: np.ndarray) -> np.ndarray:
    """[block, rows, 1] of both -> [block, 2 rows]."""
    return np.hstack([b[..., 0], m[..., 0]])


def _blocks(q: QLayer, wx: np.ndarray, wh: np.ndarray, bm: np.ndarray, rows: list[str], order: str) -> Packed:
    """wx, wh [block, row, column], bm [block, biases and multipliers]; rows: a label per block."""
    size, inputs, wide = lstm.hidden_size(q), lstm.input_size(q), _wide(q)
    kind, field = ("int16", "wx16") if wide else ("int8", "wx8")
    blocks = 1 if q.op == "lstm" else 3  # of a slice

    def tiles(a: np.ndarray, kind: str) -> np.ndarray:
        return np.swapaxes(a, 1, 2).reshape(len(a), -1).astype(kind)

    sliced = Slices(
        4 if q.op == "lstm" else 8,
        (
            ("wh", blocks * wh[0].size),
            (field, blocks * wx[0].size),
            ("bm", bm.shape[1] if q.op == "lstm" else 4 * bm.shape[1]),
        ),
        (("units", "uint16_t", 1),),
    )
    return Packed(
        f"tl_{q.op}_w8a16_rv32",
        (
            PackedArray("wh", "int8_t", tiles(wh, "int8"), f"recurrent weights [block][column]: {order}", rows),
            PackedArray("wx", f"{kind}_t", tiles(wx, kind), f"input weights [block][column]: {order}", rows),
            PackedArray(
                "bm",
                "int32_t",
                bm.astype(np.int32),
                f"[block]: biases, then scaled multipliers of {order}",
                [f"block {k}" for k in range(len(bm))],
            ),
        ),
        (
            ("wh", "@wh"),
            (field, "@wx"),
            ("bm", "@bm"),
            ("inputs", str(inputs)),
            ("hidden", str(size)),
            ("units", str(size)),
            ("f", str(q.params["f"])),
            *(
                [("frac", str(q.params["frac"]))]
                if q.op == "lstm"
                else [("t", str(q.params["t"])), ("reset_after", str(int(gru.reset_after(q))))]
            ),
        ),
        sliced if q.op == "lstm" or gru.reset_after(q) else None,
    )


def _wide(q: QLayer) -> bool:
    return q.arrays["wx"].dtype == np.int16


def units_of(a: np.ndarray, gates: int) -> np.ndarray:
    """[gates * units (, columns)] -> int64 [units, gates, columns]."""
    return np.swapaxes(_gates(a, gates), 0, 1)


def _gates(a: np.ndarray, gates: int) -> np.ndarray:
    """[gates * units (, columns)] -> int64 [gates, units, columns]."""
    return a.astype(np.int64).reshape(gates, len(a) // gates, -1)


def _rows(a: np.ndarray, gates: int, block: int) -> np.ndarray:
    """The same -> int64 [gates, blocks of units, block, columns], of zeros behind the last unit."""
    rows = _gates(a, gates)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % block), (0, 0)))
    return padded.reshape(gates, -1, block, rows.shape[2])


def _two(rows: np.ndarray) -> np.ndarray:
    """[unit, 2, column] -> [unit, column]."""
    words: np.ndarray = rows[:, 0] << 16 | (rows[:, 1] + 32768)
    return words


def four_rows(rows: np.ndarray) -> np.ndarray:
    """[unit, 4, column] -> [unit, column]."""
    words: np.ndarray = rows[:, 0] << 24 | (rows[:, 1] + 128) << 16 | (rows[:, 2] + 128) << 8 | (rows[:, 3] + 128)
    return words
