"""Central differences in float64 for every cell, option, graph and head: weights, states and masks included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantize.network import HEADS, Column, Network
from toolkit.errors import ToolkitError
from toolkit.nn import GRU, LSTM, RNN, Bidirectional, Dense, Dropout, LSTMNorm, Residual
from toolkit.nn.dropout import draw_masks
from toolkit.nn.layers import build
from toolkit.nn.network import Stack, States, parameters, with_parameters, zero_states, zeros_like

TIME, BATCH, INPUTS, OUTPUTS = 3, 4, 2, 2
H = 3
STEP = 1e-4

CELLS: dict[str, Any] = {
    "lstm": LSTM(H),
    "lstm peephole": LSTM(H, peephole=True),
    "lstm preact_clip": LSTM(H, preact_clip=0.7, peephole=True),
    "lstm cell_clip": LSTM(H, cell_clip=0.4, peephole=True),
    "lstm input_forget": LSTM(H, input_forget=True),
    "lstm everything": LSTM(H, True, 1.2, 0.8, True, recurrent_dropout=0.2),
    "lstm recurrent dropout": LSTM(H, recurrent_dropout=0.2),
    "lstm_norm": LSTMNorm(H),
    "lstm_norm dropout": LSTMNorm(H, state_dropout=0.2, recurrent_dropout=0.2),
    "gru after": GRU(H),
    "gru before": GRU(H, reset="before"),
    "gru after recurrent dropout": GRU(H, recurrent_dropout=0.2),
    "gru before recurrent dropout": GRU(H, reset="before", recurrent_dropout=0.2),
    "rnn tanh": RNN(H),
    "rnn relu": RNN(H, activation="relu", recurrent_dropout=0.2),
}

GRAPHS: dict[str, Sequence[Any]] = {
    "stacked": [LSTM(H), GRU(2), Dense(OUTPUTS)],
    "dropout between": [LSTM(H), Dropout(0.4), RNN(2), Dropout(0.3), Dense(OUTPUTS)],
    "residual": [LSTM(H), Residual(LSTM(H), Dropout(0.4)), Dropout(0.3), Dense(OUTPUTS)],
    "residual of the input": [Residual(GRU(INPUTS)), Dense(OUTPUTS)],
    "residual in a residual": [GRU(2), Residual(GRU(2), Residual(RNN(2))), Dense(OUTPUTS)],
    "dense between": [RNN(H), Dense(2), GRU(2), Dense(OUTPUTS)],
}
BOTH: dict[str, Sequence[Any]] = {
    "one layer": [Bidirectional(GRU(H)), Dense(OUTPUTS)],
    "joined": [Bidirectional(LSTM(2)), Dropout(0.4), Bidirectional(LSTM(2)), Dense(OUTPUTS)],
    "joined residual": [Bidirectional(RNN(2)), Residual(Bidirectional(RNN(2), Dropout(0.3))), Dense(OUTPUTS)],
    "parallel": [Bidirectional(LSTMNorm(3, state_dropout=0.2), GRU(2)), Dropout(0.2), Dense(OUTPUTS)],
    "dense inside": [Bidirectional(RNN(2), Dense(2)), Dense(OUTPUTS)],
    "parallel residual": [Bidirectional(GRU(2), Residual(GRU(2))), Dense(OUTPUTS)],
}


def network(parts: Sequence[Any], *, mode: str = "window", head: str = "last", seed: int = 5) -> Network:
    """A network with random biases, peepholes, gains and offsets too, so that no gradient is small by chance."""
    columns = tuple(Column(k, "", 0, 0.0, 1.0) for k in "abcd")
    window = TIME if mode == "window" else 0
    rng = np.random.default_rng(seed)
    layers = build(parts, INPUTS, rng)
    net = Network("n", layers, columns[:INPUTS], columns[:OUTPUTS], mode, window, 3, 1, 0.0, "hold", 6, head)
    p = parameters(net, np.float64)
    p.flat[:] += rng.normal(size=len(p.flat)) * 0.3
    return with_parameters(net, p)


def states_of(net: Network, rng: np.random.Generator) -> States:
    """Not zero."""
    zeros = zero_states(parameters(net, np.float64), BATCH)
    return [{k: rng.normal(size=v.shape) * 0.5 for k, v in state.items()} for state in zeros]


def check(net: Network, *, steps: int, resets: dict[int, np.ndarray]) -> np.ndarray:
    """The gradient of sum(y * k), k random, by weights and by first states, against differences; by weights."""
    rng = np.random.default_rng(6)
    p, x = parameters(net, np.float64), rng.normal(size=(TIME, INPUTS, BATCH))
    states, dy = states_of(net, rng), rng.normal(size=(steps, OUTPUTS, BATCH))
    masks = draw_masks(p, time=TIME, batch=BATCH, rng=rng)
    stack, gradient = Stack(p, TIME, BATCH), zeros_like(p)

    def loss() -> float:
        return float((stack.forward(p, x, states=states, resets=resets, outputs=steps, masks=masks) * dy).sum())

    loss()
    gradient.flat[:] = np.nan  # backward writes every element
    before = stack.backward(p, dy, resets=resets, gradient=gradient, masks=masks)
    np.testing.assert_allclose(gradient.flat, differences(p.flat, loss, step=STEP), rtol=1e-6, atol=1e-9)
    for state, d in zip(states, before, strict=True):
        assert state.keys() == d.keys()
        for k in state:
            np.testing.assert_allclose(d[k], differences(state[k], loss, step=STEP), rtol=1e-6, atol=1e-9)
    return gradient.flat


def differences(values: np.ndarray, loss: Callable[[], float], *, step: float) -> np.ndarray:
    """d(loss)/d(values), changed one at a time and put back; central, of fourth order."""
    out = np.empty(values.shape)

    def at(k: tuple[int, ...], change: float) -> float:
        kept = values[k]
        values[k] = kept + change
        made = loss()
        values[k] = kept
        return made

    for k in np.ndindex(values.shape):
        near, far = at(k, step) - at(k, -step), at(k, 2 * step) - at(k, -2 * step)
        out[k] = (8 * near - far) / (12 * step)
    return out


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_of_every_cell_and_option(cell: str) -> None:
    net = network([CELLS[cell], Dense(OUTPUTS)], mode="stateful", seed=10)
    gradient = check(net, steps=TIME, resets={2: np.array([1]), 0: np.array([2])})
    zeros = int((gradient == 0).sum())
    f_rows = H * (H + INPUTS + 1) + H * ("p" in net.layers[0].weights)
    assert zeros == (f_rows if net.layers[0].options.get("input_forget") else 0), "every parameter gets a gradient"


GRAPH_HEADS = [("stacked", head) for head in HEADS] + [(graph, "last") for graph in GRAPHS if graph != "stacked"]
BOTH_HEADS = [("joined", head) for head in HEADS] + [(graph, "final_states") for graph in BOTH if graph != "joined"]


@pytest.mark.parametrize(("graph", "head"), GRAPH_HEADS + BOTH_HEADS)
def test_gradient_of_every_graph_and_head(graph: str, head: str) -> None:
    net = network((GRAPHS | BOTH)[graph], head=head)
    assert (check(net, steps=TIME if head == "all" else 1, resets={}) != 0).all()


def test_a_stream_refuses_what_needs_the_end_of_a_window() -> None:
    net = network(BOTH["one layer"])
    with pytest.raises(ToolkitError, match="gru0_reverse: a stream cannot run backwards"):
        parameters(replace(net, mode="stateful", window=0), np.float64)
    for head in ("all", "mean", "final_states"):
        with pytest.raises(ToolkitError, match=f'head = "{head}" needs the end of a window'):
            parameters(replace(network(GRAPHS["stacked"]), head=head, mode="stateful"), np.float64)
