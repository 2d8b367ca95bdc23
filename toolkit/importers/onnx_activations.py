"""ONNX's activations and normalisations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.activations import SELU, write
from toolkit.importers.onnx_moves import axis_of
from toolkit.importers.onnx_ops import Args, const, data, merged, per_step, scaled
from toolkit.importers.onnx_read import Node
from toolkit.importers.onnx_walk import Data, Walk


def _function(name: str, *keys: tuple[str, float]) -> Callable[[Walk, Node, Args], Data]:
    def compute(w: Walk, node: Node, args: Args) -> Data:
        text = write(name, *(float(node.attrs.get(key, default)) for key, default in keys))
        return w.pointwise(node, data(node, args), "activation", activations=(text,))

    return compute


def _act(w: Walk, node: Node, x: Data, text: str) -> Data:
    return w.pointwise(node, x, "activation", activations=(text,))


def _selu(w: Walk, node: Node, args: Args) -> Data:
    alpha, gamma = node.attrs.get("alpha", SELU[0]), node.attrs.get("gamma", SELU[1])
    if np.allclose((alpha, gamma), SELU, atol=0, rtol=1e-6):
        return _act(w, node, data(node, args), "selu")
    return scaled(w, node, _act(w, node, data(node, args), write("elu", alpha)), gamma, 0.0)


def _celu(w: Walk, node: Node, args: Args) -> Data:
    alpha = float(node.attrs.get("alpha", 1.0))
    x = data(node, args) if alpha == 1 else scaled(w, node, data(node, args), 1 / alpha, 0.0)
    y = _act(w, node, x, "elu(1.0)")
    return y if alpha == 1 else scaled(w, node, y, alpha, 0.0)


def _swish(w: Walk, node: Node, args: Args) -> Data:
    alpha = float(node.attrs.get("alpha", 1.0))
    x = data(node, args) if alpha == 1 else scaled(w, node, data(node, args), alpha, 0.0)
    y = _act(w, node, x, "silu")
    return y if alpha == 1 else scaled(w, node, y, 1 / alpha, 0.0)


def _mish(w: Walk, node: Node, args: Args) -> Data:
    x = data(node, args)
    return merged(w, node, "mul", [x, _act(w, node, _act(w, node, x, "softplus"), "tanh")])


def _prelu(w: Walk, node: Node, args: Args) -> Data:
    slope = const(node, args, 1)
    if slope is None or not slope.size or (slope != slope.flat[0]).any():
        raise node.refuse("a slope for each feature", "expected one slope for all, or LeakyRelu")
    return _act(w, node, data(node, args), write("leaky_relu", float(slope.flat[0])))


def _gelu(w: Walk, node: Node, args: Args) -> Data:
    return _act(w, node, data(node, args), "gelu_tanh" if node.attrs.get("approximate") == "tanh" else "gelu")


def _clip(w: Walk, node: Node, args: Args) -> Data:
    low, high = (
        float(v.ravel()[0]) if (v := const(node, args, k)) is not None and v.size else node.attrs.get(key, default)
        for k, key, default in ((1, "min", -np.inf), (2, "max", np.inf))
    )
    x = data(node, args)
    if (low, high) == (0, 6):
        return _act(w, node, x, "relu6")
    if low <= -3e38 and high >= 3e38:
        return x
    if high >= 3e38:  # max(x, low) = relu(x - low) + low
        return _shifted(w, node, x, 1.0, low)
    if low <= -3e38:  # min(x, high) = high - relu(high - x)
        return _shifted(w, node, x, -1.0, high)
    if low >= high:
        raise node.refuse(f"bounds {low:g} and {high:g}", "expected a range")
    size = high - low
    y = _act(w, node, x, write("hard_sigmoid", 1 / size, -low / size))
    return y if (low, size) == (0, 1) else scaled(w, node, y, size, low)


def _shifted(w: Walk, node: Node, x: Data, sign: float, bound: float) -> Data:
    if sign == 1 and bound == 0:
        return _act(w, node, x, "relu")
    y = _act(w, node, scaled(w, node, x, sign, -sign * bound), "relu")
    return scaled(w, node, y, sign, bound)


def _softmax(name: str) -> Callable[[Walk, Node, Args], Data]:
    def compute(w: Walk, node: Node, args: Args) -> Data:
        at = data(node, args).at
        old = node.opset < 13
        axis = axis_of(node, node.attrs.get("axis", 1 if old else -1), at.ndim)
        given = at.shape
        at = at.reshape(int(np.prod(given[:axis])), -1) if old else np.moveaxis(at, axis, -1)
        y = per_step(w, node, at, "activation", at.shape[-1], lambda fed: {"weights": {}, "activations": (name,)}).at
        return _shown_again(w, node, y.reshape(given) if old else np.moveaxis(y, -1, axis))

    return compute


def _shown_again(w: Walk, node: Node, at: np.ndarray) -> Data:
    """The same layer as before, where its tensor has another order than it was computed in."""
    return w.show(node, next(reversed(w.layers)), at)


def _layer_norm(w: Walk, node: Node, args: Args) -> Data:
    at = data(node, args).at
    axis = axis_of(node, node.attrs.get("axis", -1), at.ndim)
    width = int(np.prod(at.shape[axis:]))
    gain, offset = const(node, args, 1), const(node, args, 2)
    shape = at.shape[axis:]
    try:
        per = {
            "gain": np.broadcast_to(1.0 if gain is None else gain, shape).reshape(-1),
            "offset": np.broadcast_to(0.0 if offset is None else offset, shape).reshape(-1),
        }
    except ValueError:
        raise node.refuse("its scale or bias is of another size", "expected one number a feature") from None
    made = {"weights": per, "options": {"epsilon": float(node.attrs.get("epsilon", 1e-5))}}
    y = per_step(w, node, at.reshape(*at.shape[:axis], width), "norm", width, lambda fed: made)
    return _shown_again(w, node, y.at.reshape(at.shape))


def _batch_norm(w: Walk, node: Node, args: Args) -> Data:
    x = data(node, args)
    gain, offset, mean, var = (const(node, args, k) for k in range(1, 5))
    if node.attrs.get("training_mode", 0) or not node.attrs.get("spatial", 1) or x.at.ndim < 2:
        raise node.refuse("in training mode, or not over the channels", "export the model in evaluation mode")
    if any(v is None or v.shape != (x.at.shape[1],) for v in (gain, offset, mean, var)):
        raise node.refuse("its constants are not one a channel", "export it again")
    assert gain is not None and offset is not None and mean is not None and var is not None
    if (var < 0).any():
        raise node.refuse("a variance below zero", "train the model or export it again")
    gain = gain / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
    shape = (-1, *[1] * (x.at.ndim - 2))
    return scaled(w, node, x, gain.reshape(shape), (offset - mean * gain).reshape(shape))


ACTIVATIONS: dict[str, Callable[[Walk, Node, Args], Data]] = {
    "Relu": _function("relu"),
    "Tanh": _function("tanh"),
    "Sigmoid": _function("sigmoid"),
    "LeakyRelu": _function("leaky_relu", ("alpha", 0.01)),
    "ThresholdedRelu": _function("thresholded_relu", ("alpha", 1.0)),
    "HardSigmoid": _function("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "Elu": _function("elu", ("alpha", 1.0)),
    "HardSwish": _function("hard_swish"),
    "Softsign": _function("softsign"),
    "Softplus": _function("softplus"),
    "Exp": _function("exp"),
    "Selu": _selu,
    "Celu": _celu,
    "Gelu": _gelu,
    "Swish": _swish,
    "Mish": _mish,
    "PRelu": _prelu,
    "Clip": _clip,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
}
