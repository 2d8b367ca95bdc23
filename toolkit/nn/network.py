"""A Network's weights in one flat vector, its forward pass, its loss with gradient, and its first weights.

CELLS is the registry of recurrent layers. A cell's module has STATE (the names of its state; the first is h, its
output), `joined` and `parted` (weights of the float layer <-> the matrices that are trained), `hidden_size`,
`first_weights`, and `Pass`: forward, state and backward over one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from quantize.network import Network, layer
from toolkit.config import Model
from toolkit.errors import ToolkitError
from toolkit.nn import dense, gru, lstm
from toolkit.nn.recurrent import Arrays, Resets, State, xavier

CELLS: dict[str, ModuleType] = {"lstm": lstm, "gru": gru}  # op -> its module
States = list[State]  # one per recurrent layer


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """`flat [n]`, and views into it: the arrays of each recurrent layer, and of the head."""

    flat: np.ndarray
    ops: tuple[str, ...]  # of the recurrent layers
    cells: tuple[Arrays, ...]
    head: np.ndarray


def parameters(network: Network, dtype: type[np.floating]) -> Parameters:
    """The weights of a stack of recurrent layers with a dense head.

    Raises: ToolkitError for any other stack."""
    ops = [x.op for x in network.layers]
    if len(ops) < 2 or ops[-1] != "dense" or not set(ops[:-1]) <= set(CELLS):
        raise ToolkitError(
            f"network {network.name}: layers {', '.join(ops)}: expected {' or '.join(CELLS)} layers and one dense head"
        )
    parts = [_module(x.op).joined(x.weights) for x in network.layers]
    flat = np.concatenate([a.ravel() for arrays in parts for a in arrays]).astype(dtype)
    return _views(flat, ops[:-1], parts)


def _module(op: str) -> ModuleType:
    return dense if op == "dense" else CELLS[op]


def _views(flat: np.ndarray, ops: Sequence[str], like: Sequence[Arrays]) -> Parameters:
    """`flat` seen as arrays of the shapes of `like`, the head last."""
    ends = np.cumsum([a.size for arrays in like for a in arrays])
    parts = iter(np.split(flat, ends[:-1]))
    views = [tuple(next(parts).reshape(a.shape) for a in arrays) for arrays in like]
    return Parameters(flat, tuple(ops), tuple(views[:-1]), views[-1][0])


def zeros_like(p: Parameters) -> Parameters:
    """Zeros in the same shapes."""
    return _views(np.zeros_like(p.flat), p.ops, (*p.cells, (p.head,)))


def with_parameters(network: Network, p: Parameters) -> Network:
    """The same network with these weights."""
    parts = zip(network.layers, (*p.cells, (p.head,)), strict=True)
    return replace(network, layers=tuple(layer(x.name, x.op, _module(x.op).parted(a)) for x, a in parts))


def init_network(template: Network, model: Model, *, rng: np.random.Generator) -> Network:
    """`template` (its layers ignored) with the layers of [model] and their first weights."""
    made, inputs = [], len(template.inputs)
    for k in range(model.layers):
        made.append(layer(f"{model.cell}{k}", model.cell, CELLS[model.cell].first_weights(model, inputs, rng)))
        inputs = model.hidden
    outputs = len(template.outputs)
    made.append(layer("head", "dense", {"w": xavier(rng, 1, outputs, inputs), "b": np.zeros(outputs)}))
    return replace(template, layers=tuple(made))


def zero_states(p: Parameters, batch: int) -> States:
    """States before the first sample."""
    return [
        {k: np.zeros((CELLS[op].hidden_size(arrays), batch), p.flat.dtype) for k in CELLS[op].STATE}
        for op, arrays in zip(p.ops, p.cells, strict=True)
    ]


class Stack:
    """The passes of all layers for one shape (time, batch); reused from batch to batch."""

    def __init__(self, p: Parameters, time: int, batch: int) -> None:
        self.time, self.batch = time, batch
        self.passes = [CELLS[op].Pass(arrays, time, batch) for op, arrays in zip(p.ops, p.cells, strict=True)]

    def forward(self, p: Parameters, x: np.ndarray, *, states: States, resets: Resets, outputs: int) -> np.ndarray:
        """x [time, in, batch] -> y [outputs, out, batch], of the last `outputs` steps."""
        for one, arrays, state in zip(self.passes, p.cells, states, strict=True):
            x = one.forward(arrays, x, state=state, resets=resets)
        self.top = x
        return dense.dense_forward(p.head, x[self.time - outputs :])

    def states(self) -> States:
        """After the last step, copied."""
        return [one.state() for one in self.passes]

    def backward(self, p: Parameters, dy: np.ndarray, *, resets: Resets, gradient: Parameters) -> None:
        """dy [outputs, out, batch], for the last forward; writes every element of `gradient`."""
        gradient.head[...], dh_used = dense.dense_backward(p.head, self.top[self.time - len(dy) :], dy)
        dh = dh_used
        if len(dy) < self.time:
            dh = np.zeros(self.top.shape, self.top.dtype)
            dh[self.time - len(dy) :] = dh_used
        for one, arrays, to in reversed(list(zip(self.passes, p.cells, gradient.cells, strict=True))):
            made, dh = one.backward(arrays, dh, resets=resets)
            for view, values in zip(to, made, strict=True):
                view[...] = values


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
