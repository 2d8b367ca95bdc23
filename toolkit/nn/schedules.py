"""Learning rate schedules: pure functions of the epochs done and of the validation losses so far.

`warmup_epochs` w come before any schedule: (done + 1) / (w + 1) of the rate. The schedule then has the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from toolkit.config import Train

START, PEAK, END = 1 / 25, 0.3, 1e-4  # onecycle: first factor, share of the time up to 1, last factor over the first


def learning_rate(train: Train, done: float, history: Sequence[float]) -> float:
    """`done`: epochs done, with a fraction inside an epoch; `history`: the validation loss of each finished epoch."""
    w = train.warmup_epochs
    if done < w:
        return train.lr * (done + 1) / (w + 1)
    return train.lr * SCHEDULES[train.schedule](train, done - w, history[w:])


def _cosine(train: Train, done: float, history: Sequence[float]) -> float:
    """From 1 to 0 (Loshchilov & Hutter 2017)"""
    return 0.5 + 0.5 * math.cos(math.pi * done / (train.epochs - train.warmup_epochs))


def _plateau(train: Train, done: float, history: Sequence[float]) -> float:
    """Times `decay` each time that `step_epochs` epochs brought no better validation loss"""
    factor, best, waited = 1.0, math.inf, 0
    for loss in history:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == train.step_epochs:
            factor, waited = factor * train.decay, 0
    return factor


def _onecycle(train: Train, done: float, history: Sequence[float]) -> float:
    """Up along a half cosine, then down (Smith & Topin 2018; shape and factors of PyTorch's OneCycleLR)"""
    share = done / (train.epochs - train.warmup_epochs)
    if share < PEAK:
        return _between(START, 1.0, share / PEAK)
    return _between(1.0, START * END, (share - PEAK) / (1 - PEAK))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (0.5 + 0.5 * math.cos(math.pi * share))


SCHEDULES: dict[str, Callable[[Train, float, Sequence[float]], float]] = {  # -> factor of train.lr
    "cosine": _cosine,
    "constant": lambda train, done, history: 1.0,
    "step": lambda train, done, history: train.decay ** math.floor(done / train.step_epochs),
    "exponential": lambda train, done, history: train.decay**done,
    "plateau": _plateau,
    "onecycle": _onecycle,
}
