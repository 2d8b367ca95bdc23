"""What the backends share: the loss of a configuration, dropout's random numbers, and a state as named arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from toolkit.config import Model, Train
from toolkit.nn.dropout import KINDS, draw_masks
from toolkit.nn.losses import Loss, loss_of
from toolkit.nn.network import Parameters, States, zero_states
from toolkit.nn.recurrent import Masks
from toolkit.rules import LOSSES
from toolkit.train.backends.contract import Batch


def loss_name(model: Model, learning: Train) -> str:
    """[train]'s loss, or that of [model]'s output."""
    return learning.loss or LOSSES[model.output][0]


def loss_of_model(model: Model, learning: Train) -> Loss:
    """The loss, with its levels or its delta."""
    return loss_of(loss_name(model, learning), levels=model.levels, huber_delta=learning.huber_delta)


def weights_of(batch: Batch) -> np.ndarray:
    """The weights as [batch, steps, 1]."""
    return batch.weight[:, :, None]


def count_of(batch: Batch) -> int:
    """How many values count."""
    return int(batch.weight.sum()) * batch.target.shape[2]


class Random:
    """Where dropout's masks come from: the same for every backend."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def masks(self, p: Parameters, batch: Batch) -> Sequence[Masks]:
        """The masks of one batch; () without dropout."""
        if not any(node.options.get(k, 0) for node in p.nodes for k in KINDS):
            return ()
        return draw_masks(p, time=batch.x.shape[1], batch=len(batch.x), rng=self.rng)


def packed(flat: np.ndarray, optimiser: dict[str, np.ndarray], states: States, random: Random) -> dict[str, np.ndarray]:
    """Everything that goes on from step to step, by name; `unpacked` reads it, with any backend."""
    numbers = json.dumps(random.rng.bit_generator.state).encode()
    out = {"weights": flat.copy(), "random": np.frombuffer(numbers, np.uint8).copy()}
    out |= {f"optimiser.{k}": v for k, v in optimiser.items()}
    return out | {f"state.{k}.{name}": v.copy() for k, one in enumerate(states) for name, v in one.items()}


def unpacked(
    state: dict[str, np.ndarray], p: Parameters, random: Random
) -> tuple[np.ndarray, dict[str, np.ndarray], States]:
    """(weights, the optimiser's arrays, the carried states); `random` goes on, too."""
    random.rng.bit_generator.state = json.loads(state["random"].tobytes())
    optimiser = {k.removeprefix("optimiser."): v for k, v in state.items() if k.startswith("optimiser.")}
    states = [{name: state[f"state.{k}.{name}"].copy() for name in one} for k, one in enumerate(zero_states(p, 0))]
    return state["weights"], optimiser, states
