"""Accuracy of forecasts, of each target and horizon, from sums over all of them (never means of batches).

MAE, RMSE and R2 in raw units; MASE scales the MAE by that of the last value one step ahead (one season, where there is
one) on the training rows (Hyndman & Koehler 2006); sMAPE in percent, of |truth| + |forecast| (Makridakis 1993);
direction: the share of changes whose sign was right; pinball: the quantile loss (Koenker & Bassett 1978); coverage: the
share of truths below a quantile. The interval of a skill is a moving block bootstrap (Künsch 1989), since the errors of
neighbouring forecasts are alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from toolkit.data.prepared import Prepared, last_values, pairs, runs, truth

RESAMPLES = 2000
LEVEL = 0.95  # of the interval of a skill
GAUSSIAN_LEVELS = (0.05, 0.5, 0.95)  # at which a forecast mean and sigma are judged


def point_metrics(y: np.ndarray, true: np.ndarray, last: np.ndarray, scale: float) -> dict[str, float | None]:
    """Of one output: y, true, last [n]; `scale` of the MASE. None where a metric has no value."""
    error = y - true
    absolute, square = float(np.abs(error).sum()), float(np.square(error).sum())
    size, spread = np.abs(true) + np.abs(y), float(np.square(true - true.mean()).sum())
    moved = true != last
    right = (np.sign(y - last) == np.sign(true - last))[moved]
    n = len(true)
    return {
        "mae": absolute / n,
        "rmse": math.sqrt(square / n),
        "mase": absolute / n / scale if scale else None,
        "smape": float(200 * np.divide(np.abs(error), size, out=np.zeros(n), where=size > 0).sum() / n),
        "r2": 1 - square / spread if spread else None,
        "direction": float(right.sum() / len(right)) if len(right) else None,
    }


def mase_scale(prepared: Prepared, column: int) -> float:
    """Mean |change| over one step, or one season, within the gap-free training runs."""
    steps, total, count = prepared.season or 1, 0.0, 0
    for a, b in runs(prepared, "train"):
        change = np.abs(prepared.values[a + steps : b, column] - prepared.values[a : b - steps, column])
        total, count = total + float(change.sum()), count + len(change)
    return total / count if count else 0.0


def quantile_metrics(y: np.ndarray, true: np.ndarray, levels: Sequence[float]) -> list[dict[str, float]]:
    """Of one target and horizon: y [n, levels], true [n] -> pinball loss and coverage at each level."""
    out = []
    for k, level in enumerate(levels):
        under = true - y[:, k]
        loss = float(np.maximum(level * under, (level - 1) * under).sum()) / len(true)
        out.append({"level": level, "pinball": loss, "coverage": float((true <= y[:, k]).sum()) / len(true)})
    return out


def class_metrics(label: np.ndarray, true: np.ndarray, classes: int) -> dict[str, Any]:
    """label, true [n], indexes of classes -> accuracy, macro F1, confusion [true][forecast]."""
    confusion = np.bincount(true * classes + label, minlength=classes * classes).reshape(classes, classes)
    hit, told, was = np.diag(confusion), confusion.sum(0), confusion.sum(1)
    f1 = np.divide(2 * hit, told + was, out=np.zeros(classes), where=told + was > 0)
    there = told + was > 0
    return {
        "accuracy": float(hit.sum() / max(len(true), 1)),
        "f1": float(f1[there].mean()) if there.any() else 0.0,
        "confusion": confusion.tolist(),
    }


def skill_interval(
    error: np.ndarray, baseline: np.ndarray, *, block: int, seed: int, root: bool = True
) -> dict[str, float]:
    """Skill 1 - RMSE / RMSE of the baseline, from errors in time order [n] or [n, outputs], and its 95 % interval;
    without `root` 1 - the ratio of the squares, which of errors 0 and 1 is that of their shares.

    Blocks of `block` neighbouring forecasts are drawn with replacement, the same for both."""
    both = np.stack([np.square(e).reshape(len(e), -1).sum(1) for e in (error, baseline)])
    n = both.shape[1]
    block = max(1, min(block, n))
    sums = np.cumsum(np.hstack([np.zeros((2, 1)), both, both[:, : block - 1]]), axis=1)  # a circle
    blocks = sums[:, block:] - sums[:, :-block]  # [2, n]: of each block by its first forecast
    power, rng, drawn = 0.5 if root else 1.0, np.random.default_rng(seed), np.empty(RESAMPLES)
    for k in range(RESAMPLES):
        ours, theirs = blocks[:, rng.integers(n, size=-(-n // block))].sum(1)
        drawn[k] = 1 - (ours / theirs) ** power if theirs > 0 else 0.0
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    whole = both.sum(1)
    skill = 1 - (whole[0] / whole[1]) ** power if whole[1] > 0 else 0.0
    return {"skill": float(skill), "low": float(low), "high": float(high)}


def block_length(prepared: Prepared, n: int) -> int:
    """Forecasts whose errors overlap (the horizon), or n**(1/3) if that is more (Künsch 1989)."""
    return max(prepared.horizon, prepared.season, round(n ** (1 / 3)))


def points(prepared: Prepared, y: np.ndarray, output: str, levels: Sequence[float]) -> np.ndarray:
    """The point forecast of each target and horizon: y [n, outputs] -> [n, targets * horizons].

    The value; the quantile nearest to the median; the mean of a gaussian; the likeliest label."""
    if output == "class":
        return np.array(prepared.classes, float)[y.argmax(1)][:, None]
    if output == "quantile":
        return np.asarray(y[:, int(np.argmin(np.abs(np.array(levels) - 0.5))) :: len(levels)])
    return np.asarray(y[:, ::2]) if output == "gaussian" else y


def gaussian_quantiles(y: np.ndarray, std: np.ndarray) -> np.ndarray:
    """y [n, 2 * k] raw mean and log sigma (normalised), std [k] -> quantiles [n, k, GAUSSIAN_LEVELS]."""
    z = np.array([NormalDist().inv_cdf(p) for p in GAUSSIAN_LEVELS])
    return np.asarray(y[:, ::2, None] + z * (np.exp(y[:, 1::2]) * std)[:, :, None])


def score(
    prepared: Prepared,
    forecasts: Mapping[str, np.ndarray],
    rows: np.ndarray,
    *,
    output: str,
    levels: Sequence[float],
    judged: Sequence[str],
) -> list[dict[str, Any]]:
    """Of each target and horizon: the metrics of every named forecast [n, outputs] made at `rows`, and the skill of
    those of `judged` over every other one. A baseline has one column a target and horizon, whatever `output`."""
    true, last = truth(prepared, rows), last_values(prepared, rows)
    point = {k: points(prepared, v, output, levels) if k in judged else v for k, v in forecasts.items()}
    block, out = block_length(prepared, len(rows)), []
    for j, (k, horizon) in enumerate(pairs(prepared)):
        scale = mase_scale(prepared, k)
        row: dict[str, Any] = {"name": prepared.columns[k].name, "unit": prepared.columns[k].unit, "horizon": horizon}
        for name, y in point.items():
            row[name] = (
                _class_metrics(prepared, y[:, j], true[:, j])
                if prepared.classes
                else point_metrics(y[:, j], true[:, j], last[:, j], scale)
            )
        wrong = {k: y[:, j] != true[:, j] if prepared.classes else y[:, j] - true[:, j] for k, y in point.items()}
        for name in judged:
            row[name]["skill"] = {
                other: skill_interval(wrong[name], wrong[other], block=block, seed=0, root=not prepared.classes)
                for other in point
                if other not in judged
            }
            if output == "quantile":
                of_it = forecasts[name][:, j * len(levels) : (j + 1) * len(levels)]
                row[name]["quantiles"] = quantile_metrics(of_it, true[:, j], levels)
            if output == "gaussian":
                spread = np.array([c.std for c in prepared.outputs])
                of_it = gaussian_quantiles(forecasts[name], spread)[:, j]
                row[name]["quantiles"] = quantile_metrics(of_it, true[:, j], GAUSSIAN_LEVELS)
        out.append(row)
    return out


def _class_metrics(prepared: Prepared, y: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    label, was = (np.searchsorted(prepared.classes, v) for v in (y, true))
    return class_metrics(label, was, len(prepared.classes))


def verdict(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """A plain sentence for each target and horizon where the forecast `name` has no skill over a baseline."""
    words = {"persistence": "the last value (persistence)", "linear_ar": "a linear autoregression"}
    said = []
    for row in rows:
        for other, s in row[name]["skill"].items():
            if s["low"] <= 0:
                what = f"{row['name']} +{row['horizon']}"
                said.append(
                    f"{what}: no skill over {words.get(other, 'the season before')}: {s['skill']:+.1%}, "
                    f"{LEVEL:.0%} interval {s['low']:+.1%} to {s['high']:+.1%}"
                )
    return said
