"""The kernels of each layer over its own arrays: what one op keeps between forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from quantize.network import Layer
from toolkit.nn.recurrent import Arrays, State
from toolkit.train.backends.native.calls import Call, zeros

DEPTH = 128  # TL_DEPTH of tl_gemm.h


@dataclass(frozen=True, slots=True)
class Shape:
    """time: steps; batch: columns, a multiple of 16; inputs: rows of the layer's input."""

    time: int
    batch: int
    inputs: int


@dataclass(slots=True, eq=False)
class Node:
    """A layer in a plan.

    x: rows of the joined columns that take its input `[time, inputs, batch]`; dx: the gradient by them, or None.
    at: its output `[time + 1, rows, batch]`, from [1] on, in the order in which it runs; d: the gradient by it.
    before, after: its state, views `[rows, batch]`; d_after: the gradient by `after`, which backward replaces."""

    x: np.ndarray
    dx: np.ndarray | None
    at: np.ndarray
    d: np.ndarray
    reverse: bool
    forward: Call | None = None
    backward: Call | None = None
    before: State = field(default_factory=dict)
    after: State = field(default_factory=dict)
    d_after: tuple[np.ndarray, ...] = ()
    readers: int = 0  # layers that take its output
    add: bool = False  # its sources are summed, not joined


def _joined(rows: int, shape: Shape) -> np.ndarray:
    """Columns of `rows` rows, the inputs and 1."""
    joined = zeros(shape.time, rows + shape.inputs + 1, shape.batch)
    joined[:, -1] = 1
    return joined


def _recurrent(one: Layer, size: int, shape: Shape, asked: bool) -> tuple[Node, dict[str, np.ndarray | int | None]]:
    """The node of a recurrent layer, and the fields of tl_pass."""
    joined, at, d = _joined(size, shape), zeros(shape.time + 1, size, shape.batch), zeros(shape.time, size, shape.batch)
    dx, dh = zeros(shape.time, shape.inputs, shape.batch) if asked else None, zeros(2, size, shape.batch)
    node = Node(joined[:, size:-1], dx, at, d, one.reverse)
    node.before, node.after, node.d_after = {"h": at[0]}, {"h": at[-1]}, (dh[0],)
    fields = {
        "hidden": size, "inputs": shape.inputs, "steps": shape.time, "batch": shape.batch, "dy_first": 0,
        "joined": joined, "h": at, "dy": d, "dx": dx, "keep": None, "recurrent": None, "dh": dh,
        "turned": zeros(DEPTH, joined.shape[1] + 15),
    }  # fmt: skip
    return node, fields


def _lstm(one: Layer, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Node:
    size, peephole = len(w[0]) // 4, len(w) == 2
    node, fields = _recurrent(one, size, shape, asked)
    c, dc = zeros(shape.time + 1, size, shape.batch), zeros(size, shape.batch)
    options = np.array([one.options.get(k, 0) for k in ("preact_clip", "cell_clip", "input_forget")], np.float32)
    fields |= {
        "w": w[0], "dw": dw[0], "gates": zeros(shape.time, 4 * size, shape.batch), "c": c, "dc": dc,
        "tanh_c": zeros(shape.time, size, shape.batch), "p": w[1] if peephole else None,
        "dp": dw[1] if peephole else None, "options": options if peephole or options.any() else None,
    }  # fmt: skip
    node.before["c"], node.after["c"] = c[0], c[-1]
    node.d_after += (dc,)
    node.forward, node.backward = Call("lstm_forward", **fields), Call("lstm_backward", **fields)
    return node


def _lstm_norm(one: Layer, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Node:
    size, time, batch = len(w[0]) // 4, shape.time, shape.batch
    node, fields = _recurrent(one, size, Shape(time, batch, 0), asked)
    x, c, dc = _joined(0, shape), zeros(time + 1, size, batch), zeros(size, batch)
    node.x, node.dx = x[:, :-1], zeros(time, shape.inputs, batch) if asked else None
    fields |= {
        "x_rows": shape.inputs, "w_x": w[0], "dw_x": dw[0], "w": w[1], "dw": dw[1], "x": x, "dx": node.dx,
        "norm_x": w[2], "norm_c": w[3], "norm_h": w[4], "dnorm_x": dw[2], "dnorm_c": dw[3], "dnorm_h": dw[4],
        "gates": zeros(time, 4 * size, batch), "c": c, "dc": dc, "tanh_c": zeros(time, size, batch), "dropped": None,
        "unit_x": zeros(time, 4 * size, batch), "unit_c": zeros(time, size, batch), "unit_h": zeros(time, size, batch),
        "rate_x": zeros(time, batch), "rate_c": zeros(time, batch), "rate_h": zeros(time, batch),
        "sums": zeros(12 * size, 16), "turned": zeros(DEPTH, max(size, shape.inputs) + 16),
    }  # fmt: skip
    node.before["c"], node.after["c"] = c[0], c[-1]
    node.d_after += (dc,)
    node.forward, node.backward = Call("lstm_norm_forward", **fields), Call("lstm_norm_backward", **fields)
    return node


def _gru(one: Layer, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Node:
    size, after = len(w[0]) // 3, len(w) == 2
    node, fields = _recurrent(one, size, shape, asked)
    fields |= {
        "w": w[0], "dw": dw[0], "gates": zeros(shape.time, 2 * size, shape.batch),
        "n": zeros(shape.time, size, shape.batch), "u": zeros(shape.time, size, shape.batch),
        "fed": None if after else zeros(shape.time, size, shape.batch), "d_fed": zeros(size, shape.batch),
        "b_hn": w[1] if after else None, "db_hn": dw[1] if after else None,
    }  # fmt: skip
    node.forward, node.backward = Call("gru_forward", **fields), Call("gru_backward", **fields)
    return node


def _rnn(one: Layer, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Node:
    node, fields = _recurrent(one, len(w[0]), shape, asked)
    fields |= {
        "w": w[0], "dw": dw[0], "dz": zeros(shape.time, len(w[0]), shape.batch),
        "relu": int(bool(one.options.get("relu", 0))),
    }  # fmt: skip
    node.forward, node.backward = Call("rnn_forward", **fields), Call("rnn_backward", **fields)
    return node


def _dense(one: Layer, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Node:
    rows = len(w[0])
    joined, at, d = _joined(0, shape), zeros(shape.time + 1, rows, shape.batch), zeros(shape.time, rows, shape.batch)
    dx = zeros(shape.time, shape.inputs, shape.batch) if asked else None
    fields = {
        "outputs": rows, "inputs": shape.inputs, "steps": shape.time, "batch": shape.batch, "w": w[0], "dw": dw[0],
        "joined": joined, "y": at[1:], "dy": d, "dx": dx, "turned": zeros(DEPTH, shape.inputs + 16),
    }  # fmt: skip
    node = Node(joined[:, :-1], dx, at, d, False)
    node.forward, node.backward = Call("dense_forward", **fields), Call("dense_backward", **fields)
    return node


def _add(one: Layer, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Node:
    """The copies of its sources do it all: x is its output."""
    at, d = zeros(shape.time + 1, shape.inputs, shape.batch), zeros(shape.time, shape.inputs, shape.batch)
    return Node(at[1:], d, at, d, one.reverse, add=True)


LAYERS: dict[str, Callable[[Layer, Arrays, Arrays, Shape, bool], Node]] = {
    "lstm": _lstm, "lstm_norm": _lstm_norm, "gru": _gru, "rnn": _rnn, "dense": _dense, "add": _add,
}  # fmt: skip
"""op -> its node: (layer, its arrays, their gradients, shape, whether the gradient by its input is asked for)."""
