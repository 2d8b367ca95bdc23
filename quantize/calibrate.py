"""Runs the float network over calibration sequences: the ranges that quantization needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quantize.network import Network
from quantize.ops import OPS


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """Largest magnitudes seen: `x [inputs]` normalised, `states`: of each layer's tensors, by layer and tensor name."""

    x: np.ndarray
    states: dict[str, dict[str, float]]


def float_run(network: Network, x: np.ndarray, states: dict[str, dict[str, float]] | None = None) -> np.ndarray:
    """x [batch, time, inputs] normalised -> y [batch, time, outputs], float64, from a zero state.

    `states` (layer -> tensor -> number) is raised to the largest magnitude met."""
    batch, steps, _ = x.shape
    state = {
        layer.name: {k: np.zeros((batch, OPS[layer.op].output_size(layer))) for k in OPS[layer.op].STATE}
        for layer in network.layers
    }
    out = np.empty((batch, steps, OPS[network.layers[-1].op].output_size(network.layers[-1])))
    for step in range(steps):
        v = np.asarray(x[:, step], np.float64)
        for layer in network.layers:
            v, state[layer.name] = OPS[layer.op].float_step(layer, v, state[layer.name])
            if states is not None:
                top = states.setdefault(layer.name, {})
                top.update({k: max(top.get(k, 0.0), float(np.abs(s).max())) for k, s in state[layer.name].items()})
        out[:, step] = v
    return out


def measure(network: Network, sequences: Iterable[np.ndarray]) -> Ranges:
    """Ranges over `sequences`, each [batch, time, inputs] normalised and run from a zero state."""
    x_absmax = np.zeros(len(network.inputs))
    states: dict[str, dict[str, float]] = {}
    for x in sequences:
        x_absmax = np.maximum(x_absmax, np.abs(x).max((0, 1), initial=0.0))
        float_run(network, x, states)
    return Ranges(x_absmax, states)
