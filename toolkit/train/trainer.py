"""The training loop: epochs, learning rate, validation, early stopping, best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np

from quantize.network import Network
from toolkit.config import Model, Train
from toolkit.data.prepared import Prepared
from toolkit.errors import ToolkitError, nearest
from toolkit.train.backends import BACKENDS, Backend, Batch
from toolkit.train.batches import (
    Rows,
    shuffled_windows,
    split_rows,
    stream_count,
    streams,
    validation_pieces,
    validation_windows,
)

SCHEDULES: dict[str, Callable[[float], float]] = {  # share of the epochs done -> factor of train.lr
    "cosine": lambda done: 0.5 + 0.5 * math.cos(math.pi * done),
    "constant": lambda done: 1.0,
}


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of metrics.jsonl. Losses are RMSE in units of the target's standard deviation."""

    epoch: int
    lr: float
    train: float
    val: float
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The network with the weights of the best epoch."""

    network: Network
    epochs: list[Epoch]
    best: int  # its number
    seconds: float


def fit(
    network: Network,
    prepared: Prepared,
    *,
    train: Train,
    model: Model,
    rng: np.random.Generator,
    each: Callable[[Epoch], None],
    say: Callable[[str], None],
) -> Trained:
    """Trains `network` until `train.epochs` or until `train.patience` epochs brought no better validation loss.

    Raises: ToolkitError for an unknown backend, or when the loss is no longer a number."""
    if train.backend not in BACKENDS:
        raise ToolkitError(f"train.backend = {train.backend!r}: no such backend{nearest(train.backend, BACKENDS)}")
    backend = BACKENDS[train.backend](train, model, train.seed)
    backend.load(network)
    rows = split_rows(prepared, "train", need=network.warmup)
    validation = _validation(split_rows(prepared, "val", need=network.warmup), network)
    begun, history, best, best_network = time.perf_counter(), list[Epoch](), math.inf, network
    count = stream_count(rows, warmup=network.warmup, batch=train.batch, steps=train.steps)
    if network.mode == "stateful" and count < train.batch:
        say(f"{count} streams side by side, not train.batch = {train.batch}: too few training rows for more")
    for number in range(1, train.epochs + 1):
        lr = train.lr * SCHEDULES[train.schedule]((number - 1) / train.epochs)
        with np.errstate(all="ignore"):  # what overflows is judged below
            loss = _one_epoch(backend, _batches(rows, network, train, count, rng), lr)
            val = _rms([backend.evaluate(batch) for batch in validation])
        if not (math.isfinite(loss) and math.isfinite(val)):
            raise ToolkitError(f"epoch {number}: the loss is no longer a number; lower train.lr (now {train.lr:g})")
        better = val < best
        if better:
            best, best_network = val, backend.network()
        history.append(Epoch(number, lr, loss, val, better, time.perf_counter() - begun))
        each(history[-1])
        if number - max(e.epoch for e in history if e.best) >= train.patience:
            break
    return Trained(best_network, history, max(e.epoch for e in history if e.best), time.perf_counter() - begun)


def _validation(rows: Rows, network: Network) -> list[Batch]:
    if network.mode == "window":
        return validation_windows(rows, network.window)
    return validation_pieces(rows, warmup=network.warmup)


def _batches(rows: Rows, network: Network, train: Train, count: int, rng: np.random.Generator) -> Iterator[Batch]:
    if network.mode == "window":
        return shuffled_windows(rows, window=network.window, batch=train.batch, rng=rng)
    return streams(rows, warmup=network.warmup, count=count, steps=train.steps, rng=rng)


def _one_epoch(backend: Backend, batches: Iterator[Batch], lr: float) -> float:
    """RMSE over the epoch, each batch before its update."""
    sums = []
    for batch in batches:
        count = int(batch.weight.sum()) * batch.target.shape[2]
        sums.append((backend.step(batch, lr) * count, count))
    return _rms(sums)


def _rms(sums: list[tuple[float, int]]) -> float:
    return math.sqrt(sum(s for s, _ in sums) / max(sum(n for _, n in sums), 1))


def as_json(epoch: Epoch) -> dict[str, float | int | bool]:
    """The line of metrics.jsonl."""
    return asdict(epoch)
