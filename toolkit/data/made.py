"""Series that are made, from a fixed seed, for the presets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolkit.data.csvfile import Table

SEED = 5
APART = 1000  # seconds from one sequence to the next: a gap


def _table(name: str, columns: tuple[str, ...], rows: Sequence[Sequence[str]]) -> Table:
    return Table(f"the made series {name}", columns, [list(r) for r in rows], list(range(2, len(rows) + 2)))


def _sequences(name: str, column: str, values: np.ndarray) -> Table:
    """values [sequences, steps], a row each second and a gap after each sequence."""
    rows = [(str(APART * k + t), f"{v:.4f}") for k, sequence in enumerate(values) for t, v in enumerate(sequence)]
    return _table(name, ("time", column), rows)


def sequences() -> Table:
    """Two numbers of [0, 1), then each the sum of the two before it plus noise of 0.1: the task of Burn's example
    modern-lstm (tracel-ai/burn, examples/modern-lstm/src/dataset.rs), 10 known numbers and the one to forecast."""
    rng = np.random.default_rng(SEED)
    values = np.empty((1000, 11))
    values[:, :2] = rng.random((1000, 2))
    for t in range(2, 11):
        values[:, t] = values[:, t - 1] + values[:, t - 2] + rng.normal(0, 0.1, 1000)
    return _sequences("sequences", "value", values)


def sine() -> Table:
    """A sine of 25 samples with noise of 0.05."""
    t = np.arange(4000)
    values = np.sin(2 * np.pi * t / 25) + np.random.default_rng(SEED).normal(0, 0.05, len(t))
    return _table("sine", ("value",), [(f"{v:.4f}",) for v in values])


def fibonacci() -> Table:
    """Ratios r of neighbours in sequences where each number is the sum of the two before it: the next is 1 + 1 / r,
    plus noise of 0.01: without any, the float error would lie below the steps of int16, and NER measure those steps."""
    rng = np.random.default_rng(SEED)
    ratios = np.empty((1000, 8))
    ratios[:, 0] = np.exp(rng.uniform(-1.6, 1.6, 1000))
    for t in range(1, 8):
        ratios[:, t] = 1 + 1 / ratios[:, t - 1] + rng.normal(0, 0.01, 1000)
    return _sequences("fibonacci", "ratio", ratios)


MADE: dict[str, Callable[[], Table]] = {"sequences": sequences, "sine": sine, "fibonacci": fibonacci}
