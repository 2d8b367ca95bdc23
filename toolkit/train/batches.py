"""Batches from a prepared series: shuffled windows, or streams that run side by side with carried state."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from toolkit.data.prepared import Prepared, forecast_rows, learnt, runs
from toolkit.train.backends import Batch

PIECE = 512  # stateful validation: forecasts per sequence; longer runs are cut, each piece with its own warm-up
TOGETHER = 256  # sequences in one validation batch


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One split as the trainer needs it: all the rows of the series, float32, normalised."""

    x: np.ndarray  # [rows, in]
    target: np.ndarray  # [rows, out]: what is learnt there; 0 where it is not known
    start: np.ndarray  # bool [rows]: first row of a run
    counts: np.ndarray  # bool [rows]: the target lies in the same run of the split
    order: np.ndarray  # int64: the rows of the split, series by series
    forecasts: np.ndarray  # int64: rows with enough samples before them and a target
    runs: list[tuple[int, int]]


def split_rows(prepared: Prepared, split: str, *, need: int) -> Rows:
    """The rows of one split; `need` = warm-up or window."""
    rows = len(prepared.values)
    start, counts = np.zeros(rows, bool), np.zeros(rows, bool)
    parts = runs(prepared, split)
    for a, b in parts:
        start[a] = True
        counts[a : max(a, b - prepared.horizon)] = True
    target = np.zeros((rows, prepared.learnt_columns), np.float32)
    target[counts] = normalised_targets(prepared, np.flatnonzero(counts))
    x = prepared.normalised().astype(np.float32)
    order = np.concatenate([np.arange(a, b) for a, b in prepared.spans[split]])
    return Rows(x, target, start, counts, order, forecast_rows(prepared, split, need=need), parts)


def normalised_targets(prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    """What is learnt at `rows`, normalised; of classes the index of the label. [n, targets * horizons]"""
    y = learnt(prepared, rows)
    if prepared.classes:
        return np.searchsorted(prepared.classes, y)
    return np.asarray((y - [c.mean for c in prepared.outputs]) / [c.std for c in prepared.outputs])


def windows(r: Rows, rows: np.ndarray, window: int) -> Batch:
    """The windows that end at `rows`, with the head at the last step."""
    x = r.x[rows[:, None] + np.arange(1 - window, 1)]
    ones = np.ones((len(rows), 1), np.float32)
    return Batch(x, r.target[rows][:, None], ones, np.zeros(x.shape[:2], bool), False)


def shuffled_windows(
    r: Rows, *, window: int, batch: int, rng: np.random.Generator, every: bool = False
) -> Iterator[Batch]:
    """Every window of the split once, in random order. `every`: each step is learnt from, not only the last."""
    order = rng.permutation(r.forecasts)
    for first in range(0, len(order), batch):
        some = order[first : first + batch]
        one = windows(r, some, window)
        if every:
            rows = some[:, None] + np.arange(1 - window, 1)
            one = replace(one, target=r.target[rows], weight=r.counts[rows].astype(np.float32))
        yield one


def window_batches(r: Rows, batch: int) -> int:
    """How many batches `shuffled_windows` gives."""
    return -(-len(r.forecasts) // batch)


def stream_count(r: Rows, *, warmup: int, batch: int, steps: int) -> int:
    """How many streams run side by side: `batch`, or fewer so that each is long against its warm-up."""
    return min(batch, max(1, len(r.order) // max(steps, 4 * warmup)))


def stream_batches(r: Rows, count: int, steps: int) -> int:
    """How many batches `streams` gives."""
    length = len(r.order) // count
    return length // min(steps, length)


def prefetched(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each made in another thread while the one before is learnt from."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def streams(r: Rows, *, warmup: int, count: int, steps: int, rng: np.random.Generator) -> Iterator[Batch]:
    """The split cut into `count` equal streams at a random rotation; a batch is the next `steps` steps of each.

    A stream is reset where a run starts; the first `warmup - 1` steps after a reset do not count."""
    length = len(r.order) // count
    steps = min(steps, length)
    shifted = rng.integers(len(r.order)) + np.arange(count * length).reshape(count, length)
    rows = r.order[shifted % len(r.order)]
    reset = r.start[rows]
    reset[:, 0] = True
    weight = (r.counts[rows] & (_age(reset) >= warmup)).astype(np.float32)
    for t in range(0, length - steps + 1, steps):
        now = slice(t, t + steps)
        yield Batch(r.x[rows[:, now]], r.target[rows[:, now]], weight[:, now], reset[:, now], t > 0)


def _age(reset: np.ndarray) -> np.ndarray:
    """Samples seen since the last reset, this one included. [batch, time]"""
    time = np.arange(reset.shape[1])
    return np.asarray(time - np.maximum.accumulate(np.where(reset, time, 0), axis=1) + 1)


def validation_windows(r: Rows, window: int) -> list[Batch]:
    """Every window of the split, in order."""
    return [windows(r, r.forecasts[k : k + 4 * TOGETHER], window) for k in range(0, len(r.forecasts), 4 * TOGETHER)]


def validation_pieces(r: Rows, *, warmup: int) -> list[Batch]:
    """Every forecast of the split once, from sequences of at most warm-up + PIECE samples that start from zero."""
    pieces = []
    for a, b in r.runs:
        for first in range(a + warmup - 1, b, PIECE):
            if r.counts[first : first + PIECE].any():
                pieces.append((first - warmup + 1, min(first + PIECE, b)))
    pieces.sort(key=lambda p: (p[0] - p[1], p[0]))
    return [_padded(r, pieces[k : k + TOGETHER], warmup) for k in range(0, len(pieces), TOGETHER)]


def _padded(r: Rows, pieces: list[tuple[int, int]], warmup: int) -> Batch:
    longest = max(b - a for a, b in pieces)
    x = np.zeros((len(pieces), longest, r.x.shape[1]), np.float32)
    target = np.zeros((len(pieces), longest, r.target.shape[1]), np.float32)
    weight = np.zeros((len(pieces), longest), np.float32)
    for k, (a, b) in enumerate(pieces):
        x[k, : b - a], target[k, : b - a] = r.x[a:b], r.target[a:b]
        weight[k, warmup - 1 : b - a] = r.counts[a + warmup - 1 : b]
    return Batch(x, target, weight, np.zeros((len(pieces), longest), bool), False)
