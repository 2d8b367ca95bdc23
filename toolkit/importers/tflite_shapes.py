"""Operators that move values about: on constants, sequences and vectors alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers import tflite_cell as cell
from toolkit.importers.tflite_cell import Affine
from toolkit.importers.tflite_file import Operator
from toolkit.importers.tflite_graph import (
    Walk,
    axis_of,
    bounded,
    constant,
    flattened,
    integers,
    shape_of,
    unpadded,
    vector,
)
from toolkit.importers.tflite_join import list_part
from toolkit.importers.tflite_values import Counter, Line, Refused, Value, Written

Args = list[Value | None]


def _reshaped(w: Walk, op: Operator, v: Value | None, shape: Sequence[int]) -> Value:
    """A value as a tensor of a shape, one of whose numbers may be -1."""
    if isinstance(v, Counter):
        return v
    size = math.prod(shape_of(op, v))
    known = math.prod(n for n in shape if n != -1)
    if list(shape).count(-1) == 1 and known and size % known == 0:
        shape = [size // known if n == -1 else n for n in shape]
    if math.prod(shape) != size or min(shape, default=1) < 1:
        raise ToolkitError(f"{op.where}: {list(shape_of(op, v))} to {list(shape)}: not the same number of values")
    if isinstance(v, np.ndarray):
        return v.reshape(shape)
    if isinstance(v, Affine):
        return vector(v, shape)
    assert isinstance(v, Line)
    order = [a for a, n in zip(v.axes, v.shape, strict=True) if n != 1]
    kept = [n for n in shape if n != 1]
    if kept == [n for n in v.shape if n != 1]:
        names = iter(order)
        axes = tuple(next(names) if n != 1 else "1" for n in shape)
        return replace(v, axes=axes if "f" in axes or v.width > 1 else _with_feature(axes))
    if order == ["t", "f"] and kept == [size]:
        return vector(flattened(w.builder, v, op), shape)
    raise ToolkitError(f"{op.where}: {list(v.shape)} to {list(shape)}: not supported on a sequence")


def _with_feature(axes: tuple[str, ...]) -> tuple[str, ...]:
    """One feature's axis has no size to be known by: it is the last, if that is free."""
    return (*axes[:-1], "f") if axes and axes[-1] == "1" else axes


def reshape(w: Walk, op: Operator, args: Args) -> Value:
    if len(args) < 2:
        raise ToolkitError(f"{op.where}: without a tensor of the new shape; not supported")
    return _reshaped(w, op, args[0], integers(op, args[1], "the shape"))


def expand_dims(w: Walk, op: Operator, args: Args) -> Value:
    (axis,) = integers(op, args[1], "the axis")
    shape = list(shape_of(op, args[0]))
    shape.insert(axis_of(op, axis, len(shape) + 1), 1)
    return _reshaped(w, op, args[0], shape)


def squeeze(w: Walk, op: Operator, args: Args) -> Value:
    """The file's own shape says which axes are left."""
    rank = len(w.graph.tensors[op.outputs[0]].shape)
    shape = [n for n in shape_of(op, args[0]) if n != 1]
    if rank < len(shape):
        raise ToolkitError(f"{op.where}: to {rank} axes; is the file damaged?")
    return _reshaped(w, op, args[0], [1] * (rank - len(shape)) + shape)


def transpose(w: Walk, op: Operator, args: Args) -> Value:
    order = integers(op, args[1], "the order of axes")
    v, shape = args[0], shape_of(op, args[0])
    if sorted(order) != list(range(len(shape))):
        raise ToolkitError(f"{op.where}: axes {order} of {len(shape)}; is the file damaged?")
    if isinstance(v, np.ndarray):
        return v.transpose(order)
    if isinstance(v, Affine):
        return vector(v, [shape[k] for k in order])
    assert isinstance(v, Line)
    return replace(v, axes=tuple(v.axes[k] for k in order))


def reverse(w: Walk, op: Operator, args: Args) -> Value:
    v = args[0]
    (axis,) = (axis_of(op, k, len(shape_of(op, v))) for k in integers(op, args[1], "the axis"))
    if isinstance(v, np.ndarray):
        return np.flip(v, axis)
    if isinstance(v, Line) and v.axes[axis] != "f":
        return replace(unpadded(op, v), turned=v.turned != (v.axes[axis] == "t"))
    raise ToolkitError(f"{op.where}: reverses features; supported is the reversal of time")


# --- parts ---

Part = tuple[int, int, int, bool]  # of one axis: first, count, step, whether the axis goes


def _parts(w: Walk, op: Operator, v: Value | None, parts: Sequence[Part]) -> Value:
    """Some of a value."""
    shape = shape_of(op, v)
    if any(
        not (count >= 1 and 0 <= a < n and 0 <= a + s * (count - 1) < n) for (a, count, s, _), n in _zip(parts, shape)
    ):
        raise ToolkitError(f"{op.where}: a part beyond {list(shape)}; is the file damaged?")
    if isinstance(v, np.ndarray):
        index = tuple(a if gone else a + s * np.arange(n) for a, n, s, gone in parts)
        grid = [np.atleast_1d(i) for i in index]
        out = v[np.ix_(*grid)] if v.ndim else v
        return out.reshape([n for _, n, _, gone in parts if not gone])
    left = [n for _, n, _, gone in parts if not gone]
    if isinstance(v, Affine):
        for (a, n, s, _), size in _zip(parts, shape):
            if size != 1:
                v = cell.sliced(v, a, n) if s == 1 or n == 1 else _strided(op)
        return vector(v, left)
    assert isinstance(v, Line)
    return _line_part(w, op, v, parts)


def _zip(parts: Sequence[Part], shape: Sequence[int]) -> list[tuple[Part, int]]:
    return list(zip(parts, shape, strict=True))


def _strided(op: Operator) -> Affine:
    raise ToolkitError(f"{op.where}: every n-th feature; not supported")


def _line_part(w: Walk, op: Operator, v: Line, parts: Sequence[Part]) -> Value:
    """A range of features, and all steps or one."""
    line, at = unpadded(op, v), None
    for (a, n, s, _), name, size in zip(parts, v.axes, v.shape, strict=True):
        if name == "f" and (a, n) != (0, size):
            if s != 1 and n != 1:
                _strided(op)
            options = {"first": a, "count": n}
            line = w.builder.emit("pick", [line], {}, time=v.time, width=n, options=options)
        if name == "t" and (n, s) != (size, 1):
            if (n, s) == (size, -1):
                line = replace(line, turned=not line.turned)
            elif n != 1:
                raise ToolkitError(f"{op.where}: {n} of {size} steps; supported are all steps or one")
            else:
                at = a
    axes = tuple(a for a, (_, _, _, gone) in zip(v.axes, parts, strict=True) if not gone)
    if at is None:
        return replace(line, axes=axes)
    left = [n for n, (_, _, _, gone) in zip((n for _, n, _, _ in parts), parts, strict=True) if not gone]
    return vector(w.builder.step(line, at), left)


def strided_slice(w: Walk, op: Operator, args: Args) -> Value:
    shape = shape_of(op, args[0])
    begin, end, stride = (integers(op, v, "a range") for v in args[1:4])
    masks = {k: int(op.options[k]) for k in ("begin_mask", "end_mask", "shrink")}
    if op.options["ellipsis"] or op.options["new_axis"] or not len(begin) == len(end) == len(stride) <= len(shape):
        raise ToolkitError(f"{op.where}: with an ellipsis or a new axis; not supported")
    parts: list[Part] = [(0, n, 1, False) for n in shape]
    for k, n in enumerate(shape[: len(begin)]):
        if not stride[k]:
            raise ToolkitError(f"{op.where}: a stride of 0; is the file damaged?")
        if masks["shrink"] >> k & 1:
            parts[k] = (begin[k] + (n if begin[k] < 0 else 0), 1, 1, True)
            continue
        first = None if masks["begin_mask"] >> k & 1 else begin[k]
        last = None if masks["end_mask"] >> k & 1 else end[k]
        r = range(*slice(first, last, stride[k]).indices(n))
        parts[k] = (r.start, len(r), stride[k], False)
    return _parts(w, op, args[0], parts)


def slice_(w: Walk, op: Operator, args: Args) -> Value:
    v = args[0]
    if isinstance(v, Written):
        return list_part(op, v, args)
    begin, size = (integers(op, x, "a range") for x in args[1:3])
    shape = shape_of(op, v)
    if not len(begin) == len(size) == len(shape):
        raise ToolkitError(f"{op.where}: {len(begin)} ranges for {len(shape)} axes; is the file damaged?")
    parts = [(a, n - a if c == -1 else c, 1, False) for a, c, n in zip(begin, size, shape, strict=True)]
    return _parts(w, op, v, parts)


def split(w: Walk, op: Operator, args: Args) -> list[Value]:
    (axis,), v = integers(op, args[0], "the axis"), args[1]
    shape, count = shape_of(op, v), int(op.options["num"])
    axis = axis_of(op, axis, len(shape))
    if not 1 <= count <= len(op.outputs) or shape[axis] % count:
        raise ToolkitError(f"{op.where}: {shape[axis]} values into {count} parts")
    each = shape[axis] // count
    whole = [(0, n, 1, False) for n in shape]
    return [_parts(w, op, v, [*whole[:axis], (k * each, each, 1, False), *whole[axis + 1 :]]) for k in range(count)]


def split_v(w: Walk, op: Operator, args: Args) -> list[Value]:
    v, sizes, (axis,) = args[0], integers(op, args[1], "the sizes"), integers(op, args[2], "the axis")
    shape = shape_of(op, v)
    axis = axis_of(op, axis, len(shape))
    sizes = [shape[axis] - sum(sizes) - 1 if n == -1 else n for n in sizes]
    whole: list[Part] = [(0, n, 1, False) for n in shape]
    parts = [(sum(sizes[:k]), n, 1, False) for k, n in enumerate(sizes)]
    empty = Refused(f"{op.where}: a part without values is used")
    return [_parts(w, op, v, [*whole[:axis], part, *whole[axis + 1 :]]) if part[1] else empty for part in parts]


def unpack(w: Walk, op: Operator, args: Args) -> list[Value]:
    shape, v = shape_of(op, args[0]), args[0]
    axis = axis_of(op, int(op.options["axis"]), len(shape))
    if shape[axis] != len(op.outputs):
        raise ToolkitError(f"{op.where}: {shape[axis]} values into {len(op.outputs)}")
    whole = [(0, n, 1, False) for n in shape]
    return [_parts(w, op, v, [*whole[:axis], (k, 1, 1, True), *whole[axis + 1 :]]) for k in range(shape[axis])]


def _is_time(v: Line, axis: int) -> bool:
    return v.axes[axis] == "t" or (v.time == 1 and v.axes[axis] == "1")


def gather(w: Walk, op: Operator, args: Args) -> Value:
    v, at = args[:2]
    shape = shape_of(op, v)
    axis = axis_of(op, int(op.options["axis"]), len(shape))
    if isinstance(at, Counter) and isinstance(v, Line) and at.ahead == 0 and _is_time(v, axis):
        return vector(w.builder.step(unpadded(op, v), -1), [n for k, n in enumerate(shape) if k != axis])
    index = constant(op, at, "the index")
    if index.size != 1 or index.dtype.kind not in "iu":
        raise ToolkitError(f"{op.where}: {index.size} indices; supported is one")
    first = int(index.reshape(-1)[0])
    whole = [(0, n, 1, False) for n in shape]
    part = (first + (shape[axis] if first < 0 else 0), 1, 1, not index.ndim)
    return _parts(w, op, v, [*whole[:axis], part, *whole[axis + 1 :]])


def pad(w: Walk, op: Operator, args: Args) -> Value:
    v, widths = args[0], constant(op, args[1], "the padding")
    if not isinstance(v, Line) or widths.shape != (len(v.axes), 2) or widths.dtype.kind not in "iu" or widths.min() < 0:
        raise ToolkitError(f"{op.where}: supported before a convolution over the time of a sequence")
    around = {a: (int(b), int(c)) for a, (b, c) in zip(v.axes, widths, strict=True) if b or c}
    if set(around) - {"t"}:
        raise ToolkitError(f"{op.where}: supported is the padding of time")
    before, after = around.get("t", (0, 0))
    return replace(v, pad=(v.pad[0] + before, v.pad[1] + after))


def own_shape(w: Walk, op: Operator, args: Args) -> Value:
    return np.array(shape_of(op, args[0]), np.int64)


def fill(w: Walk, op: Operator, args: Args) -> Value:
    shape = bounded(integers(op, args[0], "the shape"))
    return np.full(shape, constant(op, args[1], "the value").reshape(-1)[0])
