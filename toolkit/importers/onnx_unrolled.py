"""An RNN that was unrolled step by step (PyTorch's dynamo exporter does so) becomes one layer again.

h_t = f(W h_{t-1} + b + x_t), with x_t the step t of one sequence: a chain of dense, add and activation layers
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.network import Layer, layer
from toolkit.importers.onnx_walk import Walk


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The steps of a cell so far: `source`, the sequence it goes through, `at` the steps taken, `outputs` the layers
    that are h. `w` None: one step, from a state of zeros."""

    source: str
    at: tuple[int, ...]
    outputs: tuple[str, ...]
    w: np.ndarray | None
    b: np.ndarray


def follow(walk: Walk) -> None:
    """After an activation: if it ends a step of a cell the chain grows, and the last step makes it one layer."""
    done = next(reversed(walk.layers.values()))
    chain = _step(walk, done)
    if chain is None:
        return
    walk.chains[done.name] = chain
    steps = walk.lines[chain.source].steps
    if chain.w is None or chain.at not in (tuple(range(steps)), tuple(range(steps))[::-1]):
        return
    whole, w_ih, b = _input(walk, chain)
    made = layer(
        f"{done.name}_rnn", "rnn", {"w_ih": w_ih, "w_hh": chain.w, "b": b}, sources=whole, reverse=chain.at[0] > 0,
        activations=() if done.activations == ("tanh",) else done.activations,
    )  # fmt: skip
    walk.add(made, steps, len(chain.w))
    places = {name: k for k, name in enumerate(walk.lines)}
    for t, name in zip(chain.at, chain.outputs, strict=True):
        walk.alias[places[name]] = (places[made.name], t)


def _step(walk: Walk, done: Layer) -> Chain | None:
    below = walk.layers.get(done.sources[0]) if len(done.sources) == 1 else None
    if below is None or len(below.sources) > 2:
        return None
    if below.op == "scale" and (below.weights["gain"] == 1).all():
        x = _taken(walk, below.sources[0])
        return Chain(x[0], (x[1],), (done.name,), None, below.weights["offset"]) if x else None
    if below.op != "add":
        return None
    for mine, other in (below.sources, below.sources[::-1]):
        x, product = _taken(walk, other), _dense(walk, mine)
        before = walk.chains.get(product.sources[0]) if product else None
        if x and product and before and product.sources == (before.outputs[-1],) and x[0] == before.source:
            w, b = product.weights["w"], product.weights["b"]
            same = walk.layers[before.outputs[-1]].activations == done.activations and np.array_equal(b, before.b)
            if same and (before.w is None or np.array_equal(w, before.w)):
                return Chain(x[0], (*before.at, x[1]), (*before.outputs, done.name), w, b)
    return None


def _taken(walk: Walk, name: str) -> tuple[str, int] | None:
    """The sequence and the step that a `take` layer takes."""
    x = walk.layers.get(name)
    if x is None or x.op != "take":
        return None
    (source,) = x.sources
    return source, int(x.options["at"]) % walk.lines[source].steps


def _dense(walk: Walk, name: str) -> Layer | None:
    """A dense layer, with the offset that stands behind it as its bias."""
    x = walk.layers.get(name)
    if x is not None and x.op == "scale" and (x.weights["gain"] == 1).all() and len(x.sources) == 1:
        below = walk.layers.get(x.sources[0])
        if below is not None and below.op == "dense" and not below.weights["b"].any():
            return layer(
                below.name, "dense", {"w": below.weights["w"], "b": x.weights["offset"]}, sources=below.sources
            )
    return x if x is not None and x.op == "dense" and not x.activations else None


def _input(walk: Walk, chain: Chain) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Sources, W_ih and b: with the dense layer before it, or ones on the diagonal."""
    before = _dense(walk, chain.source)
    if before is None:
        return (chain.source,), np.eye(len(chain.b), dtype=np.float32), chain.b
    b = before.weights["b"].astype(np.float64) + chain.b
    return before.sources, before.weights["w"], b
