"""Optimisers on one flat parameter vector, and clipping by the global norm.

Each has `update(flat, gradient, lr)`, in place, and `state()` and `restore(state)`: what an identical resume needs."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from toolkit.config import Train
from toolkit.nn.network import Parameters, decays

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
ALPHA = 0.99  # of rmsprop, as PyTorch


def clip_norm(gradient: np.ndarray, largest: float) -> float:
    """Scales `gradient` in place so that its norm is at most `largest`. Returns the norm it had."""
    norm = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
    if norm > largest:
        gradient *= gradient.dtype.type(largest / norm)
    return norm


class Optimiser(Protocol):
    """What a backend needs."""

    def update(self, flat: np.ndarray, gradient: np.ndarray, lr: float) -> None: ...
    def state(self) -> dict[str, np.ndarray]: ...
    def restore(self, state: dict[str, np.ndarray]) -> None: ...


class Sgd:
    """Velocity v = momentum v + g; the step is v, or with Nesterov g + momentum v (as PyTorch)."""

    def __init__(self, size: int, dtype: type[np.floating], *, momentum: float, nesterov: bool) -> None:
        self.velocity, self.momentum, self.nesterov = np.zeros(size, dtype), momentum, nesterov

    def update(self, flat: np.ndarray, gradient: np.ndarray, lr: float) -> None:
        """One step, in place."""
        self.velocity *= self.momentum
        self.velocity += gradient
        flat -= lr * (gradient + self.momentum * self.velocity if self.nesterov else self.velocity)

    def state(self) -> dict[str, np.ndarray]:
        """A copy."""
        return {"velocity": self.velocity.copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Of `state()`."""
        self.velocity[:] = state["velocity"]


class Adam:
    """Adam (Kingma & Ba 2015). With `decay` AdamW (Loshchilov & Hutter 2019): the elements where `decayed` shrink by
    lr decay first."""

    def __init__(
        self, size: int, dtype: type[np.floating], *, decay: float = 0.0, decayed: np.ndarray | None = None
    ) -> None:
        self.mean, self.square, self.count = np.zeros(size, dtype), np.zeros(size, dtype), 0
        self.decay = (decay * decayed).astype(dtype) if decay and decayed is not None else None

    def update(self, flat: np.ndarray, gradient: np.ndarray, lr: float) -> None:
        """One step, in place."""
        self.count += 1
        if self.decay is not None:
            flat -= lr * self.decay * flat
        self.mean += (1 - BETA1) * (gradient - self.mean)
        self.square += (1 - BETA2) * (np.square(gradient) - self.square)
        rate = lr / (1 - BETA1**self.count)
        flat -= rate * self.mean / (np.sqrt(self.square / (1 - BETA2**self.count)) + EPSILON)

    def state(self) -> dict[str, np.ndarray]:
        """A copy."""
        return {"mean": self.mean.copy(), "square": self.square.copy(), "count": np.array(self.count)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Of `state()`."""
        self.mean[:], self.square[:], self.count = state["mean"], state["square"], int(state["count"])


class RmsProp:
    """Gradient over the root of its running mean square (Tieleman & Hinton 2012; alpha and epsilon as PyTorch)."""

    def __init__(self, size: int, dtype: type[np.floating]) -> None:
        self.square = np.zeros(size, dtype)

    def update(self, flat: np.ndarray, gradient: np.ndarray, lr: float) -> None:
        """One step, in place."""
        self.square += (1 - ALPHA) * (np.square(gradient) - self.square)
        flat -= lr * gradient / (np.sqrt(self.square) + EPSILON)

    def state(self) -> dict[str, np.ndarray]:
        """A copy."""
        return {"square": self.square.copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Of `state()`."""
        self.square[:] = state["square"]


def optimiser(learning: Train, p: Parameters) -> Optimiser:
    """The optimiser of [train] for `p`. AdamW's decay is on matrices only: not on biases, peepholes, gains, offsets."""
    size, dtype = len(p.flat), p.flat.dtype.type
    if learning.optimiser == "sgd":
        return Sgd(size, dtype, momentum=learning.momentum, nesterov=learning.nesterov)
    if learning.optimiser == "rmsprop":
        return RmsProp(size, dtype)
    if learning.optimiser == "adamw":
        return Adam(size, dtype, decay=learning.weight_decay, decayed=decays(p))
    return Adam(size, dtype)
