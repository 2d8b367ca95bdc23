"""The float32 kernels: within 1e-5 of float64 over long sequences, for every target; sigmoid and tanh monotone."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

from quantize.network import layer
from quantize.ops import OPS
from tests.conftest import needs
from tests.kernels import runnable
from tests.kernels_f32 import Cell, FloatKernels, random_layer
from toolkit import cpu
from toolkit.targets import F32

TOLERANCE = 1e-5
KINDS = (("lstm", True), ("gru", True), ("gru", False))
SIZES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 64, 65, 97, 140)


@pytest.fixture(scope="module")
def kernels() -> FloatKernels:
    needs("host-cc")
    if not cpu.is_x86():
        pytest.skip("SKIPPED: the library that is called holds the kernels of x86-64")
    return FloatKernels()


@pytest.fixture(params=F32)
def target(request: pytest.FixtureRequest) -> str:
    if not runnable(request.param):
        pytest.skip(f"SKIPPED: this processor has no {request.param}")
    return str(request.param)


def error(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))


def drift(cell: Cell, weights: Any, rng: np.random.Generator, steps: int) -> float:
    """The largest error of h and c over two streams of `steps` steps."""
    op = OPS[weights.op]
    inputs, hidden = op.input_size(weights), op.output_size(weights)
    wanted = {k: np.zeros((2, hidden)) for k in op.STATE}
    h, c = np.zeros((2, hidden), np.float32), np.zeros((2, hidden), np.float32)
    worst = 0.0
    for i in range(steps):
        x = rng.normal(0, 1.5, (2, inputs)).astype(np.float32)
        _, wanted = op.float_step(weights, x.astype(np.float64), wanted)
        for stream in range(2):
            h[stream] = cell.step(h[stream], c[stream], x[stream], down=bool(i % 2))
        worst = max(worst, error(h, wanted["h"]), error(c, wanted["c"]) if "c" in wanted else 0.0)
    return worst


@pytest.mark.parametrize(("op", "after"), KINDS, ids=["lstm", "gru-after", "gru-before"])
def test_within_tolerance_of_float64(kernels: FloatKernels, target: str, op: str, after: bool) -> None:
    rng = np.random.default_rng([len(op), after])
    for hidden in SIZES:
        weights = random_layer(rng, op, int(rng.integers(1, 20)), hidden, reset_after=after)
        cell = kernels.cell(weights, target)
        assert cell.owner == (target if op == "lstm" or after else "ref")
        assert drift(cell, weights, rng, 120) <= TOLERANCE, (op, hidden)


def test_within_tolerance_over_a_long_sequence(kernels: FloatKernels, target: str) -> None:
    rng = np.random.default_rng(7)
    for op, after in KINDS:
        weights = random_layer(rng, op, 3, 24, reset_after=after)
        assert drift(kernels.cell(weights, target), weights, rng, 5000) <= TOLERANCE


@pytest.mark.parametrize(("op", "after"), KINDS, ids=["lstm", "gru-after", "gru-before"])
def test_extremes_saturate(kernels: FloatKernels, target: str, op: str, after: bool) -> None:
    """Weights and inputs whose gates are far outside every table: the oracle's limits, and never a NaN."""
    rng = np.random.default_rng(3)
    small = random_layer(rng, op, 4, 33, reset_after=after)
    weights = layer("cell", op, {k: v * 1e4 for k, v in small.weights.items()})
    cell, forward = kernels.cell(weights, target), OPS[op].float_step
    state = {k: rng.uniform(-1, 1, (1, 33)).astype(np.float32).astype(np.float64) for k in OPS[op].STATE}
    h, c = state["h"][0].astype(np.float32), state.get("c", state["h"])[0].astype(np.float32)
    for x in (np.full(4, 1e4), np.full(4, -1e4), np.array([1e4, -1e4, 0, 1])):
        with np.errstate(over="ignore"):
            _, wanted = forward(weights, x[None], state)
        got = cell.step(h, c.copy(), x.astype(np.float32))
        assert np.isfinite(got).all() and error(got, wanted["h"][0]) <= TOLERANCE
    for x in (np.full(4, np.finfo(np.float32).max), np.full(4, -np.inf)):
        assert np.isfinite(cell.step(h, c.copy(), x.astype(np.float32))).all()


def test_dense_within_tolerance(kernels: FloatKernels, target: str) -> None:
    rng = np.random.default_rng(5)
    for inputs in range(1, 70):
        weights = layer("head", "dense", {"w": rng.normal(0, 0.3, (3, inputs)), "b": rng.normal(0, 1, 3)})
        h = rng.uniform(-1, 1, inputs).astype(np.float32)
        wanted = weights.weights["w"].astype(np.float64) @ h + weights.weights["b"]
        assert error(kernels.cell(weights, target).dense(h, 3), wanted) <= TOLERANCE


def test_activations_are_exact_enough_and_monotone(kernels: FloatKernels, target: str) -> None:
    """With the gates i and o open and f shut, c' = tanh(x): neighbouring floats never step back in ref."""
    big = 40.0
    weights = {"w_ih": np.array([[0.0], [0.0], [1.0], [0.0]]), "w_hh": np.zeros((4, 1)), "b": [big, -big, 0.0, big]}
    cell = kernels.cell(layer("cell", "lstm", weights), target)
    zero, c = np.zeros(1, np.float32), np.zeros(1, np.float32)
    x = np.unique(np.concatenate([np.linspace(-12, 12, 4001), np.arange(-32, 33) * np.log(2) / 2]).astype(np.float32))
    x = np.unique(np.concatenate([x, np.nextafter(x, np.float32(99)), np.nextafter(x, np.float32(-99))]))
    made = np.empty(len(x), np.float32)
    for i, v in enumerate(x):
        c[:] = 0
        cell.step(zero, c, np.array([v], np.float32))
        made[i] = c[0]
    assert np.diff(made).min() >= (0 if target == "ref" else -4e-7)
    assert np.abs(made - np.tanh(x.astype(np.float64))).max() <= 4e-7
    assert made[x == 0] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="SKIPPED: pages are guarded with mprotect")
def test_nothing_behind_an_array_is_touched(kernels: FloatKernels, target: str) -> None:
    rng = np.random.default_rng(1)
    maps = []

    def guarded(values: np.ndarray) -> np.ndarray:
        """A copy that ends where a page without access begins."""
        pages = mmap.mmap(-1, 2 * mmap.PAGESIZE * (1 + values.nbytes // mmap.PAGESIZE))
        maps.append(pages)
        room = np.frombuffer(pages, np.uint8)
        end = len(room) - mmap.PAGESIZE
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(room.ctypes.data + end), mmap.PAGESIZE, 0) == 0
        out = room[end - values.nbytes : end].view(np.float32)
        out[:] = values.ravel()
        return out

    for op, after in KINDS:
        for hidden in (1, 2, 7, 8, 9, 16, 17, 31, 32, 33):
            cell = kernels.cell(random_layer(rng, op, 3, hidden, reset_after=after), target)
            for field, value in cell.keep.items():
                setattr(cell.p, field, kernels.pointer(guarded(value)))
            buffers = [guarded(np.zeros(n, np.float32)) for n in (hidden, hidden, hidden, 3)]
            cell.function(*map(kernels.pointer, buffers), cell.p)
            assert np.isfinite(buffers[0]).all()
