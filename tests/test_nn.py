"""Forward against a naive loop, the gradient of every parameter against differences, and the optimiser."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.network import Column, Layer, Network, layer
from toolkit.errors import ToolkitError
from toolkit.nn.adam import Adam, clip_norm
from toolkit.nn.network import (
    Stack,
    State,
    States,
    forward,
    init_network,
    mse,
    parameters,
    with_parameters,
    zero_states,
    zeros_like,
)


def column(name: str) -> Column:
    return Column(name, "", 0, 0.0, 1.0)


def network(*, inputs: int, hidden: int, layers: int, outputs: int, seed: int) -> Network:
    """A network with random biases too, so that no gradient is small by chance."""
    template = Network(
        "n", (), tuple(map(column, "abcdefgh"[:inputs])), tuple(map(column, "xyz"[:outputs])),
        "stateful", 0, 3, 1, 0.0, "hold", 6,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    net = init_network(template, hidden=hidden, layers=layers, rng=rng)
    p = parameters(net, np.float64)
    p.flat[:] += rng.normal(size=len(p.flat)) * 0.3
    return with_parameters(net, p)


def naive(net: Network, x: np.ndarray, states: States) -> np.ndarray:
    """x [batch, time, in] -> y [batch, time, out]: one sample, one step, one gate after another."""
    y = np.zeros((*x.shape[:2], len(net.outputs)))
    for b in range(x.shape[0]):
        h = [s.h[:, b].astype(float) for s in states]
        c = [s.c[:, b].astype(float) for s in states]
        for t in range(x.shape[1]):
            below = x[b, t].astype(float)
            for k, one in enumerate(net.layers[:-1]):
                w = {key: v.astype(float) for key, v in one.weights.items()}
                zi, zf, zg, zo = np.split(w["w_ih"] @ below + w["w_hh"] @ h[k] + w["b"], 4)
                c[k] = c[k] / (1 + np.exp(-zf)) + np.tanh(zg) / (1 + np.exp(-zi))
                h[k] = np.tanh(c[k]) / (1 + np.exp(-zo))
                below = h[k]
            y[b, t] = net.layers[-1].weights["w"].astype(float) @ below + net.layers[-1].weights["b"]
    return y


def random_states(net: Network, batch: int, rng: np.random.Generator) -> States:
    return [
        State(h=rng.uniform(-0.9, 0.9, h.shape), c=rng.normal(size=c.shape))
        for h, c in zero_states(parameters(net, np.float64), batch)
    ]


SHAPES = [(1, 3, 1, 1), (2, 4, 2, 2), (3, 2, 3, 1), (1, 5, 2, 1)]  # inputs, hidden, layers, outputs


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_is_the_naive_loop(shape: tuple[int, int, int, int]) -> None:
    inputs, hidden, layers, outputs = shape
    net = network(inputs=inputs, hidden=hidden, layers=layers, outputs=outputs, seed=1)
    rng = np.random.default_rng(2)
    x, states = rng.normal(size=(3, 6, inputs)), random_states(net, 3, rng)
    expected = naive(net, x, states)
    y, after = forward(net, x, states)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)
    single, _ = forward(net, x, [State(*(v.astype(np.float32) for v in s)) for s in states], dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5)
    first, middle = forward(net, x[:, :4], states)
    second, end = forward(net, x[:, 4:], middle)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, rtol=0, atol=1e-13)
    for (h, c), (h_end, c_end) in zip(after, end, strict=True):
        np.testing.assert_allclose(h, h_end, atol=1e-13)
        np.testing.assert_allclose(c, c_end, atol=1e-13)


def test_a_reset_in_the_middle_is_a_fresh_start() -> None:
    net = network(inputs=2, hidden=4, layers=2, outputs=1, seed=3)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3, 7, 2))
    p = parameters(net, np.float64)
    states = random_states(net, 3, rng)
    y = Stack(p, 7, 3).forward(p, x.transpose(1, 2, 0), states=states, resets={3: np.array([0, 2])}, outputs=7)
    np.testing.assert_allclose(y[:3].transpose(2, 0, 1), naive(net, x[:, :3], states), atol=1e-13)
    fresh = naive(net, x[:, 3:], zero_states(p, 3))
    np.testing.assert_allclose(y[3:, :, [0, 2]].transpose(2, 0, 1), fresh[[0, 2]], atol=1e-13)
    assert np.abs(y[3:, :, 1].T - fresh[1].T).max() > 1e-3


@pytest.mark.parametrize("outputs_at", ["every step", "last step"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_every_parameter(shape: tuple[int, int, int, int], outputs_at: str) -> None:
    """Central differences in float64; T = 5, batch = 3, carried initial states, resets, steps that do not count."""
    inputs, hidden, layers, outputs = shape
    time, batch = 5, 3
    steps = time if outputs_at == "every step" else 1
    net = network(inputs=inputs, hidden=hidden, layers=layers, outputs=outputs, seed=5)
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
        return mse(stack.forward(p, x, states=states, resets=resets, outputs=steps), target, weight=weight)[0]

    gradient.flat[:] = np.nan  # backward writes every element
    _, dy = mse(stack.forward(p, x, states=states, resets=resets, outputs=steps), target, weight=weight)
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


def test_first_weights() -> None:
    net = init_network(
        network(inputs=3, hidden=4, layers=1, outputs=2, seed=0), hidden=16, layers=2, rng=np.random.default_rng(0)
    )
    assert [x.name for x in net.layers] == ["lstm0", "lstm1", "head"]
    for k, inputs in ((0, 3), (1, 16)):
        w = net.layers[k].weights
        assert w["w_ih"].shape == (64, inputs) and w["w_hh"].shape == (64, 16) and w["b"].shape == (64,)
        for gate in np.split(w["w_hh"], 4):
            np.testing.assert_allclose(gate @ gate.T, np.eye(16), atol=1e-6)
        assert np.abs(w["w_ih"]).max() <= np.sqrt(6 / (16 + inputs))
        assert (w["b"][16:32] == 1).all() and not w["b"][:16].any() and not w["b"][32:].any()
    assert net.layers[-1].weights["w"].shape == (2, 16)


def test_weights_survive_joining_bit_for_bit() -> None:
    net = network(inputs=2, hidden=3, layers=2, outputs=2, seed=7)
    back = with_parameters(net, parameters(net, np.float32))
    for one, other in zip(net.layers, back.layers, strict=True):
        assert one.weights.keys() == other.weights.keys()
        assert all(np.array_equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_another_stack_is_refused() -> None:
    net = network(inputs=1, hidden=2, layers=1, outputs=1, seed=8)
    odd = Layer("g", "gru", net.layers[0].weights)
    for layers in ((odd, net.layers[-1]), (net.layers[0],), (net.layers[-1],)):
        with pytest.raises(ToolkitError, match="expected lstm layers and one dense head"):
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
