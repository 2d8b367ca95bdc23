"""A series ready for a model of one mode, and its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.config import Data

if TYPE_CHECKING:  # toolkit.train imports toolkit.nn
    from toolkit.data.prepared import Prepared
    from toolkit.train.backends import Batch


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """`mode` "window": forecasts from `need` samples each; "stateful": from one stream, after a warm-up of `need`."""

    prepared: Prepared
    mode: str
    need: int


def load_dataset(data: Data, *, mode: str, need: int, say: Callable[[str], None] = lambda line: None) -> Dataset:
    """Reads the series of [data]: `load_dataset(Data(path="prices.csv"), mode="window", need=30)`.

    Raises: ToolkitError, one line, for whatever is wrong with the files."""
    from toolkit.data.prepared import prepare

    return Dataset(prepare(data, need=need, say=say), mode, need)


def batches(data: Dataset, *, batch: int, steps: int, rng: np.random.Generator, every: bool = False) -> Iterator[Batch]:
    """One epoch over the training split: windows in random order, or `batch` streams, `steps` steps at a time.

    `every`: each step of a window is learnt from, for a model with head = "all"."""
    from toolkit.train.batches import shuffled_windows, split_rows, stream_count, streams

    rows = split_rows(data.prepared, "train", need=data.need)
    if data.mode == "window":
        return shuffled_windows(rows, window=data.need, batch=batch, rng=rng, every=every)
    count = stream_count(rows, warmup=data.need, batch=batch, steps=steps)
    return streams(rows, warmup=data.need, count=count, steps=steps, rng=rng)


def judged(data: Dataset, split: str) -> list[Batch]:
    """Every forecast of a split ("val", "test", "train") once, for `evaluate`."""
    from toolkit.train.batches import split_rows, validation_pieces, validation_windows

    rows = split_rows(data.prepared, split, need=data.need)
    return validation_windows(rows, data.need) if data.mode == "window" else validation_pieces(rows, warmup=data.need)
