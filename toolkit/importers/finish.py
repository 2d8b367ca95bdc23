"""What importers that build a list of layers share: free names, and the network with one layer that is its output."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from dataclasses import replace

from quantize.float_graph import shapes
from quantize.network import Layer, Network, layer
from toolkit.importers import columns, network_of


def free(name: str, taken: Container[str]) -> str:
    """The name, or the first of name_1, name_2, ... that no other layer has."""
    return next(n for n in itertools.chain([name], (f"{name}_{k}" for k in itertools.count(1))) if n not in taken)


def finished(name: str, layers: Sequence[Layer], ends: Sequence[str], *, inputs: int, steps: int) -> Network:
    """A window network whose output is that of the layers `ends`, joined one after the other.

    Raises: QuantizeError, naming the layer, where something does not fit together."""
    network = network_of(name, tuple(layers), inputs=inputs, outputs=0, steps=steps)
    made = shapes(network, steps)
    count = sum(made[n][1] for n in ends)
    if tuple(ends) != (layers[-1].name,):
        joined = layer(free("output", made), "pick", {}, options={"first": 0, "count": count}, sources=tuple(ends))
        network = replace(network, layers=(*network.layers, joined))
    return replace(network, outputs=columns("y", count, horizon=0))
