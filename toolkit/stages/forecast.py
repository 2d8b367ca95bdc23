"""The stage `forecast`: what comes next after a run's series, or after each line of standard input."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from quantize import oracle
from quantize.network import Network, load_network
from toolkit.boards import load_board
from toolkit.data.prepared import Prepared, load_prepared
from toolkit.data.series import plain_number
from toolkit.errors import ToolkitError, nearest, write_whole
from toolkit.host import HostModel, load_model
from toolkit.stages.engines import Engine, Floats, Integers
from toolkit.stages.firmware import Job, replay
from toolkit.stages.generate import load_current
from toolkit.vectors import PREDICT, RESET

HISTORY = 2000  # samples before the forecast that a stream is fed at most
KNOWN = ("float", "oracle", "host")


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """`values [rows, outputs]` for the times `steps` ahead of the last sample; a direct one has a row a horizon."""

    steps: list[int]
    times: list[int]
    values: np.ndarray
    recursive: bool


def forecast(run: Path, *, steps: int, target: str, say: Callable[[str], None], series: str = "") -> dict[str, Any]:
    """The next `steps` values after the run's series (0: as many as the network gives at once).

    series: which, of several; "": the last. Raises: ToolkitError where the network cannot: a recursive forecast needs
    one input, its own target."""
    network, prepared = load_network(run / "model.safetensors"), load_prepared(run / "data.safetensors")
    name, rows = end_of(prepared, series)
    if len(prepared.series) > 1 and not series:
        say(f"of {len(prepared.series)} series this is {name}, the last; --series takes {', '.join(prepared.series)}")
    history = prepared.values[max(rows.start, rows.stop - HISTORY) : rows.stop, : prepared.raws]
    if len(history) < network.warmup:
        raise ToolkitError(
            f"{f'{run}: {name}'.removesuffix(': ')}: {len(history)} samples since the last gap; the network needs "
            f"{network.warmup} before a forecast"
        )
    ahead = sorted({c.horizon for c in network.outputs})
    recursive = steps > 0 and not set(range(1, steps + 1)) <= set(ahead)
    if recursive:
        _check_recursive(network, prepared, steps, ahead)
    engine = _engine(run, network, prepared, target if target in KNOWN else "oracle")
    made, fed = _forecast(engine, network, prepared, rows, history, steps, ahead, recursive)
    if target not in KNOWN:
        _on_board(run, target, fed, say=say)
    return _as_json(network, prepared, rows, made, target) | {"series": name}


def end_of(prepared: Prepared, series: str) -> tuple[str, range]:
    """The name of a series ("": the last) and its rows since its last gap.

    Raises: ToolkitError when there is none of that name."""
    if series and series not in prepared.series:
        known = ", ".join(n for n in prepared.series if n)
        what = f"expected one of {known}{nearest(series, prepared.series)}" if known else "the run has one series only"
        raise ToolkitError(f'--series "{series}": {what}')
    names, firsts = list(prepared.series), [*prepared.series.values(), len(prepared.values)]
    k = names.index(series) if series else len(names) - 1
    stop = firsts[k + 1]
    return names[k], range(int(prepared.starts[prepared.starts < stop][-1]), stop)


def _check_recursive(network: Network, prepared: Prepared, steps: int, ahead: list[int]) -> None:
    one = prepared.raws == 1 and prepared.targets == (0,) and network.output == "value"
    if not one or 1 not in ahead:
        raise ToolkitError(
            f"--steps {steps}: the network forecasts {ahead} steps ahead; more needs its own forecasts as input: "
            f"one input that is the target, and a horizon of 1. Train with data.horizon = {list(range(1, steps + 1))}"
        )


def _engine(run: Path, network: Network, prepared: Prepared, target: str) -> Engine:
    if target == "float":
        return Floats(network, prepared)
    q = load_current(run)
    if target == "oracle":
        return Integers(oracle.Stream(q), q)
    model = load_model(run)
    assert isinstance(model, HostModel)  # an f32 folder would be another path
    return Integers(model, q)


def _forecast(
    engine: Engine,
    network: Network,
    prepared: Prepared,
    of: range,
    history: np.ndarray,
    steps: int,
    ahead: list[int],
    recursive: bool,
) -> tuple[Forecast, np.ndarray]:
    """The forecast, and all raw samples that the engine was fed."""
    for row in history:
        y = engine.feed(row)
    period = round(prepared.period) if prepared.period else 1
    last = int(prepared.times[of[-1]])
    if not recursive:
        wanted = [h for h in ahead if not steps or h <= steps]
        return Forecast(wanted, [last + h * period for h in wanted], y, False), history
    next_ = [c.horizon for c in network.outputs].index(1)
    rows, fed = [y[next_]], list(history)
    while len(rows) < steps:
        fed.append(np.array([rows[-1]]))
        rows.append(engine.feed(fed[-1])[next_])
    many = list(range(1, steps + 1))
    return Forecast(many, [last + h * period for h in many], np.array(rows)[:, None], True), np.array(fed)


def _on_board(run: Path, board: str, fed: np.ndarray, *, say: Callable[[str], None]) -> None:
    """The same samples through the emulated board, which must give the oracle's forecasts bit for bit."""
    q = load_current(run)
    ops = np.full(len(fed), PREDICT)
    ops[0] = RESET
    replay(Job(run, load_board(board), len(fed), under="forecast"), q, ops, oracle.to_raw(q.raws, fed), say=say)


def _as_json(network: Network, prepared: Prepared, of: range, made: Forecast, target: str) -> dict[str, Any]:
    dated, end = bool(prepared.period), int(prepared.times[of[-1]])
    names = _names(network) if not made.recursive else [prepared.columns[prepared.targets[0]].name]
    rows = []
    for k, (step, at) in enumerate(zip(made.steps, made.times, strict=True)):
        if made.recursive:
            values = made.values[k].tolist()
        else:
            values = [float(v) for v, c in zip(made.values, network.outputs, strict=True) if c.horizon == step]
        rows.append({"step": step, "time": _iso(at) if dated else at, "values": dict(zip(names, values, strict=True))})
    return {
        "name": network.name,
        "by": target,
        "recursive": made.recursive,
        "unit": prepared.columns[prepared.targets[0]].unit,
        "last": {"time": _iso(end) if dated else end}
        | {"values": {prepared.columns[k].name: float(prepared.values[of[-1], k]) for k in prepared.targets}},
        "rows": rows,
    }


def _names(network: Network) -> list[str]:
    """The output columns of one horizon."""
    first = network.outputs[0].horizon
    return [c.name for c in network.outputs if c.horizon == first]


def _iso(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def summary(result: dict[str, Any]) -> str:
    """The forecast as a table."""
    names = list(result["rows"][0]["values"])
    unit = f" {result['unit']}" if result["unit"] else ""
    last = ", ".join(f"{k} {v:g}{unit}" for k, v in result["last"]["values"].items())
    lines = [
        f"{result['series']} last sample {result['last']['time']}: {last}".lstrip(),
        f"{'ahead':>6}  {'time':<20}" + "".join(f"{n:>16}" for n in names),
    ]
    for row in result["rows"]:
        lines.append(f"{row['step']:>6}  {row['time']!s:<20}" + "".join(f"{v:>16.6g}" for v in row["values"].values()))
    how = "each from the forecast before it" if result["recursive"] else "direct"
    return "\n".join([*lines, f"{how}; computed by {result['by']}"])


def follow(run: Path, source: TextIO, *, target: str, answer: Callable[[str], None]) -> dict[str, Any]:
    """A raw sample a line (values with commas between them; an empty line: a lost sample) -> an answer a line, at once.

    The answer: the forecasts with commas between them, empty while the stream warms up. Returns lines and latencies.
    Raises: ToolkitError naming the line that is no sample."""
    network, prepared = load_network(run / "model.safetensors"), load_prepared(run / "data.safetensors")
    if target not in KNOWN:
        raise ToolkitError(f"--follow --target {target}: expected one of {', '.join(KNOWN)}")
    engine, taken = _engine(run, network, prepared, target), list[float]()
    for number, line in enumerate(_lines(source), 1):
        begun = time.perf_counter()
        sample = _sample(line, number, prepared)
        if sample is None and not taken:
            answer("")
            continue
        y = engine.feed(sample)
        taken.append(time.perf_counter() - begun)
        answer(",".join(f"{v:.9g}" for v in y) if engine.warmed_up else "")
    micro = np.array(taken or [0.0]) * 1e6
    return {"lines": len(taken), "median_us": float(np.median(micro)), "largest_us": float(micro.max()), "by": target}


def _lines(source: TextIO) -> Iterator[str]:
    while line := source.readline():  # an iterator over the file would wait for a block
        yield line.strip().removeprefix("\ufeff")  # PowerShell's pipes begin with one


def _sample(line: str, number: int, prepared: Prepared) -> np.ndarray | None:
    if not line:
        return None
    names = ", ".join(c.name for c in prepared.columns[: prepared.raws])
    values = np.array([plain_number(v) for v in line.split(",")])
    if len(values) != prepared.raws or not np.isfinite(values).all():
        raise ToolkitError(f'standard input, line {number}: "{line[:60]}": expected {prepared.raws} numbers: {names}')
    return values


def draw(result: dict[str, Any], prepared: Prepared, path: Path) -> None:
    """A PNG of the last samples and the forecast.

    Raises: ToolkitError without matplotlib, or when the file cannot be written."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ToolkitError("--png needs the package matplotlib: pip install matplotlib") from None
    k, rows, (_, of) = prepared.targets[0], result["rows"], end_of(prepared, result["series"])
    before = prepared.values[max(of.start, of.stop - max(48, 4 * len(rows))) : of.stop, k]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1 - len(before), 1), before, color="#333333", label=prepared.columns[k].name)
    for name in rows[0]["values"]:
        axes.plot(
            [r["step"] for r in rows], [r["values"][name] for r in rows], marker="o", ms=3, label=f"forecast {name}"
        )
    axes.set(xlabel="steps from the last sample", ylabel=result["unit"])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, format="png")
    write_whole(path, drawn.getvalue())


def check_series(run: Path) -> None:
    """Raises: ToolkitError when the run is an imported model, which has no series."""
    if (run / "model.safetensors").is_file() and not any(
        (run / f).exists() for f in ("data.safetensors", "config.toml")
    ):
        raise ToolkitError(f"{run}: an imported model has no series to forecast; expected a run of `train`")


def check_quantized(run: Path, target: str) -> None:
    """Raises: ToolkitError when an integer forecast is asked of a run that is not quantized."""
    if target != "float" and not (run / "model.q.safetensors").is_file():
        raise ToolkitError(f"{run}: not quantized yet; run `quantize {run}`, or forecast with --target float")
