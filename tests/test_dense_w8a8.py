"""The dense layer from int8 to int8: the oracle is TFLite's FULLY_CONNECTED byte for byte, the C is the oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize import gemmlowp
from quantize.ops import dense_w8a8
from quantize.qnetwork import QNetwork
from quantize.verify import verify_qnetwork
from tests.conftest import needs
from tests.models import assert_same, compile_all, random_calls
from tests.nets import Shape, random_dense_w8a8, random_qnetwork


@pytest.mark.parametrize("seed", range(12))
def test_the_step_in_plain_integers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, units = int(rng.integers(1, 18)), int(rng.integers(1, 9))
    q = random_dense_w8a8(rng, "d", inputs, units)
    x = rng.choice([-128, 127, 0, 1, -1, 77], (4, inputs))
    h, _ = dense_w8a8.int_step(q, x, {}, None)
    for k, row in enumerate(x.tolist()):
        for u in range(units):
            m, s = (int(q.arrays[key][u]) for key in ("m", "s"))
            acc = int(q.arrays["b"][u]) + sum(int(w) * v for w, v in zip(q.arrays["w"][u], row, strict=True))
            assert abs(acc) < 2**31
            y = (2 * acc * m + 2 ** (31 - s)) // 2 ** (32 - s) + q.params[
                "h_zero"
            ]  # round(acc m / 2^(31 - s)), half up
            assert h[k, u] == min(max(y, q.params["low"]), q.params["high"])


def networks() -> list[QNetwork]:
    """Above, between and below LSTM layers of the scheme; zero points of h anywhere; streams and windows."""
    rng, out = np.random.default_rng(3), []
    orders = (("dense_w8a8", "lstm_w8a8"), ("lstm_w8a8", "dense_w8a8"), ("lstm_w8a8", "dense_w8a8", "dense_w8a8"))
    for k in range(9):
        ops, (mode, window) = orders[k % 3], (("stateful", 0), ("window", 3))[k % 2]
        sizes = tuple(int(v) for v in rng.integers(1, 18, len(ops)))
        shape = Shape(int(rng.integers(1, 5)), sizes, 2, (16,) * len(ops), mode, window, "hold", 3, ops)
        out.append(random_qnetwork(rng, shape, f"bytes{k}"))
    return out


@pytest.mark.parametrize("sanitize", [None, "undefined"])
def test_the_c_is_the_oracle(tmp_path: Path, sanitize: str | None) -> None:
    needs("host-cc")
    compiled = compile_all(networks(), tmp_path, sanitize=sanitize)
    for k, q in enumerate(compiled.networks):
        verify_qnetwork(q)
        assert_same(q, compiled.host(q), random_calls(np.random.default_rng(k), q, 25))


def test_once_rounded_products_at_every_edge() -> None:
    x = np.array([-(2**31) + 1, 2**31 - 1, -1, 0, 1, 2**30, -(2**30), 12345])
    for m in (0, 1, 2**30, 2**31 - 1):
        for s in (0, -1, -2, -31):
            want = [(2 * int(v) * m + 2 ** (31 - s)) // 2 ** (32 - s) for v in x]
            np.testing.assert_array_equal(gemmlowp.multiply_once(x, np.array(m), np.array(s)), want)
