"""The backend contract, and the NumPy reference.

A backend has `load(network)`, `step(batch, lr) -> loss`, `evaluate(batch) -> (squared error, count)` and `network()`.
`step` on a batch with `carry` starts from the states that the step before left, and the gradient stops there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quantize.network import Network
from toolkit.nn.losses import mse
from toolkit.nn.network import Parameters, Stack, parameters, with_parameters, zero_states, zeros_like
from toolkit.nn.optimisers import Adam, clip_norm
from toolkit.nn.recurrent import Resets


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sequences side by side. The head's outputs of the last `target.shape[1]` steps are compared."""

    x: np.ndarray  # float32 [batch, time, in], normalised
    target: np.ndarray  # float32 [batch, steps, out], normalised
    weight: np.ndarray  # float32 [batch, steps]: 1 counts, 0 does not
    reset: np.ndarray  # bool [batch, time]: the state is zeroed before this step
    carry: bool  # start from the states of the step before, else from zero


class Backend(Protocol):
    """What the trainer needs."""

    def load(self, network: Network) -> None: ...
    def step(self, batch: Batch, lr: float) -> float: ...
    def evaluate(self, batch: Batch) -> tuple[float, int]: ...
    def network(self) -> Network: ...


class NumpyBackend:
    """Reference: float32, or float64 for gradient checks."""

    def __init__(self, clip: float, dtype: type[np.floating] = np.float32) -> None:
        self.clip, self.dtype = clip, dtype
        self.stacks: dict[tuple[int, int], Stack] = {}

    def load(self, network: Network) -> None:
        self.template = network
        self.p: Parameters = parameters(network, self.dtype)
        self.gradient = zeros_like(self.p)
        self.adam = Adam(len(self.p.flat), self.dtype)
        self.states = zero_states(self.p, 0)
        self.stacks.clear()

    def step(self, batch: Batch, lr: float) -> float:
        """One update; the mean squared error before it."""
        loss, dy, resets = self._forward(batch, carry=batch.carry)
        if batch.weight.any():
            stack = self._stack(batch)
            stack.backward(self.p, dy, resets=resets, gradient=self.gradient)
            clip_norm(self.gradient.flat, self.clip)
            self.adam.update(self.p.flat, self.gradient.flat, lr)
        self.states = self._stack(batch).states()
        return loss

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of squared errors, how many). Neither weights nor carried states change."""
        loss, _, _ = self._forward(batch, carry=False)
        count = int(batch.weight.sum()) * batch.target.shape[2]
        return loss * count, count

    def network(self) -> Network:
        """A copy of the network with the present weights."""
        return with_parameters(self.template, self.p)

    def _stack(self, batch: Batch) -> Stack:
        key = (batch.x.shape[1], batch.x.shape[0])
        if key not in self.stacks:
            self.stacks[key] = Stack(self.p, *key)
        return self.stacks[key]

    def _forward(self, batch: Batch, *, carry: bool) -> tuple[float, np.ndarray, Resets]:
        states = self.states if carry else zero_states(self.p, len(batch.x))
        resets = {int(t): np.flatnonzero(batch.reset[:, t]) for t in np.flatnonzero(batch.reset.any(axis=0))}
        x = batch.x.transpose(1, 2, 0)
        y = self._stack(batch).forward(self.p, x, states=states, resets=resets, outputs=batch.target.shape[1])
        target, weight = batch.target.transpose(1, 2, 0), batch.weight.T[:, None]
        loss, dy = mse(y, target.astype(self.dtype), weight.astype(self.dtype))
        return loss, dy, resets


BACKENDS: dict[str, Callable[[float], Backend]] = {"numpy": NumpyBackend}
