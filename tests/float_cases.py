"""Networks with each float op and each of its options, for the generated float32 C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantize.activations import FUNCTIONS, write
from quantize.float_graph import shapes
from quantize.network import HEADS, MISSING, MODES, Layer, Network, layer
from tests.float_nets import network, random_graph, recurrent

RANDOM = 24
RNG = np.random.default_rng(17)


def arr(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape)


def cell(op: str, width: int, hidden: int, name: str = "r", **more: object) -> Layer:
    """Without options but `more`; weights of its own by name."""
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[op] * hidden
    own = more.pop("weights", {})
    weights = {"w_ih": arr(rows, width), "w_hh": arr(rows, hidden), "b": arr(rows), **own}  # type: ignore[dict-item]
    return layer(name, op, weights, **more)  # type: ignore[arg-type]


def dense(width: int, out: int, name: str = "end", **more: object) -> Layer:
    return layer(name, "dense", {"w": arr(out, width), "b": arr(out)}, **more)  # type: ignore[arg-type]


def both(op: str, hidden: int, name: str, *fed: str, width: int) -> list[Layer]:
    """The two directions of a layer."""
    return [cell(op, width, hidden, f"{name}{k}", sources=fed, reverse=bool(k)) for k in range(2)]


def recurrent_cases() -> dict[str, list[Layer]]:
    """Each option of the recurrent ops by itself, both ways."""
    lstm = {
        "peepholes": {"weights": {"p": arr(15)}},
        "preact_clip": {"options": {"preact_clip": 0.3}},
        "cell_clip": {"options": {"cell_clip": 0.2}},
        "input_forget": {"options": {"input_forget": 1}},
        "input_forget and peepholes": {"options": {"input_forget": 1}, "weights": {"p": arr(15)}},
        "activations": {"activations": ("hard_sigmoid(0.2,0.5)", "softsign", "scaled_tanh(1.7,0.6)")},
        "first state": {"weights": {"h0": arr(5), "c0": arr(5)}},
        "first h, peepholes": {"weights": {"h0": arr(5), "p": arr(15)}},
    }
    gru = {
        "preact_clip": {"options": {"preact_clip": 0.3}},
        "activations": {"activations": ("hard_sigmoid(0.2,0.5)", "leaky_relu(0.1)")},
        "softmax": {"activations": ("softmax", "tanh")},
        "first h": {"weights": {"h0": arr(5)}},
    }
    rnn = {
        "plain": {},
        "relu": {"options": {"relu": 1}},
        "custom": {"activations": ("elu(0.7)",)},
        "clip, h0": {"options": {"preact_clip": 0.4}, "weights": {"h0": arr(5)}},
    }
    out: dict[str, list[Layer]] = {}
    for op, table in (("lstm", lstm), ("gru", gru), ("rnn", rnn)):
        for text, more in table.items():
            for reverse in (False, True):
                out[f"{op}: {text}{', reverse' * reverse}"] = [cell(op, 3, 5, reverse=reverse, **more)]
                if op == "gru":
                    after = {**more, "weights": {**more.get("weights", {}), "b": arr(20)}}
                    out[f"{op} reset after: {text}{', reverse' * reverse}"] = [cell(op, 3, 5, reverse=reverse, **after)]
    for size in (1, 7, 8, 9, 33):
        out[f"lstm_norm {size}"] = [recurrent(np.random.default_rng(size), "r", "lstm_norm", 3, size)]
    return out


def two_directions() -> dict[str, Network]:
    """Two layers of them under every head; sizes around the blocks of the fast kernels."""
    out = {}
    for size, heads in ((1, HEADS), (16, ("final_states",)), (17, HEADS), (33, ("all",))):
        two = both("lstm", size, "a", "", width=3) + both("gru", size, "b", "a0", "a1", width=2 * size)
        for head in heads:
            last = dense(2 * size, 2, sources=("b0", "b1"))
            out[f"two directions {size} {head}"] = network([*two, last], inputs=3, steps=7, head=head)
    return out


def layer_cases() -> dict[str, list[Layer]]:
    """The ops without a state; windows of 7 steps of 3 features."""
    out: dict[str, list[Layer]] = {}
    for name, (count, _) in FUNCTIONS.items():
        text = write(name, *(0.3, 0.6)[:count])
        out[f"activation {text}"] = [layer("end", "activation", {}, activations=(text,))]
        out[f"dense {text}"] = [dense(3, 5, activations=(text,))]
    convolutions = {
        "plain": ({}, 3),
        "one step": ({}, 1),
        "stride, dilation": ({"stride": 2, "dilation": 2}, 3),
        "same": ({"pad_before": 1, "pad_after": 1}, 3),
        "causal": ({"pad_before": 4, "dilation": 2}, 3),
        "padded further than it is long": ({"pad_before": 9, "pad_after": 8, "stride": 3}, 2),
        "depthwise": ({"groups": 3, "pad_after": 2}, 2),
        "whole window": ({}, 7),
    }
    for text, (options, kernel) in convolutions.items():
        w = {"w": arr(6, 3 // options.get("groups", 1), kernel), "b": arr(6)}
        out[f"conv {text}"] = [layer("end", "conv", w, options=options)]
    pools = ({}, {"kernel": 3}, {"kernel": 2, "stride": 2}, {"kernel": 3, "stride": 2, "pad_before": 1, "pad_after": 2})
    for options in pools:
        for more in ({"max": 1}, {}, {"count_pad": 1}):
            out[f"pool {options} {more}"] = [layer("end", "pool", {}, options={**options, **more})]
    out["norm"] = [layer("end", "norm", {"gain": arr(3), "offset": arr(3)}, options={"epsilon": 1e-5})]
    out["scale"] = [layer("end", "scale", {"gain": arr(3), "offset": arr(3)})]
    for at in (0, 3, -1, -7):
        out[f"take {at}"] = [layer("end", "take", {}, options={"at": at})]
    out["pick"] = [layer("end", "pick", {}, options={"first": 1, "count": 2})]
    out["flatten"] = [dense(3, 4, "a"), layer("f", "flatten", {}), dense(28, 2)]
    out["flatten of part"] = [layer("part", "pick", {}, options={"first": 1, "count": 2}), layer("f", "flatten", {})]
    for reverse in (False, True):
        two = [layer(f"t{k}", "take", {}, options={"at": k}, sources=("r",)) for k in (2, 4)]
        r = cell("lstm", 3, 4, reverse=reverse, sources=("",))
        out[f"steps in between, reverse {reverse}"] = [r, *two, dense(8, 2, sources=("t2", "t4"))]
    out["take of a take"] = [cell("lstm", 3, 4), layer("t", "take", {}), layer("u", "take", {}), dense(4, 2)]
    for op in ("add", "mul"):
        for fed in (("a",), ("a", "b"), ("a", "a"), ("a", "b", "a"), ("", "a", "b")):
            out[f"{op} of {fed}"] = [
                dense(3, 3, "a", sources=("",)),
                dense(3, 3, "b"),
                layer("end", op, {}, sources=fed),
            ]
    out["joined with the input"] = [cell("gru", 3, 4, "a"), dense(7, 2, sources=("a", ""))]
    out["joined twice"] = [
        *both("rnn", 4, "a", "", width=3),
        dense(8, 3, "b", sources=("a0", "a1")),
        dense(8, 3, "c", sources=("a1", "a0")),
        layer("end", "mul", {}, sources=("b", "c")),
    ]
    out["residual"] = [
        dense(3, 4, "a"),
        cell("lstm", 4, 4, "b"),
        layer("c", "add", {}, sources=("a", "b")),
        layer("d", "norm", {"gain": arr(4), "offset": arr(4)}, options={"epsilon": 1e-5}),
        layer("end", "activation", {}, activations=("silu",)),
    ]
    return out


def side_by_side(cases: dict[str, list[Layer]], *, flat: bool) -> Network:
    """All of them as one network, which joins what each makes of the window; flat: as one row."""
    layers: list[Layer] = []
    ends = []
    for k, case in enumerate(cases.values()):
        named = {"": "", **{x.name: f"n{k}_{x.name}" for x in case}}
        before = ""
        for x in case:
            layers.append(replace(x, name=named[x.name], sources=tuple(named[s] for s in x.sources) or (before,)))
            before = named[x.name]
        if flat:
            layers.append(layer(f"n{k}_flat", "flatten", {}, sources=(before,)))
        ends.append(layers[-1].name)
    made = network([*layers, layer("end", "add", {}, sources=(ends[0],))], inputs=3, steps=7)
    widths = [shapes(made, 7)[name][1] for name in ends]
    end = layer("end", "pick", {}, options={"count": sum(widths)}, sources=tuple(ends))
    return network([*layers, end], inputs=3, steps=7)


def forecasters() -> dict[str, Network]:
    """Of every mode and treatment of lost samples, from a first state of their own."""
    layers = [cell("lstm", 2, 4, weights={"h0": arr(4), "c0": arr(4)}), dense(4, 1, activations=("tanh",))]
    seen = {"w": arr(2, 1, 3), "b": arr(2)}
    conv = layer("conv0", "conv", seen, options={"pad_before": 4, "dilation": 2, "groups": 2})
    of_mode = {mode: network([conv, *layers], inputs=2, steps=5, mode=mode) for mode in MODES}
    return {f"{mode} {how}": replace(n, missing=how) for mode, n in of_mode.items() for how in MISSING}


def everything() -> dict[str, Network]:
    """All cases in two networks; by themselves those that end in what is mostly another look at memory; random ones."""
    cases = layer_cases()
    alone = ("flatten", "take 3", "pick", "add of ('a', 'b', 'a')", "mul of ('',", "residual", "joined")
    return {
        "recurrent": side_by_side(recurrent_cases(), flat=False),
        "layers": side_by_side(cases, flat=True),
        **{k: network(v, inputs=3, steps=7) for k, v in cases.items() if k.startswith(alone)},
        **two_directions(),
        **forecasters(),
        **{f"random {k}": random_graph(np.random.default_rng(k), "net") for k in range(RANDOM)},
    }


def a_few() -> dict[str, Network]:
    """All layers' code in few files, both modes."""
    nets = {k: side_by_side(v, flat=True) for k, v in (("all", layer_cases()), ("recurrent", recurrent_cases()))}
    return nets | {k: n for k, n in forecasters().items() if k.endswith("hold")}
