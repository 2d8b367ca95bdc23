"""What every recurrent layer shares: the types of its arrays, states and masks, and first weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Resets = dict[int, np.ndarray]  # step -> batch indexes whose state is zeroed before that step
State = dict[str, np.ndarray]  # of one layer: the names of its STATE -> [H, batch]
Arrays = tuple[np.ndarray, ...]  # the trained matrices of one layer
Masks = Mapping[str, np.ndarray]  # of one layer: "output", "state", "recurrent" -> see toolkit.nn.dropout


def xavier(rng: np.random.Generator, gates: int, rows: int, columns: int) -> np.ndarray:
    """Uniform in +-sqrt(6 / (fan in + fan out)), a gate at a time (Glorot & Bengio 2010)."""
    limit = np.sqrt(6 / (rows + columns))
    return rng.uniform(-limit, limit, (gates * rows, columns))


def xavier_normal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Normal with the deviation sqrt(2 / (fan in + fan out)), over the whole matrix, as Burn's XavierNormal."""
    return rng.normal(0.0, np.sqrt(2 / (rows + columns)), (rows, columns))


def orthogonal(rng: np.random.Generator, gates: int, size: int) -> np.ndarray:
    """An orthogonal matrix [size, size] for each gate (Saxe et al. 2014)."""
    return np.vstack([np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(gates)])


def feed(to: np.ndarray, h: np.ndarray, reset: np.ndarray | None, recurrent: np.ndarray | None) -> None:
    """`to` = what the recurrent product sees of h: 0 after a reset, and masked."""
    if recurrent is None:
        to[...] = h
    else:
        np.multiply(h, recurrent, out=to)
    if reset is not None:
        to[:, reset] = 0
