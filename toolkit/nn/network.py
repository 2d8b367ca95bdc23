"""A Network as joined matrices in one flat vector, its forward pass, its loss with gradient, and its first weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from quantize.network import Layer, Network, layer
from toolkit.errors import ToolkitError
from toolkit.nn.dense import dense_backward, dense_forward
from toolkit.nn.lstm import LstmPass, Resets


class State(NamedTuple):
    """Of one lstm layer, [H, batch] each."""

    h: np.ndarray
    c: np.ndarray


States = list[State]  # one per lstm layer


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """`flat [n]`; `lstm[k] [4H, H + in + 1]` = w_hh | w_ih | b and `head [out, H + 1]` = w | b are views into it."""

    flat: np.ndarray
    lstm: tuple[np.ndarray, ...]
    head: np.ndarray


def parameters(network: Network, dtype: type[np.floating]) -> Parameters:
    """The weights of a stack of lstm layers with a dense head.

    Raises: ToolkitError for any other stack."""
    ops = [x.op for x in network.layers]
    if len(ops) < 2 or ops[-1] != "dense" or set(ops[:-1]) != {"lstm"}:
        raise ToolkitError(f"network {network.name}: layers {', '.join(ops)}: expected lstm layers and one dense head")
    parts = [_joined(x) for x in network.layers]
    return views(np.concatenate([p.ravel() for p in parts]).astype(dtype), [p.shape for p in parts])


def views(flat: np.ndarray, shapes: list[tuple[int, ...]]) -> Parameters:
    """`flat` seen as matrices, the head last."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    parts = [v.reshape(s) for v, s in zip(np.split(flat, ends[:-1]), shapes, strict=True)]
    return Parameters(flat, tuple(parts[:-1]), parts[-1])


def zeros_like(p: Parameters) -> Parameters:
    """Zeros in the same shapes."""
    return views(np.zeros_like(p.flat), [m.shape for m in (*p.lstm, p.head)])


def with_parameters(network: Network, p: Parameters) -> Network:
    """The same network with these weights."""
    layers = [_parted(x, m) for x, m in zip(network.layers, (*p.lstm, p.head), strict=True)]
    return replace(network, layers=tuple(layers))


def _joined(x: Layer) -> np.ndarray:
    keys = ("w_hh", "w_ih") if x.op == "lstm" else ("w",)
    return np.hstack([*(x.weights[k] for k in keys), x.weights["b"][:, None]])


def _parted(x: Layer, m: np.ndarray) -> Layer:
    if x.op == "dense":
        return layer(x.name, x.op, {"w": m[:, :-1], "b": m[:, -1]})
    size = len(m) // 4
    return layer(x.name, x.op, {"w_hh": m[:, :size], "w_ih": m[:, size:-1], "b": m[:, -1]})


def init_network(template: Network, *, hidden: int, layers: int, rng: np.random.Generator) -> Network:
    """`template` (its layers ignored) with first weights: Xavier uniform input, orthogonal recurrent, forget bias 1."""
    made, inputs = [], len(template.inputs)
    for k in range(layers):
        bias = np.zeros(4 * hidden)
        bias[hidden : 2 * hidden] = 1
        w_hh = np.vstack([np.linalg.qr(rng.standard_normal((hidden, hidden)))[0] for _ in range(4)])
        made.append(layer(f"lstm{k}", "lstm", {"w_ih": _xavier(rng, 4, hidden, inputs), "w_hh": w_hh, "b": bias}))
        inputs = hidden
    outputs = len(template.outputs)
    made.append(layer("head", "dense", {"w": _xavier(rng, 1, outputs, hidden), "b": np.zeros(outputs)}))
    return replace(template, layers=tuple(made))


def _xavier(rng: np.random.Generator, gates: int, rows: int, columns: int) -> np.ndarray:
    """Uniform in +-sqrt(6 / (fan in + fan out)), a gate at a time (Glorot & Bengio 2010)."""
    limit = np.sqrt(6 / (rows + columns))
    return rng.uniform(-limit, limit, (gates * rows, columns))


def zero_states(p: Parameters, batch: int) -> States:
    """States before the first sample."""
    return [State(*(np.zeros((len(w) // 4, batch), w.dtype) for _ in State._fields)) for w in p.lstm]


class Stack:
    """The passes of all layers for one shape (time, batch); reused from batch to batch."""

    def __init__(self, p: Parameters, time: int, batch: int) -> None:
        self.time, self.batch = time, batch
        sizes = [(len(w) // 4, w.shape[1] - len(w) // 4 - 1) for w in p.lstm]
        self.passes = [LstmPass(h, i, time, batch, p.flat.dtype.type) for h, i in sizes]

    def forward(self, p: Parameters, x: np.ndarray, *, states: States, resets: Resets, outputs: int) -> np.ndarray:
        """x [time, in, batch] -> y [outputs, out, batch], of the last `outputs` steps."""
        for w, one, state in zip(p.lstm, self.passes, states, strict=True):
            one.forward(w, x, h=state.h, c=state.c, resets=resets)
            x = one.h_out
        return dense_forward(p.head, x[self.time - outputs :])

    def states(self) -> States:
        """(h, c) after the last step, copied."""
        return [State(h=one.h_out[-1].copy(), c=one.c_before[-1].copy()) for one in self.passes]

    def backward(self, p: Parameters, dy: np.ndarray, *, resets: Resets, gradient: Parameters) -> None:
        """dy [outputs, out, batch], for the last forward; writes every element of `gradient`."""
        top = self.passes[-1].h_out
        used = top[self.time - len(dy) :]
        gradient.head[...], dh_used = dense_backward(p.head, used, dy)
        dh = dh_used
        if len(dy) < self.time:
            dh = np.zeros(top.shape, top.dtype)
            dh[self.time - len(dy) :] = dh_used
        for k in reversed(range(len(self.passes))):
            gradient.lstm[k][...], dh = self.passes[k].backward(p.lstm[k], dh, resets=resets)


def forward(
    network: Network, x: np.ndarray, states: States | None = None, *, dtype: type[np.floating] = np.float64
) -> tuple[np.ndarray, States]:
    """x [batch, time, in] normalised -> (y [batch, time, out] normalised, states after the last step)."""
    p = parameters(network, dtype)
    stack = Stack(p, x.shape[1], x.shape[0])
    before = zero_states(p, x.shape[0]) if states is None else states
    y = stack.forward(p, x.transpose(1, 2, 0).astype(dtype), states=before, resets={}, outputs=x.shape[1])
    return y.transpose(2, 0, 1), stack.states()


def mse(y: np.ndarray, target: np.ndarray, *, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """(mean squared error, its gradient by y). y, target [time, out, batch]; weight [time, 1, batch] of 0 and 1."""
    error = (y - target) * weight
    count = max(float(weight.sum()) * y.shape[1], 1.0)
    return float(np.square(error, dtype=np.float64).sum()) / count, np.asarray(error * y.dtype.type(2 / count))
