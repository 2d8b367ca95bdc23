"""The kernels of each layer over its own arrays: what one op keeps between forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from toolkit.nn.dropout import KINDS
from toolkit.nn.network import Node
from toolkit.nn.recurrent import Arrays, State
from toolkit.train.backends.native.calls import Call, zeros

DEPTH = 128  # TL_DEPTH of tl_gemm.h


Fields = dict[str, np.ndarray | int | None]


@dataclass(frozen=True, slots=True)
class Shape:
    """time: steps; batch: columns, a multiple of 16; inputs: rows of the layer's input."""

    time: int
    batch: int
    inputs: int


@dataclass(slots=True, eq=False)
class Part:
    """A layer in a plan. What it gives is in the order in which it runs, backwards in time for a reverse layer.

    x: rows of the joined columns that take its input `[time, inputs, batch]`; dx: the gradient by them, or None.
    at: its output `[time + 1, rows, batch]`, from [1] on; d: the gradient by what its readers see of it.
    before, after: its state, views `[rows, batch]`; d_after: the gradient by `after`, which backward replaces.
    masks: of dropout, by name (toolkit.nn.dropout)."""

    x: np.ndarray
    dx: np.ndarray | None
    at: np.ndarray
    d: np.ndarray
    forward: Call | None = None
    backward: Call | None = None
    before: State = field(default_factory=dict)
    after: State = field(default_factory=dict)
    d_after: tuple[np.ndarray, ...] = ()
    masks: dict[str, np.ndarray] = field(default_factory=dict)


def _masks(node: Node, shape: Shape) -> dict[str, np.ndarray]:
    """Masks of ones where the layer has dropout."""
    made = {}
    for option, name in KINDS.items():
        if node.options.get(option, 0):
            made[name] = zeros(*(() if name == "recurrent" else (shape.time,)), node.width, shape.batch)
            made[name][...] = 1
    return made


def _joined(rows: int, shape: Shape) -> np.ndarray:
    """Columns of `rows` rows, the inputs and 1."""
    joined = zeros(shape.time, rows + shape.inputs + 1, shape.batch)
    joined[:, -1] = 1
    return joined


def _recurrent(node: Node, shape: Shape, asked: bool) -> tuple[Part, Fields]:
    """A recurrent layer, and the fields of tl_pass."""
    size = node.width
    joined, at, d = _joined(size, shape), zeros(shape.time + 1, size, shape.batch), zeros(shape.time, size, shape.batch)
    dx, dh = zeros(shape.time, shape.inputs, shape.batch) if asked else None, zeros(2, size, shape.batch)
    part = Part(joined[:, size:-1], dx, at, d, masks=_masks(node, shape))
    part.before, part.after, part.d_after = {"h": at[0]}, {"h": at[-1]}, (dh[0],)
    fields: Fields = {
        "hidden": size, "inputs": shape.inputs, "steps": shape.time, "batch": shape.batch, "dy_first": 0,
        "joined": joined, "h": at, "dy": d, "dx": dx, "keep": None,
        "recurrent": part.masks.get("recurrent"), "dh": dh,
        "turned": zeros(DEPTH, joined.shape[1] + 15),
    }  # fmt: skip
    return part, fields


def _lstm(node: Node, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Part:
    size, peephole = node.width, len(w) == 2
    part, fields = _recurrent(node, shape, asked)
    c, dc = zeros(shape.time + 1, size, shape.batch), zeros(size, shape.batch)
    options = np.array([node.options.get(k, 0) for k in ("preact_clip", "cell_clip", "input_forget")], np.float32)
    fields |= {
        "w": w[0], "dw": dw[0], "gates": zeros(shape.time, 4 * size, shape.batch), "c": c, "dc": dc,
        "tanh_c": zeros(shape.time, size, shape.batch), "p": w[1] if peephole else None,
        "dp": dw[1] if peephole else None, "options": options if peephole or options.any() else None,
    }  # fmt: skip
    part.before["c"], part.after["c"] = c[0], c[-1]
    part.d_after += (dc,)
    part.forward, part.backward = Call("lstm_forward", **fields), Call("lstm_backward", **fields)
    return part


def _lstm_norm(node: Node, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Part:
    size, time, batch = node.width, shape.time, shape.batch
    part, fields = _recurrent(node, Shape(time, batch, 0), asked)
    x, c, dc = _joined(0, shape), zeros(time + 1, size, batch), zeros(size, batch)
    part.x, part.dx = x[:, :-1], zeros(time, shape.inputs, batch) if asked else None
    fields |= {
        "x_rows": shape.inputs, "w_x": w[0], "dw_x": dw[0], "w": w[1], "dw": dw[1], "x": x, "dx": part.dx,
        "norm_x": w[2], "norm_c": w[3], "norm_h": w[4], "dnorm_x": dw[2], "dnorm_c": dw[3], "dnorm_h": dw[4],
        "gates": zeros(time, 4 * size, batch), "c": c, "dc": dc, "tanh_c": zeros(time, size, batch),
        "dropped": part.masks.get("state"),
        "unit_x": zeros(time, 4 * size, batch), "unit_c": zeros(time, size, batch), "unit_h": zeros(time, size, batch),
        "rate_x": zeros(time, batch), "rate_c": zeros(time, batch), "rate_h": zeros(time, batch),
        "sums": zeros(12 * size, 16), "turned": zeros(DEPTH, max(size, shape.inputs) + 16),
    }  # fmt: skip
    part.before["c"], part.after["c"] = c[0], c[-1]
    part.d_after += (dc,)
    part.forward, part.backward = Call("lstm_norm_forward", **fields), Call("lstm_norm_backward", **fields)
    return part


def _gru(node: Node, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Part:
    size, after = node.width, len(w) == 2
    part, fields = _recurrent(node, shape, asked)
    fields |= {
        "w": w[0], "dw": dw[0], "gates": zeros(shape.time, 2 * size, shape.batch),
        "n": zeros(shape.time, size, shape.batch), "u": zeros(shape.time, size, shape.batch),
        "fed": None if after else zeros(shape.time, size, shape.batch), "d_fed": zeros(size, shape.batch),
        "b_hn": w[1] if after else None, "db_hn": dw[1] if after else None,
    }  # fmt: skip
    part.forward, part.backward = Call("gru_forward", **fields), Call("gru_backward", **fields)
    return part


def _rnn(node: Node, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Part:
    part, fields = _recurrent(node, shape, asked)
    fields |= {
        "w": w[0], "dw": dw[0], "dz": zeros(shape.time, node.width, shape.batch),
        "relu": int(bool(node.options.get("relu", 0))),
    }  # fmt: skip
    part.forward, part.backward = Call("rnn_forward", **fields), Call("rnn_backward", **fields)
    return part


def _dense(node: Node, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Part:
    rows = node.width
    joined, at, d = _joined(0, shape), zeros(shape.time + 1, rows, shape.batch), zeros(shape.time, rows, shape.batch)
    dx = zeros(shape.time, shape.inputs, shape.batch) if asked else None
    fields: Fields = {
        "outputs": rows, "inputs": shape.inputs, "steps": shape.time, "batch": shape.batch, "w": w[0], "dw": dw[0],
        "joined": joined, "y": at[1:], "dy": d, "dx": dx, "turned": zeros(DEPTH, shape.inputs + 16),
    }  # fmt: skip
    part = Part(joined[:, :-1], dx, at, d)
    part.forward, part.backward = Call("dense_forward", **fields), Call("dense_backward", **fields)
    return part


def _add(node: Node, w: Arrays, dw: Arrays, shape: Shape, asked: bool) -> Part:
    """The copies of its sources do it all: x is its output."""
    at, d = zeros(shape.time + 1, shape.inputs, shape.batch), zeros(shape.time, shape.inputs, shape.batch)
    return Part(at[1:], d, at, d)


LAYERS: dict[str, Callable[[Node, Arrays, Arrays, Shape, bool], Part]] = {
    "lstm": _lstm, "lstm_norm": _lstm_norm, "gru": _gru, "rnn": _rnn, "dense": _dense, "add": _add,
}  # fmt: skip
"""op -> what it keeps: (node, its arrays, their gradients, shape, whether the gradient by its input is asked for)."""
