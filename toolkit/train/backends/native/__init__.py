"""The native backend: fused kernels in C, opened by Cython or cffi. What they lack is trained in NumPy, by name."""

from __future__ import annotations

import sys

import numpy as np

from quantize.network import Network
from toolkit.config import Model, Train
from toolkit.errors import ToolkitError
from toolkit.train.backends.contract import Backend, Batch
from toolkit.train.backends.native import build
from toolkit.train.backends.native.engine import Engine
from toolkit.train.backends.native.layers import LAYERS
from toolkit.train.backends.native.update import UPDATES
from toolkit.train.backends.reference import NumpyBackend


class NativeBackend:
    """A Backend: the kernels, or NumPy."""

    def __init__(self, learning: Train, model: Model, seed: int) -> None:
        self.learning, self.model, self.seed = learning, model, seed

    def load(self, network: Network) -> None:
        """Begins anew with these weights; here it is chosen who trains."""
        self.chosen = self._choose(network)
        self.chosen.load(network)

    def _choose(self, network: Network) -> Backend:
        lacking = [x.op for x in network.layers if x.op not in LAYERS]
        lacking += [k for k in (self.learning.optimiser,) if k not in UPDATES]
        lacking += ["train.segment"] if self.learning.segment else []
        try:
            if not lacking:
                return Engine(build.door(build.levels()[0], "auto"), self.learning, self.model, self.seed)
            reason = f"no {', '.join(dict.fromkeys(lacking))}"
        except ToolkitError as e:
            reason = str(e)
        print(f"native backend: {reason}; NumPy trains instead, which is slower", file=sys.stderr)
        return NumpyBackend(self.learning, self.model, self.seed)

    def step(self, batch: Batch, lr: float) -> float:
        """One update; the loss before it."""
        return self.chosen.step(batch, lr)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of the loss, how many values it is of)."""
        return self.chosen.evaluate(batch)

    def network(self) -> Network:
        """A copy of the network with the present weights."""
        return self.chosen.network()

    def state(self) -> dict[str, np.ndarray]:
        """For `restore`."""
        return self.chosen.state()

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from `state`."""
        self.chosen.restore(state)
