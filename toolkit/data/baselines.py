"""Persistence, seasonal naive and linear AR on exactly the rows that the network is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.data.prepared import Prepared, forecast_rows, in_raw, last_values, learnt, pairs, runs, truth

ORDERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
RIDGE = 1e-6  # times the number of training rows: only against singular systems


@dataclass(frozen=True, slots=True, eq=False)
class LinearAR:
    """What is learnt = `weights [outputs, order * inputs + 1]` @ (last `order` normalised inputs, newest first; 1)."""

    order: int
    weights: np.ndarray

    def predict(self, prepared: Prepared, rows: np.ndarray) -> np.ndarray:
        """Raw forecasts made at `rows`. [n, targets * horizons]"""
        y = _regressors(prepared, rows, self.order) @ self.weights.T
        scalers = prepared.outputs
        return in_raw(prepared, rows, y * np.array([s.std for s in scalers]) + np.array([s.mean for s in scalers]))


def fit_linear_ar(prepared: Prepared, *, need: int) -> LinearAR:
    """Least squares on the training rows; the order (<= need) is the best on the validation rows."""
    train, val = (forecast_rows(prepared, split, need=need) for split in ("train", "val"))
    mean, std = (np.array([getattr(c, k) for c in prepared.outputs]) for k in ("mean", "std"))
    target = (learnt(prepared, train) - mean) / std
    best, lowest = None, np.inf
    for order in (p for p in ORDERS if p <= need):
        x = _regressors(prepared, train, order)
        normal = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
        model = LinearAR(order, np.linalg.solve(normal, x.T @ target).T)
        error = rmse(model.predict(prepared, val) - truth(prepared, val))
        if error < lowest:
            best, lowest = model, error
    assert best is not None
    return best


def baseline_predictions(prepared: Prepared, *, need: int, split: str) -> dict[str, np.ndarray]:
    """{"persistence", "linear_ar"}, and "seasonal" where data.season is set: raw forecasts
    `[n, targets * horizons]` at `forecast_rows(prepared, split, need=need)`."""
    rows = forecast_rows(prepared, split, need=need)
    linear = fit_linear_ar(prepared, need=need).predict(prepared, rows)
    if prepared.classes:  # the label nearest to the number
        known = np.array(prepared.classes, float)
        linear = known[np.abs(linear[..., None] - known).argmin(-1)]
    found = {"persistence": last_values(prepared, rows), "linear_ar": linear}
    return found | ({"seasonal": seasonal_naive(prepared, rows)} if prepared.season else {})


def seasonal_naive(prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    """The value one season (or the fewest whole seasons) before the forecast's time; the last value where the run has
    no such row. [n, targets * horizons]"""
    begin = np.zeros(len(prepared.values), np.int64)
    for split in prepared.spans:
        for a, b in runs(prepared, split):
            begin[a:b] = a
    out = last_values(prepared, rows)
    for j, (k, horizon) in enumerate(pairs(prepared)):
        at = rows + horizon - prepared.season * -(-horizon // prepared.season)
        there = at >= begin[rows]
        out[there, j] = prepared.values[at[there], k]
    return out


def error_of(prepared: Prepared, y: np.ndarray, true: np.ndarray) -> float:
    """How wrong forecasts are, [n, targets * horizons]: the RMSE, or of classes the share of wrong labels."""
    return float((y != true).mean()) if prepared.classes else rmse(y - true)


def rmse(error: np.ndarray) -> float:
    """Root of the mean over all elements, from one sum."""
    return float(np.sqrt(np.square(error, dtype=np.float64).sum() / max(error.size, 1)))


def _regressors(prepared: Prepared, rows: np.ndarray, order: int) -> np.ndarray:
    """[n, order * inputs + 1]"""
    x = prepared.normalised()[rows[:, None] - np.arange(order)]
    return np.hstack([x.reshape(len(rows), -1), np.ones((len(rows), 1))])
