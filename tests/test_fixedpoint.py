"""The scalar steps: Python twin = C twin, exhaustively where that is possible, and both against exact integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import fixedpoint as fp
from quantize.oracle import reciprocals
from tests.conftest import needs
from tests.kernels import INT16, INT32, Kernels
from toolkit.codegen.tables import headers
from toolkit.targets import CSRC

ALL = np.arange(-32768, 32768)
EDGES16 = np.array([-32768, -32767, -32640, -1, 0, 1, 32640, 32766, 32767])
EDGES32 = np.array([-(2**31), -(2**31) + 1, -(2**30), -65537, -65536, -1, 0, 1, 65535, 65536, 2**30, 2**31 - 1])
SIGMOID_ERROR = 2.02  # largest error of the tables over all 65 536 inputs, in 2^-15
TANH_ERROR = 8.55


@pytest.fixture(scope="module")
def c() -> Kernels:
    needs("host-cc")
    return Kernels()


class Int32(np.ndarray):
    """An int64 array that refuses every result which a C int32 could not hold."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [x.view(np.ndarray) if isinstance(x, Int32) else x for x in inputs]
        result = np.asarray(getattr(ufunc, method)(*plain, **kwargs))
        if result.dtype != bool:
            low, high = int(result.min()), int(result.max())
            assert low >= fp.INT32_MIN and high <= fp.INT32_MAX, f"{ufunc.__name__}: {low} .. {high} is beyond int32"
        return result.view(Int32)


def int32(values: Any) -> np.ndarray:
    return np.asarray(values, np.int64).view(Int32)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """mulw as 32-bit operations only, as tl_math.h has it; the 48-bit product is the instruction's own."""
    monkeypatch.setattr(fp, "mulw", lambda a, m: (a >> 16) * m + (((a & 0xFFFF) * m) >> 16))
    monkeypatch.setattr(fp, "SIGMOID_NODES", int32(fp.SIGMOID_NODES))
    monkeypatch.setattr(fp, "TANH_NODES", int32(fp.TANH_NODES))


def grid(*axes: Any) -> list[np.ndarray]:
    return [a.ravel() for a in np.meshgrid(*axes, indexing="ij")]


def same(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


# --- tables ---


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_lookup_is_the_same_in_c_over_every_input(c: Kernels, name: str) -> None:
    nodes = fp.SIGMOID_NODES if name == "sigmoid" else fp.TANH_NODES
    same(c.twin(name, INT16, ALL), fp.lookup(nodes, ALL))


@pytest.mark.parametrize("nodes", [fp.SIGMOID_NODES, fp.TANH_NODES], ids=["sigmoid", "tanh"])
def test_packed_table_gives_the_bits_of_the_bare_one(nodes: np.ndarray) -> None:
    words = fp.packed(nodes)
    assert words.min() >= 0 and words.max() < 2**32
    same(fp.lookup_packed(words, ALL), fp.lookup(nodes, ALL))


@pytest.mark.parametrize("nodes", [fp.SIGMOID_NODES, fp.TANH_NODES], ids=["sigmoid", "tanh"])
def test_tables_are_monotone(nodes: np.ndarray) -> None:
    assert (np.diff(nodes) >= 0).all() and len(nodes) == 257
    assert (np.diff(fp.lookup(nodes, ALL)) >= 0).all()


def test_errors_of_the_tables() -> None:
    z = ALL / 4096
    sigmoid = np.abs(fp.lookup(fp.SIGMOID_NODES, ALL) - 32768 / (1 + np.exp(-z))).max()
    tanh = np.abs(fp.lookup(fp.TANH_NODES, ALL) - fp.AMPLITUDE * np.tanh(z * 32768 / fp.AMPLITUDE)).max()
    print(f"largest error in 2^-15: sigmoid {sigmoid:.3f}, tanh {tanh:.3f}")
    assert sigmoid < SIGMOID_ERROR and tanh < TANH_ERROR


def test_ranges_of_the_tables() -> None:
    sigmoid, tanh = fp.lookup(fp.SIGMOID_NODES, ALL), fp.lookup(fp.TANH_NODES, ALL)
    assert sigmoid.min() >= 0 and sigmoid.max() <= 32767
    assert np.abs(tanh).max() <= fp.AMPLITUDE
    extreme = (int(sigmoid.max()) * fp.AMPLITUDE + 2**14) >> 15
    assert extreme <= 32640  # |h| needs no clamp


def test_nodes_are_what_fit_nodes_finds() -> None:
    committed = json.loads((Path(fp.__file__).parent / "nodes.json").read_text())
    assert fp.fit_nodes() == committed


def test_tables_header_is_made_from_the_nodes() -> None:
    for name, text in headers().items():
        assert (CSRC / name).read_text() == text, "run `python -m toolkit.codegen.tables`"


# --- multiply, requantize ---


def test_sat16(c: Kernels) -> None:
    v = np.concatenate([EDGES32, EDGES16 - 1, EDGES16 + 1])
    same(c.twin("sat16", INT16, v), fp.sat16(v))


def test_mulw_against_exact_integers(c: Kernels) -> None:
    rng = np.random.default_rng(1)
    a, m = grid(EDGES32, [0, 1, 2, 128, 16384, 32766, 32767])
    a = np.concatenate([a, rng.integers(-(2**31), 2**31, 50_000)])
    m = np.concatenate([m, rng.integers(0, 32768, 50_000)])
    exact = [int(x) * int(y) // 65536 for x, y in zip(a, m, strict=True)]
    same(fp.mulw(a, m), exact)
    same(c.twin("mulw", INT32, a, m), exact)


def test_requantize(c: Kernels) -> None:
    rng = np.random.default_rng(2)
    acc, m, t = grid(EDGES32, [1, 2, 16384, 32767], np.arange(16))
    acc = np.concatenate([acc, rng.integers(-(2**31), 2**31, 50_000)])
    m = np.concatenate([m, rng.integers(1, 32768, 50_000)])
    t = np.concatenate([t, rng.integers(0, 16, 50_000)])
    exact = [
        max(-32768, min(32767, (int(a) * int(k) // 65536) // 2 ** int(s))) for a, k, s in zip(acc, m, t, strict=True)
    ]
    same(fp.requantize(acc, m, t), exact)
    same(c.twin("requantize", INT16, acc, m, t), exact)


# --- cell, hidden ---


def test_cell(c: Kernels) -> None:
    gate, g = [0, 11, 16384, 32757], [-32640, -1, 0, 1, 32640]
    f, cell, i, tanh, frac = grid(gate, EDGES16, gate, g, np.arange(13))
    want = [
        max(-32768, min(32767, (a * b + ((d * e) >> (15 - n)) + 16384) >> 15))
        for a, b, d, e, n in zip(*(v.tolist() for v in (f, cell, i, tanh, frac)), strict=True)
    ]
    same(c.twin("cell", INT16, f, cell, i, tanh, frac), want)
    for n in range(13):
        at = frac == n
        same(fp.cell(f[at], cell[at], i[at], tanh[at], n), np.array(want)[at])


@pytest.mark.parametrize("frac", [0, 1, 7, 11, 12])
def test_hidden_over_every_cell(c: Kernels, frac: int) -> None:
    tanh = fp.lookup(fp.TANH_NODES, fp.sat16(ALL << (12 - frac)))
    for o in (0, 11, 16384, 32757):
        gate = np.full(len(ALL), o)
        h = fp.hidden(gate, ALL, frac)
        same(c.twin("hidden", INT16, gate, tanh), h)
        assert np.abs(h).max() <= 32629


# --- columns ---


def columns_in(rng: np.random.Generator, n: int) -> list[tuple[int, int, int, int, int, int]]:
    """(low, high, offset, k, m, s) as quantize_input may make them: |clamped - offset| << k <= 3 * 2**29."""
    out = []
    for j in range(n):
        k = int(rng.integers(0, 31)) if j > 40 else j % 31
        offset = int(rng.choice([*EDGES32, *rng.integers(-(2**31), 2**31, 4)]))
        limit = (3 * 2**29) >> k
        low, high = max(offset - limit, fp.INT32_MIN), min(offset + limit, fp.INT32_MAX)
        out.append((low, high, offset, k, int(rng.choice([1, 16384, 32767, rng.integers(1, 32768)])), 1 + j % 30))
    return out


def test_scale_in(c: Kernels) -> None:
    rng = np.random.default_rng(3)
    for low, high, offset, k, m, s in columns_in(rng, 200):
        raw = np.concatenate([EDGES32, [low, high, offset], rng.integers(low, high, 50, endpoint=True)])
        raw = np.concatenate([raw, np.clip(raw[12:] + rng.integers(-1, 2, len(raw) - 12), fp.INT32_MIN, fp.INT32_MAX)])
        exact = []
        for v in raw.tolist():
            scaled = ((min(max(v, low), high) - offset) * 2**k * m + 2 ** (15 + s)) // 2 ** (16 + s)  # floor(v + 1/2)
            exact.append(min(max(scaled, -32640), 32640))
        same(fp.scale_in(raw, low, high, offset, k, m, s), exact)
        p = c.ffi.new("tl_input[]", [(low, high, offset, m, k, s)] * len(raw))
        same(c.twin("scale_in", INT16, raw, p), exact)


def test_scale_out(c: Kernels) -> None:
    rng = np.random.default_rng(4)
    for s in range(1, 31):
        for offset in EDGES32.tolist():
            m = int(rng.choice([1, 16384, 32767, rng.integers(1, 32768)]))
            y = np.concatenate([EDGES32, rng.integers(-(2**31), 2**31, 20)])
            exact = [
                min(max((v * m + 2 ** (15 + s)) // 2 ** (16 + s) + offset, -(2**31)), 2**31 - 1) for v in y.tolist()
            ]
            same(fp.scale_out(y, offset, m, s), exact)
            p = c.ffi.new("tl_output[]", [(offset, m, s)] * len(y))
            same(c.twin("scale_out", INT32, y, p), exact)


def test_interpolate_over_every_gap(c: Kernels) -> None:
    """Every k of every n, between extremes: C = Python, and never outside the two ends."""
    ends = np.array([-32640, -1, 0, 7, 32640])
    table = np.array(reciprocals(255))
    n, k, a, b = grid(np.arange(1, 256), np.arange(1, 256), ends, ends)
    n, k, a, b = (v[k <= n] for v in (n, k, a, b))
    y = fp.interpolate(a, b, k, table[n])
    same(c.twin("interpolate", INT16, a, b, k, table[n]), y)
    assert (y >= np.minimum(a, b)).all() and (y <= np.maximum(a, b)).all()
    ideal = a + (b - a) * k / (n + 1)
    assert np.abs(y - ideal).max() <= 65280 * 255 * (0.5 / 32768) + 1  # the rounded reciprocal's share, and half a step


# --- int32 is enough ---


def test_no_step_leaves_int32(narrow: None) -> None:
    """The Python twin has 64 bits; every intermediate of the scalar steps fits the 32 that C has."""
    z = int32(ALL)
    sigmoid, tanh = fp.lookup(fp.SIGMOID_NODES, z), fp.lookup(fp.TANH_NODES, z)
    acc, m = (int32(v) for v in grid(EDGES32, [1, 32767]))
    for t in range(16):
        fp.requantize(acc, m, t)
    gates, g = int32([sigmoid.min(), sigmoid.max()]), int32([tanh.min(), 0, tanh.max()])
    f, cell, i, candidate = (int32(v) for v in grid(gates, EDGES16, gates, g))
    for frac in range(13):
        fp.cell(f, cell, i, candidate, frac)
        fp.hidden(f, cell, frac)
    for s in range(1, 31):
        for m16 in (1, 32767):
            scaled = (fp.mulw(int32(EDGES32), m16) + (1 << (s - 1))) >> s
            assert abs(scaled).max() <= 2**30
    for low, high, offset, k, m16, s in columns_in(np.random.default_rng(5), 200):
        fp.scale_in(int32([low, offset, high, fp.INT32_MIN, fp.INT32_MAX]), low, high, offset, k, m16, s)
    table = reciprocals(255)
    n, k, a, b = (int32(v) for v in grid(np.arange(1, 256), np.arange(1, 256), [-32768, 32767], [-32768, 32767]))
    fp.interpolate(a, b, np.minimum(k, n), int32(table)[n])


def test_the_overflow_guard_can_fail() -> None:
    with pytest.raises(AssertionError, match="beyond int32"):
        int32([2**30]) * 2
