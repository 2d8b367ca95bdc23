"""The overflow proof at its edge: the last value that it accepts does not overflow, and the next one is refused."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.errors import QuantizeError
from quantize.network import Column, layer
from quantize.ops import dense, lstm
from quantize.qnetwork import QLayer
from tests.test_quantize import small


def lstm_of(wh: list[int], wx: list[int], b: int, f: int) -> QLayer:
    """One hidden unit; its first row has these weights."""
    rows = [(wh, wx, b)] + [([0], [0] * len(wx), 0)] * 3
    arrays = {
        "wh": np.array([r[0] for r in rows], np.int8),
        "wx": np.array([r[1] for r in rows], np.int16),
        "b": np.array([r[2] for r in rows], np.int32),
        "m": np.full(4, 1000, np.int16),
    }
    return QLayer("lstm0", "lstm", arrays, {"t": 8, "f": f, "frac": 12})


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("f", [0, 3])
def test_accumulator_bound_is_exact(sign: int, f: int) -> None:
    """The bound accepts its last value and refuses the next; and the last value really does not overflow."""
    wx = [32767, 20000]
    room = 2**31 - 2 - 32640 * 127 - ((32640 * sum(wx)) >> f)
    accepted, refused = lstm_of([127], wx, sign * room, f), lstm_of([127], wx, sign * (room + 1), f)
    assert lstm.fits(accepted).tolist() == [True] * 4
    assert lstm.fits(refused).tolist() == [False, True, True, True]
    trace: dict[str, np.ndarray] = {}
    state = {"h": np.array([[sign * 32640]]), "c": np.array([[0]])}
    lstm.int_step(accepted, np.array([[sign * 32640] * 2]), state, trace)
    assert 2**31 - 4 <= abs(int(trace["lstm0.acc"][0, 0])) < 2**31


def test_input_sum_has_a_bound_of_its_own() -> None:
    """sum|wx| beyond 65 793 overflows before it is shifted, however large f is."""
    assert lstm.fits(lstm_of([0], [32767, 32767, 259], 0, 15)).all()
    assert not lstm.fits(lstm_of([0], [32767, 32767, 260], 0, 15)).all()


def test_dense_bound_is_exact() -> None:
    for sign in (1, -1):
        room = 2**31 - 1 - 32640 * 40000
        for more, fits in ((0, True), (1, False)):
            arrays = {
                "w": np.array([[sign * 30000, sign * 10000]], np.int16),
                "b": np.array([sign * (room + more)], np.int32),
            }
            assert dense.fits(QLayer("d", "dense", arrays, {})).tolist() == [fits]


def test_a_huge_bias_enlarges_its_row_only() -> None:
    network = small()
    x = network.layers[0]
    b = x.weights["b"].copy()
    b[4] = 900.0
    plain = lstm.quantize(x, np.full(3, 1e-4), {"c": 1.0}, 16)
    big = lstm.quantize(layer("lstm0", "lstm", {**x.weights, "b": b}), np.full(3, 1e-4), {"c": 1.0}, 16)
    assert lstm.fits(big).all()
    scale = [q.arrays["m"] / 2.0 ** q.params["t"] for q in (plain, big)]
    grown = np.flatnonzero(scale[1] > 1.02 * scale[0])
    assert grown.tolist() == [4]


def test_a_bias_that_never_fits_is_refused() -> None:
    x = small().layers[0]
    b = x.weights["b"].copy()
    b[7] = 1e9
    with pytest.raises(QuantizeError, match=r"^lstm0: "):
        lstm.quantize(layer("lstm0", "lstm", {**x.weights, "b": b}), np.full(3, 1e-4), {"c": 1.0}, 16)


@pytest.mark.parametrize("seed", range(10))
def test_every_row_fits_for_any_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, n = int(rng.integers(1, 41)), int(rng.integers(1, 21))
    size, wide = 10.0 ** rng.uniform(-3, 0.5), seed % 2 == 0
    w = {
        "w_ih": rng.standard_t(2, (4 * h, n)) * size,
        "w_hh": rng.standard_t(2, (4 * h, h)) * size,
        "b": rng.normal(0, 3, 4 * h),
    }
    w = {k: np.clip(v, -300, 300) for k, v in w.items()}
    w["w_ih"][rng.random(4 * h) < 0.1] = 0
    w["w_hh"][rng.random(4 * h) < 0.1] = 0
    q = lstm.quantize(
        layer("lstm0", "lstm", w),
        10.0 ** rng.uniform(-5, -3, n) if wide else np.full(n, lstm.UNIT),
        {"c": 1.0},
        16 if wide else 8,
    )
    assert lstm.fits(q).all() and q.arrays["m"].min() >= 1


@pytest.mark.parametrize("b", [0.0, 40.0, -3000.0])
def test_head_fits_whatever_its_bias(b: float) -> None:
    columns = [Column("y", "", 0, 0.49, 0.01)]  # rounding the mean leaves 49 standard deviations
    q, _ = dense.quantize(layer("d", "dense", {"w": np.ones((1, 4)), "b": [b]}), columns)
    assert dense.fits(q).all()
