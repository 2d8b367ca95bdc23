"""What every recurrent layer shares: resets inside a batch, and first weights."""

from __future__ import annotations

import numpy as np

Resets = dict[int, np.ndarray]  # step -> batch indexes whose state is zeroed before that step
State = dict[str, np.ndarray]  # of one layer: the names of its STATE -> [H, batch]
Arrays = tuple[np.ndarray, ...]  # the trained matrices of one layer


def outputs(after: np.ndarray, cut: dict[int, np.ndarray], resets: Resets) -> np.ndarray:
    """h after each step, [time, H, batch]: `after`, but for what a reset before the next step zeroed there: `cut`."""
    cut.pop(-1, None)
    if cut:
        after = after.copy()
    for t, h in cut.items():
        after[t][:, resets[t + 1]] = h
    return after


def xavier(rng: np.random.Generator, gates: int, rows: int, columns: int) -> np.ndarray:
    """Uniform in +-sqrt(6 / (fan in + fan out)), a gate at a time (Glorot & Bengio 2010)."""
    limit = np.sqrt(6 / (rows + columns))
    return rng.uniform(-limit, limit, (gates * rows, columns))


def orthogonal(rng: np.random.Generator, gates: int, size: int) -> np.ndarray:
    """An orthogonal matrix [size, size] for each gate (Saxe et al. 2014)."""
    return np.vstack([np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(gates)])
