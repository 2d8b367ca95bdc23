"""An imported network in the form that is quantized: recurrent and hidden dense layers, then one dense head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantize.canonical import PER_STEP, canonical
from quantize.float_graph import shapes
from quantize.graph import sources
from quantize.network import Layer, Network, layer
from quantize.ops import OPS

LOGITS = ("softmax", "log_softmax")


def deployable(network: Network) -> tuple[Network, tuple[str, ...]]:
    """The network with hidden dense layers named as such, and remarks for the user. A trained network is left as it is.

    What has no integer form stays as it is, for `quantize.verify` to name."""
    if _trained(network):
        return network, ()
    n, notes = canonical(network), []
    last = n.layers[-1]
    if last.op == "dense" and last.activations and last.activations[0] in LOGITS:
        notes.append(
            f"{last.name}: {last.activations[0]} has no integer form and is left to the caller: the outputs are "
            f"its inputs, one score a class; the largest is the same class"
        )
        n = replace(n, layers=(*n.layers[:-1], replace(last, activations=())), output="class")
    n = _with_head(_late_take(n))
    if n.head == "all" and n.mode == "window":
        notes.append(
            "the integer form gives the last step of a window; import with --stream for a forecast at every step"
        )
    sizes = shapes(n, n.window or 1)
    hidden = [_hidden(x, sum(sizes[s][1] for s in sources(n.layers, k))) for k, x in enumerate(n.layers[:-1])]
    n = replace(n, layers=(*hidden, n.layers[-1]))
    return replace(n, head="last" if n.head == "all" and n.mode == "window" else n.head), tuple(notes)


def _trained(network: Network) -> bool:
    """Whether it is already recurrent layers and a head."""
    ops = [x.op for x in network.layers]
    recurrent = all(op in OPS and OPS[op].STATE for op in ops[:-1])
    return recurrent and ops[-1:] == ["dense"] and not network.layers[-1].activations and network.head != "all"


def _late_take(n: Network) -> Network:
    """take -> per-step layers -> head becomes per-step layers -> head of the last step: an integer layer runs at every
    step anyway."""
    if n.head != "all" or n.mode != "window":
        return n
    for k, x in enumerate(n.layers):
        chain = all(not y.sources and y.op in PER_STEP for y in n.layers[k + 1 :])
        if x.op == "take" and int(x.options.get("at", -1)) == -1 and not x.sources and k and chain:
            return replace(n, layers=n.layers[:k] + n.layers[k + 1 :], head="last")
    return n


def _with_head(n: Network) -> Network:
    """Ends in a dense layer without activation, an identity where there was none."""
    last = n.layers[-1]
    if last.op == "dense" and not last.activations:
        return n
    size = shapes(n, n.window or 1)[last.name][1]
    name = "head" if all(x.name != "head" for x in n.layers) else "identity_head"
    return replace(n, layers=(*n.layers, layer(name, "dense", {"w": np.eye(size), "b": np.zeros(size)})))


def _hidden(x: Layer, width: int) -> Layer:
    """A dense layer, scale or activation below the head as dense_hidden."""
    if x.op == "dense":
        return replace(x, op="dense_hidden")
    if x.op == "activation" or x.op == "scale":
        gain, offset = (x.weights.get(k, v) for k, v in (("gain", np.ones(width)), ("offset", np.zeros(width))))
        made = layer(x.name, "dense_hidden", {"w": np.diag(gain), "b": offset})
        return replace(made, sources=x.sources, activations=x.activations)
    return x
