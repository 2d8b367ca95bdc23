"""The float32 activation functions over the whole range of float32: within 4e-7 of float64."""

from __future__ import annotations

from typing import Any

import cffi
import numpy as np
import pytest

from quantize.activations import FUNCTIONS, activation, write
from tests.conftest import needs
from tests.kernels import library
from toolkit.codegen.pack_layers_f32 import function_call

TOLERANCE = 4e-7  # of y, or as a part of it where it is more than 1
PARAMETERS = {1: ((0.01,), (1.5,)), 2: ((0.2, 0.5), (1.7159, 0.6667), (-3.0, 0.25))}
CASES = [write(name, *p) for name, (n, _) in FUNCTIONS.items() for p in PARAMETERS.get(n, ((),))]
EXTREMES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38, -3.4e38], np.float32)


class Functions:
    def __init__(self, sanitize: str | None = None) -> None:
        needs("host-cc")
        self.ffi = cffi.FFI()
        names = {f"tl_{name}_f32_ref" for name in FUNCTIONS}
        parameters = "(float *y, const float *x, uint32_t n, float a, float b);"
        self.ffi.cdef("\n".join(f"void {name}{parameters}" for name in sorted(names)))
        self.lib = self.ffi.dlopen(str(library(sanitize)))

    def __call__(self, text: str, x: np.ndarray) -> np.ndarray:
        """In place, as the generated code mostly does."""
        function, a, b = function_call(text)
        y = np.array(x, np.float32)
        at = self.ffi.cast("float *", y.ctypes.data)
        getattr(self.lib, function)(at, at, len(y), float(a[:-1]), float(b[:-1]))
        return y


@pytest.fixture(scope="module")
def functions() -> Functions:
    return Functions()


def every_so_many() -> np.ndarray:
    """Floats of every exponent and sign, 2**15 bit patterns apart, and the neighbours of where formulas change."""
    bits = np.arange(0, 2**32, 2**15, dtype=np.uint64) + np.arange(2**17, dtype=np.uint64) % 32749
    edges = np.array([0.0, 0.34, 0.55, 1, 3, 5.66, 7, 16.6, 29, 87.3, 88.73, 89, 103.97, 104], np.float32)
    near = np.concatenate([edges + np.float32(k * 1e-6) * edges for k in range(-8, 9)])
    dense = np.linspace(-110, 110, 50_001).astype(np.float32)
    return np.concatenate([bits.astype(np.uint32).view(np.float32), near, -near, dense, EXTREMES])


EVERYWHERE = every_so_many()


def error(got: np.ndarray, wanted: np.ndarray) -> Any:
    """In the terms of TOLERANCE; what float32 cannot hold must be infinite; 1 where one is NaN and the other is not."""
    with np.errstate(over="ignore"):
        single = wanted.astype(np.float32)
    good = (got == single) | (np.isnan(got) & np.isnan(single))
    with np.errstate(invalid="ignore"):
        e = np.abs(got - wanted) / np.maximum(1, np.abs(wanted))
    return np.where(good, 0.0, np.where(np.isfinite(e), e, 1.0))


@pytest.mark.parametrize("text", CASES)
def test_over_the_whole_range(functions: Functions, text: str) -> None:
    x = EVERYWHERE
    if "softmax" in text:  # rows of 8
        finite = np.random.default_rng(1).permutation(x[np.isfinite(x)])
        rows = np.concatenate([finite[:4096], x[-4096 - len(EXTREMES) : -len(EXTREMES)]]).reshape(-1, 8)
        got = np.stack([functions(text, row) for row in rows])
        x = rows
    else:
        got = functions(text, x)
    with np.errstate(all="ignore"):
        wanted = activation(text)(x.astype(np.float64))
    e = error(got, wanted)
    worst = np.unravel_index(e.argmax(), e.shape)
    assert e.max() <= TOLERANCE, (text, x[worst], got[worst], wanted[worst])


@pytest.mark.parametrize("text", ["tanh", "sigmoid", "softplus", "relu", "exp", "silu"])
def test_small_arguments_keep_their_digits(functions: Functions, text: str) -> None:
    """Of its own size, where the function has a slope at 0."""
    x = np.geomspace(1e-30, 0.7, 5000).astype(np.float32)
    x = np.concatenate([x, -x])
    wanted = activation(text)(x.astype(np.float64))
    close = np.abs(functions(text, x) - wanted) <= 6e-7 * np.abs(wanted)
    assert close.all(), x[~close][:5]
