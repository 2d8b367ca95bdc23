"""Runs the float network over calibration sequences: the ranges that quantization needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quantize.graph import layered, over_window
from quantize.network import Layer, Network
from quantize.ops import OPS


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """Largest magnitudes seen: `x [inputs]` normalised, `states`: of each layer's tensors, by layer and tensor name."""

    x: np.ndarray
    states: dict[str, dict[str, float]]


def float_run(network: Network, x: np.ndarray, states: dict[str, dict[str, float]] | None = None) -> np.ndarray:
    """x [batch, time, inputs] normalised -> y [batch, time, outputs], float64, from a zero state; of a layered network
    (`quantize.graph.layered`) only after the last step: [batch, 1, outputs].

    `states` (layer -> tensor -> number) is raised to the largest magnitude met."""
    batch, steps, _ = x.shape
    if layered(network):
        return _over_window(network, x, states)
    state = {
        layer.name: {k: np.zeros((batch, OPS[layer.op].output_size(layer))) for k in OPS[layer.op].STATE}
        for layer in network.layers
    }
    out = np.empty((batch, steps, OPS[network.layers[-1].op].output_size(network.layers[-1])))
    for step in range(steps):
        v = np.asarray(x[:, step], np.float64)
        for layer in network.layers:
            v, state[layer.name] = OPS[layer.op].float_step(layer, v, state[layer.name])
            _raise_to(states, layer.name, state[layer.name])
        out[:, step] = v
    return out


def _over_window(network: Network, x: np.ndarray, states: dict[str, dict[str, float]] | None) -> np.ndarray:
    def step(layer: Layer, v: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        h, after = OPS[layer.op].float_step(layer, v, state)
        _raise_to(states, layer.name, after)
        return h, after

    def zero(layer: Layer) -> dict[str, np.ndarray]:
        return {k: np.zeros((len(x), OPS[layer.op].output_size(layer))) for k in OPS[layer.op].STATE}

    fed, _ = over_window(network.layers, x.astype(np.float64), step, zero)
    head = network.layers[-1]
    y, _ = OPS[head.op].float_step(head, fed, {})
    return np.asarray(y[:, None])


def _raise_to(states: dict[str, dict[str, float]] | None, name: str, now: dict[str, np.ndarray]) -> None:
    if states is not None:
        top = states.setdefault(name, {})
        top.update({k: max(top.get(k, 0.0), float(np.abs(s).max())) for k, s in now.items()})


def measure(network: Network, sequences: Iterable[np.ndarray]) -> Ranges:
    """Ranges over `sequences`, each [batch, time, inputs] normalised and run from a zero state."""
    x_absmax = np.zeros(len(network.inputs))
    states: dict[str, dict[str, float]] = {}
    for x in sequences:
        x_absmax = np.maximum(x_absmax, np.abs(x).max((0, 1), initial=0.0))
        float_run(network, x, states)
    return Ranges(x_absmax, states)
