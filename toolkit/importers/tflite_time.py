"""Convolution and pooling over the time of a sequence."""

from __future__ import annotations

import math
from dataclasses import replace

from toolkit.errors import ToolkitError
from toolkit.importers.tflite_file import Operator
from toolkit.importers.tflite_graph import Walk, activate, in_time_order, integers, unpadded, vector
from toolkit.importers.tflite_values import Line, Value
from toolkit.importers.tflite_weights import bias, weights

Args = list[Value | None]


def _window(op: Operator, steps: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after, of the padding SAME (0) or VALID (1)."""
    if stride < 1 or dilation < 1 or kernel < 1:
        raise ToolkitError(f"{op.where}: stride {stride}, dilation {dilation}, kernel {kernel}: expected at least 1")
    if op.options["padding"]:
        return 0, 0
    total = max((math.ceil(steps / stride) - 1) * stride + (kernel - 1) * dilation + 1 - steps, 0)
    return total // 2, total - total // 2


def _over_time(op: Operator, v: Value | None) -> tuple[Line, str]:
    """A sequence as an image [1, height, width, features] and which side is its time: "w" or "h"."""
    if not isinstance(v, Line) or len(v.axes) != 4 or v.axes[3] != "f" or v.axes[0] != "1":
        raise ToolkitError(f"{op.where}: supported over the time of a sequence [1, 1, time, features]")
    if v.axes[1:3] == ("1", "1") or v.axes[1:3] == ("1", "t"):
        return in_time_order(op, v), "w"
    return in_time_order(op, v), "h"


def convolution(w: Walk, op: Operator, args: Args) -> Value:
    """CONV_2D and DEPTHWISE_CONV_2D of one row or column."""
    v, side = _over_time(op, args[0])
    matrix = weights(w, op, args, 1)
    other = 1 if side == "w" else 2
    if matrix.ndim != 4 or matrix.shape[other] != 1:
        raise ToolkitError(f"{op.where}: a kernel of shape {list(matrix.shape)}; supported are those over time alone")
    if op.name == "CONV_2D":
        kernels = matrix.reshape(matrix.shape[0], -1, matrix.shape[3]).transpose(0, 2, 1)
    else:
        kernels = matrix.reshape(-1, matrix.shape[3]).T[:, None]
    out, each, kernel = kernels.shape
    if not each or v.width % each or (v.width // each and out % (v.width // each)):
        raise ToolkitError(f"{op.where}: a kernel of shape {list(matrix.shape)} for {v.width} features")
    stride, dilation = (int(op.options[f"{k}_{side}"]) for k in ("stride", "dilation"))
    before, after = _window(op, v.time + sum(v.pad), kernel, stride, dilation)
    before, after = before + v.pad[0], after + v.pad[1]
    steps = (v.time + before + after - (kernel - 1) * dilation - 1) // stride + 1
    if steps < 1:
        raise ToolkitError(f"{op.where}: a kernel of {kernel} steps over {v.time}")
    options = {"stride": stride, "dilation": dilation, "groups": v.width // each}
    options |= {"pad_before": before, "pad_after": after}
    arrays = {"w": kernels, "b": bias(op, args, 2, out)}
    y = w.builder.emit("conv", [v], arrays, time=steps, width=out, options=options)
    return activate(w, op.fused, y)


def pooling(w: Walk, op: Operator, args: Args) -> Value:
    """AVERAGE_POOL_2D and MAX_POOL_2D of one row or column."""
    v, side = _over_time(op, args[0])
    unpadded(op, v)
    size = {"w": int(op.options["width"]), "h": int(op.options["height"])}
    if size["h" if side == "w" else "w"] != 1:
        raise ToolkitError(f"{op.where}: over {size}; supported is over time alone")
    stride = int(op.options[f"stride_{side}"])
    before, after = _window(op, v.time, size[side], stride, 1)
    steps = (v.time + before + after - size[side]) // stride + 1
    if steps < 1:
        raise ToolkitError(f"{op.where}: over {size[side]} of {v.time} steps")
    options = {"kernel": size[side], "stride": stride, "pad_before": before, "pad_after": after}
    options |= {"max": 1} if op.name == "MAX_POOL_2D" else {}
    return activate(w, op.fused, w.builder.emit("pool", [v], {}, time=steps, width=v.width, options=options))


def reduction(w: Walk, op: Operator, args: Args) -> Value:
    """MEAN and REDUCE_MAX over the whole time."""
    v = args[0]
    if not isinstance(v, Line):
        raise ToolkitError(f"{op.where}: supported over the time of a sequence")
    gone = {k % len(v.axes) for k in integers(op, args[1], "the axes")}
    if {v.axes[k] for k in gone} - {"1"} != {"t"}:
        raise ToolkitError(f"{op.where}: supported over the time of a sequence")
    options = {"max": 1} if op.name == "REDUCE_MAX" else {}
    y = w.builder.emit("pool", [unpadded(op, v)], {}, time=1, width=v.width, options=options)
    keep = bool(op.options["keep_dims"])
    left = [1 if k in gone else n for k, n in enumerate(v.shape) if keep or k not in gone]
    return vector(w.builder.step(replace(y, turned=False, axes=("1", "f")), 0), left)
