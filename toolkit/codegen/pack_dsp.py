"""The layout of csrc/tl_dsp.h: a stream of words per layer, unit after unit."""

from __future__ import annotations

import numpy as np

from quantize.ops import lstm
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray

GROUPS, PAIRS = 16, 7
"""In a pass of the unrolled loops of csrc/tl_dsp.c."""


def lstm_dsp(q: QLayer) -> Packed:
    """Per hidden unit: int16 inputs, starts, groups of h, multipliers; or starts, groups of x and h, multipliers."""
    a, p, size = q.arrays, q.params, lstm.hidden_size(q)
    wide = a["wx"].dtype == np.int16
    wx, wh = (_units(a[k]) for k in ("wx", "wh"))
    b, m = (a[k].astype(np.int64).reshape(4, size).T for k in ("b", "m"))
    if wide:
        kind = 1 if wx.shape[2] == 1 and p["f"] > 0 else 2
        signed = -wx if p["f"] == 1 else wx
        parts = [_single(signed) if kind == 1 else _pairs(signed), _starts(b, _products(wh), True), _groups(wh)]
    else:
        kind = 0
        parts = [_starts(b, _products(wh) + _products(wx), False), _groups(wx), _groups(wh)]
    words = np.hstack([*parts, m << (16 - p["t"])]) & 0xFFFFFFFF
    x_skip, x_more = _passes(lstm.input_size(q), *((2, PAIRS) if wide else (4, GROUPS)))
    h_skip, h_more = _passes(size, 4, GROUPS)
    order = "inputs, starts, groups of h" if wide else "starts, groups of x, groups of h"
    return Packed(
        "tl_lstm_w8a16_dsp",
        (
            PackedArray(
                "w",
                "uint32_t",
                words.astype(np.uint32),
                f"weights [unit]: {order}, multipliers; tl_dsp.h has the layout",
                [f"unit {u}" for u in range(size)],
            ),
        ),
        (
            ("w", "@w"),
            ("words", str(words.size)),
            ("inputs", str(lstm.input_size(q))),
            ("hidden", str(size)),
            ("x_more", str(x_more)),
            ("h_more", str(h_more)),
            ("x_skip", str(x_skip)),
            ("h_skip", str(h_skip)),
            ("kind", str(kind)),
            *((k, str(p[k])) for k in ("f", "frac")),
        ),
    )


def _passes(columns: int, size: int, body: int) -> tuple[int, int]:
    """(groups that the first pass skips, bytes of values between first and last pass), behind the first group."""
    groups = (columns - 1) // size
    passes = max(1, -(-groups // body))
    return passes * body - groups, (passes - 1) * body * size * 2


def _units(w: np.ndarray) -> np.ndarray:
    """[4 * units, columns] -> int64 [units, 4, columns], gates i, f, g, o."""
    return w.astype(np.int64).reshape(4, -1, w.shape[1]).transpose(1, 0, 2)


def _in_groups(w: np.ndarray, size: int) -> np.ndarray:
    """[units, 4, columns] -> [units, 4, groups, size]; the incomplete group first, padded with 0."""
    rest = w.shape[2] % size
    if rest:
        w = np.concatenate([w[..., -rest:], np.zeros((*w.shape[:2], size - rest), np.int64), w[..., :-rest]], axis=2)
    return w.reshape(*w.shape[:2], -1, size)


def _word(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low & 0xFFFF) | ((high & 0xFFFF) << 16)


def _single(wx: np.ndarray) -> np.ndarray:
    """One int16 column: I, F in a word, G, O in the next."""
    i, f, g, o = wx[:, :, 0].T
    return np.stack([_word(i, f), _word(g, o)], axis=1)


def _pairs(wx: np.ndarray) -> np.ndarray:
    """int16 weights: per two columns a word of each row."""
    w = _in_groups(wx, 2)
    return _word(w[..., 0], w[..., 1]).transpose(0, 2, 1).reshape(len(wx), -1)


def _groups(w8: np.ndarray) -> np.ndarray:
    """int8 weights: per four columns F,I of the first two, F,I of the last two, O,G, O,G; half-words 256a + b + 128."""
    i, f, g, o = _in_groups(w8, 4).transpose(1, 0, 2, 3)
    fi, og = 256 * f + i + 128, 256 * o + g + 128
    columns = [_word(v[..., k], v[..., k + 1]) for v in (fi, og) for k in (0, 2)]
    return np.stack(columns, axis=2).reshape(len(w8), -1)


def _products(w8: np.ndarray) -> np.ndarray:
    """[units, 4]: sum of w0 w2 + w1 w3 over the groups."""
    w = _in_groups(w8, 4)
    return np.asarray((w[..., :2] * w[..., 2:]).sum((2, 3)))


def _starts(b: np.ndarray, products: np.ndarray, wide: bool) -> np.ndarray:
    """Starts of the four sums. With int16 inputs the kernel adds 256 F to I, as F then has its inputs' part."""
    i, f, g, o = b.T
    _, ff, _, oo = products.T
    if wide:
        return np.stack([i + 256 * ff, f - ff, g + 256 * oo, o - oo], axis=1)
    return np.stack([i + 256 * f, f - ff, g + 256 * o, o - oo], axis=1)
