"""The skill of a network over the baselines, with its interval, over all targets and horizons and over several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quantize.network import Network, load_network
from toolkit.data.baselines import baseline_predictions
from toolkit.data.prepared import Prepared, load_prepared, truth
from toolkit.train import metrics
from toolkit.train.evaluate import evaluate_rows

Errors = dict[str, np.ndarray]


def errors_of(prepared: Prepared, forecasts: Mapping[str, np.ndarray], rows: np.ndarray) -> Errors:
    """Of point forecasts [n, targets * horizons] made at `rows`: the errors in time order; of classes 0 and 1."""
    true = truth(prepared, rows)
    return {k: (y != true).astype(float) if prepared.classes else y - true for k, y in forecasts.items()}


def skills(errors: Errors, prepared: Prepared) -> dict[str, dict[str, float]]:
    """Of "float" over every other: {"skill", "low", "high"} by the baseline's name."""
    ours = errors["float"]
    block, root = metrics.block_length(prepared, len(ours)), not prepared.classes
    return {
        name: metrics.skill_interval(ours, error, block=block, seed=0, root=root)
        for name, error in errors.items()
        if name != "float"
    }


def test_errors(prepared: Prepared, network: Network) -> Errors:
    """On the test rows: of the network ("float") and of the baselines."""
    rows, _, y = evaluate_rows(prepared, network)
    ours = metrics.points(prepared, y, network.output, network.levels)
    forecasts = baseline_predictions(prepared, need=network.warmup, split="test") | {"float": ours}
    return errors_of(prepared, forecasts, rows)


def pooled(runs: Sequence[Path]) -> tuple[dict[str, float], dict[str, dict[str, float]], int]:
    """(error of each forecast by name, skills, forecasts) over the test rows of all the runs, in their order."""
    prepared = [load_prepared(run / "data.safetensors") for run in runs]
    parts = [test_errors(p, load_network(run / "model.safetensors")) for p, run in zip(prepared, runs, strict=True)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    power = 1.0 if prepared[0].classes else 0.5
    means = {name: float(np.square(e).mean() ** power) for name, e in whole.items()}
    return means, skills(whole, prepared[0]), len(whole["float"])
