"""The prepared series: what every later stage reads from `data.safetensors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from quantize.errors import QuantizeError
from quantize.features import LOG_DECIMALS, Feature
from quantize.network import Column, Network, read_file, write_file
from quantize.qnetwork import QNetwork
from toolkit.config import Data
from toolkit.data import features
from toolkit.data.series import Series, fitting_decimals, to_series
from toolkit.data.sources import read_tables
from toolkit.errors import ToolkitError

SPLITS = ("train", "val", "test")
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One or more series, one after the other, with their gaps, splits, features and scalers.

    No window and no stateful run crosses a segment's start or an edge of a split, and neither does a target."""

    values: np.ndarray  # float64 [rows, columns]: raw values; the first `raws` columns are what the board is given
    x: np.ndarray  # float64 [rows, inputs]: what the network is fed, before its scalers
    times: np.ndarray  # int64 [rows], epoch seconds; row numbers when period is 0
    starts: np.ndarray  # int64 [segments], first row of each gap-free segment; the first is 0
    series: Mapping[str, int]  # name -> its first row
    columns: tuple[Column, ...]  # of values, with the scalers of the training rows
    raws: int
    features: tuple[Feature, ...]  # how x is made of the raw columns
    inputs: tuple[Column, ...]  # of x
    targets: tuple[int, ...]  # column indexes
    target: str  # what is learnt of them: a kind of quantize.features.TARGETS, or "class"
    horizons: tuple[int, ...]
    outputs: tuple[Column, ...]  # of what is learnt, target by target, horizon by horizon
    classes: tuple[int, ...]  # the labels of "class"
    spans: Mapping[str, Ranges]  # split -> row ranges, one of each series
    period: float  # seconds, 0 = unknown
    season: int  # samples, 0 = none

    @property
    def horizon(self) -> int:
        """The farthest."""
        return max(self.horizons)

    @property
    def learnt_columns(self) -> int:
        """Targets times horizons."""
        return len(self.targets) * len(self.horizons)

    def normalised(self) -> np.ndarray:
        """float64 [rows, inputs]: (x - mean) / std."""
        return np.asarray((self.x - [c.mean for c in self.inputs]) / [c.std for c in self.inputs])


def prepare(data: Data, *, need: int, say: Callable[[str], None]) -> Prepared:
    """Reads the series of [data]; every split must hold a forecast after `need` samples.

    Raises: ToolkitError, one line, for whatever is wrong with the files."""
    tables, data = read_tables(data)
    first = next(iter(tables.values()))
    inputs = data.inputs or tuple(n for n in first.names if n not in (data.date, data.series_column))
    targets = data.targets or inputs
    if not data.targets and len(inputs) > 1:
        raise ToolkitError(
            f"{first.source}: several inputs; set data.targets to one or more of: {', '.join(first.names)}"
        )
    names = tuple(dict.fromkeys(inputs + targets))
    for name in data.units:
        first.column(name, key="data.units")
    parts = {name: to_series(table, data, names, say=say) for name, table in tables.items()}
    source = first.source if len(tables) == 1 else data.path or data.series
    prepared = _joined(parts, data, inputs, targets, source)
    for split in SPLITS:
        if not len(forecast_rows(prepared, split, need=need)):
            rows = sum(b - a for a, b in prepared.spans[split])
            longest = max((b - a for a, b in runs(prepared, split)), default=0)
            raise ToolkitError(
                f"{source}: too few rows: the {split} split has {rows} rows, its longest gap-free run "
                f"{longest}; expected at least {need + prepared.horizon} in a row (window or warm-up + horizon)"
            )
    for name, count in short_series(prepared, need=need).items():
        say(
            f'{source}: series "{name}": no forecast in its {", ".join(count)} rows: expected at least '
            f"{need + prepared.horizon} in a row (window or warm-up + horizon); the other series have them"
        )
    return _with_outputs(prepared, need=need, source=source)


def short_series(prepared: Prepared, *, need: int) -> dict[str, list[str]]:
    """Of several series those that have no forecast in a split, with those splits."""
    found: dict[str, list[str]] = {}
    for split in SPLITS:
        rows = forecast_rows(prepared, split, need=need)
        for name, (a, b) in zip(prepared.series, prepared.spans[split], strict=True):
            if not ((rows >= a) & (rows < b)).any():
                found.setdefault(name, []).append(f"{b - a} {split}")
    return found


def _joined(
    parts: Mapping[str, Series], data: Data, inputs: tuple[str, ...], targets: tuple[str, ...], source: str
) -> Prepared:
    """All series in a row, each split by its own rows; scalers of raw columns and inputs from the training rows."""
    firsts = np.cumsum([0, *(len(s.values) for s in parts.values())]).tolist()
    times = np.concatenate([s.times for s in parts.values()])
    known = np.concatenate([s.values for s in parts.values()])
    extra, more = features.calendar(times, data.calendar)
    names = next(iter(parts.values())).columns
    for name in set(extra) & set(names):
        raise ToolkitError(
            f"{source}: column {name} and data.calendar have one name; rename the column, or leave one out"
        )
    names, values = (
        (*inputs, *extra, *names[len(inputs) :]),
        np.hstack([known[:, : len(inputs)], more, known[:, len(inputs) :]]),
    )
    digits = [max(s.decimals[k] for s in parts.values()) for k in range(known.shape[1])]
    decimals = [min(d, fitting_decimals(known[:, k])) for k, d in enumerate(digits)]
    decimals[len(inputs) : len(inputs)] = [features.CALENDAR_DECIMALS] * len(extra)
    spans = _spans(firsts, data.split)
    train = np.concatenate([np.arange(a, b) for a, b in spans["train"]])
    columns = tuple(
        _scaled(Column(n, data.units.get(n, ""), d, 0.0, 1.0), values[train, k], source)
        for k, (n, d) in enumerate(zip(names, decimals, strict=True))
    )
    made = features.parse(data.features, names[: len(inputs) + len(extra)], source)
    features.check_fits(made, columns, values, source)
    starts = np.concatenate([s.starts + at for s, at in zip(parts.values(), firsts, strict=False)])
    prepared = Prepared(
        values=values,
        x=np.empty((len(values), len(made))),
        times=times,
        starts=starts,
        series=MappingProxyType(dict(zip(parts, firsts, strict=False))),
        columns=columns,
        raws=len(inputs) + len(extra),
        features=made,
        inputs=tuple(features.named(f, columns[f.source]) for f in made),
        targets=tuple(names.index(n) for n in targets),
        target=data.target,
        horizons=data.horizon,
        outputs=(),
        classes=(),
        spans=MappingProxyType(spans),
        period=_one_period(parts),
        season=data.season,
    )
    _fill_features(prepared)
    scaled = (_scaled(c, prepared.x[train, j], source) for j, c in enumerate(prepared.inputs))
    return replace(prepared, inputs=tuple(scaled))


def _one_period(parts: Mapping[str, Series]) -> float:
    """Of the series with two rows or more: one row has none."""
    periods = {name: s.period for name, s in parts.items() if len(s.times) > 1} or {"": 0.0}
    first = next(iter(periods))
    for name, period in periods.items():
        if abs(period - periods[first]) > 0.01 * periods[first]:
            raise ToolkitError(
                f'series "{name}": a sample every {period:g} s; "{first}" has one every {periods[first]:g} s: '
                f"one model needs one period; leave a series out with data.only, or set data.period"
            )
    return periods[first]


def _spans(firsts: Sequence[int], shares: Sequence[float]) -> dict[str, Ranges]:
    """Chronological, each series by itself; a fourth share lies in no split."""
    ends = np.cumsum([0.0, *shares])
    edges = [[a + round(round((b - a) * float(e), 6)) for e in ends] for a, b in pairwise(firsts)]
    return {name: tuple((e[k], e[k + 1]) for e in edges) for k, name in enumerate(SPLITS)}


def _scaled(column: Column, known: np.ndarray, source: str) -> Column:
    """The column with mean and standard deviation of its training rows."""
    if not len(known) or known.max() == known.min():
        raise ToolkitError(
            f"{source}: column {column.name} is constant in the {len(known)} training rows: nothing to learn; "
            f"leave it out"
        )
    return replace(column, mean=round(float(known.mean()), column.decimals), std=float(known.std()))


def _fill_features(prepared: Prepared) -> None:
    """x, each run of a split by itself, as a stream that begins there computes it."""
    plain = all(f.kind == "value" for f in prepared.features)
    raws = prepared.columns[: prepared.raws]
    for a, b in (r for split in SPLITS for r in runs(prepared, split)):
        part = prepared.values[a:b, : prepared.raws]
        taken = part[:, [f.source for f in prepared.features]]
        prepared.x[a:b] = taken if plain else features.feature_values(prepared.features, raws, prepared.inputs, part)


def _with_outputs(prepared: Prepared, *, need: int, source: str) -> Prepared:
    """With the columns of what is learnt, their scalers from the training forecasts; classes checked."""
    if prepared.target == "class":
        return _with_classes(prepared, source)
    for k in prepared.targets:
        if prepared.target != "level" and k >= prepared.raws:
            raise ToolkitError(
                f'{source}: data.target = "{prepared.target}" of {prepared.columns[k].name}: it must be an input, too: '
                f"the forecast is made from its last value"
            )
        if prepared.target == "log_return":
            features.check_positive(prepared.columns[k].name, prepared.values[:, k], "data.target", source)
    columns = []
    y = learnt(prepared, forecast_rows(prepared, "train", need=need))
    for j, (k, horizon) in enumerate(pairs(prepared)):
        c = replace(prepared.columns[k], horizon=horizon)
        if prepared.target == "log_return":
            c = replace(c, unit="", decimals=LOG_DECIMALS)
        columns.append(c if prepared.target == "level" else _scaled(c, y[:, j], source))
    return replace(prepared, outputs=tuple(columns))


def _with_classes(prepared: Prepared, source: str) -> Prepared:
    """Labels are whole numbers, and those of the other splits occur in training."""
    if len(prepared.targets) != 1 or len(prepared.horizons) != 1:
        raise ToolkitError(f'{source}: data.target = "class": expected one target and one horizon')
    column = prepared.columns[prepared.targets[0]]
    labels = {s: set(learnt(prepared, forecast_rows(prepared, s, need=1))[:, 0].tolist()) for s in SPLITS}
    odd = [v for v in sorted(set().union(*labels.values())) if v != int(v)]
    if odd:
        raise ToolkitError(f"{source}: column {column.name}: class {odd[0]:g}: expected whole numbers")
    classes = tuple(sorted(int(v) for v in labels["train"]))
    missing = sorted({int(v) for s in ("val", "test") for v in labels[s]} - set(classes))
    if missing:
        raise ToolkitError(
            f"{source}: column {column.name}: class {missing[0]} occurs in validation or test, but not in training; "
            f"change data.split or leave those rows out"
        )
    output = replace(column, unit="", decimals=0, mean=0.0, std=1.0, horizon=prepared.horizons[0])
    return replace(prepared, outputs=(output,), classes=classes)


def pairs(prepared: Prepared) -> list[tuple[int, int]]:
    """(target column, steps ahead) of each thing that is learnt."""
    return [(k, h) for k in prepared.targets for h in prepared.horizons]


def runs(prepared: Prepared, split: str) -> list[tuple[int, int]]:
    """The gap-free row ranges (start, stop) inside one split, in order."""
    found = []
    for first, stop in prepared.spans[split]:
        inner = prepared.starts[(prepared.starts > first) & (prepared.starts < stop)]
        found += [(a, b) for a, b in pairwise([first, *inner.tolist(), stop]) if b > a]
    return found


def forecast_rows(prepared: Prepared, split: str, *, need: int) -> np.ndarray:
    """Rows t of a forecast: t-need+1..t and all targets, to t+horizon, lie in one run of the split. [n] int64"""
    parts = [np.arange(a + need - 1, b - prepared.horizon) for a, b in runs(prepared, split)]
    return np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)


def truth(prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    """Raw values that the forecasts made at `rows` are for. [n, targets * horizons]"""
    return np.stack([prepared.values[rows + h, k] for k, h in pairs(prepared)], -1)


def last_values(prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    """Raw values at `rows`, in the same columns."""
    return np.stack([prepared.values[rows, k] for k, _ in pairs(prepared)], -1)


def learnt(prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    """What the network learns at `rows`: the value, its difference or its log return. [n, targets * horizons]"""
    after = truth(prepared, rows)
    if prepared.target == "difference":
        return np.asarray(after - last_values(prepared, rows))
    return np.log(after / last_values(prepared, rows)) if prepared.target == "log_return" else after


def in_raw(prepared: Prepared, rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What was learnt -> raw values: y [n, outputs], one or more levels of each target and horizon."""
    if prepared.target not in ("difference", "log_return"):
        return y
    last = np.repeat(last_values(prepared, rows), y.shape[1] // len(pairs(prepared)), axis=1)
    return last + y if prepared.target == "difference" else last * np.exp(y)


def save_prepared(prepared: Prepared, path: str | Path) -> str:
    """Writes `data.safetensors`, whole or not at all. Returns the digest."""
    description = {f: getattr(prepared, f) for f in SCALARS}
    description |= {side: [asdict(c) for c in getattr(prepared, side)] for side in DATACLASSES}
    description |= {"series": dict(prepared.series), "spans": dict(prepared.spans)}
    arrays = {k: getattr(prepared, k) for k in ("values", "x", "times", "starts")}
    try:
        return write_file(path, "tealight-data", description, arrays)
    except QuantizeError as e:
        raise ToolkitError(str(e)) from None


SCALARS = ("raws", "targets", "target", "horizons", "classes", "period", "season")
DATACLASSES: dict[str, type] = {"columns": Column, "features": Feature, "inputs": Column, "outputs": Column}


def load_prepared(path: str | Path) -> Prepared:
    """Reads `data.safetensors`.

    Raises: ToolkitError when the file is missing, truncated, edited or of another kind."""
    try:
        d, arrays, _ = read_file(path, "tealight-data")
    except QuantizeError as e:
        raise ToolkitError(str(e)) from None
    if "x" not in arrays:
        raise ToolkitError(f"{path}: of an earlier version (no `x`); train again")
    for array in arrays.values():
        array.setflags(write=False)
    plain: dict[str, Any] = {f: tuple(d[f]) if isinstance(d[f], list) else d[f] for f in SCALARS} | arrays
    plain |= {side: tuple(kind(**c) for c in d[side]) for side, kind in DATACLASSES.items()}
    spans = {split: tuple((a, b) for a, b in ranges) for split, ranges in d["spans"].items()}
    return Prepared(series=MappingProxyType(d["series"]), spans=MappingProxyType(spans), **plain)


def check_series(prepared: Prepared, network: Network | QNetwork, run: Path) -> None:
    """Raises: ToolkitError when a run's series and its network are of two trainings."""

    inputs, fed = ([c.name for c in n.inputs] for n in (prepared, network))
    ahead, told = (", ".join(str(h) for h in sorted({c.horizon for c in n.outputs})) for n in (prepared, network))
    targets = [prepared.columns[k].name for k in prepared.targets]
    named = all(c.name.startswith(tuple(targets)) for c in network.outputs)  # a quantile's name goes on
    if inputs != fed or ahead != told or not named:
        raise ToolkitError(
            f"{run / 'data.safetensors'}: {', '.join(inputs)} -> {', '.join(targets)}, {ahead} ahead; expected the "
            f"network's {', '.join(fed)} -> {', '.join(c.name for c in network.outputs)}, {told} ahead; train again"
        )
