"""ONNX operators that become layers: products, sums, and what joins or pads; and the helpers of the other files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantize.network import layer
from toolkit.importers.onnx_moves import concat, pad
from toolkit.importers.onnx_read import FLOATS, Node
from toolkit.importers.onnx_walk import ZERO, Data, Fed, Value, Walk, WrongAxes

Args = Sequence[Value | None]


def data(node: Node, args: Args, k: int = 0) -> Data:
    """Argument k, which depends on the input."""
    found = args[k] if k < len(args) else None
    if not isinstance(found, Data):
        raise node.refuse(f"its input {k + 1} is constant", "expected that one to depend on the model's input")
    return found


def const(node: Node, args: Args, k: int) -> np.ndarray | None:
    """Argument k, which is constant, in float64; None when absent."""
    found = args[k] if k < len(args) else None
    if isinstance(found, Data):
        raise node.refuse(f"its input {k + 1} depends on the model's input", "expected a constant")
    return None if found is None else np.asarray(found, np.float64)


def scaled(w: Walk, node: Node, x: Data, gain: np.ndarray | float, offset: np.ndarray | float) -> Data:
    """gain x + offset, with constants that broadcast."""
    shape = np.broadcast_shapes(x.at.shape, np.shape(gain), np.shape(offset))
    if np.prod(shape) > 1 << 22:
        raise node.refuse(f"makes an array of {list(shape)}", "expected one that a microcontroller can hold")
    at = np.broadcast_to(x.at, shape)
    a = w.arrange(node, at)
    grids = {}
    for key, value in (("gain", gain), ("offset", offset)):
        flat = np.broadcast_to(np.asarray(value, np.float64), shape).ravel()
        per = flat[a.first]
        if (per != per[:1, :1]).any() or (a.back_to(per).ravel() != flat).any():
            raise node.refuse("its constant differs from step to step", "expected one number a feature")
        grids[key] = per[0, 0]
    sources = w.in_order(node, a.std)
    below = w.layers.get(sources[0]) if len(sources) == 1 else None
    if below is not None and below.op == "dense" and not below.activations and (grids["gain"] == 1).all():
        b = np.where(below.weights["b"] == 0, grids["offset"], below.weights["b"] + grids["offset"])
        new = layer(w.name(node, "dense"), "dense", {"w": below.weights["w"], "b": b}, sources=below.sources)
        return w.show(node, new.name, a.back_to(w.emit(node, new, *a.std.shape[1:])))
    if below is not None and below.op == "scale":
        before = {k: v.astype(np.float64) for k, v in below.weights.items()}
        grids["offset"] = grids["gain"] * before["offset"] + grids["offset"]
        grids["gain"], sources = grids["gain"] * before["gain"], below.sources
    new = layer(w.name(node, "scale"), "scale", grids, sources=sources)
    return w.show(node, new.name, a.back_to(w.emit(node, new, *a.std.shape[1:])))


def merged(w: Walk, node: Node, op: str, xs: Sequence[Data]) -> Data:
    """`add` or `mul` of tensors, elementwise."""
    shape = np.broadcast_shapes(*(x.at.shape for x in xs))
    at = [np.broadcast_to(x.at, shape) for x in xs]
    a = w.arrange(node, max(at, key=lambda v: len(np.unique(v))))
    fed: list[str] = []
    for v in at:
        std = v.ravel()[a.first]
        if (a.back_to(std) != v).any():
            raise node.refuse("repeats one of its inputs over steps or features", "expected inputs of the same size")
        names = w.in_order(node, std)
        if len(names) > 1:  # one source each: joined before
            names = (w.joined(node, std, names),)
        fed += names
    new = layer(w.name(node, op), op, {}, sources=tuple(fed))
    return w.show(node, new.name, a.back_to(w.emit(node, new, *a.std.shape[1:])))


def _add(w: Walk, node: Node, args: Args) -> Data:
    moving = [a for a in args if isinstance(a, Data)]
    constants = [np.asarray(a, np.float64) for a in args if isinstance(a, np.ndarray)]
    x = merged(w, node, "add", moving) if len(moving) > 1 else moving[0]
    return scaled(w, node, x, 1.0, sum(constants[1:], constants[0])) if constants else x


def _sub(w: Walk, node: Node, args: Args) -> Data:
    a, b = args
    if isinstance(a, Data) and isinstance(b, Data):
        return merged(w, node, "add", [a, scaled(w, node, b, -1.0, 0.0)])
    if isinstance(a, Data):
        return scaled(w, node, a, 1.0, -np.asarray(b, np.float64))
    return scaled(w, node, data(node, args, 1), -1.0, np.asarray(a, np.float64))


def _mul(w: Walk, node: Node, args: Args) -> Data:
    moving = [a for a in args if isinstance(a, Data)]
    if len(moving) > 1:
        gated = _silu(w, node, moving) or _silu(w, node, moving[::-1])
        return gated or merged(w, node, "mul", moving)
    return scaled(w, node, moving[0], next(np.asarray(a, np.float64) for a in args if isinstance(a, np.ndarray)), -0.0)


def _silu(w: Walk, node: Node, moving: Sequence[Data]) -> Data | None:
    """x sigmoid(x), which exporters write in two operators; None: not that."""
    x, gate = (v.at for v in moving[:2])
    if x.shape != gate.shape or (gate < 0).any():
        return None
    a = w.arrange(node, gate)
    made = w.layers.get(w.only(a.std) or "")
    if a.back.size != a.std.size or made is None or made.op != "activation" or made.activations != ("sigmoid",):
        return None
    if made.sources != (w.only(x.ravel()[a.first]),):
        return None
    return w.pointwise(node, moving[0], "activation", activations=("silu",))


def _div(w: Walk, node: Node, args: Args) -> Data:
    by = const(node, args, 1)
    if by is None or not by.all():
        raise node.refuse("divides by zero", "train the model or export it again")
    return scaled(w, node, data(node, args), 1 / by, 0.0)


def rows(w: Walk, node: Node, at: np.ndarray) -> np.ndarray:
    """[..., width] addresses, a step of a window each -> their order, [batch, steps]: places among the rows."""
    flat = at.reshape(-1, at.shape[-1])
    if len(flat) % w.batch or not flat.size:
        raise WrongAxes(f'{node.op} "{node.name}": works along the batch; expected each window by itself')
    if (flat[:, 0] < 0).any():
        w.fed(node, flat[None, None, :, 0])  # says which
    _, b, t, _ = w.decode(flat[:, 0])
    return np.lexsort((t, b)).reshape(w.batch, -1)


def per_step(w: Walk, node: Node, at: np.ndarray, op: str, width: int, make: Callable[[Fed], object]) -> Data:
    """A layer over the last axis of [..., width]; make(fed) gives its weights, options and activations."""
    order = rows(w, node, at)
    std = at.reshape(-1, at.shape[-1])[order]
    fed = w.fed(node, std) if op == "dense" else Fed(w.in_order(node, std), None, False)
    if fed.turned:
        raise node.refuse("takes its steps backwards", "expected that of recurrent layers only")
    made: dict[str, object] = dict(make(fed))  # type: ignore[call-overload]
    new = layer(w.name(node, op), op, made.pop("weights"), sources=fed.sources, **made)  # type: ignore[arg-type]
    grid = w.emit(node, new, order.shape[1], width)
    out = np.empty((order.size, width), np.int64)
    out[order.ravel()] = grid.reshape(-1, width)
    return w.show(node, new.name, out.reshape(*at.shape[:-1], width))


def reordered(w: np.ndarray, fed: Fed, walk: Walk) -> np.ndarray:
    """Columns of a weight matrix [out, in, ...] in the order of the sources, zeros where it takes nothing."""
    if fed.columns is None:
        return w
    width = sum(walk.lines[name].width for name in fed.sources)
    made = np.zeros((w.shape[0], width, *w.shape[2:]), w.dtype)
    made[:, fed.columns] = w
    return made


def dense(w: Walk, node: Node, x: Data, matrix: np.ndarray, bias: np.ndarray) -> Data:
    """x [..., in] times matrix [in, out], plus bias [out]."""
    if matrix.ndim != 2 or not x.at.ndim or x.at.shape[-1] != matrix.shape[0]:
        raise node.refuse(
            f"{list(x.at.shape)} times {list(matrix.shape)}", "expected [..., inputs] times constant [inputs, outputs]"
        )
    return per_step(
        w, node, x.at, "dense", matrix.shape[1],
        lambda fed: {"weights": {"w": reordered(matrix.T, fed, w), "b": bias}},
    )  # fmt: skip


def _matmul(w: Walk, node: Node, args: Args) -> Data:
    a, b = args
    if isinstance(a, Data) and isinstance(b, Data):
        raise node.refuse("multiplies two tensors of the sequence", "expected one constant matrix: no attention")
    turned = isinstance(b, Data)
    x, matrix = (b, a) if turned else (a, b)
    matrix = np.asarray(matrix, np.float64)
    while matrix.ndim > 2 and matrix.shape[0] == 1:
        matrix = matrix[0]
    column = matrix.ndim == 1
    matrix = matrix[:, None] if column else matrix.T if turned else matrix
    at = x.at  # type: ignore[union-attr]
    at = at.swapaxes(-1, -2) if turned and at.ndim > 1 else at
    out = dense(w, node, Data(at), matrix, np.zeros(matrix.shape[-1])).at
    if column:
        return Data(out[..., 0])
    return Data(out.swapaxes(-1, -2) if turned and out.ndim > 1 else out)


def _gemm(w: Walk, node: Node, args: Args) -> Data:
    x, matrix, c = data(node, args), const(node, args, 1), const(node, args, 2)
    assert matrix is not None
    at = x.at.T if node.attrs.get("transA", 0) else x.at
    matrix = (matrix.T if node.attrs.get("transB", 0) else matrix) * node.attrs.get("alpha", 1.0)
    c = np.zeros(()) if c is None else c * node.attrs.get("beta", 1.0)
    if c.ndim > 1 and len(c) > 1 and (c != c[:1]).any():
        raise node.refuse("its C differs from row to row", "expected one number an output")
    bias = np.broadcast_to(c[0] if c.ndim > 1 else c, matrix.shape[1:])
    return dense(w, node, Data(at), matrix, bias)


def _cast(w: Walk, node: Node, args: Args) -> Data:
    x = data(node, args)
    like = np.asarray(args[1]).dtype in (np.float32, np.float64) if node.op == "CastLike" else None
    if not like and node.attrs.get("to") not in FLOATS:
        raise node.refuse("to another type than float or double", "expected a model that computes in float32")
    return x


def _quantized(w: Walk, node: Node, args: Args) -> Data:
    raise node.refuse(
        "quantizes a tensor between layers, which would change the network",
        "import the float model (or one with DequantizeLinear on weights only) and use `quantize`",
    )


def _pad(w: Walk, node: Node, args: Args) -> Data:
    value = const(node, args, 2)
    if (value is not None and value.any()) or node.attrs.get("value", 0):
        raise node.refuse("pads with another number than 0", "expected zeros")
    rest = [a if isinstance(a, np.ndarray) else None for a in args]
    return Data(pad(node, data(node, args).at, rest, ZERO))


def _concat(w: Walk, node: Node, args: Args) -> Data:
    if any(isinstance(a, np.ndarray) and a.any() for a in args):
        raise node.refuse("joins a sequence and a constant", "expected zeros, or outputs of layers")
    return Data(concat(node, [a.at if isinstance(a, Data) else np.full(a.shape, ZERO) for a in args]))  # type: ignore[union-attr]


COMPUTE: dict[str, Callable[[Walk, Node, Args], Value | list[Value]]] = {
    "Add": _add,
    "Sum": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Neg": lambda w, node, args: scaled(w, node, data(node, args), -1.0, 0.0),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Cast": _cast,
    "CastLike": _cast,
    "QuantizeLinear": _quantized,
    "DequantizeLinear": _quantized,
    "DynamicQuantizeLinear": _quantized,
    "Pad": _pad,
    "Concat": _concat,
}
"""Operators of one tensor or more that depend on the input; onnx_activations, onnx_time, onnx_recurrent have others."""
