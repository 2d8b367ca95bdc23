"""Random float networks of every op, as importers bring them; a seed makes the same network everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantize.activations import FUNCTIONS, write
from quantize.float_graph import shapes
from quantize.network import Column, Layer, Network, layer

ELEMENTWISE = tuple(name for name in FUNCTIONS if name not in ("softmax", "log_softmax", "exp"))
RECURRENT = ("lstm", "gru", "rnn", "lstm_norm")
STREAMED = (*RECURRENT, "dense", "activation", "norm", "scale", "add", "mul", "pick", "join", "conv")
OPS = (*STREAMED, "pool", "take", "flatten")


def columns(count: int, side: str) -> tuple[Column, ...]:
    """Whose raw values are not the normalised ones."""
    return tuple(Column(f"{side}{j}", "", 3, 1.5 * j, 2.0 + j, int(side == "y")) for j in range(count))


def network(
    layers: list[Layer], *, inputs: int, steps: int, mode: str = "window", head: str = "all", name: str = "net"
) -> Network:
    """Around layers; steps: of the window."""
    steps = steps if mode == "window" else 0
    front = columns(inputs, "x")
    n = Network(name, tuple(layers), front, (), mode, steps, max(steps, 1), 0, 0.0, "hold", 3, head)
    return replace(n, outputs=columns(shapes(n, steps or 1)[n.layers[-1].name][1], "y"))


def function(rng: np.random.Generator, among: tuple[str, ...] = ELEMENTWISE) -> str:
    """An activation with parameters of its usual size."""
    name = str(rng.choice(among))
    return write(name, *np.round(rng.uniform(0.1, 1.2, FUNCTIONS[name][0]), 3))


def recurrent(rng: np.random.Generator, name: str, op: str, width: int, hidden: int, *, window: bool = True) -> Layer:
    """A recurrent layer with each option or without."""
    top, rows = 1 / np.sqrt(hidden), {"lstm": 4, "lstm_norm": 4, "gru": 3, "rnn": 1}[op]
    sizes = {"w_ih": (rows * hidden, width), "w_hh": (rows * hidden, hidden), "b": (rows * hidden,)}
    options: dict[str, float] = {}
    activations: tuple[str, ...] = ()
    if op == "lstm_norm":
        del sizes["b"]
        sizes |= {"b_ih": (4 * hidden,), "b_hh": (4 * hidden,)}
    if op == "gru" and rng.random() < 0.5:
        sizes["b"] = (4 * hidden,)
    if op == "lstm" and rng.random() < 0.3:
        sizes["p"] = (3 * hidden,)
    weights = {k: rng.uniform(-top, top, v) for k, v in sizes.items()}
    if op == "lstm_norm":
        weights |= {
            f"norm_{k}": rng.uniform(0.3, 1, (2, n)) for k, n in (("x", 4 * hidden), ("c", hidden), ("h", hidden))
        }
    for k in ("h0", "c0")[: 2 if "lstm" in op else 1]:
        if rng.random() < 0.3:
            weights[k] = rng.uniform(-1, 1, hidden)
    for k in {"lstm": ("preact_clip", "cell_clip", "input_forget"), "lstm_norm": ()}.get(op, ("preact_clip",)):
        if rng.random() < 0.3:
            options[k] = 1.0 if k == "input_forget" else 0.6
    if op != "lstm_norm" and rng.random() < 0.4:
        gates = ("sigmoid", "hard_sigmoid", "tanh", "softsign", "relu6")
        count = {"lstm": 3, "gru": 2, "rnn": 1}[op]
        activations = tuple(function(rng, gates if k == 0 and op != "rnn" else ELEMENTWISE) for k in range(count))
    reverse = window and rng.random() < 0.4
    return layer(name, op, weights, options=options, reverse=reverse, activations=activations)


def one(rng: np.random.Generator, name: str, op: str, time: int, width: int, *, window: bool = True) -> Layer:
    """A layer of an op that takes [time, width]; of join, a dense layer."""
    out = int(rng.integers(1, 9))
    if op in RECURRENT:
        return recurrent(rng, name, op, width, out, window=window)
    if op in ("norm", "scale"):
        gains = {k: rng.uniform(-1.5, 1.5, width) for k in ("gain", "offset")}
        return layer(name, op, gains, options={"epsilon": 1e-3} if op == "norm" else {})
    if op == "activation":
        return layer(name, op, {}, activations=(function(rng, (*ELEMENTWISE, "softmax", "log_softmax")),))
    if op == "conv":
        return _conv(rng, name, time, width, causal=not window)
    if op == "pool":
        kernel = int(rng.integers(1, time + 1))
        pad = {k: int(rng.integers(0, kernel)) for k in ("pad_before", "pad_after")}
        options = {
            **pad,
            "stride": int(rng.integers(1, 4)),
            "max": int(rng.integers(2)),
            "count_pad": int(rng.integers(2)),
        }
        return layer(
            name, op, {}, options={**options, "kernel": kernel} if rng.random() < 0.8 else {"max": options["max"]}
        )
    if op == "take":
        return layer(name, op, {}, options={"at": int(rng.integers(-time, time))})
    if op == "pick":
        first = int(rng.integers(0, width))
        return layer(name, op, {}, options={"first": first, "count": int(rng.integers(1, width - first + 1))})
    if op in ("add", "mul", "flatten"):
        return layer(name, op, {})
    activations = (function(rng),) if rng.random() < 0.5 else ()
    weights = {"w": rng.normal(0, 1 / np.sqrt(width), (out, width)), "b": rng.normal(0, 0.3, out)}
    return layer(name, "dense", weights, activations=activations)


def _conv(rng: np.random.Generator, name: str, time: int, width: int, *, causal: bool) -> Layer:
    groups = int(rng.choice([g for g in range(1, width + 1) if width % g == 0]))
    kernel, dilation = int(rng.integers(1, (4 if causal else min(time, 4)) + 1)), int(rng.integers(1, 3))
    extent = (kernel - 1) * dilation + 1
    pad = max(0, extent - time) + int(rng.integers(0, 3))
    options = {"groups": groups, "dilation": dilation, "stride": int(rng.integers(1, 3)), "pad_before": pad // 2}
    options["pad_after"] = pad - pad // 2
    if causal:
        options |= {"stride": 1, "pad_before": extent - 1, "pad_after": 0}
    out = groups * int(rng.integers(1, 4))
    weights = {
        "w": rng.normal(0, 1 / np.sqrt(kernel * width), (out, width // groups, kernel)),
        "b": rng.normal(0, 0.3, out),
    }
    return layer(name, "conv", weights, options=options)


def random_graph(rng: np.random.Generator, name: str) -> Network:
    """Up to 9 layers, each fed by any before it; every third a stream."""
    window = bool(rng.random() < 0.67)
    steps, inputs = (int(rng.integers(1, 12)) if window else 1), int(rng.integers(1, 6))
    made: dict[str, tuple[int, int]] = {"": (steps, inputs)}
    layers: list[Layer] = []
    for k in range(int(rng.integers(2, 10))):
        op = str(rng.choice(OPS if window else STREAMED))
        recent = [s for s in made if s in list(made)[-3:] or rng.random() < 0.3]
        first = str(rng.choice(recent))
        time, width = made[first]
        alike = [s for s, (t, n) in made.items() if t == time and (op == "join" or n == width)]
        fed = (
            (first, *(str(s) for s in rng.choice(alike, int(rng.integers(1, 3)))))
            if op in ("add", "mul", "join")
            else (first,)
        )
        total = sum(made[s][1] for s in fed) if op not in ("add", "mul") else width
        if op == "flatten" and time * width > 64:
            continue
        x = replace(one(rng, f"layer{k}", op, time, total, window=window), sources=fed)
        layers.append(x)
        made[x.name] = shapes(network([*layers], inputs=inputs, steps=steps, mode="window"), steps)[x.name]
    if not layers:
        return random_graph(rng, name)
    if window and rng.random() < 0.4:  # a dense layer as head of what has as many steps
        time = made[layers[-1].name][0]
        fed = tuple(s for s, (t, _) in made.items() if t == time and s)[-2:]
        head = str(rng.choice(["last", "final_states", "mean", "all"]))
        last = replace(one(rng, "head", "dense", time, sum(made[s][1] for s in fed)), sources=fed)
        return network([*layers, last], inputs=inputs, steps=steps, head=head, name=name)
    return network(layers, inputs=inputs, steps=steps, mode="window" if window else "stateful", name=name)
