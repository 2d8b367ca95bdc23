"""What a backend is.

`step` on a batch with `carry` starts from the states that the step before left, and the gradient stops there. Only a
stream carries: in window mode every sequence starts from zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quantize.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sequences side by side. The head's outputs of the last `target.shape[1]` steps are compared."""

    x: np.ndarray  # float32 [batch, time, in], normalised
    target: np.ndarray  # float32 [batch, steps, out], normalised
    weight: np.ndarray  # float32 [batch, steps]: 1 counts, 0 does not
    reset: np.ndarray  # bool [batch, time]: the state is zeroed before this step
    carry: bool  # start from the states of the step before, else from zero


class Backend(Protocol):
    """What the trainer needs. It is made from [train], [model] and a seed: the loss, the optimiser, what is dropped."""

    def load(self, network: Network) -> None:
        """Begins anew with these weights."""

    def step(self, batch: Batch, lr: float) -> float:
        """One update; the loss before it."""
        ...

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of the loss, how many values it is of). Neither weights nor carried states change."""
        ...

    def network(self) -> Network:
        """A copy of the network with the present weights."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs so that training goes on as if it had not stopped."""
        ...

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from `state` of a backend with a like network."""
