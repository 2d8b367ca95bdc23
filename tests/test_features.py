"""Features of raw samples: the C twin, the mathematics, and one sample at a time as a whole stretch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize import features, oracle
from quantize.errors import QuantizeError
from quantize.features import Feature, Front, Raw
from quantize.verify import verify_qnetwork
from tests.conftest import needs
from tests.kernels import INT32, Kernels
from tests.nets import Shape, random_qnetwork, with_front
from toolkit.data.features import calendar, parse
from toolkit.errors import ToolkitError

ENDS = np.array([-(2**31), -(2**31) + 1, -1, 0, 1, 2, 3, 2**27, -(2**27), 2**27 + 1, 2**30, 2**31 - 2, 2**31 - 1])
COUNT = 100_000


def numbers(rng: np.random.Generator) -> np.ndarray:
    """int32 of every magnitude and sign, and its ends."""
    v = np.exp2(rng.uniform(0, 31, COUNT)).astype(np.int64) * rng.choice([1, 1, -1], COUNT)
    return np.where(rng.random(COUNT) < 0.1, rng.choice(ENDS, COUNT), v)


@pytest.fixture(scope="module")
def c() -> Kernels:
    needs("host-cc")
    return Kernels()


@pytest.mark.parametrize("seed", range(3))
def test_the_c_is_the_twin_of_python(c: Kernels, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = numbers(rng), numbers(rng)
    near = np.clip(a + rng.integers(-9, 10, COUNT), -(2**31), 2**31 - 1)
    change = np.where(rng.random(COUNT) < 0.5, b, rng.normal(0, 3e6, COUNT).astype(np.int64))
    assert (c.twin("log2", INT32, a) == features.log2(a)).all()
    for before in (b, near):
        assert (c.twin("log_return", INT32, a, before) == features.log_return(a, before)).all()
        assert (c.twin("difference", INT32, a, before) == features.difference(a, before)).all()
    assert (c.twin("price", INT32, a, change) == features.price(a, change)).all()
    assert (c.twin("add_sat", INT32, a, b) == features.undo("difference", a, b)).all()


def test_the_logarithm_and_its_inverse_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    v = np.exp2(rng.uniform(0, 31, COUNT)).astype(np.int64)
    error = features.log2(v) - np.log2(v) * 2**24
    assert error.max() <= 1e-6 and error.min() > -2
    w = np.clip((v * np.exp(rng.normal(0, 0.1, COUNT))).astype(np.int64), 1, 2**31 - 1)
    exact = np.log(w / v)
    assert np.abs(features.log_return(w, v) / 1e7 - exact).max() < 1.2e-6 + 1e-5 * np.abs(exact).max()
    back = features.price(v, np.rint(exact * 1e7).astype(np.int64))
    assert (np.abs(back - w) <= 1 + 3e-7 * np.abs(exact) * w + 2e-7 * w).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_sample_at_a_time_is_the_whole_stretch(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    q = with_front(rng, random_qnetwork(rng, Shape(3, (2,), 2, (16,), "stateful", 0, "hold", 3), "net"))
    assert q.front is not None
    verify_qnetwork(q)
    raw = rng.integers(-(2**31), 2**31, (steps, len(q.raws)))
    whole = features.over(q.front.features, raw)
    past = [np.full(n, raw[0, k]) for k, n in enumerate(q.front.depths)]
    stream = oracle.Stream(q)
    for t in range(steps):
        assert features.now(q.front, raw[t], past).tolist() == whole[t].tolist()
        past = [np.concatenate([[v], p[:-1]]) for p, v in zip(past, raw[t], strict=True)]
        stream.predict(raw[t])
        assert stream.last[-1].tolist() == oracle.quantize_inputs(q, whole[t]).tolist()


def test_each_kind_by_hand() -> None:
    raw = np.array([[100], [110], [121], [50]])
    made = [Feature("value", 0, 0), Feature("difference", 0, 1), Feature("lag", 0, 2), Feature("mean", 0, 3)]
    assert features.over(made, raw).tolist() == [
        [100, 0, 100, 300],
        [110, 10, 100, 310],
        [121, 11, 100, 331],
        [50, -71, 110, 281],
    ]
    returns = features.over([Feature("log_return", 0, 1)], raw)[:, 0] / 1e7
    assert returns == pytest.approx([0, math.log(1.1), math.log(1.1), math.log(50 / 121)], abs=1e-5)
    assert [features.depth(made, 0), features.depth([], 0)] == [2, 1]


def test_what_the_c_cannot_do_is_refused() -> None:
    q = random_qnetwork(np.random.default_rng(0), Shape(1, (2,), 1, (16,), "stateful", 0, "hold", 3), "net")
    good = Front((Raw("a", "", 0),), (Feature("lag", 0, 1),), "difference", (0,))
    verify_qnetwork(replace(q, front=good))
    bad = {
        "expected value, difference": replace(good, features=(Feature("median", 0, 1),)),
        "over 1 .. 255": replace(good, features=(Feature("lag", 0, 256),)),
        "raw column 1": replace(good, features=(Feature("lag", 1, 1),)),
        "2 features for 1 inputs": replace(good, features=good.features * 2),
        "with 0 bases for 1 outputs": replace(good, bases=()),
        r"bases \[1\]": replace(good, bases=(1,)),
    }
    for says, front in bad.items():
        with pytest.raises(QuantizeError, match=says):
            verify_qnetwork(replace(q, front=front))
    with pytest.raises(QuantizeError, match="fills a gap of inputs, not of features"):
        verify_qnetwork(replace(q, front=good, missing="interpolate"))


def test_feature_names() -> None:
    assert parse(("a b", "a b.log_return(5)", "c.mean(3)"), ("a b", "c"), "f.csv") == (
        Feature("value", 0, 0),
        Feature("log_return", 0, 5),
        Feature("mean", 1, 3),
    )
    for text, says in {
        "d": "expected an input",
        "c.mean": "did you mean",
        "c.maen(3)": "c.mean",
        "c.lag(0)": r"data.features: \"c.lag\(0\)\": expected 1 .. 255 samples",
        "c.mean(256)": r"\"c.mean\(256\)\": expected 1 .. 255",
    }.items():
        with pytest.raises(ToolkitError, match=says) as e:
            parse((text,), ("a b", "c"), "f.csv")
        assert "\n" not in str(e.value)


def test_the_calendar() -> None:
    names, values = calendar(np.array([0, 6 * 3600, 12 * 3600]), ("day",))
    assert names == ["day_sin", "day_cos"] and values.tolist() == [[0, 1], [1, 0], [0, -1]]
    with pytest.raises(ToolkitError, match="expected one of day, week, year"):
        calendar(np.array([0]), ("month",))
