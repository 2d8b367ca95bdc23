"""What the network is fed, from its name in data.features; and the calendar, which the caller gives on a board."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from quantize import features
from quantize.features import LOG_DECIMALS, Feature
from quantize.network import Column
from toolkit.errors import ToolkitError, nearest

CALENDAR = {"day": 86400.0, "week": 7 * 86400.0, "year": 365.2425 * 86400.0}  # seconds
CALENDAR_DECIMALS = 4
_CALL = re.compile(r"(?P<column>.+)\.(?P<kind>[a-z_]+)\((?P<steps>[0-9]+)\)")


def parse(texts: Sequence[str], columns: Sequence[str], source: str) -> tuple[Feature, ...]:
    """ "close" or "close.log_return(5)" -> Feature, `source` its index in `columns`; no texts: every column as it is.

    Raises: ToolkitError naming the text that is none; `source` is what the message begins with."""
    made = []
    for text in texts or columns:
        if text in columns:
            made.append(Feature("value", columns.index(text), 0))
            continue
        call = _CALL.fullmatch(text)
        if call is None or call["column"] not in columns or call["kind"] not in features.KINDS[1:]:
            kinds = ", ".join(f"{k}(n)" for k in features.KINDS[1:])
            known = [*columns, *(f"{c}.{k}(1)" for c in columns for k in features.KINDS[1:])]
            raise ToolkitError(
                f'{source}: data.features: "{text}": expected an input ({", ".join(columns)}) or input.kind(n) with '
                f"one of {kinds}{nearest(text, known)}"
            )
        steps = int(call["steps"])
        if not 1 <= steps <= features.LONGEST:
            raise ToolkitError(f'{source}: data.features: "{text}": expected 1 .. {features.LONGEST} samples')
        made.append(Feature(call["kind"], columns.index(call["column"]), steps))
    return tuple(made)


def named(f: Feature, raw: Column) -> Column:
    """The feature as a column without scaler."""
    if f.kind == "value":
        return raw
    plain = f.kind in ("difference", "lag", "mean")
    unit, decimals = (raw.unit, raw.decimals) if plain else ("", LOG_DECIMALS)
    return Column(f"{raw.name}.{f.kind}({f.steps})", unit, decimals, 0.0, 1.0)


def check_fits(made: Sequence[Feature], raws: Sequence[Column], values: np.ndarray, source: str) -> None:
    """Raises ToolkitError at a sum that leaves int32, or the logarithm of a value that is not positive.

    values [rows, raws]."""
    for f in made:
        column, v = raws[f.source], values[:, f.source]
        reach = 4 * f.steps * float(np.abs(v).max()) * 10**column.decimals
        if f.kind == "mean" and reach >= 2**31:
            raise ToolkitError(
                f"{source}: data.features: {column.name}.mean({f.steps}): the sum of {f.steps} samples does not fit "
                f"int32; use fewer samples or a larger unit"
            )
        if f.kind == "log_return":
            check_positive(column.name, v, f"data.features: {column.name}.log_return", source)


def check_positive(name: str, values: np.ndarray, what: str, source: str) -> None:
    """Raises ToolkitError when a value has no logarithm."""
    bad = np.flatnonzero(values <= 0)
    if len(bad):
        raise ToolkitError(
            f"{source}: {what}: column {name} has {len(bad)} values of 0 or less (the first: {values[bad[0]]:g}), "
            f"which have no logarithm; use difference"
        )


def feature_values(
    made: Sequence[Feature], raws: Sequence[Column], inputs: Sequence[Column], values: np.ndarray
) -> np.ndarray:
    """A gap-free stretch of real raw values [time, raws] -> real features [time, inputs], by the C's own integers."""
    raw = np.floor(values * 10.0 ** np.array([c.decimals for c in raws]) + 0.5).astype(np.int64)
    return np.asarray(features.over(made, raw) / 10.0 ** np.array([c.decimals for c in inputs]))


def calendar(times: np.ndarray, which: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """times [rows], seconds since 1970 UTC -> (names, values [rows, 2 per cycle]): sin and cos of 2 pi t / cycle.

    Raises: ToolkitError for an unknown cycle."""
    names, parts = [], []
    for cycle in which:
        if cycle not in CALENDAR:
            raise ToolkitError(f'data.calendar: "{cycle}": expected one of {", ".join(CALENDAR)}')
        if f"{cycle}_sin" in names:
            raise ToolkitError(f'data.calendar: "{cycle}" is named twice')
        angle = 2 * np.pi * (times % CALENDAR[cycle]) / CALENDAR[cycle]
        names += [f"{cycle}_sin", f"{cycle}_cos"]
        parts += [np.round(np.sin(angle), CALENDAR_DECIMALS), np.round(np.cos(angle), CALENDAR_DECIMALS)]
    return names, np.stack(parts, 1) if parts else np.empty((len(times), 0))
