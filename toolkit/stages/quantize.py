"""The stage `quantize`: model and data -> model.q.safetensors, quantize.json, forecast.safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quantize import features, oracle, ptq
from quantize.calibrate import float_run
from quantize.network import Network, load_network, network_digest, write_file
from quantize.qnetwork import QNetwork, save_qnetwork
from toolkit.data.baselines import baseline_predictions, error_of, rmse
from toolkit.data.prepared import Prepared, check_series, forecast_rows, in_raw, load_prepared, runs, truth
from toolkit.errors import write_whole
from toolkit.train.metrics import points, score

PIECES = (1024, 256, 64)  # rows of a calibration sequence, stateful mode: the longest that a run has room for
JUDGED = ("float", "quantized")
METHODS = ("persistence", "linear_ar", *JUDGED)
WINDOWS = 2000  # calibration windows at most, evenly spaced


def quantize(run: Path, options: ptq.Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Quantizes the model of a run and judges it on the test rows.

    Raises: QuantizeError or ToolkitError, one line, when a file is bad or the network does not fit."""
    network = load_network(run / "model.safetensors")
    prepared = load_prepared(run / "data.safetensors")
    check_series(prepared, network, run)
    source = network_digest(run / "model.safetensors")
    say("calibrating" + (" and refitting the head" if options.refit else "") + " on the training rows")
    q = ptq.quantize(network, calibration(prepared, network), options, source)
    say("running the integer oracle over the series")
    forecasts = test_forecasts(prepared, network, q)
    scores = _scores(prepared, network, forecasts)
    for name in JUDGED:
        forecasts[name] = points(prepared, forecasts[name], network.output, network.levels)
    result = _result(prepared, network, q, forecasts) | {"metrics": scores}
    q = save_qnetwork(q, run / "model.q.safetensors")
    result["model"]["sha256"] = q.digest
    arrays = {k: np.ascontiguousarray(v) for k, v in forecasts.items()}
    write_file(run / "forecast.safetensors", "tealight-forecast", {"unit": result["accuracy"]["unit"]}, arrays)
    write_whole(run / "quantize.json", json.dumps(result, indent=2) + "\n")
    return result


def calibration(prepared: Prepared, network: Network) -> list[np.ndarray]:
    """Raw input values of the training rows as batches [sequences, time, inputs] of equal length."""
    x = prepared.x
    if network.mode == "window":
        rows = forecast_rows(prepared, "train", need=network.window)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, WINDOWS).astype(int))]
        return [x[rows[:, None] + np.arange(1 - network.window, 1)]]
    shortest = network.warmup + 1
    batches: dict[int, list[np.ndarray]] = {}
    for start, stop in runs(prepared, "train"):
        length = next((n for n in PIECES if shortest <= n <= stop - start), 0)
        if not length and stop - start >= shortest:
            length = stop - start
        for at in range(start, stop - length + 1, length) if length else ():
            batches.setdefault(length, []).append(x[at : at + length])
        if length and (stop - start) % length:
            batches[length].append(x[stop - length : stop])  # the tail, with some rows twice
    return [np.stack(batch) for _, batch in sorted(batches.items())]


def test_forecasts(prepared: Prepared, network: Network, q: QNetwork) -> dict[str, np.ndarray]:
    """On the test rows, raw units [n, targets]: truth, persistence, linear_ar, float, quantized; rows, times [n]."""
    rows = forecast_rows(prepared, "test", need=network.warmup)
    out = {"rows": rows, "times": prepared.times[rows], "truth": truth(prepared, rows)}
    out |= baseline_predictions(prepared, need=network.warmup, split="test")
    out["float"] = in_raw(prepared, rows, over_runs(prepared, network, "test", float_forecast(network))[rows])
    out["quantized"] = undone(prepared, q, rows, over_runs(prepared, network, "test", integer_forecast(q))[rows])
    return out


def _scores(prepared: Prepared, network: Network, f: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The metrics of each target and horizon, of both networks beside all baselines."""
    told = {k: v for k, v in f.items() if k not in ("rows", "times", "truth")}
    return score(prepared, told, f["rows"], output=network.output, levels=network.levels, judged=JUDGED)


def undone(prepared: Prepared, q: QNetwork, rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Integer forecasts of differences or returns, as real numbers -> the raw values that `predict` makes of them."""
    if q.front is None or not q.front.bases:
        return y
    last = oracle.to_raw(q.forecasts, prepared.values[rows][:, list(q.front.bases)])
    return oracle.from_raw(q.forecasts, features.undo(q.front.target, last, oracle.to_raw(q.outputs, y)))


def float_forecast(network: Network) -> Callable[[np.ndarray], np.ndarray]:
    """Raw values [batch, time, inputs] -> raw forecasts [batch, time, outputs] of the float network from zero."""
    std, mean = (np.array([getattr(c, k) for c in network.outputs]) for k in ("std", "mean"))
    return lambda x: np.asarray(float_run(network, ptq.normalised(network.inputs, x)) * std + mean)


def integer_forecast(q: QNetwork) -> Callable[[np.ndarray], np.ndarray]:
    """The same of the integer network: what `predict` returns, divided by its decimals."""

    def forecast(x: np.ndarray) -> np.ndarray:
        y, _, _ = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, x)))
        return oracle.from_raw(q.outputs, oracle.scale_outputs(q, y))

    return forecast


def over_runs(
    prepared: Prepared, network: Network, split: str, forecast: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """[rows, outputs]: the forecast at each row of the split's runs, as the deployed mode makes it; NaN elsewhere."""
    x = prepared.x
    out = np.full((len(x), len(network.outputs)), np.nan)
    if network.mode == "window":
        rows = forecast_rows(prepared, split, need=network.window)
        for some in np.array_split(rows, max(1, len(rows) // 2000)):
            out[some] = forecast(x[some[:, None] + np.arange(1 - network.window, 1)])[:, -1]
        return out
    ranges = runs(prepared, split)
    longest = max(b - a for a, b in ranges)
    batch = np.broadcast_to([c.mean for c in network.inputs], (len(ranges), longest, x.shape[1])).copy()
    for k, (a, b) in enumerate(ranges):
        batch[k, : b - a] = x[a:b]
    y = forecast(batch)
    for k, (a, b) in enumerate(ranges):
        out[a:b] = y[k, : b - a]
    return out


def _result(prepared: Prepared, network: Network, q: QNetwork, f: dict[str, np.ndarray]) -> dict[str, Any]:
    error = {k: error_of(prepared, f[k], f["truth"]) for k in METHODS}
    scale = rmse(f["float"] - f["truth"]) or 1.0  # a float forecast without error: the differences themselves
    units = {c.unit for c in network.outputs}
    sample = calibration(prepared, network)[0][:64]
    return {
        "name": q.name,
        "accuracy": {
            **error,
            "ner": rmse(f["quantized"] - f["float"]) / scale,
            "rmse_ratio": rmse(f["quantized"] - f["truth"]) / scale if error["float"] else 1.0 + error["quantized"],
            "unit": units.pop() if len(units) == 1 else "",
            "forecasts": len(f["rows"]),
        },
        "drift": _drift(prepared, network, q, scale),
        "saturation": ptq.saturation(q, sample),
        "overflow": ptq.overflow_report(q),
        "model": {"source": q.source, "sha256": ""},
    }


def _drift(prepared: Prepared, network: Network, q: QNetwork, scale: float) -> dict[str, Any] | None:
    """How quantized and float part over the whole series, each gap-free run as one stream; None in window mode.

    `steps`: longest stream. `ner_by_quarter`: of the steps since the reset. `worst`: max |difference| / float RMSE."""
    if network.mode == "window":
        return None
    difference, age = [], []
    for split in ("train", "val", "test"):
        a = over_runs(prepared, network, split, integer_forecast(q))
        b = over_runs(prepared, network, split, float_forecast(network))
        for start, stop in runs(prepared, split):
            difference.append((a - b)[start:stop])
            age.append(np.arange(stop - start))
    d, since = np.concatenate(difference), np.concatenate(age)
    longest = int(since.max()) + 1
    quarters = [d[(since * 4) // longest == k] for k in range(4)]
    return {
        "steps": longest,
        "rows": len(d),
        "ner_by_quarter": [rmse(x) / scale if len(x) else 0.0 for x in quarters],
        "mean_by_quarter": [float(x.mean()) / scale if len(x) else 0.0 for x in quarters],
        "worst": float(np.abs(d).max()) / scale,
    }
