"""ONNX operators along the time: convolution, pooling, means and maxima over all steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantize.network import layer
from toolkit.importers.onnx_moves import axis_of, ints
from toolkit.importers.onnx_ops import Args, const, data, reordered
from toolkit.importers.onnx_read import Node
from toolkit.importers.onnx_walk import ZERO, Data, Walk


def _sequence(w: Walk, node: Node, at: np.ndarray) -> tuple[np.ndarray, int, int]:
    """[batch, channels, time] -> [batch, time, channels] without the zeros at its ends, and how many those were."""
    std = at.transpose(0, 2, 1)
    real = np.flatnonzero((std != ZERO).any((0, 2)))
    if not len(real):
        raise node.refuse("is fed padding alone", "export it again")
    first, last = int(real[0]), int(real[-1]) + 1
    return std[:, first:last], first, std.shape[1] - last


def _geometry(node: Node, at: np.ndarray, kernel: int) -> tuple[dict[str, int], int, int]:
    """stride and dilation, and the padding before and behind.

    Raises: ToolkitError where it is not over one axis."""
    if at.ndim != 3:
        raise node.refuse(f"over {at.ndim - 2} axes", "expected one, the time: [batch, channels, time]")
    (stride,), (dilation,) = (list(node.attrs.get(k, [1])) for k in ("strides", "dilations"))
    auto = node.attrs.get("auto_pad", "NOTSET")
    before, after = node.attrs.get("pads", [0, 0])
    if auto == "VALID":
        before = after = 0
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        time = at.shape[2]
        total = max(0, (-(-time // stride) - 1) * stride + (kernel - 1) * dilation + 1 - time)
        before, after = (total // 2, total - total // 2)[:: 1 if auto == "SAME_UPPER" else -1]
    if stride < 1 or dilation < 1 or min(before, after) < 0:
        raise node.refuse(f"stride {stride}, dilation {dilation}, pads {before}, {after}", "export it again")
    return {"stride": stride, "dilation": dilation}, before, after


def _options(**found: float) -> dict[str, float]:
    """Without what is as when absent."""
    plain = {"stride": 1, "dilation": 1, "groups": 1}
    return {k: v for k, v in found.items() if v != plain.get(k, 0)}


def _made(node: Node, time: int, extent: int, o: dict[str, float]) -> int:
    left = time + int(o.get("pad_before", 0) + o.get("pad_after", 0)) - extent
    if left < 0:
        raise node.refuse(f"over {extent} steps of {time}", "give --steps of a longer window")
    return left // int(o.get("stride", 1)) + 1


def _conv(w: Walk, node: Node, args: Args) -> Data:
    x, weights, bias = data(node, args), const(node, args, 1), const(node, args, 2)
    if weights is None or weights.ndim != 3 or x.at.ndim != 3:
        raise node.refuse(f"over {x.at.ndim - 2} axes", "expected one, the time: [batch, channels, time]")
    shape, before, after = _geometry(node, x.at, weights.shape[2])
    std, more_before, more_after = _sequence(w, node, x.at)
    groups = int(node.attrs.get("group", 1))
    if weights.shape[1] * groups != x.at.shape[1] or weights.shape[0] % groups:
        raise node.refuse(
            f"{groups} groups of {x.at.shape[1]} channels, weights {list(weights.shape)}", "export it again"
        )
    o = _options(**shape, groups=groups, pad_before=before + more_before, pad_after=after + more_after)
    fed = w.fed(node, std)
    if fed.turned or (fed.columns is not None and groups > 1):
        raise node.refuse("takes steps backwards, or reordered channels in groups", "expected channels in order")
    steps = _made(node, std.shape[1], (weights.shape[2] - 1) * shape["dilation"] + 1, o)
    b = np.zeros(len(weights)) if bias is None else bias
    arrays = {"w": reordered(weights, fed, w), "b": b}
    new = layer(w.name(node, "conv"), "conv", arrays, options=o, sources=fed.sources)
    return w.show(node, new.name, w.emit(node, new, steps, len(weights)).transpose(0, 2, 1))


def _pool(w: Walk, node: Node, args: Args) -> Data:
    at = data(node, args).at
    kernel = node.attrs.get("kernel_shape", [0])[0]
    shape, before, after = _geometry(node, at, kernel)
    if shape["dilation"] > 1 or node.attrs.get("ceil_mode", 0) or len([n for n in node.outputs if n]) > 1:
        raise node.refuse("with dilation, ceil_mode or indices", "expected plain pooling over the time")
    std, *more = _sequence(w, node, at)
    if any(more):
        raise node.refuse("is fed padding", "expected padding by the operator's own pads")
    is_max = node.op == "MaxPool"
    o = _options(
        max=int(is_max), kernel=kernel, stride=shape["stride"], pad_before=before, pad_after=after,
        count_pad=0 if is_max or not before + after else node.attrs.get("count_include_pad", 0),
    )  # fmt: skip
    steps = _made(node, std.shape[1], kernel, o)
    new = layer(w.name(node, "pool"), "pool", {}, options=o, sources=w.in_order(node, std))
    return w.show(node, new.name, w.emit(node, new, steps, std.shape[2]).transpose(0, 2, 1))


def whole(w: Walk, node: Node, std: np.ndarray, largest: bool) -> np.ndarray:
    """Mean or maximum of [batch, steps, width] over the steps: [batch, 1, width] addresses."""
    options = {"max": 1.0} if largest else {}
    new = layer(w.name(node, "pool"), "pool", {}, options=options, sources=w.in_order(node, std))
    return w.emit(node, new, 1, std.shape[2])


def _global(largest: bool) -> Callable[[Walk, Node, Args], Data]:
    def compute(w: Walk, node: Node, args: Args) -> Data:
        at = data(node, args).at
        if at.ndim != 3:
            raise node.refuse(f"over {at.ndim - 2} axes", "expected one, the time: [batch, channels, time]")
        grid = whole(w, node, at.transpose(0, 2, 1), largest).transpose(0, 2, 1)
        return w.show(node, next(reversed(w.layers)), grid)

    return compute


def _reduce(largest: bool) -> Callable[[Walk, Node, Args], Data]:
    def compute(w: Walk, node: Node, args: Args) -> Data:
        x = data(node, args)
        consts: Sequence[np.ndarray | None] = [a if isinstance(a, np.ndarray) else None for a in args]
        axes = ints(node, consts, 1, "axes")
        if axes is None or not axes:
            if axes is not None and node.attrs.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.at.ndim))
        where = sorted({axis_of(node, a, x.at.ndim) for a in axes})
        grid = np.moveaxis(x.at, where, list(range(len(where))))
        kept = grid.shape[len(where) :]
        flat = grid.reshape(-1, int(np.prod(kept)))  # [what is reduced, the rest]
        if (flat < 0).any():
            w.fed(node, flat[None])
        k, b, t, f = w.decode(flat)
        if any((v != v[:1]).any() for v in (k, b, f)) or any(len(set(c)) < len(c) for c in t.T.tolist()):
            raise node.refuse("over another axis than the time", "expected it over the time (or LayerNormalization)")
        order = np.lexsort((f[0], k[0], b[0])).reshape(w.batch, -1) if flat.shape[1] % w.batch == 0 else None
        if order is None:
            raise node.refuse("over a part of the batch", "expected it over the time")
        std = np.sort(flat, axis=0)[:, order].transpose(1, 0, 2)
        made = np.empty(flat.shape[1], np.int64)
        made[order.ravel()] = whole(w, node, std, largest).ravel()
        keep = node.attrs.get("keepdims", 1)
        shape = [1 if i in where else s for i, s in enumerate(x.at.shape)] if keep else kept
        return w.show(node, next(reversed(w.layers)), made.reshape(shape))

    return compute


TIME: dict[str, Callable[[Walk, Node, Args], Data]] = {
    "Conv": _conv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global(False),
    "GlobalMaxPool": _global(True),
    "ReduceMean": _reduce(False),
    "ReduceMax": _reduce(True),
}
