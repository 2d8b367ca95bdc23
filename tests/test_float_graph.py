"""The float definition of every op (quantize/float_ops.py) against PyTorch or a plain loop, and canonical's promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantize.activations import FUNCTIONS, activation, parse, write
from quantize.canonical import canonical, streamed
from quantize.errors import QuantizeError
from quantize.float_graph import evaluate, shapes
from quantize.network import Column, Layer, Network, layer, load_network, save_network
from tests.conftest import needs

RNG = np.random.default_rng(5)


def arr(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape)


def net(*layers: Layer, inputs: int = 3, head: str = "all", steps: int = 5) -> Network:
    columns = tuple(Column(f"x{j}", "", 3, 0.0, 1.0) for j in range(inputs))
    plain = Network("net", tuple(layers), columns, (), "window", steps, steps, 0, 0.0, "hold", 0, head)
    width = shapes(plain, steps)[layers[-1].name][1]
    return replace(plain, outputs=tuple(Column(f"y{j}", "", 3, 0.0, 1.0, 1) for j in range(width)))


def lstm(name: str, n: int, h: int, **more: object) -> Layer:
    w = {"w_ih": arr(4 * h, n), "w_hh": arr(4 * h, h), "b": arr(4 * h), **more.pop("weights", {})}  # type: ignore[dict-item]
    return layer(name, "lstm", w, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_activation_reads_what_it_writes(name: str) -> None:
    text = write(name, *(0.25, 1 / 3)[: FUNCTIONS[name][0]])
    assert parse(text) == (name, (0.25, 1 / 3)[: FUNCTIONS[name][0]])
    y = activation(text)(np.array([[-800.0, -1.0, 0.0, 2.0, 5.0]]))
    assert y.shape == (1, 5) and np.isfinite(y).all()


@pytest.mark.parametrize("text", ["rely", "relu(1)", "leaky_relu", "leaky_relu(x)", "affine(1,inf)", "tanh)"])
def test_an_unknown_activation_is_refused(text: str) -> None:
    with pytest.raises(QuantizeError, match="activation"):
        parse(text)


def test_recurrent_layers_and_dense_equal_torch() -> None:
    needs("torch")
    import torch

    for kind in ("LSTM", "GRU", "RNN"):
        cell = getattr(torch.nn, kind)(3, 4, batch_first=True, bidirectional=True, dtype=torch.float64)
        parts = []
        for k, end in enumerate(("", "_reverse")):
            w = {n: getattr(cell, f"{n}_l0{end}").detach().numpy() for n in ("weight_ih", "weight_hh")}
            b_i, b_h = (getattr(cell, f"bias_{n}_l0{end}").detach().numpy() for n in ("ih", "hh"))
            b = np.concatenate([(b_i + b_h)[:8], b_i[8:], b_h[8:]]) if kind == "GRU" else b_i + b_h
            named = {"w_ih": w["weight_ih"], "w_hh": w["weight_hh"], "b": b}
            parts.append(replace(layer(f"r{k}", kind.lower(), {}, sources=("",), reverse=bool(k)), weights=named))
        joined = layer("y", "pick", {}, options={"count": 8}, sources=("r0", "r1"))
        x = arr(2, 5, 3)
        want = cell(torch.tensor(x))[0].detach().numpy()
        np.testing.assert_allclose(evaluate(net(*parts, joined), x)[""], want, rtol=0, atol=1e-12)


def test_conv_and_pool_equal_torch() -> None:
    needs("torch")
    import torch

    x = arr(2, 9, 4)
    for options in ({}, {"stride": 2, "pad_before": 1, "pad_after": 1}, {"dilation": 2}, {"groups": 2}):
        w, b = arr(6, 4 // options.get("groups", 1), 3).astype(np.float32), arr(6).astype(np.float32)
        pad = options.get("pad_before", 0)
        how = {k: v for k, v in options.items() if not k.startswith("pad")}
        t = torch.nn.functional.conv1d(
            torch.tensor(x).transpose(1, 2), torch.tensor(w).double(), torch.tensor(b).double(), padding=pad, **how
        )
        one = layer("conv", "conv", {"w": w, "b": b}, options=options)
        np.testing.assert_allclose(evaluate(net(one, inputs=4, steps=9), x)[""], t.transpose(1, 2).numpy(), atol=1e-12)
    for largest in (0, 1):
        options = {"max": largest, "kernel": 3, "stride": 2, "pad_before": 1, "pad_after": 1, "count_pad": 1}
        pool = torch.nn.functional.max_pool1d if largest else torch.nn.functional.avg_pool1d
        t = pool(torch.tensor(x).transpose(1, 2), 3, 2, 1).transpose(1, 2).numpy()
        got = evaluate(net(layer("pool", "pool", {}, options=options), inputs=4, steps=9), x)[""]
        np.testing.assert_allclose(got, t, atol=1e-12)


def test_the_window_of_each_head() -> None:
    a, b = lstm("a", 3, 2, sources=("",)), lstm("b", 3, 2, sources=("",), reverse=True)
    head = layer("y", "dense", {"w": np.eye(4), "b": np.zeros(4)}, sources=("a", "b"))
    x = arr(2, 5, 3)
    lines = evaluate(net(a, b, head, head="all"), x)
    ends = np.concatenate([lines["a"][:, -1:], lines["b"][:, :1]], -1)
    np.testing.assert_array_equal(evaluate(net(a, b, head, head="final_states"), x)[""], ends)
    np.testing.assert_array_equal(evaluate(net(a, b, head, head="last"), x)[""], lines[""][:, -1:])
    np.testing.assert_allclose(evaluate(net(a, b, head, head="mean"), x)[""], lines[""].mean(1, keepdims=True))


def test_a_first_state_and_functions_are_kept_in_the_file(tmp_path: object) -> None:
    one = lstm("a", 3, 2, weights={"h0": arr(2), "c0": arr(2)}, activations=("hard_sigmoid(0.2,0.5)", "tanh", "relu"))
    n, x = net(one), arr(2, 5, 3)
    assert np.abs(evaluate(n, x)[""] - evaluate(net(replace(one, activations=())), x)[""]).max() > 0.01
    save_network(n, f"{tmp_path}/m.safetensors")
    np.testing.assert_array_equal(evaluate(load_network(f"{tmp_path}/m.safetensors"), x)[""], evaluate(n, x)[""])


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (layer("a", "dens", {}), 'no op "dens"'),
        (layer("a", "dense", {"w": arr(2, 4), "b": arr(2)}), "3 values come in"),
        (layer("a", "dense", {"w": arr(2, 3), "b": arr(2)}, sources=("z",)), 'fed by "z"'),
        (layer("a", "conv", {"w": arr(2, 3, 6), "b": arr(2)}), "does not fit a window of 5"),
        (layer("a", "take", {}, options={"at": 5}), "takes step 5 of 5"),
        (layer("a", "pick", {}, options={"first": 2, "count": 2}), "picks 2 from 2 of 3"),
        (layer("a", "dense", {"w": np.full((1, 3), np.nan), "b": arr(1)}), "NaN"),
        (layer("a", "activation", {}), "0 activations; expected 1"),
        (lstm("a", 3, 2, activations=("tanh",)), "expected 0 or 3"),
    ],
)
def test_what_does_not_fit_is_named(bad: Layer, text: str) -> None:
    with pytest.raises(QuantizeError, match=text):
        net(bad)


def dense(name: str, n: int, m: int, **more: object) -> Layer:
    return layer(name, "dense", {"w": arr(m, n), "b": arr(m)}, **more)  # type: ignore[arg-type]


def scale(name: str, n: int, **more: object) -> Layer:
    return layer(name, "scale", {"gain": arr(n), "offset": arr(n)}, **more)  # type: ignore[arg-type]


def act(name: str, function: str) -> Layer:
    return layer(name, "activation", {}, activations=(function,))


CHAINS: dict[str, tuple[list[Layer], str, list[str]]] = {
    "scales fold into both sides": (
        [scale("s0", 3), lstm("a", 3, 4), dense("d", 4, 2), scale("s1", 2), layer("t", "take", {})],
        "last",
        ["a", "d"],
    ),
    "the choice of a step moves below dense layers": (
        [
            lstm("a", 3, 4),
            dense("d", 4, 3),
            act("r", "relu"),
            dense("y", 3, 2),
            act("p", "softmax"),
            layer("t", "take", {}),
        ],
        "all",
        ["a", "t", "d", "y"],
    ),
    "final states": (
        [
            lstm("a", 3, 4, sources=("",)),
            lstm("b", 3, 4, sources=("",), reverse=True),
            layer("ta", "take", {}, sources=("a",)),
            layer("tb", "take", {}, options={"at": 0}, sources=("b",)),
            dense("y", 8, 2, sources=("ta", "tb")),
        ],
        "final_states",
        ["a", "b", "y"],
    ),
    "the mean": ([lstm("a", 3, 4), layer("m", "pool", {}), dense("y", 4, 2)], "mean", ["a", "y"]),
    "every step": ([lstm("a", 3, 4), dense("y", 4, 2)], "all", ["a", "y"]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_canonical_is_the_same_function(name: str) -> None:
    layers, head, kept = CHAINS[name]
    n, x = net(*layers), arr(2, 5, 3)
    short = canonical(n)
    assert (short.head, [y.name for y in short.layers]) == (head, kept)
    np.testing.assert_allclose(evaluate(short, x)[""], evaluate(n, x)[""], rtol=1e-6, atol=1e-6)


def test_a_stream_is_the_window_s_last_step_as_it_grows() -> None:
    n, x = net(lstm("a", 3, 4), layer("t", "take", {}), dense("y", 4, 2)), arr(2, 5, 3)
    every = evaluate(streamed(n), x)[""]
    for t in range(1, 6):
        np.testing.assert_allclose(every[:, t - 1 : t], evaluate(n, x[:, :t])[""], atol=1e-12)
    with pytest.raises(QuantizeError, match="b: runs backwards"):
        streamed(net(lstm("b", 3, 4, reverse=True)))
    with pytest.raises(QuantizeError, match="is a flatten"):
        streamed(net(lstm("b", 3, 4), layer("f", "flatten", {}), dense("y", 20, 1)))
