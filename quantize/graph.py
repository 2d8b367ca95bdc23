"""Which layer is fed by which, and the order in which a window goes through them. For float and quantized networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from quantize.errors import QuantizeError
from quantize.network import Layer, Network
from quantize.ops import OPS
from quantize.qnetwork import QLayer, QNetwork

Some = TypeVar("Some", Layer, QLayer)
State = dict[str, np.ndarray]
INPUT = ""  # the source that is the network's input


def sources(layers: Sequence[Layer | QLayer], k: int) -> tuple[str, ...]:
    """What layer k is fed, one after the other: names of layers before it, or INPUT."""
    return layers[k].sources or ((layers[k - 1].name,) if k else (INPUT,))


def layered(n: Network | QNetwork) -> bool:
    """Whether a window goes through one layer after the other, not a sample through all: it has two directions, or a
    layer that is fed by several."""
    plain = (sources(n.layers, k) == ((n.layers[k - 1].name,) if k else (INPUT,)) for k in range(len(n.layers)))
    return any(x.reverse for x in n.layers) or not all(plain)


def verify_graph(n: Network | QNetwork) -> None:
    """Raises QuantizeError where a layer is fed by what is not there, or the mode cannot run the graph."""
    before: list[str] = []
    layers: Sequence[Layer | QLayer] = n.layers
    for k, x in enumerate(layers):
        fed = sources(layers, k)
        for name in fed:
            if name not in (INPUT, *before):
                raise QuantizeError(f'{x.name}: fed by "{name}", which is no layer before it')
        if INPUT in fed and fed != (INPUT,):
            raise QuantizeError(f"{x.name}: fed by the input and by layers at once, which has no integer form")
        before.append(x.name)
    if not layered(n):
        return
    if n.mode != "window":
        why = "a stream has no end to begin a reverse layer at" if any(x.reverse for x in n.layers) else "not streamed"
        raise QuantizeError(f'mode = "{n.mode}" with layers {", ".join(before)}: {why}; set model.mode = "window"')
    if any(x.reverse for x in n.layers) and n.head == "last":
        raise QuantizeError(
            'head = "last": the reverse direction has seen one sample there; set model.head = "final_states"'
        )


def over_window(
    layers: Sequence[Some],
    x: np.ndarray,
    step: Callable[[Some, np.ndarray, State], tuple[np.ndarray, State]],
    zero: Callable[[Some], State],
) -> tuple[np.ndarray, dict[str, State]]:
    """A window x [batch, time, in] from zero states -> what the head is fed, each layer's own last output one after
    the other [batch, width], and the states [layer]."""
    lines: dict[str, np.ndarray] = {INPUT: x}
    ends: dict[str, np.ndarray] = {}
    states: dict[str, State] = {}
    for k, layer in enumerate(layers[:-1]):
        fed = np.concatenate([lines[s] for s in sources(layers, k)], axis=-1)
        state, out = zero(layer), [np.empty(0)] * x.shape[1]
        for t in _order(layer, x.shape[1]):
            out[t], state = step(layer, fed[:, t], state)
            ends[layer.name] = out[t]
        lines[layer.name], states[layer.name] = np.stack(out, axis=1), state
    return np.concatenate([ends[s] for s in sources(layers, len(layers) - 1)], axis=-1), states


def _order(layer: Layer | QLayer, steps: int) -> Iterator[int]:
    return iter(reversed(range(steps)) if layer.reverse else range(steps))


def width(n: Sequence[Layer | QLayer], k: int, inputs: int) -> int:
    """How many values layer k is fed."""
    sizes = {x.name: OPS[x.op].output_size(x) for x in n[:k]}
    return sum(inputs if s == INPUT else sizes[s] for s in sources(n, k))
