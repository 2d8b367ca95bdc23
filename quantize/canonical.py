"""Rewrites of a float network into the form that is quantized and deployed; exact but for the rounding of a weight.

`canonical` folds what importers bring along: a scale into the layer beside it, an activation into its dense layer, and
the choice of a step (take, pooling over the whole window) into the network's head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from quantize.activations import OVER_FEATURES
from quantize.errors import QuantizeError
from quantize.float_ops import DEFAULTS, causal
from quantize.graph import INPUT, sources
from quantize.network import Layer, Network, layer

PER_STEP = ("dense", "activation", "scale", "norm", "pick")  # a step of theirs depends on that step alone
Layers = tuple[Layer, ...]


def canonical(network: Network) -> Network:
    """The same function in fewer layers; applied until nothing changes. Layers keep their names."""
    rewrites: tuple[Callable[[Layers], Layers | None], ...] = (
        _drop_neutral,
        _scale_into_next,
        _scale_into_dense,
        _activation_into_dense,
        _take_before_per_step,
    )
    layers = _explicit(network.layers)
    again = True
    while again:
        again = False
        for rewrite in rewrites:
            made = rewrite(layers)
            if made is not None:
                layers, again = made, True
    return _with_head(replace(network, layers=_implicit(layers)))


def _explicit(layers: Layers) -> Layers:
    return tuple(replace(x, sources=sources(layers, k)) for k, x in enumerate(layers))


def _implicit(layers: Layers) -> Layers:
    """A source that is the layer before needs no name."""
    before = (INPUT, *(x.name for x in layers))
    return tuple(replace(x, sources=() if x.sources == (before[k],) else x.sources) for k, x in enumerate(layers))


def _readers(layers: Layers, name: str) -> list[int]:
    return [k for k, x in enumerate(layers) for s in x.sources if s == name]


def _only_source(layers: Layers, k: int) -> Layer | None:
    """The layer before k in a chain: k has no other source, and it no other reader."""
    (source, *others) = layers[k].sources
    if others or source == INPUT or len(_readers(layers, source)) > 1:
        return None
    return next(x for x in layers if x.name == source)


def _without(layers: Layers, gone: Layer, change: Layer) -> Layers:
    """`gone` is out, its readers read its source; `change` stands where the layer of its name stood."""
    (source,) = gone.sources
    kept = (change if x.name == change.name else x for x in layers if x.name != gone.name)
    return tuple(replace(x, sources=tuple(source if s == gone.name else s for s in x.sources)) for x in kept)


def _drop_neutral(layers: Layers) -> Layers | None:
    """A scale by 1 and 0, or a take of the only step of a take or flatten."""
    for k, x in enumerate(layers):
        below = _only_source(layers, k)
        neutral = x.op == "scale" and (x.weights["gain"] == 1).all() and not x.weights["offset"].any()
        again = x.op == "take" and below is not None and below.op in ("take", "flatten")
        if (neutral or again) and len(layers) > 1 and len(x.sources) == 1:
            return _without(layers, x, x)
    return None


def _scale_into_next(layers: Layers) -> Layers | None:
    """W (gain x + offset) + b = (W gain) x + (W offset + b), for what takes a product of its input first."""
    for x in layers:
        if x.op != "scale" or len(x.sources) > 1:
            continue
        readers = [layers[r] for r in _readers(layers, x.name)]
        if len(readers) != 1 or readers[0].sources != (x.name,) or readers[0].op not in ("dense", "lstm", "gru", "rnn"):
            continue
        (reader,), gain, offset = readers, *(x.weights[n].astype(np.float64) for n in ("gain", "offset"))
        key = "w" if reader.op == "dense" else "w_ih"
        w, b = reader.weights[key].astype(np.float64), reader.weights["b"].astype(np.float64)
        b = b + np.pad(w @ offset, (0, len(b) - len(w)))
        return _without(layers, x, _with(reader, {key: w * gain, "b": b}))
    return None


def _scale_into_dense(layers: Layers) -> Layers | None:
    """gain (W x + b) + offset, behind a dense layer or a convolution without activation."""
    for k, x in enumerate(layers):
        below = _only_source(layers, k)
        if x.op != "scale" or below is None or below.op not in ("dense", "conv") or below.activations:
            continue
        gain, offset = (x.weights[n].astype(np.float64) for n in ("gain", "offset"))
        w = below.weights["w"] * gain.reshape(-1, *[1] * (below.weights["w"].ndim - 1))
        return _merged(layers, x, _with(below, {"w": w, "b": below.weights["b"] * gain + offset}))
    return None


def _activation_into_dense(layers: Layers) -> Layers | None:
    for k, x in enumerate(layers):
        below = _only_source(layers, k)
        if x.op == "activation" and below is not None and below.op == "dense" and not below.activations:
            return _merged(layers, x, replace(below, activations=x.activations))
    return None


def _merged(layers: Layers, gone: Layer, change: Layer) -> Layers:
    """`gone`, which reads only `change`, is out and `change` takes its place, so that nothing reads ahead."""
    return tuple(
        replace(x, sources=tuple(change.name if s == gone.name else s for s in x.sources))
        for x in (change if x.name == change.name else x for x in layers if x.name != gone.name)
    )


def _take_before_per_step(layers: Layers) -> Layers | None:
    """A step's choice goes below layers that look at one step: they run once instead of at every step."""
    for k, x in enumerate(layers):
        below = _only_source(layers, k)
        if x.op == "take" and below is not None and below.op in PER_STEP and len(below.sources) == 1:
            moved = replace(x, sources=below.sources)
            at = {x.name: below, below.name: moved}
            swapped = [at.get(y.name, y) for y in layers]
            renamed = {x.name: below.name}
            fixed = [
                replace(y, sources=(x.name,))
                if y.name == below.name
                else replace(y, sources=tuple(renamed.get(s, s) for s in y.sources))
                for y in swapped
            ]
            return tuple(fixed)
    return None


def _with(x: Layer, weights: dict[str, np.ndarray]) -> Layer:
    made = layer(x.name, x.op, {**x.weights, **weights})
    return replace(x, weights=made.weights)


def _with_head(network: Network) -> Network:
    """Takes or whole-window averages right before the last dense layer, of recurrent layers, become the head."""
    layers = _explicit(network.layers)
    last = layers[-1]
    by_name = {x.name: x for x in layers}
    fed = [by_name[s] for s in last.sources if s != INPUT]
    if last.op != "dense" or network.head != "all" or len(fed) < len(last.sources) or not fed:
        return network
    head = _head_of(fed, [by_name.get(x.sources[0]) for x in fed])
    if head is None or any(_readers(layers, x.name) != [len(layers) - 1] for x in fed):
        return network
    below = {x.name: x.sources for x in fed}
    kept = [x for x in layers[:-1] if x.name not in below]
    joined = replace(last, sources=tuple(s for n in last.sources for s in below[n]))
    return replace(network, layers=_implicit((*kept, joined)), head=head)


def _head_of(choices: Sequence[Layer], below: Sequence[Layer | None]) -> str | None:
    """ "last", "final_states" or "mean", where all choices are of that kind and of recurrent layers."""
    if any(len(x.sources) != 1 for x in choices) or not all(y is not None and y.op in DEFAULTS for y in below):
        return None
    if all(x.op == "pool" and not x.options.get("max") and not x.options.get("kernel") for x in choices):
        return "mean"
    if not all(x.op == "take" for x in choices):
        return None
    turned = [bool(y and y.reverse) for y in below]
    at = [int(x.options.get("at", -1)) for x in choices]
    if any(turned) and at == [0 if t else -1 for t in turned]:
        return "final_states"
    return "last" if all(a == -1 for a in at) else None


def streamed(network: Network) -> Network:
    """The same layers as one endless stream: of a window that ends in its last step, the forecast after each sample.

    Raises: QuantizeError, naming the layer, where a step needs what a stream has not."""
    n = canonical(network)
    for x in n.layers:
        if x.reverse or x.op in ("flatten", "take", "pool") or (x.op == "conv" and not causal(x)):
            why = "runs backwards" if x.reverse else f"is a {x.op} over the time of a window"
            raise QuantizeError(f"{x.name}: {why}, which an endless stream has not; import without --stream")
    if n.head not in ("last", "all"):
        raise QuantizeError(
            f'head = "{n.head}" needs the end of a window, which a stream has not; import without --stream'
        )
    return replace(n, mode="stateful", window=0, warmup=1, head="last")


def without_final(network: Network) -> tuple[Network, str]:
    """Without the last layer's softmax, sigmoid or log-softmax, whose order its input keeps: logits; and its name."""
    last = network.layers[-1]
    kind = last.activations[0] if last.op == "dense" and last.activations else ""
    if kind not in (*OVER_FEATURES, "sigmoid"):
        return network, ""
    bare = replace(last, activations=())
    return replace(network, layers=(*network.layers[:-1], bare), output="class"), kind
