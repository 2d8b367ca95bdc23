"""ONNX operators on constants alone: what exporters compute shapes, first states and weights with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit.importers.onnx_moves import MOVES, Args, concat, ints, pad, small
from toolkit.importers.onnx_read import Node

Known = list[np.ndarray]


def dtype(node: Node, code: int) -> np.dtype[Any]:
    """NumPy's type of an ONNX one."""
    import onnx

    try:
        found = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, TypeError):
        found = np.dtype("O")
    if found.kind not in "fiub":
        raise node.refuse(f"type {code}", "expected numbers")
    return found


def _of_shape(node: Node, xs: Known) -> np.ndarray:
    value = node.attrs.get("value", np.zeros(1, np.float32))
    return np.full(small(node, [int(v) for v in xs[0].ravel()]), value.ravel()[0])


def _range(node: Node, xs: Known) -> np.ndarray:
    start, limit, delta = (x.ravel()[0] for x in xs)
    small(node, [max(0, int(abs(limit - start) // abs(delta)) if delta else -1)])
    return np.arange(start, limit, delta)


def _where(node: Node, xs: Known) -> np.ndarray:
    small(node, np.broadcast_shapes(*(x.shape for x in xs)))
    return np.where(*xs)


def _constant(node: Node, xs: Known) -> np.ndarray:
    a = node.attrs
    if "value" in a:
        return np.asarray(a["value"])
    for key, kind in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64)):
        if key in a:
            return np.array(a[key], kind)
    if "value_ints" in a:
        return np.array(a["value_ints"], np.int64)
    raise node.refuse(f"holds {', '.join(a) or 'nothing'}", "expected numbers")


def _divide(node: Node, xs: Known) -> np.ndarray:
    a, b = xs
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not np.all(b):
        raise node.refuse("divides by zero", "export it again")
    return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _matmul(node: Node, xs: Known) -> np.ndarray:
    a, b = xs
    small(node, (a.size // max(a.shape[-1] if a.ndim else 1, 1), b.size // max(b.shape[0] if b.ndim else 1, 1)))
    return np.asarray(a @ b)


def _reduce(function: Callable[..., np.ndarray]) -> Callable[[Node, Known], np.ndarray]:
    def reduce(node: Node, xs: Known) -> np.ndarray:
        axes = ints(node, xs, 1, "axes")
        where = tuple(axes) if axes else tuple(range(xs[0].ndim))
        return np.asarray(function(xs[0], axis=where, keepdims=bool(node.attrs.get("keepdims", 1))))

    return reduce


def dequantized(node: Node, xs: Args) -> np.ndarray:
    """(x - zero point) scale: of a tensor, an axis, or blocks of an axis."""
    x, scale = (np.asarray(v) for v in xs[:2])
    zero = np.asarray(xs[2]) if len(xs) > 2 and xs[2] is not None else np.zeros_like(scale)
    axis = node.attrs.get("axis", 1)
    scale, zero = (_along(node, v.astype(np.float64), x, axis) for v in (scale, zero))
    return ((x.astype(np.float64) - zero) * scale).astype(np.float32)


def _along(node: Node, v: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    if v.size == 1:
        return v.reshape([1] * x.ndim)
    if v.ndim == 1 and x.ndim:
        axis %= x.ndim
        return v.reshape([-1 if k == axis else 1 for k in range(x.ndim)])
    block = node.attrs.get("block_size", 0)
    if v.ndim != x.ndim or block < 1:
        raise node.refuse(f"scales of shape {list(v.shape)} for {list(x.shape)}", "expected one, one a row, or blocks")
    axis %= x.ndim
    return np.repeat(v, block, axis=axis)[tuple(slice(s) for s in x.shape)]


def _binary(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Node, Known], np.ndarray]:
    def both(node: Node, xs: Known) -> np.ndarray:
        small(node, np.broadcast_shapes(*(x.shape for x in xs)))
        return np.asarray(function(*xs))

    return both


def _unary(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Node, Known], np.ndarray]:
    return lambda node, xs: np.asarray(function(xs[0]))


CONSTANTS: dict[str, Callable[[Node, Known], np.ndarray]] = {
    "Constant": _constant,
    "ConstantOfShape": _of_shape,
    "Range": _range,
    "Where": _where,
    "Concat": concat,
    "Cast": lambda node, xs: xs[0].astype(dtype(node, node.attrs.get("to", 1))),
    "CastLike": lambda node, xs: xs[0].astype(xs[1].dtype),
    "Pad": lambda node, xs: pad(node, xs[0], xs, xs[2].ravel()[0] if len(xs) > 2 and xs[2] is not None else 0),
    "DequantizeLinear": dequantized,
    "MatMul": _matmul,
    "Div": _divide,
    "Size": lambda node, xs: np.array(xs[0].size, np.int64),
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Pow": _binary(np.power),
    "Mod": _binary(np.mod),
    "Equal": _binary(np.equal),
    "Less": _binary(np.less),
    "Greater": _binary(np.greater),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Not": _unary(np.logical_not),
    "Neg": _unary(np.negative),
    "Abs": _unary(np.abs),
    "Sqrt": _unary(np.sqrt),
    "Exp": _unary(np.exp),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Reciprocal": _unary(np.reciprocal),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
}


def fold(node: Node, xs: Args) -> np.ndarray | list[np.ndarray]:
    """The operator's outputs.

    Raises: ToolkitError where constants are not computed with it, or its arguments do not fit."""
    try:
        if node.op in MOVES:
            first = xs[0]
            if first is None:
                raise ValueError("no input")
            return MOVES[node.op](node, first, xs)
        if node.op in CONSTANTS:
            with np.errstate(all="ignore"):
                return CONSTANTS[node.op](node, xs)  # type: ignore[arg-type]  # absent ones are at the end
    except (ValueError, IndexError, TypeError, AttributeError, OverflowError, ArithmeticError) as e:
        raise node.refuse(f"its constants do not fit ({e})", "export it again") from None
    raise node.refuse("not computed on constants", f"expected one of {', '.join(sorted([*CONSTANTS, *MOVES]))}")
