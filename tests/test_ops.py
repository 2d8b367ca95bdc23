"""Every op of the registry: float step = naive loop, oracle = naive integers, each target's kernel = oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from quantize.network import layer
from quantize.ops import FLOAT as ALL_FLOAT_OPS
from quantize.ops import OPS
from tests import naive
from tests.conftest import needs
from tests.kernels import Kernels, runnable
from tests.nets import random_dense, random_gru, random_lstm, random_x
from toolkit.targets import PORTABLE, TARGETS, W8A8

FLOAT_OPS = [op for op in ALL_FLOAT_OPS if op not in PORTABLE]  # those have tests of their own

SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (3, 4),
    (4, 3),
    (5, 5),
    (7, 8),
    (8, 7),
    (15, 16),
    (16, 17),
    (20, 31),
    (13, 33),
    (2, 40),
]


@pytest.fixture(scope="module")
def c() -> Kernels:
    needs("host-cc")
    return Kernels()


# --- one function per op: float, oracle, and C; a missing one fails test_every_op_has_its_tests ---


def float_lstm(inputs: int, hidden: int, rng: np.random.Generator) -> None:
    w = {
        "w_ih": rng.normal(size=(4 * hidden, inputs)),
        "w_hh": rng.normal(size=(4 * hidden, hidden)),
        "b": rng.normal(size=4 * hidden),
    }
    x = layer("lstm0", "lstm", w)
    plain = [x.weights[k].tolist() for k in ("w_ih", "w_hh", "b")]
    state = {k: np.zeros((2, hidden)) for k in OPS["lstm"].STATE}
    h, cell = [[0.0] * hidden] * 2, [[0.0] * hidden] * 2
    for _ in range(4):
        sample = rng.normal(size=(2, inputs))
        out, state = OPS["lstm"].float_step(x, sample, state)
        for row in range(2):
            h[row], cell[row] = naive.float_lstm(*plain, sample[row].tolist(), h[row], cell[row])
        np.testing.assert_allclose(out, h, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(state["c"], cell, rtol=1e-12, atol=1e-14)


def float_gru(inputs: int, hidden: int, rng: np.random.Generator) -> None:
    for biases in (3, 4):
        w = {
            "w_ih": rng.normal(size=(3 * hidden, inputs)),
            "w_hh": rng.normal(size=(3 * hidden, hidden)),
            "b": rng.normal(size=biases * hidden),
        }
        x = layer("gru0", "gru", w)
        plain = [x.weights[k].tolist() for k in ("w_ih", "w_hh", "b")]
        state, h = {"h": np.zeros((2, hidden))}, [[0.0] * hidden] * 2
        for _ in range(4):
            sample = rng.normal(size=(2, inputs))
            out, state = OPS["gru"].float_step(x, sample, state)
            h = [naive.float_gru(*plain, sample[row].tolist(), h[row]) for row in range(2)]
            np.testing.assert_allclose(out, h, rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(state["h"], out)


def float_dense(inputs: int, outputs: int, rng: np.random.Generator) -> None:
    x = layer("dense0", "dense", {"w": rng.normal(size=(outputs, inputs)), "b": rng.normal(size=outputs)})
    sample = rng.normal(size=(3, inputs))
    y, state = OPS["dense"].float_step(x, sample, {})
    want = [naive.float_dense(x.weights["w"].tolist(), x.weights["b"].tolist(), row) for row in sample.tolist()]
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-14)
    assert state == {}


def integer_lstm(inputs: int, hidden: int, rng: np.random.Generator, kernel: Callable | None) -> None:
    for bits in (8, 16):
        q = random_lstm(rng, "lstm0", inputs, hidden, bits)
        h, cell = random_x(rng, (2, hidden)), rng.choice([-32768, 32767, 0, 5, -77], (2, hidden))
        for _ in range(3):
            x = random_x(rng, (2, inputs))
            out, state = OPS["lstm"].int_step(q, x, {"h": h, "c": cell}, None)
            for row in range(2):
                arguments = x[row], h[row], cell[row]
                got = kernel(q, *arguments) if kernel else naive.lstm(q, *(v.tolist() for v in arguments))
                np.testing.assert_array_equal(out[row], got[0])
                np.testing.assert_array_equal(state["c"][row], got[1])
            h, cell = out, state["c"]
            assert np.abs(h).max() <= 32629


def integer_gru(inputs: int, hidden: int, rng: np.random.Generator, kernel: Callable | None) -> None:
    for bits, after in ((8, False), (8, True), (16, False), (16, True)):
        q = random_gru(rng, "gru0", inputs, hidden, bits, after=after)
        h = random_x(rng, (2, hidden))
        for _ in range(3):
            x = random_x(rng, (2, inputs))
            out, state = OPS["gru"].int_step(q, x, {"h": h}, None)
            for row in range(2):
                got = kernel(q, x[row], h[row]) if kernel else naive.gru(q, x[row].tolist(), h[row].tolist())
                np.testing.assert_array_equal(out[row], got)
            np.testing.assert_array_equal(state["h"], out)
            h = out
            assert np.abs(h).max() <= 32640


def integer_dense(inputs: int, outputs: int, rng: np.random.Generator, kernel: Callable | None) -> None:
    q = random_dense(rng, "dense0", inputs, outputs)
    w = q.arrays["w"].astype(np.int64)
    for h in (*random_x(rng, (3, inputs)), 32640 * np.sign(w[0]), -32640 * np.sign(w[-1])):
        y, _ = OPS["dense"].int_step(q, h[None], {}, None)
        np.testing.assert_array_equal(y[0], kernel(q, h) if kernel else naive.dense(q, h.tolist()))


FLOAT = {"lstm": float_lstm, "gru": float_gru, "dense": float_dense}
INTEGER = {"lstm": integer_lstm, "gru": integer_gru, "dense": integer_dense}


def call(c: Kernels, op: str, target: str) -> Callable:
    """The kernel of a target as a function of (layer, arrays ...)."""
    function = {"lstm": c.lstm_step, "gru": c.gru_step, "dense": c.dense}[op]
    return lambda q, *arrays: function(target, q, *arrays)


def test_every_op_has_its_tests() -> None:
    assert set(FLOAT_OPS) == set(FLOAT) == set(INTEGER)
    assert set(OPS) - set(FLOAT_OPS) == {"lstm_w8a8", "dense_w16a8", *PORTABLE}, "these have files of their own"
    complete = TARGETS["ref"].ops | W8A8["ref"].ops | {k for t in PORTABLE.values() for k in t.ops}
    assert {op.KERNEL for op in OPS.values()} <= complete, "ref must be complete"


@pytest.mark.parametrize("op", sorted(FLOAT_OPS))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_float_step_is_the_naive_loop(op: str, size: tuple[int, int]) -> None:
    FLOAT[op](*size, np.random.default_rng(size))


@pytest.mark.parametrize("op", sorted(FLOAT_OPS))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_oracle_is_the_naive_integers(op: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size)
    for _ in range(6):
        INTEGER[op](*size, rng, None)


@pytest.mark.parametrize(
    ("target", "op"), [(t, op) for t in TARGETS for op in sorted(FLOAT_OPS) if OPS[op].KERNEL in TARGETS[t].ops]
)
def test_kernel_is_the_oracle(c: Kernels, target: str, op: str) -> None:
    if not runnable(target):
        pytest.skip(f"SKIPPED: this processor cannot run the {target} kernels")
    rng = np.random.default_rng(7)
    kernel = call(c, op, target)
    sizes = [(int(rng.integers(1, 21)), n) for n in range(1, 41)]
    for size in (*SIZES, *sizes, *((n, 3) for n in range(1, 41))):
        for _ in range(3):
            INTEGER[op](*size, rng, kernel)


def test_sizes_and_macs() -> None:
    rng = np.random.default_rng(8)
    q, d = random_lstm(rng, "lstm0", 3, 5, 16), random_dense(rng, "dense0", 5, 2)
    assert (OPS["lstm"].input_size(q), OPS["lstm"].output_size(q), OPS["lstm"].macs(q)) == (3, 5, 4 * 5 * (5 + 3))
    assert (OPS["dense"].input_size(d), OPS["dense"].output_size(d), OPS["dense"].macs(d)) == (5, 2, 10)
