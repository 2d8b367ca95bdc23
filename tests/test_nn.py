"""Forward against a naive loop, the gradient of every parameter against differences, and the optimiser."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.network import Column, Layer, Network, layer
from tests import naive as scalar
from tests.conftest import needs
from toolkit.config import Model
from toolkit.errors import ToolkitError
from toolkit.nn.layers import init_network
from toolkit.nn.losses import mse
from toolkit.nn.network import (
    Stack,
    States,
    forward,
    parameters,
    parted,
    with_parameters,
    zero_states,
    zeros_like,
)
from toolkit.nn.optimisers import Adam, clip_norm


def column(name: str) -> Column:
    return Column(name, "", 0, 0.0, 1.0)


CELLS = {"lstm": ("lstm", "after"), "gru after": ("gru", "after"), "gru before": ("gru", "before")}


def network(*, cell: str, inputs: int, hidden: int, layers: int, outputs: int, seed: int) -> Network:
    """A network with random biases too, so that no gradient is small by chance."""
    template = Network(
        "n", (), tuple(map(column, "abcdefgh"[:inputs])), tuple(map(column, "xyz"[:outputs])),
        "stateful", 0, 3, 1, 0.0, "hold", 6,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    op, reset = CELLS[cell]
    net = init_network(template, Model(cell=op, reset=reset, hidden=hidden, layers=layers), rng=rng)
    p = parameters(net, np.float64)
    p.flat[:] += rng.normal(size=len(p.flat)) * 0.3
    return with_parameters(net, p)


def naive(net: Network, x: np.ndarray, states: States) -> np.ndarray:
    """x [batch, time, in] -> y [batch, time, out]: one sample, one step, one unit after another."""
    y = np.zeros((*x.shape[:2], len(net.outputs)))
    weights = [{k: v.tolist() for k, v in one.weights.items()} for one in net.layers]
    for b in range(x.shape[0]):
        now = [{k: v[:, b].tolist() for k, v in s.items()} for s in states]
        for t in range(x.shape[1]):
            below = x[b, t].tolist()
            for one, w, state in zip(net.layers[:-1], weights, now, strict=False):
                arguments = w["w_ih"], w["w_hh"], w["b"], below, state["h"]
                if one.op == "lstm":
                    state["h"], state["c"] = scalar.float_lstm(*arguments, state["c"])
                else:
                    state["h"] = scalar.float_gru(*arguments)
                below = state["h"]
            y[b, t] = scalar.float_dense(weights[-1]["w"], weights[-1]["b"], below)
    return y


def random_states(net: Network, batch: int, rng: np.random.Generator) -> States:
    return [
        {k: rng.uniform(-0.9, 0.9, v.shape) if k == "h" else rng.normal(size=v.shape) for k, v in state.items()}
        for state in zero_states(parameters(net, np.float64), batch)
    ]


SHAPES = [(1, 3, 1, 1), (2, 4, 2, 2), (3, 2, 3, 1), (1, 5, 2, 1)]  # inputs, hidden, layers, outputs


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_is_the_naive_loop(cell: str, shape: tuple[int, int, int, int]) -> None:
    inputs, hidden, layers, outputs = shape
    net = network(cell=cell, inputs=inputs, hidden=hidden, layers=layers, outputs=outputs, seed=1)
    rng = np.random.default_rng(2)
    x, states = rng.normal(size=(3, 6, inputs)), random_states(net, 3, rng)
    expected = naive(net, x, states)
    y, after = forward(net, x, states)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)
    single, _ = forward(net, x, [{k: v.astype(np.float32) for k, v in s.items()} for s in states], dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5)
    first, middle = forward(net, x[:, :4], states)
    second, end = forward(net, x[:, 4:], middle)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, rtol=0, atol=1e-13)
    for one, other in zip(after, end, strict=True):
        assert one.keys() == other.keys()
        for k in one:
            np.testing.assert_allclose(one[k], other[k], atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_a_reset_in_the_middle_is_a_fresh_start(cell: str) -> None:
    net = network(cell=cell, inputs=2, hidden=4, layers=2, outputs=1, seed=3)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3, 7, 2))
    p = parameters(net, np.float64)
    states = random_states(net, 3, rng)
    y = Stack(p, 7, 3).forward(p, x.transpose(1, 2, 0), states=states, resets={3: np.array([0, 2])}, outputs=7)
    np.testing.assert_allclose(y[:3].transpose(2, 0, 1), naive(net, x[:, :3], states), atol=1e-13)
    fresh = naive(net, x[:, 3:], zero_states(p, 3))
    np.testing.assert_allclose(y[3:, :, [0, 2]].transpose(2, 0, 1), fresh[[0, 2]], atol=1e-13)
    assert np.abs(y[3:, :, 1].T - fresh[1].T).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("outputs_at", ["every step", "last step"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_every_parameter(cell: str, shape: tuple[int, int, int, int], outputs_at: str) -> None:
    """Central differences in float64; T = 5, batch = 3, carried initial states, resets, steps that do not count."""
    inputs, hidden, layers, outputs = shape
    time, batch = 5, 3
    steps = time if outputs_at == "every step" else 1
    net = network(cell=cell, inputs=inputs, hidden=hidden, layers=layers, outputs=outputs, seed=5)
    rng = np.random.default_rng(6)
    x, states = rng.normal(size=(time, inputs, batch)), random_states(net, batch, rng)
    target = rng.normal(size=(steps, outputs, batch))
    weight = np.ones((steps, 1, batch))
    if steps > 1:
        weight[0, 0] = weight[2, 0, 1] = 0
    resets = {2: np.array([1]), 0: np.array([2])}
    p = parameters(net, np.float64)
    stack, gradient = Stack(p, time, batch), zeros_like(p)

    def loss() -> float:
        return mse(stack.forward(p, x, states=states, resets=resets, outputs=steps), target, weight)[0]

    gradient.flat[:] = np.nan  # backward writes every element
    _, dy = mse(stack.forward(p, x, states=states, resets=resets, outputs=steps), target, weight)
    stack.backward(p, dy, resets=resets, gradient=gradient)
    numeric = np.empty_like(p.flat)
    for k in range(len(p.flat)):
        kept = p.flat[k]
        p.flat[k] = kept + 1e-5
        up = loss()
        p.flat[k] = kept - 1e-5
        numeric[k] = (up - loss()) / 2e-5
        p.flat[k] = kept
    np.testing.assert_allclose(gradient.flat, numeric, rtol=1e-6, atol=1e-9)
    assert (gradient.flat != 0).all(), "every parameter receives a gradient"


@pytest.mark.parametrize("cell", ["lstm", "gru after"])  # torch has no reset before
def test_gradient_is_that_of_torch(cell: str) -> None:
    """Two layers, T = 6, batch = 3, in float64: outputs and the gradient of every weight."""
    needs("torch")
    import torch

    net = network(cell=cell, inputs=2, hidden=5, layers=2, outputs=1, seed=9)
    rng = np.random.default_rng(10)
    x, dh = rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 5, 3))
    double = {"dtype": torch.float64}
    theirs = (torch.nn.LSTM if cell == "lstm" else torch.nn.GRU)(2, 5, 2, **double)
    with torch.no_grad():
        for k, one in enumerate(net.layers[:-1]):
            for name in ("w_ih", "w_hh"):
                getattr(theirs, f"weight_{name[2:]}_l{k}").copy_(torch.tensor(one.weights[name], **double))
            b = torch.tensor(one.weights["b"], **double)
            size = len(one.weights["w_hh"])
            getattr(theirs, f"bias_ih_l{k}").copy_(b[:size])
            getattr(theirs, f"bias_hh_l{k}").zero_()[size - (len(b) - size) :] = b[size:]
    y, _ = theirs(torch.tensor(x.transpose(0, 2, 1)))
    y.backward(torch.tensor(dh.transpose(0, 2, 1)))

    p = parameters(net, np.float64)
    stack, zeros = Stack(p, 6, 3), zero_states(p, 3)
    stack.forward(p, x, states=zeros, resets={}, outputs=6)
    np.testing.assert_allclose(stack.values[1].transpose(0, 2, 1), y.detach().numpy(), atol=1e-12)
    made = zeros_like(p)
    stack.run_backward(p, [dh], resets={}, masks=(), after=zeros, gradient=made)
    for k, ours in enumerate(parted(made)[:-1]):
        for name in ("w_ih", "w_hh"):
            np.testing.assert_allclose(ours[name], getattr(theirs, f"weight_{name[2:]}_l{k}").grad, rtol=1e-10)
        size = len(ours["w_hh"])
        np.testing.assert_allclose(ours["b"][:size], getattr(theirs, f"bias_ih_l{k}").grad, rtol=1e-10)
        extra = len(ours["b"]) - size
        np.testing.assert_allclose(
            ours["b"][size:], getattr(theirs, f"bias_hh_l{k}").grad[size - extra :][:extra], rtol=1e-10
        )


@pytest.mark.parametrize(("cell", "gates", "biases"), [("lstm", 4, 4), ("gru after", 3, 4), ("gru before", 3, 3)])
def test_first_weights(cell: str, gates: int, biases: int) -> None:
    op, reset = CELLS[cell]
    net = init_network(
        network(cell=cell, inputs=3, hidden=4, layers=1, outputs=2, seed=0),
        Model(cell=op, reset=reset, hidden=16, layers=2),
        rng=np.random.default_rng(0),
    )
    assert [x.name for x in net.layers] == [f"{op}0", f"{op}1", "head"]
    for k, inputs in ((0, 3), (1, 16)):
        w = net.layers[k].weights
        assert w["w_ih"].shape == (16 * gates, inputs) and w["w_hh"].shape == (16 * gates, 16)
        for gate in np.split(w["w_hh"], gates):
            np.testing.assert_allclose(gate @ gate.T, np.eye(16), atol=1e-6)
        assert np.abs(w["w_ih"]).max() <= np.sqrt(6 / (16 + inputs))
        forget = [0, 1, 0, 0] if op == "lstm" else [0] * biases
        np.testing.assert_array_equal(w["b"], np.repeat(forget, 16))
    assert net.layers[-1].weights["w"].shape == (2, 16)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_survive_joining_bit_for_bit(cell: str) -> None:
    net = network(cell=cell, inputs=2, hidden=3, layers=2, outputs=2, seed=7)
    back = with_parameters(net, parameters(net, np.float32))
    for one, other in zip(net.layers, back.layers, strict=True):
        assert one.weights.keys() == other.weights.keys()
        assert all(np.array_equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_another_stack_is_refused() -> None:
    net = network(cell="lstm", inputs=1, hidden=2, layers=1, outputs=1, seed=8)
    odd = Layer("g", "transformer", net.layers[0].weights)
    for layers in ((odd, net.layers[-1]), (net.layers[0],), (net.layers[-1],)):
        with pytest.raises(ToolkitError, match="expected lstm or gru or rnn or lstm_norm layers and one dense head"):
            parameters(Network(**{s: getattr(net, s) for s in Network.__slots__} | {"layers": layers}), np.float64)


def test_adam_is_the_paper() -> None:
    adam, flat, m, v = Adam(2, np.float64), np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    expected = flat.copy()
    for t in range(1, 6):
        g = np.array([0.3 * t, -1.0 / t])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected -= 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        adam.update(flat, g, 0.01)
        np.testing.assert_allclose(flat, expected, rtol=1e-12)


def test_clip_norm() -> None:
    g = np.array([3.0, 4.0], np.float32)
    assert clip_norm(g, 10) == 5 and g.tolist() == [3, 4]
    assert clip_norm(g, 1) == 5 and np.allclose(g, [0.6, 0.8])


def test_layer_shapes_are_those_of_the_file() -> None:
    one = layer("x", "dense", {"w": np.ones((1, 2)), "b": np.zeros(1)})
    assert one.weights["w"].dtype == np.float32
