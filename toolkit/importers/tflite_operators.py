"""The operators that compute, and the registry of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers import tflite_cell as cell
from toolkit.importers import tflite_join as join
from toolkit.importers import tflite_shapes as shapes
from toolkit.importers import tflite_time as over_time
from toolkit.importers.tflite_cell import Affine
from toolkit.importers.tflite_file import Operator
from toolkit.importers.tflite_fused import bidirectional_lstm, unidirectional_lstm, unidirectional_rnn
from toolkit.importers.tflite_graph import (
    ACTIVATIONS,
    Walk,
    activate,
    as_line,
    bounded,
    flattened,
    integers,
    per_step,
    vector,
)
from toolkit.importers.tflite_loop import while_
from toolkit.importers.tflite_values import Bound, Counter, Line, Value
from toolkit.importers.tflite_weights import bias, weights

Args = list[Value | None]


def fully_connected(w: Walk, op: Operator, args: Args) -> Value:
    if op.options["weights_format"]:
        raise ToolkitError(f"{op.where}: shuffled weights are not supported")
    matrix = weights(w, op, args, 1)
    if matrix.ndim != 2:
        raise ToolkitError(f"{op.where}: weights of shape {list(matrix.shape)}; expected two axes")
    b = bias(op, args, 2, len(matrix))
    return _product(w, op, args[0], matrix, b, keep=bool(op.options["keep_dims"]))


def batch_matmul(w: Walk, op: Operator, args: Args) -> Value:
    matrix = weights(w, op, args, 1)
    if matrix.ndim != 2 or op.options["adj_x"]:
        raise ToolkitError(f"{op.where}: supported is a constant matrix on the right")
    matrix = matrix if op.options["adj_y"] else matrix.T
    return _product(w, op, args[0], matrix, np.zeros(len(matrix)), keep=True)


def _product(w: Walk, op: Operator, v: Value | None, matrix: np.ndarray, b: np.ndarray, *, keep: bool) -> Value:
    """matrix [out, in] times the features, plus b, and the fused activation."""
    activation = op.fused if "fused" in op.options else ""
    if isinstance(v, np.ndarray):
        bounded([v.size // max(1, v.shape[-1]), len(matrix)])
        if activation:
            raise ToolkitError(f"{op.where}: an activation of a constant; not supported")
        return np.asarray(v @ matrix.T + b)
    x = per_step(w.builder, v, op)
    if isinstance(x, Line) and matrix.shape[1] == x.time * x.width != x.width:
        x = flattened(w.builder, x, op)
    if matrix.shape[1] != x.width:
        raise ToolkitError(f"{op.where}: weights {list(matrix.shape)} for {x.width} features")
    if isinstance(x, Affine):
        made = cell.linear(x, matrix, b)
        shaped = vector(made, [*x.shape[:-1], len(b)] if keep and x.shape[-1] == x.width else [1, len(b)])
        return activate(w, activation, shaped)
    functions = (activation,) if activation else ()
    y = w.builder.emit("dense", [x], {"w": matrix, "b": b}, time=x.time, width=len(b), activations=functions)
    axes = x.axes if keep else tuple(a for a in x.axes if a != "1")
    axes = axes if "f" in axes else (*axes[:-1], "f") if axes and axes[-1] == "1" else (*axes, "f")
    return replace(y, axes=axes)


# --- elementwise ---


def _features(op: Operator, c: np.ndarray, v: Line | Affine) -> np.ndarray:
    """A constant that is the same at every step: one value, or one per feature."""
    flat = c.reshape(-1).astype(np.float64)
    last = c.ndim > 0 and c.shape[-1] == c.size
    along = isinstance(v, Affine) or not c.ndim or v.axes[-1] == "f" or v.width == 1
    if c.size == 1 or (flat.shape == (v.width,) and last and along):
        return np.broadcast_to(flat, (v.width,))
    raise ToolkitError(f"{op.where}: a constant of shape {list(c.shape)} that is not the same at every step")


def _scaled(w: Walk, v: Line | Affine, gain: np.ndarray, offset: np.ndarray) -> Line | Affine:
    if isinstance(v, Affine):
        return replace(cell.scaled(v, gain, offset), shape=v.shape)
    full = {"gain": np.broadcast_to(gain, (v.width,)), "offset": np.broadcast_to(offset, (v.width,))}
    return w.builder.emit("scale", [v], full, time=v.time, width=v.width)


def _wider(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return a if len(a) >= len(b) else b


def _merged(w: Walk, op: Operator, a: Line | Affine, b: Line | Affine) -> Line | Affine:
    """Sum or product of two values."""
    if a.width != b.width:
        raise ToolkitError(f"{op.where}: {a.width} and {b.width} features; supported are as many")
    if isinstance(a, Affine) and isinstance(b, Affine):
        made = cell.multiplied(a, b) if op.name == "MUL" else cell.added(a, b)
        return replace(made, shape=_wider(a.shape, b.shape))
    lines = [as_line(w, v) for v in (a, b)]
    if lines[0].time != lines[1].time or lines[0].turned != lines[1].turned:
        raise ToolkitError(f"{op.where}: of sequences of different steps; not supported")
    name = "mul" if op.name == "MUL" else "add"
    if any(len(x.sources) != 1 for x in lines):
        raise ToolkitError(f"{op.where}: of joined sequences; not supported")
    return w.builder.emit(name, lines, {}, time=lines[0].time, width=a.width)


def arithmetic(w: Walk, op: Operator, args: Args) -> Value:
    """ADD, SUB, MUL, DIV."""
    a, b = args[:2]
    if isinstance(a, Counter) and op.name == "ADD":
        (n,) = integers(op, b, "the step of a counter")
        return Counter(a.ahead + n)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        bounded(np.broadcast_shapes(a.shape, b.shape))
        function: Any = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide}[op.name]
        if op.fused or (op.name == "DIV" and (b.dtype.kind != "f" or not b.all())):
            raise ToolkitError(f"{op.where}: not supported on constants")
        return np.asarray(function(a, b))
    return activate(w, op.fused, _arithmetic(w, op, a, b))


def _arithmetic(w: Walk, op: Operator, a: Value | None, b: Value | None) -> Line | Affine:
    one, zero = np.ones(1), np.zeros(1)
    if isinstance(a, np.ndarray):
        v = per_step(w.builder, b, op)
        c = _features(op, a, v)
        if op.name == "DIV":
            raise ToolkitError(f"{op.where}: supported is the division by a constant")
        gain, offset = {"ADD": (one, c), "SUB": (-one, c), "MUL": (c, zero)}[op.name]
        return _scaled(w, v, gain, offset)
    v = per_step(w.builder, a, op)
    if isinstance(b, np.ndarray):
        c = _features(op, b, v)
        if op.name == "DIV" and not c.all():
            raise ToolkitError(f"{op.where}: divides by 0")
        if op.name == "DIV":
            return _scaled(w, v, 1 / c, zero)
        gain, offset = {"ADD": (one, c), "SUB": (one, -c), "MUL": (c, zero)}[op.name]
        return _scaled(w, v, gain, offset)
    other = per_step(w.builder, b, op)
    if op.name == "DIV":
        raise ToolkitError(f"{op.where}: supported is the division by a constant")
    return _merged(w, op, v, _scaled(w, other, -one, zero) if op.name == "SUB" else other)


def activation(w: Walk, op: Operator, args: Args) -> Value:
    if op.name == "SOFTMAX" and op.options["beta"] != 1:
        raise ToolkitError(f"{op.where}: beta = {op.options['beta']:g}; supported is 1")
    return activate(w, ACTIVATIONS[op.name](op.options), per_step(w.builder, args[0], op))


def as_it_is(w: Walk, op: Operator, args: Args) -> Value:
    """QUANTIZE, DEQUANTIZE and CAST: the float network has the real values."""
    v = args[0]
    if op.name == "CAST" and not isinstance(v, np.ndarray | Counter):
        raise ToolkitError(f"{op.where}: supported on constants")
    assert v is not None
    return v


# --- of a loop's condition ---


def less(w: Walk, op: Operator, args: Args) -> Value:
    (steps,) = integers(op, args[1], "the bound of a loop")
    if not isinstance(args[0], Counter) or args[0].ahead:
        raise ToolkitError(f"{op.where}: supported as the condition of a loop")
    return Bound(steps)


def logical_and(w: Walk, op: Operator, args: Args) -> Value:
    bounds = [v.steps for v in args if isinstance(v, Bound)]
    if len(bounds) < 2:
        raise ToolkitError(f"{op.where}: supported as the condition of a loop")
    return Bound(min(bounds))


Handler = Callable[[Walk, Operator, Args], Any]
OPERATORS: dict[str, Handler] = {
    **dict.fromkeys(ACTIVATIONS, activation),
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV"), arithmetic),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "CAST"), as_it_is),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), over_time.convolution),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), over_time.pooling),
    **dict.fromkeys(("MEAN", "REDUCE_MAX"), over_time.reduction),
    "BATCH_MATMUL": batch_matmul,
    "BIDIRECTIONAL_SEQUENCE_LSTM": bidirectional_lstm,
    "CONCATENATION": join.concatenation,
    "DYNAMIC_UPDATE_SLICE": join.update_slice,
    "EXPAND_DIMS": shapes.expand_dims,
    "FILL": shapes.fill,
    "FULLY_CONNECTED": fully_connected,
    "GATHER": shapes.gather,
    "LESS": less,
    "LOGICAL_AND": logical_and,
    "PACK": join.pack,
    "PAD": shapes.pad,
    "RESHAPE": shapes.reshape,
    "REVERSE_V2": shapes.reverse,
    "SHAPE": shapes.own_shape,
    "SLICE": shapes.slice_,
    "SPLIT": shapes.split,
    "SPLIT_V": shapes.split_v,
    "SQUEEZE": shapes.squeeze,
    "STRIDED_SLICE": shapes.strided_slice,
    "TRANSPOSE": shapes.transpose,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": unidirectional_lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": unidirectional_rnn,
    "UNPACK": shapes.unpack,
    "WHILE": while_,
}
