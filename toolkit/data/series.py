"""From text columns to numbers on a time axis, cut into gap-free segments."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np

from toolkit.config import Data
from toolkit.data.csvfile import Table
from toolkit.errors import ToolkitError

MAX_DECIMALS = 6
HEADROOM = (
    4  # times the largest value seen still fits int32, and times the spread 2**30: quantize.qnetwork.quantize_input
)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """`values [rows, columns]`, `times [rows]`, `starts [segments]`: the first row of each gap-free segment."""

    columns: tuple[str, ...]
    decimals: tuple[int, ...]
    values: np.ndarray
    times: np.ndarray  # int64 epoch seconds, or row numbers when there is no date column
    starts: np.ndarray
    period: float  # seconds, 0 without a date column


def to_series(table: Table, data: Data, columns: tuple[str, ...], *, say: Callable[[str], None]) -> Series:
    """Parses `columns`, applies data.missing and data.repeats, and finds the gaps.

    Raises: ToolkitError naming row and column of the first value, date or spacing that is not allowed."""
    texts = [table.column(name, key="data.inputs or data.targets") for name in columns]
    values = np.array([[plain_number(cell) for cell in cells] for cells in texts], np.float64).T
    times = np.array(_times(table, data), np.int64)
    source_row = np.arange(len(values))
    values, keep = _bad_values(values, table, data, columns, say=say)
    broken = _after_hole(keep)
    values, times, source_row, broken = values[keep], times[keep], source_row[keep], broken[keep]
    period = 1.0
    if data.date:
        period = data.period or _period(times, table)
        keep = _repeats(times, period, table, data, source_row, say=say)
        broken = np.logical_or.reduceat(broken, np.flatnonzero(keep))
        values, times = values[keep], times[keep]
        broken[1:] |= data.gaps & (np.diff(times) > (1 + data.tolerance) * period)
    broken[0] = True
    starts = np.flatnonzero(broken).astype(np.int64)
    if len(starts) > 1:
        say(f"{table.source}: {len(values)} rows in {len(starts)} gap-free segments")
    decimals = tuple(_decimals(name, texts[k], values[:, k], table.source, say=say) for k, name in enumerate(columns))
    return Series(columns, decimals, values, times, starts, period if data.date else 0.0)


def plain_number(cell: str) -> float:
    """The value of a text, NaN when it is no finite number in plain digits: Python also takes 1_000 and ١٢."""
    try:
        value = float(cell) if "_" not in cell and cell.isascii() else math.nan
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _bad_values(
    values: np.ndarray, table: Table, data: Data, columns: tuple[str, ...], *, say: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray]:
    """(values, keep [rows]): bad values refused, filled, or their rows marked for removal."""
    bad = np.isnan(values)
    if not bad.any():
        return values, np.ones(len(values), bool)
    row, column = (int(i[0]) for i in np.nonzero(bad))
    if data.missing == "error":
        cell = table.rows[row][table.names.index(columns[column])]
        wanted = "a number with a decimal point" if "," in cell else "a number"
        raise ToolkitError(
            f"{table.source}: row {table.lines[row]}, column {columns[column]}: "
            f"{'empty' if not cell else repr(cell)}: expected {wanted}; --missing drop|interpolate goes on "
            f"({int(bad.any(axis=1).sum())} such rows)"
        )
    filled = 0
    if data.missing == "interpolate":
        values = values.copy()
        for k in range(values.shape[1]):
            filled += _fill(values[:, k], data.max_fill)
    left = np.isnan(values).any(axis=1)
    say(f"{table.source}: {filled} values interpolated, {int(left.sum())} rows with a bad value dropped (each a gap)")
    if left.all():
        raise ToolkitError(f"{table.source}: no row has a number in every column of {', '.join(columns)}")
    return values, ~left


def _fill(column: np.ndarray, longest: int) -> int:
    """Fills runs of at most `longest` NaNs between two numbers linearly, in place. Returns how many."""
    edges = np.flatnonzero(np.diff(np.r_[False, np.isnan(column), False].astype(np.int8)))
    count = 0
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        if first > 0 and stop < len(column) and stop - first <= longest:
            column[first:stop] = np.linspace(column[first - 1], column[stop], stop - first + 2)[1:-1]
            count += int(stop - first)
    return count


def _after_hole(keep: np.ndarray) -> np.ndarray:
    """True on each row whose predecessor is not kept."""
    return np.concatenate([[False], ~keep[:-1]])


def _times(table: Table, data: Data) -> list[int]:
    """Epoch seconds of each row (dates without a zone are read as UTC), or row numbers."""
    if not data.date:
        return list(range(len(table.rows)))
    cells = table.column(data.date, key="data.date")
    out = []
    for k, cell in enumerate(cells):
        try:
            out.append(_epoch(cell, data.date_format))
        except ValueError:
            wanted = "an ISO 8601 date or epoch seconds" if data.date_format == "auto" else repr(data.date_format)
            raise ToolkitError(
                f"{table.source}: row {table.lines[k]}, column {data.date}: {cell!r}: expected {wanted}; "
                "set data.date_format (strptime)"
            ) from None
    return out


def _epoch(cell: str, form: str) -> int:
    if form != "auto":
        date = datetime.datetime.strptime(cell, form)
    elif cell.replace(".", "", 1).lstrip("-").isdecimal():
        return round(float(cell))
    else:
        date = datetime.datetime.fromisoformat(cell[:-1] + "+00:00" if cell.endswith(("Z", "z")) else cell)
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.timezone.utc)
    return round(date.timestamp())


def _period(times: np.ndarray, table: Table) -> float:
    """The median spacing in seconds."""
    period = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    if period <= 0:
        raise ToolkitError(
            f"{table.source}: the median spacing of the dates is {period:g} s; expected rows in time order"
        )
    return period


def _repeats(
    times: np.ndarray, period: float, table: Table, data: Data, source_row: np.ndarray, *, say: Callable[[str], None]
) -> np.ndarray:
    """keep [rows]: False for a row that comes too soon after the last one kept.

    Raises: ToolkitError for a time that goes backward, and for such rows when data.repeats = "error"."""
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        row = table.lines[source_row[back[0] + 1]]
        raise ToolkitError(
            f"{table.source}: row {row}: the date goes backward ({len(back)} times); sort the file by date"
        )
    keep = np.ones(len(times), bool)
    last = -math.inf
    soonest = (1 - data.tolerance) * period
    for k, time in enumerate(times.tolist()):
        keep[k] = time - last >= soonest
        last = time if keep[k] else last
    dropped = np.flatnonzero(~keep)
    if len(dropped) and data.repeats == "error":
        raise ToolkitError(
            f"{table.source}: row {table.lines[source_row[dropped[0]]]}: less than {soonest:g} s after the row before "
            f"({len(dropped)} such rows, period {period:g} s); data.repeats=drop keeps the first of them"
        )
    if len(dropped):
        say(f"{table.source}: {len(dropped)} rows dropped: repeats, less than {soonest:g} s after the row before")
    return keep


def fitting_decimals(values: np.ndarray) -> int:
    """How many digits after the point int32 has room for; below 0: not even the whole numbers."""
    largest = max(float(np.abs(values).max()), 2 * float(np.ptp(values)), 1e-9)
    return math.floor(math.log10(2**31 / (HEADROOM * largest)))


def _decimals(name: str, cells: list[str], values: np.ndarray, source: str, *, say: Callable[[str], None]) -> int:
    """Most digits after the point in the text, at most 6, and few enough for int32."""
    digits = 0
    for cell in set(cells):
        try:
            exponent = Decimal(cell).as_tuple().exponent
        except InvalidOperation:
            continue
        digits = max(digits, -exponent if isinstance(exponent, int) else 0)
    limit = fitting_decimals(values)
    if limit < 0:
        raise ToolkitError(
            f"{source}: column {name}: values up to {np.abs(values).max():g} do not fit int32; use a larger unit"
        )
    good = min(digits, MAX_DECIMALS, limit)
    if good < digits:
        say(f"column {name}: {digits} decimals in the data, {good} in the fixed-point API")
    return good
