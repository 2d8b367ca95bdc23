"""The layout of csrc/tl_dsp.h: a stream of words per layer, unit after unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantize.ops import gru
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices

MOST = 2000
"""Columns that the offsets of csrc/tl_dsp_layer.h can reach."""
ORDER = (
    "starts, groups of x, groups of h, multipliers; tl_dsp.h has the layout",
    "starts, groups of h, input, multipliers; tl_dsp.h has the layout",
    "inputs, starts, groups of h, multipliers; tl_dsp.h has the layout",
)
"""Of a unit's words, by kind."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """A layer's units: weights [units, 4, columns], biases and multipliers [units, 4]; how its groups are made."""

    wx: np.ndarray
    wh: np.ndarray
    b: np.ndarray
    m: np.ndarray
    groups: Callable[[np.ndarray], np.ndarray]
    starts: Callable[[np.ndarray, np.ndarray], np.ndarray]


def lstm_dsp(q: QLayer) -> Packed | None:
    """The stream of csrc/tl_dsp.h and the layer's own step. None: more columns than a step can be made for."""
    wx, wh, b, m = (units_of(q.arrays[k], 4) for k in ("wx", "wh", "b", "m"))
    unit = _Rows(wx, wh, b[..., 0], m[..., 0] << (16 - q.params["t"]), groups_of, starts_of)
    return _packed(q, [unit], "LSTM", (("shift", str(q.params["frac"])),))


def gru_dsp(q: QLayer) -> Packed | None:
    """The same with the rows z, r, nx, nh in place of i, f, g, o; with reset before four units of r, then n, then z."""
    after, scale = gru.reset_after(q), 16 - q.params["t"]
    (x, h, m), b = (units_of(q.arrays[k], 3) for k in ("wx", "wh", "m")), units_of(q.arrays["b"], 3 + after)
    own = (("shift", str(q.params["t"])), ("reset_after", str(int(after))))
    if not after:
        fours = ([_fours(a[:, gate]) for a in (x, h, b, m << scale)] for gate in (0, 2, 1))
        gates = [_Rows(wx, wh, b[..., 0], m[..., 0], groups_of, starts_of) for wx, wh, b, m in fours]
        return _packed(q, gates, "GATE", own)
    wx, wh = x[:, [1, 0, 2, 2]], h[:, [1, 0, 2, 2]]
    wx[:, 3] = 0
    multipliers = m[:, [1, 0, 2, 2], 0] << np.array([scale, scale, 16, 16])
    return _packed(q, [_Rows(wx, wh, b[:, [1, 0, 2, 3], 0], multipliers, _groups_gru, _starts_gru)], "GRU", own)


def _packed(q: QLayer, gates: list[_Rows], loop: str, own: tuple[tuple[str, str], ...]) -> Packed | None:
    """gates: streams, one behind the other; loop: TL_<loop> of csrc/tl_dsp_layer.h; own: fields beside the common."""
    size, inputs, f = gru.hidden_size(q), gru.input_size(q), q.params["f"]
    if max(inputs, size) > MOST:
        return None
    kind = 0 if q.arrays["wx"].dtype != np.int16 else 1 if inputs == 1 else 2
    words = np.vstack([_words(gate, kind, f) for gate in gates])
    shape = (("INPUTS", inputs), ("HIDDEN", size), ("KIND", kind), ("F", f), ("SHIFT", own[0][1]))
    labels = [f"unit {u}" for u in range(size)]
    if loop == "GATE":
        labels = [f"{gate} of units {u} .. {u + 3}" for gate in "rnz" for u in range(0, size, 4)]
    return Packed(
        f"tl_{q.op}_w8a16_dsp",
        (PackedArray("w", "uint32_t", words, f"weights [unit]: {ORDER[kind]}", labels),),
        (
            ("w", "@w"),
            ("step", "{layer}_step"),
            ("inputs", str(inputs)),
            ("hidden", str(size)),
            ("units", str(size)),
            ("kind", str(kind)),
            ("f", str(f)),
            *own,
        ),
        None if loop == "GATE" else Slices(1, (("w", words.shape[1]),), (("units", "uint16_t", 1),)),
        (
            "#define TL_LAYER {layer}_step",
            f"#define TL_{loop}",
            *(f"#define TL_{name} {value}" for name, value in shape),
            '#include "tl_dsp_layer.h"',
        ),
    )


def _words(unit: _Rows, kind: int, f: int) -> np.ndarray:
    """The stream, uint32 [units, words]."""
    wx, wh, b = unit.wx, unit.wh, unit.b
    if kind == 0:
        parts = [unit.starts(b, products_of(wh) + products_of(wx)), unit.groups(wx), unit.groups(wh)]
    elif kind == 1:
        parts = [unit.starts(b, products_of(wh)), unit.groups(wh), wx[:, :, 0] << (16 - f)]
    else:
        parts = [pairs(wx), unit.starts(b, products_of(wh)), unit.groups(wh)]
    words = np.hstack([*parts, unit.m]) & 0xFFFFFFFF
    return words.astype(np.uint32)


def _fours(a: np.ndarray) -> np.ndarray:
    """A gate's [units, columns] -> [blocks, 4, columns], of zeros behind the last unit."""
    return np.pad(a, ((0, -len(a) % 4), (0, 0))).reshape(-1, 4, a.shape[1])


def units_of(a: np.ndarray, gates: int) -> np.ndarray:
    """[gates * units (, columns)] -> int64 [units, gates, columns]."""
    return a.astype(np.int64).reshape(gates, len(a) // gates, -1).transpose(1, 0, 2).copy()


def in_groups(w: np.ndarray, size: int) -> np.ndarray:
    """[units, 4, columns] -> [units, 4, groups, size]; the last group padded with 0."""
    missing = -w.shape[2] % size
    return np.pad(w, ((0, 0), (0, 0), (0, missing))).reshape(*w.shape[:2], -1, size)


def word(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low & 0xFFFF) | ((high & 0xFFFF) << 16)


def pairs(wx: np.ndarray) -> np.ndarray:
    """int16 weights: per two columns a word of each row."""
    w = in_groups(wx, 2)
    return word(w[..., 0], w[..., 1]).transpose(0, 2, 1).reshape(len(wx), -1)


def groups_of(w8: np.ndarray) -> np.ndarray:
    """int8 weights: per four columns F,I of the first two, F,I of the last two, O,G, O,G; half-words 256a + b + 128."""
    i, f, g, o = in_groups(w8, 4).transpose(1, 0, 2, 3)
    fi, og = 256 * f + i + 128, 256 * o + g + 128
    columns = [word(v[..., k], v[..., k + 1]) for v in (fi, og) for k in (0, 2)]
    return np.stack(columns, axis=2).reshape(len(w8), -1)


def _groups_gru(w8: np.ndarray) -> np.ndarray:
    """int8 weights of z, r and n in the third row: per four columns r,z as F,I above, then the bytes of n."""
    z, r, n, _ = in_groups(w8, 4).transpose(1, 0, 2, 3)
    rz = 256 * r + z + 128
    bytes_n = sum((n[..., k] & 0xFF) << shift for k, shift in ((0, 0), (2, 8), (1, 16), (3, 24)))
    return np.stack([word(rz[..., 0], rz[..., 1]), word(rz[..., 2], rz[..., 3]), bytes_n], axis=2).reshape(len(w8), -1)


def products_of(w8: np.ndarray) -> np.ndarray:
    """[units, 4]: sum of w0 w2 + w1 w3 over the groups."""
    w = in_groups(w8, 4)
    return np.asarray((w[..., :2] * w[..., 2:]).sum((2, 3)))


def starts_of(b: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Starts of the four sums."""
    i, f, g, o = b.T
    _, ff, _, oo = products.T
    return np.stack([i + 256 * f, f - ff, g + 256 * o, o - oo], axis=1)


def _starts_gru(b: np.ndarray, products: np.ndarray) -> np.ndarray:
    """The same of z, r, nx, nh, of which only z and r share half-words."""
    z, r, nx, nh = b.T
    return np.stack([z + 256 * r, r - products[:, 1], nx, nh], axis=1)
