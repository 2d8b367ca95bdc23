"""Float forecasts on a split as the deployed network would make them, and accuracy in raw units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantize.network import Column, Network
from toolkit.data.baselines import error_of, rmse
from toolkit.data.prepared import Prepared, forecast_rows, in_raw, pairs, runs, truth
from toolkit.nn.network import Stack, parameters, zero_states

CHUNK = 256  # time steps at once
WINDOWS = 1024  # windows at once


def evaluate_rows(
    prepared: Prepared, network: Network, *, split: str = "test"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows [n], truth [n, targets * horizons], float64 forecast [n, outputs]), raw units, on
    `forecast_rows(.., split, warmup)`; of classes the forecast is the logits.

    Stateful: each run is one stream from a zero state. Window: each window starts from a zero state."""
    rows = forecast_rows(prepared, split, need=network.warmup)
    x = prepared.normalised()
    windowed = network.mode == "window"
    y = _windows(network, x, rows) if windowed else _streams(network, x, runs(prepared, split))[rows]
    mean, std = (np.array([getattr(c, k) for c in network.outputs]) for k in ("mean", "std"))
    return rows, truth(prepared, rows), in_raw(prepared, rows, y * std + mean)


def _windows(network: Network, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[n, out] normalised"""
    p, y = parameters(network, np.float64), np.empty((len(rows), len(network.outputs)))
    for first in range(0, len(rows), WINDOWS):
        some = rows[first : first + WINDOWS]
        stack = Stack(p, network.window, len(some))
        batch = x[some[:, None] + np.arange(1 - network.window, 1)].transpose(1, 2, 0)
        y[first : first + WINDOWS] = stack.forward(p, batch, states=zero_states(p, len(some)), resets={}, outputs=1)[
            0
        ].T
    return y


def _streams(network: Network, x: np.ndarray, ranges: list[tuple[int, int]]) -> np.ndarray:
    """[rows, out] normalised, NaN outside the ranges; all ranges side by side, the longest first."""
    p, y = parameters(network, np.float64), np.full((len(x), len(network.outputs)), np.nan)
    ranges = sorted(ranges, key=lambda r: r[0] - r[1])
    states = zero_states(p, len(ranges))
    for t in range(0, ranges[0][1] - ranges[0][0], CHUNK):
        alive = [(a + t, min(a + t + CHUNK, b)) for a, b in ranges if b - a > t]
        batch = np.zeros((alive[0][1] - alive[0][0], x.shape[1], len(alive)))
        for k, (a, b) in enumerate(alive):
            batch[: b - a, :, k] = x[a:b]
        stack = Stack(p, len(batch), len(alive))
        states = [{k: v[:, : len(alive)] for k, v in s.items()} for s in states]
        out = stack.forward(p, batch, states=states, resets={}, outputs=len(batch))
        for k, (a, b) in enumerate(alive):
            y[a:b] = out[: b - a, :, k]
        states = stack.states()
    return y


def accuracy(prepared: Prepared, forecasts: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, object]:
    """RMSE in raw units (of classes the share of wrong labels) of each named forecast `[n, targets * horizons]` made at
    `rows`: over all targets, and per target and horizon."""
    true = truth(prepared, rows)
    columns = [replace(prepared.columns[k], horizon=h) for k, h in pairs(prepared)]
    out: dict[str, object] = {name: error_of(prepared, y, true) for name, y in forecasts.items()}
    out["unit"] = columns[0].unit if len({c.unit for c in columns}) == 1 else ""
    out["forecasts"] = len(rows)
    if len(columns) > 1:
        out["targets"] = {
            _label(prepared, c): {name: rmse(y[:, k] - true[:, k]) for name, y in forecasts.items()} | {"unit": c.unit}
            for k, c in enumerate(columns)
        }
    return out


def _label(prepared: Prepared, column: Column) -> str:
    """The target's name, with its horizon where there are several."""
    return column.name if len(prepared.horizons) == 1 else f"{column.name} +{column.horizon}"
