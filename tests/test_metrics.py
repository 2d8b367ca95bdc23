"""Metrics against their definitions, one forecast at a time, and what the bootstrap promises."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.network import Column
from tests.series import plain_series
from toolkit.data.prepared import Prepared, forecast_rows, truth
from toolkit.train import metrics


def walk(rows: int, seed: int = 0) -> Prepared:
    values = np.random.default_rng(seed).normal(size=(rows, 1)).cumsum(axis=0).round(3)
    edges = (rows // 2, rows * 3 // 4)
    return plain_series(values, (Column("a", "V", 3, 0.0, 1.0),), starts=[7], horizons=(1, 3), edges=edges)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_point_metrics_by_their_definitions(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    y, true, last = (rng.integers(-3, 4, n) / 2 for _ in range(3))
    m = metrics.point_metrics(y, true, last, 0.5)
    assert m["mae"] == pytest.approx(sum(abs(a - b) for a, b in zip(y, true, strict=True)) / n)
    assert m["rmse"] == pytest.approx(math.sqrt(sum((a - b) ** 2 for a, b in zip(y, true, strict=True)) / n))
    assert m["mase"] == pytest.approx(m["mae"] / 0.5)
    parts = [200 * abs(a - b) / (abs(a) + abs(b)) if a or b else 0 for a, b in zip(y, true, strict=True)]
    assert m["smape"] == pytest.approx(sum(parts) / n)
    spread = sum((b - sum(true) / n) ** 2 for b in true)
    if spread:
        assert m["r2"] == pytest.approx(1 - sum((a - b) ** 2 for a, b in zip(y, true, strict=True)) / spread)
    else:
        assert m["r2"] is None
    changes = [(a - c, b - c) for a, b, c in zip(y, true, last, strict=True) if b != c]
    if changes:
        assert m["direction"] == pytest.approx(sum(p * q > 0 for p, q in changes) / len(changes))
    else:
        assert m["direction"] is None


def test_quantiles_and_classes_by_hand() -> None:
    y, true = np.array([[0.0, 2.0], [1.0, 3.0]]), np.array([1.0, 4.0])
    low, high = metrics.quantile_metrics(y, true, (0.1, 0.9))
    assert low["pinball"] == pytest.approx(0.1 * (1 + 3) / 2) and low["coverage"] == 0
    assert high["pinball"] == pytest.approx((0.1 * 1 + 0.9 * 1) / 2) and high["coverage"] == 0.5
    m = metrics.class_metrics(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), 3)
    assert m["accuracy"] == 0.75 and m["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert m["f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_gaussian_quantiles_cover_a_gaussian() -> None:
    rng = np.random.default_rng(0)
    mean, sigma, std = rng.normal(size=20000), 0.3, 2.0
    y = np.stack([mean, np.full(20000, math.log(sigma))], 1)
    q = metrics.gaussian_quantiles(y, np.array([std]))[:, 0]
    found = metrics.quantile_metrics(q, mean + rng.normal(size=20000) * sigma * std, metrics.GAUSSIAN_LEVELS)
    assert [f["coverage"] for f in found] == pytest.approx([0.05, 0.5, 0.95], abs=0.01)


def test_the_point_of_each_kind_of_output() -> None:
    y, p = np.arange(12.0).reshape(2, 6), walk(40)
    assert metrics.points(p, y, "value", ()).tolist() == y.tolist()
    assert metrics.points(p, y, "gaussian", ()).tolist() == y[:, ::2].tolist()
    assert metrics.points(p, y, "quantile", (0.1, 0.5, 0.9)).tolist() == y[:, 1::3].tolist()
    logits = np.array([[0.1, 2.0, -1.0], [3.0, 2.0, 2.5]])
    assert metrics.points(replace(p, classes=(3, 5, 9)), logits, "class", ()).tolist() == [[5.0], [3.0]]


def test_the_interval_covers_the_true_skill_about_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(1), 0
    for trial in range(60):
        noise = np.convolve(rng.normal(size=(620)), np.ones(5) / np.sqrt(5), "valid")[:600]  # neighbours are alike
        other = np.convolve(rng.normal(size=(620)), np.ones(5) / np.sqrt(5), "valid")[:600]
        s = metrics.skill_interval(0.9 * noise, other, block=20, seed=trial)
        hits += s["low"] <= 0.1 <= s["high"]
        assert s["low"] <= s["skill"] <= s["high"]
    assert hits >= 50  # 57 expected; an interval that ignores the likeness covers some 35


def test_the_same_forecast_has_no_skill() -> None:
    e = np.random.default_rng(0).normal(size=300)
    assert metrics.skill_interval(e, e, block=7, seed=0) == {"skill": 0.0, "low": 0.0, "high": 0.0}
    better = metrics.skill_interval(0.5 * e, e, block=7, seed=0)
    assert better["skill"] == pytest.approx(0.5) and better["low"] == pytest.approx(0.5)


def test_scores_of_every_target_and_horizon_with_a_sentence_where_there_is_no_skill() -> None:
    p = walk(800)
    rows = forecast_rows(p, "test", need=5)
    true = truth(p, rows)
    last = np.repeat(p.values[rows], 2, axis=1)
    rng = np.random.default_rng(2)
    good = true + 0.1 * rng.normal(size=true.shape)
    bad = last + 0.01 * rng.normal(size=true.shape)
    found = {"persistence": last, "float": good, "quantized": bad}
    scores = metrics.score(p, found, rows, output="value", levels=(), judged=("float", "quantized"))
    assert [(s["name"], s["horizon"], s["unit"]) for s in scores] == [("a", 1, "V"), ("a", 3, "V")]
    assert all(s["float"]["skill"]["persistence"]["low"] > 0.5 for s in scores)
    assert metrics.verdict(scores, "float") == []
    said = metrics.verdict(scores, "quantized")
    assert len(said) == 2 and said[0].startswith("a +1: no skill over the last value (persistence): ")
    steps = np.concatenate([np.abs(np.diff(p.values[a:b, 0])) for a, b in ((0, 7), (7, 400))])
    assert scores[0]["persistence"]["mase"] == pytest.approx(scores[0]["persistence"]["mae"] / steps.mean())
