"""The training loop: epochs, learning rate, validation, early stopping, best weights, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from quantize.network import Network
from toolkit.config import Model, Train
from toolkit.data.prepared import Prepared
from toolkit.errors import ToolkitError, nearest
from toolkit.nn.schedules import learning_rate
from toolkit.train.backends import BACKENDS, Backend, Batch
from toolkit.train.backends.learning import count_of, loss_name
from toolkit.train.batches import (
    Rows,
    prefetched,
    shuffled_windows,
    split_rows,
    stream_batches,
    stream_count,
    streams,
    validation_pieces,
    validation_windows,
    window_batches,
)
from toolkit.train.checkpoint import Epoch, Position


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The network with the weights of the best epoch."""

    network: Network
    epochs: list[Epoch]
    best: int  # its number
    seconds: float
    stopped: bool  # before its end, by the user


@dataclass(slots=True)
class Watcher:
    """Who follows a training. `stop`: once set, it ends after the batch it is at, and that epoch does not count."""

    epoch: Callable[[Epoch, Network], None] = lambda epoch, best: None  # after each; `best`: the best network so far
    batch: Callable[[int, int, float], None] = lambda done, of, loss: None  # after each: batches of this epoch
    stop: bool = False


class Diverged(ToolkitError):
    """The loss is no longer a number."""


def loaded(network: Network, model: Model, train: Train) -> Backend:
    """The backend with these weights; native kernels are built at their first use, and what they lack is said.

    Raises: ToolkitError for an unknown backend."""
    if train.backend not in BACKENDS:
        raise ToolkitError(f"train.backend = {train.backend!r}: no such backend{nearest(train.backend, BACKENDS)}")
    backend = BACKENDS[train.backend](train, model, train.seed)
    backend.load(network)
    return backend


def fit(
    network: Network,
    prepared: Prepared,
    *,
    model: Model,
    train: Train,
    rng: np.random.Generator,
    say: Callable[[str], None],
    watcher: Watcher,
    save: Callable[[Position], None] = lambda position: None,
    resume: Position | None = None,
    backend: Backend | None = None,
) -> Trained:
    """Trains `network` until `train.epochs` or until `train.patience` epochs brought no better validation loss.

    `save` is called after each epoch with what `resume` takes: going on from there gives the same bits. `backend`: as
    `loaded` gives it, made here unless given.
    Raises: ToolkitError for an unknown backend; Diverged when the loss is no longer a number."""
    backend = backend or loaded(network, model, train)
    position = resume or Position([], network)
    if resume:
        backend.restore(resume.backend)
        rng.bit_generator.state = resume.random
    rows = split_rows(prepared, "train", need=network.warmup)
    validation = _validation(split_rows(prepared, "val", need=network.warmup), network)
    count = stream_count(rows, warmup=network.warmup, batch=train.batch, steps=train.steps)
    if network.mode == "stateful" and count < train.batch:
        say(f"{count} streams side by side, not train.batch = {train.batch}: too few training rows for more")
    of = window_batches(rows, train.batch) if network.mode == "window" else stream_batches(rows, count, train.steps)
    rooted, history = loss_name(model, train) == "mse", position.history
    begun = time.perf_counter() - (history[-1].seconds if history else 0.0)
    while len(history) < train.epochs and len(history) - position.best_epoch < train.patience:
        lr = learning_rate(train, len(history), [e.val for e in history])
        with np.errstate(all="ignore"):  # what overflows is judged below
            batches = _batches(rows, network, train, count, rng)
            losses = _one_epoch(backend, batches, of, lr, watcher, f"epoch {len(history) + 1}", train)
            if losses is None:
                break
            val = _mean([backend.evaluate(batch) for batch in validation])
        if not math.isfinite(val):
            raise _diverged(f"epoch {len(history) + 1}, validation", train)
        loss, samples = losses
        loss, val = (math.sqrt(loss), math.sqrt(val)) if rooted else (loss, val)
        better, seconds = val < position.lowest, time.perf_counter() - begun
        position.best = backend.network() if better else position.best
        history.append(Epoch(len(history) + 1, lr, loss, val, better, seconds, samples))
        position.backend, position.random = backend.state(), dict(rng.bit_generator.state)
        save(position)
        watcher.epoch(history[-1], position.best)
    return Trained(position.best, history, position.best_epoch, time.perf_counter() - begun, watcher.stop)


def _validation(rows: Rows, network: Network) -> list[Batch]:
    if network.mode == "window":
        return validation_windows(rows, network.window)
    return validation_pieces(rows, warmup=network.warmup)


def _batches(rows: Rows, network: Network, train: Train, count: int, rng: np.random.Generator) -> Iterator[Batch]:
    if network.mode == "window":
        every = network.head == "all"
        return shuffled_windows(rows, window=network.window, batch=train.batch, rng=rng, every=every)
    return streams(rows, warmup=network.warmup, count=count, steps=train.steps, rng=rng)


def _one_epoch(
    backend: Backend, batches: Iterator[Batch], of: int, lr: float, watcher: Watcher, where: str, train: Train
) -> tuple[float, int] | None:
    """(mean loss over the epoch, each batch before its update; what was learnt from); None: stopped."""
    sums, samples = list[tuple[float, int]](), 0
    for k, batch in enumerate(prefetched(batches)):
        loss = backend.step(batch, lr)
        if not math.isfinite(loss):
            raise _diverged(f"{where}, step {k + 1}", train)
        sums.append((loss * count_of(batch), count_of(batch)))
        samples += int(batch.weight.sum())
        watcher.batch(k + 1, of, loss)
        if watcher.stop:
            return None
    return _mean(sums), samples


def _diverged(where: str, train: Train) -> Diverged:
    return Diverged(
        f"{where}: the loss is no longer a number; lower train.lr (now {train.lr:g}) or train.clip (now {train.clip:g})"
    )


def _mean(sums: list[tuple[float, int]]) -> float:
    return sum(s for s, _ in sums) / max(sum(n for _, n in sums), 1)


def as_json(epoch: Epoch) -> dict[str, Any]:
    """The line of metrics.jsonl."""
    return asdict(epoch)
