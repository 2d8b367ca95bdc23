"""Outputs and every gradient against torch's autograd, in float64: its own layers, and layer norm's own operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantize.network import Layer
from tests.test_nn_layers import INPUTS, OUTPUTS, network, states_of
from tests.test_nn_learning import needs_torch
from toolkit.nn import GRU, LSTM, RNN, Bidirectional, Dense, LSTMNorm
from toolkit.nn.network import Stack, parameters, parted, zeros_like

TIME, BATCH, H = 5, 4, 3
OURS = {"lstm": LSTM(H), "gru": GRU(H), "rnn tanh": RNN(H), "rnn relu": RNN(H, activation="relu")}


def theirs_of(torch: Any, name: str, *, both: bool) -> Any:
    shape = {"input_size": INPUTS, "hidden_size": H, "num_layers": 2, "bidirectional": both, "dtype": torch.float64}
    if name.startswith("rnn"):
        return torch.nn.RNN(nonlinearity=name[4:], **shape)
    return (torch.nn.LSTM if name == "lstm" else torch.nn.GRU)(**shape)


def named(one: Layer) -> str:
    """torch's suffix of a layer: l0, l0_reverse, l1, ..."""
    return f"l{one.name.removesuffix('_reverse')[-1]}{'_reverse' * one.reverse}"


@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both"])
@pytest.mark.parametrize("name", OURS)
def test_two_layers_are_those_of_torch(name: str, both: bool) -> None:
    torch = needs_torch()
    cell = Bidirectional(OURS[name]) if both else OURS[name]
    net = network([cell, cell, Dense(OUTPUTS)], head="all")
    theirs = theirs_of(torch, name, both=both)
    with torch.no_grad():
        for one in net.layers[:-1]:
            for ours in ("w_ih", "w_hh"):
                getattr(theirs, f"weight_{ours[2:]}_{named(one)}").copy_(torch.tensor(np.array(one.weights[ours])))
            b, size = np.array(one.weights["b"]), len(one.weights["w_hh"])
            getattr(theirs, f"bias_ih_{named(one)}").copy_(torch.tensor(b[:size]))
            hidden = getattr(theirs, f"bias_hh_{named(one)}").zero_()
            if len(b) > size:
                hidden[2 * H :] = torch.tensor(b[size:])
    rng = np.random.default_rng(1)
    p, x = parameters(net, np.float64), rng.normal(size=(TIME, INPUTS, BATCH))
    zeros = [{k: np.zeros((H, BATCH)) for k in state} for state in states_of(net, rng)]
    stack, gradient = Stack(p, TIME, BATCH), zeros_like(p)
    stack.forward(p, x, states=zeros, resets={}, outputs=TIME)
    given = torch.tensor(x.transpose(0, 2, 1), requires_grad=True)
    out, _ = theirs(given)
    np.testing.assert_allclose(stack.seen.transpose(0, 2, 1), out.detach().numpy(), atol=1e-12)
    dy = rng.normal(size=(TIME, OUTPUTS, BATCH))
    head = torch.tensor(np.array(net.layers[-1].weights["w"], np.float64))
    (torch.einsum("oh,tbh->tob", head, out) * torch.tensor(dy)).sum().backward()
    stack.backward(p, dy, resets={}, gradient=gradient)
    for one, made in zip(net.layers[:-1], parted(gradient)[:-1], strict=True):
        for ours in ("w_ih", "w_hh"):
            wanted = getattr(theirs, f"weight_{ours[2:]}_{named(one)}").grad
            np.testing.assert_allclose(made[ours], wanted, rtol=1e-9, atol=1e-13)
        size = len(made["w_hh"])
        np.testing.assert_allclose(made["b"][:size], getattr(theirs, f"bias_ih_{named(one)}").grad, atol=1e-12)
        if len(made["b"]) > size:
            wanted = getattr(theirs, f"bias_hh_{named(one)}").grad[2 * H :]
            np.testing.assert_allclose(made["b"][size:], wanted, atol=1e-12)


def test_lstm_norm_is_burns_formula_under_autograd() -> None:
    """examples/modern-lstm of tracel-ai/burn, in torch's linear, layer_norm, sigmoid and tanh; a carried state."""
    torch = needs_torch()
    f = torch.nn.functional
    net = network([LSTMNorm(H), Dense(OUTPUTS)], head="all")
    rng = np.random.default_rng(2)
    p, x = parameters(net, np.float64), rng.normal(size=(TIME, INPUTS, BATCH))
    states, dy = states_of(net, rng), rng.normal(size=(TIME, OUTPUTS, BATCH))
    stack, gradient = Stack(p, TIME, BATCH), zeros_like(p)
    y = stack.forward(p, x, states=states, resets={}, outputs=TIME)
    before = stack.backward(p, dy, resets={}, gradient=gradient)

    def tensors(arrays: Any) -> dict[str, Any]:
        return {k: torch.tensor(np.array(v, np.float64), requires_grad=True) for k, v in arrays.items()}

    w, head, s = tensors(net.layers[0].weights), tensors(net.layers[1].weights), tensors(states[0])

    def norm(v: Any, name: str) -> Any:
        return f.layer_norm(v, v.shape[-1:], *w[name], eps=1e-5)

    h, c, outputs = s["h"].T, s["c"].T, []
    for x_t in torch.tensor(x.transpose(0, 2, 1)):
        gates = norm(f.linear(x_t, w["w_ih"], w["b_ih"]), "norm_x") + f.linear(h, w["w_hh"], w["b_hh"])
        i, forget, g, o = gates.chunk(4, 1)
        c = norm(torch.sigmoid(forget) * c + torch.sigmoid(i) * torch.tanh(g), "norm_c")
        h = norm(torch.sigmoid(o) * torch.tanh(c), "norm_h")
        outputs.append(f.linear(h, head["w"], head["b"]).T)
    theirs = torch.stack(outputs)
    np.testing.assert_allclose(y, theirs.detach().numpy(), atol=1e-12)
    (theirs * torch.tensor(dy)).sum().backward()
    for made, wanted in zip([*parted(gradient), before[0]], (w, head, s), strict=True):
        assert made.keys() == wanted.keys()
        for k in made:
            np.testing.assert_allclose(made[k], wanted[k].grad.numpy(), rtol=1e-9, atol=1e-12)
