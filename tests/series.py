"""A Prepared series from plain numbers, for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from quantize.features import Feature
from quantize.network import Column
from toolkit.data.prepared import Prepared


def plain_series(
    values: np.ndarray,
    columns: Sequence[Column],
    *,
    starts: Sequence[int],
    horizons: Sequence[int],
    edges: tuple[int, int],
    target: int = 0,
) -> Prepared:
    """Every column is an input as it is; `edges`: the first rows of validation and test."""
    rows, (first, second) = len(values), edges
    spans = {"train": ((0, first),), "val": ((first, second),), "test": ((second, rows),)}
    return Prepared(
        values=values,
        x=values,
        times=np.arange(rows),
        starts=np.array([0, *starts], np.int64),
        series=MappingProxyType({"": 0}),
        columns=tuple(columns),
        raws=len(columns),
        features=tuple(Feature("value", k, 0) for k in range(len(columns))),
        inputs=tuple(columns),
        targets=(target,),
        target="level",
        horizons=tuple(horizons),
        outputs=tuple(replace(columns[target], horizon=h) for h in horizons),
        classes=(),
        spans=MappingProxyType(spans),
        period=0.0,
        season=0,
    )
