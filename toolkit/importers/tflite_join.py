"""Operators that put values together: features, the steps of a layer, the list of outputs of a loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers import tflite_cell as cell
from toolkit.importers import tflite_unrolled as unrolled
from toolkit.importers.tflite_cell import Affine
from toolkit.importers.tflite_file import Operator
from toolkit.importers.tflite_graph import Walk, as_line, axis_of, bounded, constant, integers, shape_of, vector
from toolkit.importers.tflite_values import Counter, Index, Line, Value, Written

Args = list[Value | None]


def list_part(op: Operator, v: Written, args: Args) -> Value:
    """What a loop's list of outputs has before the present step, or after it."""
    begin, size = args[1], args[2]
    if isinstance(size, Index) and size.first == Counter(0) and not np.any(constant(op, begin, "the begin")):
        return replace(v, part="before")
    if isinstance(begin, Index) and begin.first == Counter(1) and not any(begin.rest):
        return replace(v, part="after")
    raise ToolkitError(f"{op.where}: of a loop's list of outputs, not as Keras writes it; not supported")


def concatenation(w: Walk, op: Operator, args: Args) -> Value:
    axis = int(op.options["axis"])
    if op.fused:
        raise ToolkitError(f"{op.where}: with the activation {op.fused}; not supported")
    if isinstance(args[0], Counter | Index):
        rest = [integers(op, v, "an index") for v in args[1:]]
        return Index(args[0], tuple(n for v in rest for n in v)) if isinstance(args[0], Counter) else args[0]
    if any(isinstance(v, Written) for v in args):
        return _list_with(op, args)
    if all(isinstance(v, np.ndarray) for v in args):
        arrays = [v for v in args if isinstance(v, np.ndarray)]
        bounded([sum(v.size for v in arrays)])
        return np.concatenate(arrays, axis_of(op, axis, arrays[0].ndim))
    shape = shape_of(op, args[0])
    axis = axis_of(op, axis, len(shape))
    if all(isinstance(v, Affine) for v in args):
        vectors = [v for v in args if isinstance(v, Affine)]
        if shape[axis] == 1 and axis != len(shape) - 1:
            return _stacked(
                w, op, vectors, tuple("t" if k == axis else "f" if n != 1 else "1" for k, n in enumerate(shape))
            )
        total = sum(v.width for v in vectors)
        return vector(cell.joined(vectors), [*shape[:axis], total, *shape[axis + 1 :]])
    lines = [as_line(w, v) for v in args if isinstance(v, Line | Affine)]
    first = lines[0]
    same = all((x.time, x.turned, x.axes, x.pad) == (first.time, first.turned, first.axes, (0, 0)) for x in lines)
    if len(lines) < len(args) or not same or first.axes[axis] != "f":
        raise ToolkitError(f"{op.where}: supported is joining the features of sequences of the same steps")
    return replace(first, sources=tuple(s for x in lines for s in x.sources), width=sum(x.width for x in lines))


def _list_with(op: Operator, args: Args) -> Value:
    """The list of a loop's outputs with the present step's: before, it, after."""
    kinds = [v.part if isinstance(v, Written) else "" for v in args]
    before, value, after = (*args, None, None, None)[:3]
    if kinds != ["before", "", "after"] or not isinstance(value, Affine):
        raise ToolkitError(f"{op.where}: of a loop's list of outputs, not as Keras writes it; not supported")
    assert isinstance(before, Written) and isinstance(after, Written)
    if before.number != after.number:
        raise ToolkitError(f"{op.where}: of two lists of a loop; not supported")
    return replace(before, part="all", value=value)


def update_slice(w: Walk, op: Operator, args: Args) -> Value:
    """The same, written in place."""
    v, value, at = args[:3]
    if isinstance(v, Written) and isinstance(value, Affine) and isinstance(at, Index) and at.first == Counter(0):
        return replace(v, value=value)
    raise ToolkitError(f"{op.where}: supported as a loop's list of outputs only")


def pack(w: Walk, op: Operator, args: Args) -> Value:
    axis = int(op.options["axis"])
    if isinstance(args[0], Counter):
        rest = [integers(op, v, "an index") for v in args[1:]]
        return Index(args[0], tuple(n for v in rest for n in v))
    if all(isinstance(v, np.ndarray) for v in args):
        arrays = [v for v in args if isinstance(v, np.ndarray)]
        bounded([sum(v.size for v in arrays)])
        return np.stack(arrays, axis_of(op, axis, arrays[0].ndim + 1))
    vectors = [v for v in args if isinstance(v, Affine)]
    if len(vectors) < len(args):
        raise ToolkitError(f"{op.where}: supported is putting the steps of a layer together")
    axes = ["f" if n != 1 else "1" for n in vectors[0].shape]
    axes.insert(axis_of(op, axis, len(axes) + 1), "t")
    return _stacked(w, op, vectors, tuple(axes))


def _stacked(w: Walk, op: Operator, vectors: list[Affine], axes: tuple[str, ...]) -> Value:
    """Vectors that are a layer's steps, as that layer's sequence."""
    unrolled.find(w.builder, vectors)
    nodes = [v.bare for v in vectors]
    if len(nodes) == 1 or any(n is None or not unrolled.fold(w.builder, n) for n in nodes):
        raise ToolkitError(f"{op.where}: puts together vectors that are not the steps of an LSTM or GRU; not supported")
    places = [w.builder.folded[n] for n in nodes if n is not None]
    line, order = places[0][0], [at for _, at in places]
    turned = order == list(range(line.time))[::-1]
    if any(x is not line for x, _ in places) or not (turned or order == list(range(line.time))):
        raise ToolkitError(f"{op.where}: puts together some steps of a layer; supported are all of them in order")
    axes = axes if "f" in axes else (*axes[:-1], "f")
    return replace(line, axes=axes, turned=line.turned != turned)
