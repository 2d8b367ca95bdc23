"""ONNX operators that move values or compute with constants: NumPy's functions, on numbers and on addresses alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolkit.importers.onnx_read import Node

Arrays = np.ndarray | list[np.ndarray]
Args = Sequence[np.ndarray | None]
LARGEST = 1 << 24
"""Values of a constant that is computed."""


def ints(node: Node, args: Args, k: int, attribute: str) -> list[int] | None:
    """A list that old opsets have as an attribute and new ones as input k; None: absent."""
    if attribute in node.attrs:
        found = node.attrs[attribute]
        return [int(v) for v in (found if isinstance(found, list) else [found])]
    if len(args) > k and args[k] is not None:
        return [int(v) for v in np.ravel(args[k])]  # type: ignore[arg-type]
    return None


def axis_of(node: Node, axis: int, rank: int) -> int:
    """An axis counted from the front; ToolkitError where there is none."""
    if not -rank <= axis < max(rank, 1):
        raise node.refuse(f"axis {axis} of {rank} dimensions", "export it again")
    return axis % max(rank, 1)


def small(node: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a new constant, where memory allows it."""
    if any(s < 0 for s in shape) or math.prod(shape) > LARGEST:
        raise node.refuse(f"makes an array of {list(shape)}", f"expected at most {LARGEST} values")
    return tuple(int(s) for s in shape)


def _transpose(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    perm = node.attrs.get("perm", list(range(x.ndim))[::-1])
    if sorted(perm) != list(range(x.ndim)):
        raise node.refuse(f"perm {perm} of {x.ndim} dimensions", "export it again")
    return x.transpose(perm)


def _reshape(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    wanted = ints(node, args, 1, "shape") or []
    if not node.attrs.get("allowzero", 0):
        wanted = [x.shape[k] if s == 0 and k < x.ndim else s for k, s in enumerate(wanted)]
    known = math.prod(s for s in wanted if s != -1)
    fits = known == x.size if -1 not in wanted else wanted.count(-1) == 1 and known > 0 and x.size % known == 0
    if not fits or any(s < -1 for s in wanted):
        raise node.refuse(
            f"shape {list(x.shape)} to {wanted}", "give --batch or --steps, or export it with those sizes"
        )
    return x.reshape(wanted)


def _flatten(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    axis = node.attrs.get("axis", 1)
    if not -x.ndim <= axis <= x.ndim:
        raise node.refuse(f"axis {axis} of {x.ndim} dimensions", "export it again")
    return x.reshape(math.prod(x.shape[: axis % x.ndim if axis < 0 else axis]), -1)


def _squeeze(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    axes = ints(node, args, 1, "axes")
    where = [k for k, s in enumerate(x.shape) if s == 1] if axes is None else [axis_of(node, a, x.ndim) for a in axes]
    if any(x.shape[k] != 1 for k in where):
        raise node.refuse(
            f"axes {axes} of shape {list(x.shape)}", "expected axes of size 1: fix the sizes by --batch, --steps"
        )
    return x.reshape([s for k, s in enumerate(x.shape) if k not in where])


def _unsqueeze(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    axes = ints(node, args, 1, "axes") or []
    where = sorted(axis_of(node, a, x.ndim + len(axes)) for a in axes)
    if len(set(where)) < len(where) or x.ndim + len(where) > 32:
        raise node.refuse(f"axes {axes}", "expected each once")
    shape = list(x.shape)
    for k in where:
        shape.insert(k, 1)
    return x.reshape(shape)


def _slice(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    starts, ends = (ints(node, args, k, name) or [] for k, name in ((1, "starts"), (2, "ends")))
    axes = ints(node, args, 3, "axes") or list(range(len(starts)))
    steps = ints(node, args, 4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.refuse(f"starts {starts}, ends {ends}, axes {axes}, steps {steps}", "export it again")
    cut = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        k = axis_of(node, axis, x.ndim)
        n = x.shape[k]
        start, end = (v + n if v < 0 else v for v in (start, end))
        if step > 0:
            cut[k] = slice(min(max(start, 0), n), min(max(end, 0), n), step)
        else:
            stop = min(max(end, -1), n - 1)
            cut[k] = slice(min(max(start, 0), n - 1), None if stop < 0 else stop, step)
    return x[tuple(cut)]


def _gather(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    indices = args[1]
    axis = axis_of(node, node.attrs.get("axis", 0), x.ndim)
    if indices is None or indices.dtype.kind not in "iu" or not x.ndim:
        raise node.refuse("its indices are no constant integers", "expected a constant choice")
    small(node, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    if indices.size and not (-x.shape[axis] <= indices.min() and indices.max() < x.shape[axis]):
        raise node.refuse(f"an index beyond the {x.shape[axis]} there are", "export it again")
    return x.take(indices.astype(np.int64), axis=axis)


def _split(node: Node, x: np.ndarray, args: Args) -> list[np.ndarray]:
    axis = axis_of(node, node.attrs.get("axis", 0), x.ndim)
    sizes = ints(node, args, 1, "split")
    count = len(node.outputs)
    if sizes is None:
        chunk = -(-x.shape[axis] // count)
        sizes = [chunk] * (count - 1) + [x.shape[axis] - chunk * (count - 1)]
    if sum(sizes) != x.shape[axis] or len(sizes) != count or min(sizes) < 0:
        raise node.refuse(f"sizes {sizes} of {x.shape[axis]}", "export it again")
    return np.split(x, np.cumsum(sizes)[:-1], axis=axis)


def expand(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    """Expand's broadcast, in both directions."""
    wanted = ints(node, args, 1, "shape") or []
    try:
        shape = np.broadcast_shapes(small(node, wanted), x.shape)
    except ValueError:
        raise node.refuse(f"shape {list(x.shape)} to {wanted}", "export it again") from None
    return np.broadcast_to(x, small(node, shape))


def _tile(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    repeats = ints(node, args, 1, "repeats") or []
    if len(repeats) != x.ndim:
        raise node.refuse(f"repeats {repeats} of {x.ndim} dimensions", "export it again")
    small(node, [s * r for s, r in zip(x.shape, repeats, strict=True)])
    return np.tile(x, repeats)


def _identity(node: Node, x: np.ndarray, args: Args) -> list[np.ndarray]:
    return [x, np.ones(x.shape, bool)][: len(node.outputs)]


def _dropout(node: Node, x: np.ndarray, args: Args) -> list[np.ndarray]:
    if len(args) > 2 and args[2] is not None and np.any(args[2]):
        raise node.refuse("training_mode is on", "export the model in evaluation mode")
    return _identity(node, x, args)


def _reverse_sequence(node: Node, x: np.ndarray, args: Args) -> np.ndarray:
    time, batch = node.attrs.get("time_axis", 0), node.attrs.get("batch_axis", 1)
    lengths = args[1]
    if x.ndim < 2 or lengths is None or {time, batch} != {0, 1} or (lengths != x.shape[time]).any():
        raise node.refuse("windows of different length", "expected constant lengths, all of the window")
    return np.flip(x, time)


MOVES: dict[str, Callable[[Node, np.ndarray, Args], Arrays]] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Gather": _gather,
    "Split": _split,
    "Expand": expand,
    "Tile": _tile,
    "Identity": _identity,
    "Dropout": _dropout,
    "ReverseSequence": _reverse_sequence,
}
"""Operators of one tensor whose values are moved; what else they read is constant."""


def concat(node: Node, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Concat."""
    axis = axis_of(node, node.attrs.get("axis", 1), arrays[0].ndim)
    shapes = {(a.ndim, *(s for k, s in enumerate(a.shape) if k != axis)) for a in arrays}
    if len(shapes) > 1 or not arrays[0].ndim:
        raise node.refuse(f"shapes {', '.join(str(list(a.shape)) for a in arrays)}", "give --batch or --steps that fit")
    small(node, (len(arrays), max(a.size for a in arrays)))
    return np.concatenate(arrays, axis=axis)


def pad(node: Node, x: np.ndarray, args: Args, fill: Any) -> np.ndarray:
    """Pad, with `fill` at the new places."""
    pads = ints(node, args, 1, "pads") or []
    axes = ints(node, args, 3, "axes") or list(range(x.ndim))
    if node.attrs.get("mode", "constant") != "constant" or len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        raise node.refuse(f"mode {node.attrs.get('mode', 'constant')}, pads {pads}", "expected zeros put around")
    widths = [(0, 0)] * x.ndim
    for k, axis in enumerate(axes):
        widths[axis_of(node, axis, x.ndim)] = (pads[k], pads[k + len(axes)])
    small(node, [s + sum(w) for s, w in zip(x.shape, widths, strict=True)])
    return np.pad(x, widths, constant_values=fill)
