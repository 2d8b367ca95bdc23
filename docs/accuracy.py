"""Writes docs/accuracy.json and docs/accuracy.md: whether the integer arithmetic passes its gates on real series.

Run from the root: `OPENBLAS_NUM_THREADS=1 PYTHONPATH=. python docs/accuracy.py` (6 minutes). The page alone is made
from the saved numbers by `python docs/accuracy.py --page`."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from quantize import fixedpoint as fp
from quantize import oracle, ptq
from quantize.network import Network, load_network
from quantize.qnetwork import QNetwork
from toolkit.config import load_config
from toolkit.data.baselines import rmse
from toolkit.data.demo import read_demo
from toolkit.data.prepared import Prepared, load_prepared
from toolkit.presets import PRESETS
from toolkit.stages import quantize as stage
from toolkit.train import train

FOLDER = Path(__file__).resolve().parent
SERIES = ("glucose", "AAPL", "sea")
CELLS = {
    "LSTM": ("model.cell=lstm",),
    "GRU, reset after": ("model.cell=gru",),
    "GRU, reset before": ("model.cell=gru", "model.reset=before"),
}
SEEDS = (1, 2, 3)
BEYOND = (1.25, 1.5, 2.0)  # times the largest deviation from the mean in calibration
STEPS, QUARTERS, STREAMS = 10240, 4, 4
LEVELS, SETTLE, WATCH = 33, 7680, 512  # constant inputs; steps before and while the output is watched
STILL = 0.005  # output standard deviations: what a float network that has settled may still move

AAPL = """name = "aapl"
[data]
path = "aapl.csv"
inputs = ["log_return"]
units = {log_return = "%"}
horizon = 1
[model]
warmup = 20
[train]
epochs = 30
"""
SEA = """name = "sea"
[data]
path = "sea.csv"
date = "time"
missing = "drop"
repeats = "drop"
units = {temperature = "°C"}
horizon = 1
[model]
warmup = 48
[train]
epochs = 60
"""


def write_series(folder: Path) -> dict[str, Path]:
    """The run.toml of each series; AAPL and the sea as CSV files beside theirs."""
    sea, close = read_demo("sea_surface_temperature.csv.gz"), closes()
    lines = ["log_return", *(f"{100 * math.log(b / a):.4f}" for a, b in pairwise(close))]
    (folder / "aapl.csv").write_text("\n".join(lines))
    (folder / "sea.csv").write_text("\n".join(["time,temperature", *map(",".join, sea.rows)]))
    (folder / "aapl.toml").write_text(AAPL, "utf-8")
    (folder / "sea.toml").write_text(SEA, "utf-8")
    return {"glucose": PRESETS["glucose"], "AAPL": folder / "aapl.toml", "sea": folder / "sea.toml"}


def closes() -> list[float]:
    """AAPL's closes, adjusted for splits and dividends (the raw ones jump at a split)."""
    table = read_demo("stocks.csv.gz")
    ticker, price = table.names.index("Ticker"), table.names.index("Adj Close")
    return [float(row[price]) for row in table.rows if row[ticker] == "AAPL"]


def measure(path: Path, series: str, cell: str, seed: int) -> dict[str, Any]:
    """One model: trained, quantized with and without the refit of the head, and judged. Errors / the float RMSE."""
    config = load_config(path, sets=[*CELLS[cell], f"train.seed={seed}"], env={})
    with tempfile.TemporaryDirectory() as folder:
        scores = train(config, Path(folder), say=lambda _: None)["accuracy"]
        network = load_network(Path(folder) / "model.safetensors")
        prepared = load_prepared(Path(folder) / "data.safetensors")
    sequences = stage.calibration(prepared, network)
    plain, q = (ptq.quantize(network, sequences, ptq.Options(refit=r), "") for r in (False, True))
    row: dict[str, Any] = {"series": series, "cell": cell, "seed": seed, "unit": scores["unit"]}
    row |= {k: scores[k] for k in ("float", "persistence", "linear_ar", "forecasts")}
    row["frac"] = [x.params["frac"] for x in q.layers if "frac" in x.params]
    for name, one in (("ptq", plain), ("refit", q)):
        f = stage.test_forecasts(prepared, network, one)
        error = rmse(f["float"] - f["truth"])
        row[f"{name}_ner"] = rmse(f["quantized"] - f["float"]) / error
        row[f"{name}_rmse"] = rmse(f["quantized"] - f["truth"]) / error - 1
    if series == "AAPL":
        row["dollars"] = dollars(f)
    row |= beyond(prepared, network, q, scores["float"])
    row |= constant(prepared, network, q)
    return {k: _short(v) for k, v in row.items()}


def dollars(f: dict[str, np.ndarray]) -> dict[str, float]:
    """RMSE of the next close itself; its persistence is a return of 0."""
    close = np.array(closes())[1:]
    now, after = close[f["rows"]], close[f["rows"] + 1]
    forecasts = {"persistence": 0.0 * now, "float": f["float"][:, 0], "quantized": f["quantized"][:, 0]}
    return {k: rmse(now * np.exp(v / 100) - after) for k, v in forecasts.items()}


def calibrated(prepared: Prepared) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, least, largest) of each input over the training rows."""
    x = np.concatenate([prepared.x[a:b] for a, b in prepared.spans["train"]])
    return np.array([c.mean for c in prepared.inputs]), x.min(0), x.max(0)


def both(network: Network, q: QNetwork, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """raw [batch, time, inputs] -> (float, integer) outputs in output standard deviations, the integers' unrounded."""
    x = oracle.to_raw(q.inputs, raw)
    y, _, _ = oracle.run(q, oracle.quantize_inputs(q, x))
    std = np.array([c.std for c in network.outputs])
    mean = np.array([c.mean for c in network.outputs])
    offset = np.array([c.offset / 10**c.decimals for c in q.outputs])
    whole = (y * np.array([c.step for c in q.outputs]) + offset - mean) / std
    return (stage.float_forecast(network)(oracle.from_raw(q.inputs, x)) - mean) / std, whole


def beyond(prepared: Prepared, network: Network, q: QNetwork, scale: float) -> dict[str, Any]:
    """Endless streams of rows that calibration never saw, stretched about the mean to beyond its range.

    Four streams, each four times the same stretch of rows, forth and back: so without a trend every quarter errs alike.
    The warm-up is left out. `beyond_K`: largest |error|; `trend`: largest change of a quarter's mean error, at 1.25."""
    mean, low, high = calibrated(prepared)
    rows = prepared.x[prepared.spans["val"][0][0] :] - mean
    parts = [p[: STEPS // QUARTERS // 2] for p in np.array_split(rows, STREAMS)]
    top = np.abs(np.concatenate(parts)).max(0)
    paths = [np.resize(np.concatenate([p, p[::-1]]), (STEPS, rows.shape[1])) for p in parts]
    raw = np.stack([mean + p * (k * np.maximum(high - mean, mean - low) / top) for k in BEYOND for p in paths])
    real, whole = both(network, q, raw)
    error = (whole - real)[..., 0] * network.outputs[0].std / scale
    error[:, : network.warmup] = 0
    worst = np.abs(error).reshape(len(BEYOND), -1).max(1)
    quarter = error[:STREAMS].reshape(STREAMS, QUARTERS, -1).mean(2)
    out: dict[str, Any] = {f"beyond_{k}": float(v) for k, v in zip(BEYOND, worst, strict=True)}
    return out | {"steps": STEPS, "trend": float(np.abs(quarter - quarter[:, :1]).max())}


def constant(prepared: Prepared, network: Network, q: QNetwork) -> dict[str, Any]:
    """Levels across the calibrated range held for ever: how far the integers' output still swings, in output sd.

    Only levels at which the float network has settled: some float networks oscillate or creep on for ever."""
    _, low, high = calibrated(prepared)
    levels = low + np.linspace(0, 1, LEVELS)[:, None] * (high - low)
    swing = [
        np.ptp(v[:, SETTLE:], axis=1).max(1) for v in both(network, q, np.repeat(levels[:, None], SETTLE + WATCH, 1))
    ]
    settled = swing[0] < STILL
    return {"settled": int(settled.sum()), "cycle": float(swing[1][settled].max())}


@dataclass(frozen=True, slots=True)
class Gate:
    """`value(model) <= limit` must hold for every model of `series`. `missed`: why it does not, where it does not."""

    what: str
    limit: float
    value: Callable[[dict[str, Any]], float]
    series: tuple[str, ...]
    missed: str


GATES = (
    Gate("head refitted (the default): NER", 0.05, lambda m: m["refit_ner"], SERIES, ""),
    Gate("head refitted: change of the RMSE", 0.005, lambda m: abs(m["refit_rmse"]), SERIES, ""),
    Gate("plain PTQ: NER", 0.15, lambda m: m["ptq_ner"], ("glucose", "AAPL"), ""),
    Gate("plain PTQ: change of the RMSE", 0.015, lambda m: abs(m["ptq_rmse"]), ("glucose", "AAPL"), ""),
    Gate(
        "stream to 1.25 × the calibrated range: largest error / float RMSE",
        0.25,
        lambda m: m["beyond_1.25"],
        SERIES,
        "",
    ),
    Gate("the same stream: trend of the mean error / float RMSE", 0.01, lambda m: m["trend"], SERIES, ""),
    Gate("constant input: swing of the output / its standard deviation", 0.005, lambda m: m["cycle"], SERIES, ""),
)


def judged(models: Sequence[dict[str, Any]]) -> list[tuple[Gate, dict[str, Any], list[dict[str, Any]]]]:
    """(gate, the worst model, the models that miss it) of each gate."""
    out = []
    for gate in GATES:
        those = [m for m in models if m["series"] in gate.series]
        out.append((gate, max(those, key=gate.value), [m for m in those if gate.value(m) > gate.limit]))
    return out


def page(numbers: dict[str, Any]) -> str:
    """The page of the saved numbers."""
    models = numbers["models"]
    lines = [HEAD.format(count=len(models), **numbers)]
    for gate, worst, missing in judged(models):
        verdict = f"**missed** by {len(missing)}: {gate.missed}" if missing else "met"
        where = ", ".join(gate.series) if gate.series != SERIES else "all"
        lines.append(
            f"| {gate.what} | {where} | {gate.limit:g} | {gate.value(worst):.2g} ({_name(worst)}) | {verdict} |"
        )
    sea = [m for m in models if m["series"] == "sea"]
    lines.append(MIDDLE.format(sea=max(m["ptq_ner"] for m in sea), sea_rmse=max(abs(m["ptq_rmse"]) for m in sea)))
    lines += map(_line, models)
    apple = [m["dollars"] for m in models if m["series"] == "AAPL"]
    mean = {k: sum(d[k] for d in apple) / len(apple) for k in apple[0]}
    lines.append(TAIL.format(**mean))
    return "\n".join(lines)


def _line(m: dict[str, Any]) -> str:
    beyond = " / ".join(f"{m[f'beyond_{k}']:.2f}" for k in BEYOND)
    return (
        f"| {m['series']} | {m['cell']} | {m['seed']} | {m['float']:.4g} | {m['persistence']:.4g} "
        f"| {m['linear_ar']:.4g} | {m['ptq_ner']:.4f} | {m['ptq_rmse']:+.2%} | {m['refit_ner']:.4f} "
        f"| {m['refit_rmse']:+.2%} | {beyond} | {m['trend']:.4f} | {m['cycle']:.4f} ({m['settled']}) |"
    )


def _name(m: dict[str, Any]) -> str:
    return f"{m['series']}, {m['cell']}, seed {m['seed']}"


def _short(v: Any) -> Any:
    if isinstance(v, dict):
        return {k: _short(x) for k, x in v.items()}
    return float(f"{v:.4g}") if isinstance(v, float) else v


HEAD = """# Accuracy of arithmetic {arithmetic}, measured

Written by `docs/accuracy.py`; not by hand. {count} networks, trained from a run.toml by `toolkit train` and quantized
to `w8a16`: glucose 30 minutes ahead (2 layers of 32, mg/dL), AAPL's next log return (32 units, %, of adjusted closes)
and the sea's temperature 30 minutes ahead (32 units, °C, levels), each as LSTM and as GRU with either reset mode, from
three seeds. NER = RMS(integer forecast − float forecast) / float RMSE, on the test rows, as deployed.

## The gates
| gate | series | limit | worst | verdict |
|---|---|---|---|---|"""
MIDDLE = """
PTQ without the refit on the sea's levels is reported, not judged: NER up to {sea:.2f}, RMSE changed by up to
{sea_rmse:.1%}. A level's standard deviation is more than 100 times the RMSE there.

## Every model
Beyond: the largest |integer − float| / float RMSE in four endless streams of 10 240 steps, of validation and test rows
that are stretched about the mean until they reach 1.25 / 1.5 / 2 × the calibrated range. Only the first is a gate:
further out the float networks themselves turn jumpy. Trend: the largest change of the mean error from the first quarter
of a stream to a later one. Swing: of the last 512 of 8 192 steps of a constant input, in standard deviations of the
output; the worst of those of 33 levels (how many in brackets) at which the float network itself settles.

| series | cell | seed | float | persistence | linear AR | PTQ NER | RMSE | refit NER | RMSE | beyond | trend | swing |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""
TAIL = """
AAPL: no skill, before or after quantization. As the next close itself, in dollars: RMSE {float:.3f} float,
{quantized:.3f} quantized, {persistence:.3f} for the last close (means over the nine networks). The persistence in the
table is that of the returns.
"""


def main() -> None:
    """Measures everything, or with --page only writes the page again."""
    saved = FOLDER / "accuracy.json"
    if "--page" not in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_series(Path(folder))
            models = [measure(paths[s], s, c, seed) for s in SERIES for c in CELLS for seed in SEEDS]
        lines = ",\n".join(json.dumps(m, ensure_ascii=False) for m in models)
        saved.write_text(f'{{"arithmetic": {fp.ARITHMETIC}, "models": [\n{lines}\n]}}\n', "utf-8")
    (FOLDER / "accuracy.md").write_text(page(json.loads(saved.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
