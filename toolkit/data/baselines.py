"""Persistence and linear AR on exactly the rows that the network is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.data.prepared import Prepared, forecast_rows, truth

ORDERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
RIDGE = 1e-6  # times the number of training rows: only against singular systems


@dataclass(frozen=True, slots=True, eq=False)
class LinearAR:
    """Target = `weights [targets, order * inputs + 1]` @ (last `order` normalised inputs, newest first; 1)."""

    order: int
    weights: np.ndarray

    def predict(self, prepared: Prepared, rows: np.ndarray) -> np.ndarray:
        """Raw forecasts made at `rows`. [n, targets]"""
        y = _regressors(prepared, rows, self.order) @ self.weights.T
        scalers = [prepared.scalers[k] for k in prepared.targets]
        return np.asarray(y * np.array([s.std for s in scalers]) + np.array([s.mean for s in scalers]))


def fit_linear_ar(prepared: Prepared, *, need: int) -> LinearAR:
    """Least squares on the training rows; the order (<= need) is the best on the validation rows."""
    train, val = (forecast_rows(prepared, split, need=need) for split in ("train", "val"))
    target = prepared.normalised(prepared.targets)[train + prepared.horizon]
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
    """{"persistence", "linear_ar"}: raw forecasts `[n, targets]` at `forecast_rows(prepared, split, need=need)`."""
    rows = forecast_rows(prepared, split, need=need)
    return {
        "persistence": np.asarray(prepared.values[rows][:, list(prepared.targets)]),
        "linear_ar": fit_linear_ar(prepared, need=need).predict(prepared, rows),
    }


def rmse(error: np.ndarray) -> float:
    """Root of the mean over all elements, from one sum."""
    return float(np.sqrt(np.square(error, dtype=np.float64).sum() / max(error.size, 1)))


def _regressors(prepared: Prepared, rows: np.ndarray, order: int) -> np.ndarray:
    """[n, order * inputs + 1]"""
    x = prepared.normalised(prepared.inputs)[rows[:, None] - np.arange(order)]
    return np.hstack([x.reshape(len(rows), -1), np.ones((len(rows), 1))])
