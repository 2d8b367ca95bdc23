"""The NumPy backend: the reference."""

from __future__ import annotations

import numpy as np

from quantize.network import Network
from toolkit.nn.adam import Adam, clip_norm
from toolkit.nn.network import Parameters, Stack, mse, parameters, with_parameters, zero_states, zeros_like
from toolkit.nn.recurrent import Resets
from toolkit.train.backends.contract import Batch


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
        loss, dy = mse(y, target.astype(self.dtype), weight=weight.astype(self.dtype))
        return loss, dy, resets
