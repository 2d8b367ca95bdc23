"""Adam (Kingma & Ba 2015) on one flat vector, and clipping by the global norm."""

from __future__ import annotations

import numpy as np

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def clip_norm(gradient: np.ndarray, largest: float) -> float:
    """Scales `gradient` in place so that its norm is at most `largest`. Returns the norm it had."""
    norm = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
    if norm > largest:
        gradient *= gradient.dtype.type(largest / norm)
    return norm


class Adam:
    """Moments of one flat parameter vector."""

    def __init__(self, size: int, dtype: type[np.floating]) -> None:
        self.mean, self.square, self.count = np.zeros(size, dtype), np.zeros(size, dtype), 0

    def update(self, flat: np.ndarray, gradient: np.ndarray, lr: float) -> None:
        """One step, in place."""
        self.count += 1
        self.mean += (1 - BETA1) * (gradient - self.mean)
        self.square += (1 - BETA2) * (np.square(gradient) - self.square)
        rate = lr / (1 - BETA1**self.count)
        flat -= rate * self.mean / (np.sqrt(self.square / (1 - BETA2**self.count)) + EPSILON)
