"""The last step of an importer: the network of its layers, with one layer whose output is the model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quantize.float_graph import shapes
from quantize.network import Layer, Network, layer
from toolkit.importers import columns, network_of


def finished(name: str, layers: Sequence[Layer], ends: Sequence[str], *, inputs: int, steps: int) -> Network:
    """A window network whose output is that of the layers `ends`, joined one after the other.

    Raises: QuantizeError, naming the layer, where something does not fit together."""
    network = network_of(name, tuple(layers), inputs=inputs, outputs=0, steps=steps)
    made = shapes(network, steps)
    count = sum(made[n][1] for n in ends)
    if tuple(ends) != (layers[-1].name,):
        joined = layer("output", "pick", {}, options={"first": 0, "count": count}, sources=tuple(ends))
        network = replace(network, layers=(*network.layers, joined))
    return replace(network, outputs=columns("y", count, horizon=0))
