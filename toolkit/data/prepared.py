"""The prepared series: what every later stage reads from `data.safetensors`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from quantize.errors import QuantizeError
from quantize.network import Column, Network, read_file, write_file
from quantize.qnetwork import QNetwork
from toolkit.config import Data
from toolkit.data.csvfile import read_csv
from toolkit.data.demo import read_glucose
from toolkit.data.series import Series, to_series
from toolkit.errors import ToolkitError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A series with its gaps, splits and scalers.

    No window and no stateful run crosses a segment's start or an edge of a split, and neither does a target."""

    values: np.ndarray  # float64 [rows, columns], raw units
    times: np.ndarray  # int64 [rows], epoch seconds; row numbers when period is 0
    starts: np.ndarray  # int64 [segments], first row of each gap-free segment; the first is 0
    columns: tuple[str, ...]
    scalers: tuple[Column, ...]  # one per column, from the training rows only
    inputs: tuple[int, ...]  # column indexes
    targets: tuple[int, ...]
    train: tuple[int, int]  # row ranges, in time order
    val: tuple[int, int]
    test: tuple[int, int]
    horizon: int
    period: float  # seconds, 0 = unknown

    def normalised(self, indexes: tuple[int, ...]) -> np.ndarray:
        """float64 [rows, len(indexes)]: (value - mean) / std of these columns."""
        mean = np.array([self.scalers[k].mean for k in indexes])
        std = np.array([self.scalers[k].std for k in indexes])
        return np.asarray((self.values[:, list(indexes)] - mean) / std)


def prepare(data: Data, *, need: int, say: Callable[[str], None]) -> Prepared:
    """Reads the series of [data]; every split must hold a forecast after `need` samples.

    Raises: ToolkitError, one line, for whatever is wrong with the file."""
    if data.series:
        table, data = read_glucose(), _glucose(data)
    else:
        table = read_csv(data.path, delimiter=data.delimiter, header=data.header)
    inputs = data.inputs or tuple(n for n in table.names if n != data.date)
    targets = data.targets or inputs
    if not data.targets and len(inputs) > 1:
        raise ToolkitError(
            f"{table.source}: several inputs; set data.targets to one or more of: {', '.join(table.names)}"
        )
    columns = tuple(dict.fromkeys(inputs + targets))
    for name in data.units:
        table.column(name, key="data.units")
    series = to_series(table, data, columns, say=say)
    prepared = _split(series, data, inputs=inputs, targets=targets, source=table.source)
    for split in SPLITS:
        if not len(forecast_rows(prepared, split, need=need)):
            first, stop = getattr(prepared, split)
            longest = max((b - a for a, b in runs(prepared, split)), default=0)
            raise ToolkitError(
                f"{table.source}: too few rows: the {split} split has {stop - first} rows, its longest gap-free run "
                f"{longest}; expected at least {need + data.horizon} in a row (window or warm-up + horizon)"
            )
    return prepared


def _glucose(data: Data) -> Data:
    """[data] for the demo series: its date column, and its repeats dropped."""
    return replace(
        data,
        date="datetime",
        repeats="drop",
        inputs=data.inputs or ("glucose",),
        targets=data.targets or ("glucose",),
        units={"glucose": "mg/dL", "isig": "nA", **data.units},
    )


def _split(series: Series, data: Data, *, inputs: tuple[str, ...], targets: tuple[str, ...], source: str) -> Prepared:
    """Chronological split by rows, and a scaler per column from the training rows."""
    rows = len(series.values)
    first, second = round(rows * data.split[0]), round(rows * (data.split[0] + data.split[1]))
    scalers = []
    for k, name in enumerate(series.columns):
        known = series.values[:first, k]
        if not len(known) or known.max() == known.min():
            raise ToolkitError(
                f"{source}: column {name} is constant in the {first} training rows: nothing to learn; leave it out"
            )
        mean = round(float(known.mean()), series.decimals[k])
        scalers.append(Column(name, data.units.get(name, ""), series.decimals[k], mean, float(known.std())))
    return Prepared(
        series.values, series.times, series.starts, series.columns, tuple(scalers),
        tuple(series.columns.index(n) for n in inputs), tuple(series.columns.index(n) for n in targets),
        (0, first), (first, second), (second, rows), data.horizon, series.period,
    )  # fmt: skip


def runs(prepared: Prepared, split: str) -> list[tuple[int, int]]:
    """The gap-free row ranges (start, stop) inside one split, in time order."""
    first, stop = getattr(prepared, split)
    inner = prepared.starts[(prepared.starts > first) & (prepared.starts < stop)]
    edges = [first, *inner.tolist(), stop]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def forecast_rows(prepared: Prepared, split: str, *, need: int) -> np.ndarray:
    """Rows t of a forecast: t-need+1..t and the target t+horizon lie in one run of the split. [n] int64"""
    parts = [np.arange(a + need - 1, b - prepared.horizon) for a, b in runs(prepared, split)]
    return np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)


def truth(prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    """Raw target values `horizon` steps after each row. [n, targets]"""
    return np.asarray(prepared.values[rows + prepared.horizon][:, list(prepared.targets)])


def save_prepared(prepared: Prepared, path: str | Path) -> str:
    """Writes `data.safetensors`, whole or not at all. Returns the digest."""
    description = {f: getattr(prepared, f) for f in SCALARS}
    description["scalers"] = [asdict(c) for c in prepared.scalers]
    arrays = {"values": prepared.values, "times": prepared.times, "starts": prepared.starts}
    try:
        return write_file(path, "tealight-data", description, arrays)
    except QuantizeError as e:
        raise ToolkitError(str(e)) from None


SCALARS = ("columns", "inputs", "targets", *SPLITS, "horizon", "period")


def load_prepared(path: str | Path) -> Prepared:
    """Reads `data.safetensors`.

    Raises: ToolkitError when the file is missing, truncated, edited or of another kind."""
    try:
        d, arrays, _ = read_file(path, "tealight-data")
    except QuantizeError as e:
        raise ToolkitError(str(e)) from None
    for array in arrays.values():
        array.setflags(write=False)
    plain: dict[str, Any] = {f: tuple(d[f]) if isinstance(d[f], list) else d[f] for f in SCALARS} | arrays
    return Prepared(scalers=tuple(Column(**c) for c in d["scalers"]), **plain)


def check_series(prepared: Prepared, network: Network | QNetwork, run: Path) -> None:
    """Raises: ToolkitError when a run's series and its network are of two trainings."""
    found = [[prepared.columns[k] for k in side] for side in (prepared.inputs, prepared.targets)]
    wanted = [[c.name for c in side] for side in (network.inputs, network.outputs)]
    if found != wanted or prepared.horizon != network.horizon:
        raise ToolkitError(
            f"{run / 'data.safetensors'}: {found[0]} -> {found[1]}, {prepared.horizon} ahead; expected the network's "
            f"{wanted[0]} -> {wanted[1]}, {network.horizon} ahead; train again"
        )
