"""The layout of csrc/tl_mve.h: the weights of 8 units, gate after gate, in the order in which a step uses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.ops import gru, rows
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices

UNITS = 8
"""Of a block; as many columns are a group."""
ROWS = 4
"""That are summed at once."""


@dataclass(frozen=True, slots=True, eq=False)
class _Gate:
    """The rows of one accumulator, by unit; wx or wh None: it has none. m: multipliers as the kernel takes them."""

    wx: np.ndarray | None
    wh: np.ndarray | None
    b: np.ndarray
    m: np.ndarray


def lstm_mve(q: QLayer) -> Packed:
    """Per block i, f, g, o."""
    gates = _gates(q, 4, 16 - q.params["t"])
    meaning = "weights of 8 units: i, f, g, o"
    return _packed(q, "tl_lstm_w8a16_mve", _blocks(q, gates), meaning, ("f", "frac"), sliced=True)


def gru_mve(q: QLayer) -> Packed:
    """Reset after: per block r, z, nx, nh. Reset before: per block r, then per block z, n."""
    r, z, n = _gates(q, 3, 16 - q.params["t"])
    if gru.reset_after(q):
        m = q.arrays["m"].reshape(3, -1)[2].astype(np.int64) << 16
        b_nh = q.arrays["b"].reshape(4, -1)[3]
        uses = _blocks(q, [r, z, _Gate(n.wx, None, n.b, m), _Gate(None, n.wh, b_nh, m)])
        meaning = "weights of 8 units: r, z, nx, nh"
    else:
        uses = _blocks(q, [r]) + _blocks(q, [z, n])
        meaning = "weights of 8 units: r; then of 8 units: z, n"
    return _packed(q, "tl_gru_w8a16_mve", uses, meaning, ("t", "f"), sliced=gru.reset_after(q))


def _gates(q: QLayer, count: int, shift: int) -> list[_Gate]:
    size = rows.hidden_size(q)
    wx, wh, b, m = (q.arrays[k] for k in ("wx", "wh", "b", "m"))
    parts = [slice(k * size, (k + 1) * size) for k in range(count)]
    return [_Gate(wx[p], wh[p], b[p], m[p].astype(np.int64) << shift) for p in parts]


def _blocks(q: QLayer, gates: list[_Gate]) -> list[_Gate]:
    """Each gate's 8 units, block by block, in the order of their use."""
    parts = [slice(u, u + UNITS) for u in range(0, rows.hidden_size(q), UNITS)]

    def cut(w: np.ndarray | None, p: slice) -> np.ndarray | None:
        return None if w is None else w[p]

    return [_Gate(cut(g.wx, p), cut(g.wh, p), g.b[p], g.m[p]) for p in parts for g in gates]


def _packed(
    q: QLayer, struct: str, uses: list[_Gate], meaning: str, params: tuple[str, ...], *, sliced: bool
) -> Packed:
    wide, size = q.arrays["wx"].dtype == np.int16, rows.hidden_size(q)
    w8: list[np.ndarray] = []
    w16: list[np.ndarray] = []
    for g in uses:
        for k in range(0, len(g.b), ROWS):
            x, h = (np.empty(0, np.int8) if w is None else _rows(w[k : k + ROWS]) for w in (g.wx, g.wh))
            (w16 if wide else w8).append(x)
            w8.append(h)
    order = "per 4 units, per 8 columns, 8 of each unit; padded with 0"
    kind = "recurrent" if wide else "input and recurrent"
    arrays = [PackedArray("w8", "int8_t", np.concatenate(w8).astype(np.int8), f"{kind} {meaning}; {order}", None)]
    if wide:
        arrays.append(
            PackedArray("wx", "int16_t", np.concatenate(w16).astype(np.int16), f"input {meaning}; {order}", None)
        )
    bm = np.concatenate([_numbers(g) for g in uses])
    arrays.append(PackedArray("bm", "int32_t", bm, "of the same: b, m of the even units, b, m of the odd ones", None))
    fields = [("w8", "@w8"), *([("wx16", "@wx")] if wide else []), ("bm", "@bm")]
    fields += [("inputs", str(rows.input_size(q))), ("hidden", str(size)), ("units", str(size))]
    fields += [(k, str(q.params[k])) for k in params]
    if q.op == "gru":
        fields.append(("reset_after", str(int(gru.reset_after(q)))))
    return Packed(struct, tuple(arrays), tuple(fields), _slices(q, wide) if sliced else None)


def _rows(w: np.ndarray) -> np.ndarray:
    """Up to 4 rows -> [8 columns, row, column], flat."""
    padded = np.zeros((ROWS, -(-w.shape[1] // UNITS) * UNITS), w.dtype)
    padded[: len(w), : w.shape[1]] = w
    return np.ascontiguousarray(padded.reshape(ROWS, -1, UNITS).swapaxes(0, 1)).reshape(-1)


def _numbers(g: _Gate) -> np.ndarray:
    """b, m of a block -> [parity, b or m, 4], flat."""
    padded = np.zeros((2, UNITS), np.int32)
    padded[:, : len(g.b)] = g.b, g.m
    return np.ascontiguousarray(padded.reshape(2, UNITS // 2, 2).transpose(2, 0, 1)).reshape(-1)


def _slices(q: QLayer, wide: bool) -> Slices:
    """A whole block's elements of each array."""
    gates = 4 if q.op == "lstm" else 3
    x, h = (gates * UNITS * UNITS * -(-n // UNITS) for n in (rows.input_size(q), rows.hidden_size(q)))
    pointers = [("w8", h if wide else x + h), *([("wx16", x)] if wide else []), ("bm", 4 * 2 * UNITS)]
    return Slices(UNITS, tuple(pointers), (("units", "uint16_t", 1),))
