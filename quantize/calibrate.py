"""Runs the float network over calibration sequences: the ranges that quantization needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quantize.network import Network
from quantize.ops import OPS


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """Largest magnitudes seen: `x [inputs]` normalised, `c` per lstm layer by name."""

    x: np.ndarray
    c: dict[str, float]


def float_run(network: Network, x: np.ndarray, c_absmax: dict[str, float] | None = None) -> np.ndarray:
    """x [batch, time, inputs] normalised -> y [batch, time, outputs], float64, from a zero state.

    `c_absmax` (by layer) is raised to the largest |c| met."""
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
            if c_absmax is not None and "c" in state[layer.name]:
                c_absmax[layer.name] = max(c_absmax.get(layer.name, 0.0), float(np.abs(state[layer.name]["c"]).max()))
        out[:, step] = v
    return out


def measure(network: Network, sequences: Iterable[np.ndarray]) -> Ranges:
    """Ranges over `sequences`, each [batch, time, inputs] normalised and run from a zero state."""
    x_absmax = np.zeros(len(network.inputs))
    c_absmax: dict[str, float] = {}
    for x in sequences:
        x_absmax = np.maximum(x_absmax, np.abs(x).max((0, 1), initial=0.0))
        float_run(network, x, c_absmax)
    return Ranges(x_absmax, c_absmax)
