"""The NumPy backend: the reference, in float32, or in float64 for gradient checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantize.network import Network
from toolkit.config import Model, Train
from toolkit.nn.network import Parameters, Stack, parameters, with_parameters, zero_states, zeros_like
from toolkit.nn.optimisers import clip_norm, optimiser
from toolkit.nn.recurrent import Masks
from toolkit.nn.segments import Segments, stack_for
from toolkit.train.backends.contract import Batch
from toolkit.train.backends.learning import Random, count_of, loss_of_model, packed, unpacked, weights_of


class NumpyBackend:
    """Reference."""

    def __init__(self, learning: Train, model: Model, seed: int, dtype: type[np.floating] = np.float32) -> None:
        self.learning, self.dtype = learning, dtype
        self.loss, self.random = loss_of_model(model, learning), Random(seed)
        self.stacks: dict[tuple[int, int], Stack | Segments] = {}

    def load(self, network: Network) -> None:
        """Begins anew with these weights."""
        self.template = network
        self.p: Parameters = parameters(network, self.dtype)
        self.gradient = zeros_like(self.p)
        self.optimiser = optimiser(self.learning, self.p)
        self.states = zero_states(self.p, 0)
        self.stacks.clear()

    def step(self, batch: Batch, lr: float) -> float:
        """One update; the loss before it."""
        masks = self.random.masks(self.p, batch)
        loss, dy = self._forward(batch, masks, carry=batch.carry)
        if batch.weight.any():
            self._stack(batch).backward(self.p, dy, resets=resets_of(batch), gradient=self.gradient, masks=masks)
            clip_norm(self.gradient.flat, self.learning.clip)
            self.optimiser.update(self.p.flat, self.gradient.flat, lr)
        self.states = self._stack(batch).states()
        return loss

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of the loss, how many values it is of)."""
        loss, _ = self._forward(batch, (), carry=False)
        return loss * count_of(batch), count_of(batch)

    def network(self) -> Network:
        """A copy of the network with the present weights."""
        return with_parameters(self.template, self.p)

    def state(self) -> dict[str, np.ndarray]:
        """For `restore`: the weights, the optimiser's, the carried states, the random numbers to come."""
        return packed(self.p.flat, self.optimiser.state(), self.states, self.random)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from `state`."""
        self.p.flat[:], moments, self.states = unpacked(state, self.p, self.random)
        self.optimiser.restore(moments)

    def _stack(self, batch: Batch) -> Stack | Segments:
        key = (batch.x.shape[1], batch.x.shape[0])
        if key not in self.stacks:
            self.stacks[key] = stack_for(self.p, *key, segment=self.learning.segment)
        return self.stacks[key]

    def _forward(self, batch: Batch, masks: Sequence[Masks], *, carry: bool) -> tuple[float, np.ndarray]:
        states = self.states if carry else zero_states(self.p, len(batch.x))
        y = self._stack(batch).forward(
            self.p, batch.x.transpose(1, 2, 0).astype(self.dtype), states=states, resets=resets_of(batch),
            outputs=batch.target.shape[1], masks=masks,
        )  # fmt: skip
        target, weight = (a.transpose(1, 2, 0).astype(self.dtype) for a in (batch.target, weights_of(batch)))
        return self.loss(y, target, weight)


def resets_of(batch: Batch) -> dict[int, np.ndarray]:
    """Step -> the columns that are reset before it."""
    return {int(t): np.flatnonzero(batch.reset[:, t]) for t in np.flatnonzero(batch.reset.any(axis=0))}
