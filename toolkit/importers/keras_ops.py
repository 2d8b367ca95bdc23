"""Keras' other layers -> ours: one function a class, of its configuration, weights and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from toolkit.importers import identifier
from toolkit.importers.keras_builder import (
    ACTIVATION_LAYERS,
    Builder,
    Config,
    Line,
    Weights,
    activated,
    activation,
    merged,
    scaled,
    with_bias,
)
from toolkit.importers.keras_recurrent import OPS, both_ways, one_way

_WIDEST = 1 << 16  # steps that a convolution or a pool looks at
Make = Callable[[Builder, str, Config, Weights, Line, str], Line]
"""(builder, class, configuration, weights, input, name) -> output."""


def _dense(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    kernel, bias = with_bias(b, c, w, (x.width, None), bias=(w[0].shape[-1],) if w else ())
    y = b.add(name, "dense", {"w": kernel.T, "b": bias}, x)
    return activated(b, y, name, activation(b, c.get("activation")))


def _activation(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    return activated(b, x, name, ACTIVATION_LAYERS[kind](b, c))


def _same(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    """Noise of training, and nothing else."""
    return x


def _last_axis(b: Builder, c: Config, x: Line) -> None:
    axis = c.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, x.rank - 1):
        raise b.refuse(f"axis = {axis!r}", "expected the last, the features")


def _layer_norm(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    _last_axis(b, c, x)
    b.want(c, "rms_scaling", False)
    given = iter(b.weights(w, *[(x.width,)] * (bool(c.get("scale", True)) + bool(c.get("center", True)))))
    gain = next(given) if c.get("scale", True) else np.ones(x.width)
    offset = next(given) if c.get("center", True) else np.zeros(x.width)
    return b.add(name, "norm", {"gain": gain, "offset": offset}, x, options={"epsilon": b.number(c, "epsilon", 1e-3)})


def _batch_norm(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    """gain x + offset of the statistics of training."""
    _last_axis(b, c, x)
    own = [bool(c.get(k, True)) for k in ("scale", "center")]
    *given, mean, variance = b.weights(w, *[(x.width,)] * (sum(own) + 2))
    gain = (given[0] if own[0] else 1) / np.sqrt(variance + b.number(c, "epsilon", 1e-3))
    return scaled(b, x, name, gain, (given[-1] if own[1] else 0) - mean * gain)


def _normalization(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    """(x - mean) / deviation, told by the configuration or adapted to data."""
    _last_axis(b, c, x)
    b.want(c, "invert", False)
    found = [np.asarray(c[k], np.float64).ravel() for k in ("mean", "variance") if c.get(k) is not None] or [
        np.asarray(v, np.float64).ravel() for v in w[:2]
    ]
    if len(found) != 2 or any(len(v) not in (1, x.width) for v in found):
        raise b.refuse("no mean and variance of its features", "adapt it to data before saving")
    gain = 1 / np.maximum(np.sqrt(found[1]), 1e-7)
    return scaled(b, x, name, gain, -found[0] * gain)


def _rescaling(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    return scaled(b, x, name, b.number(c, "scale", 1), b.number(c, "offset", 0))


def _padded(b: Builder, c: Config, x: Line, extent: int, stride: int) -> dict[str, float]:
    """pad_before and pad_after: nothing, as many as keep the steps, or all before."""
    kind = c.get("padding", "valid")
    if kind not in ("valid", "same", "causal"):
        raise b.refuse(f"padding = {kind!r}", "expected valid, same or causal")
    if extent > _WIDEST:
        raise b.refuse(f"a view of {extent} steps", f"expected at most {_WIDEST}")
    missing = max((-(-x.steps // stride) - 1) * stride + extent - x.steps, 0) if kind == "same" else 0
    before, after = (extent - 1, 0) if kind == "causal" else (missing // 2, missing - missing // 2)
    return {k: v for k, v in (("pad_before", before), ("pad_after", after)) if v}


def _over_time(b: Builder, c: Config, x: Line) -> None:
    b.want(c, "data_format", "channels_last", None)
    if x.rank != 3:
        raise b.refuse("fed by a vector", "expected a sequence [batch, time, features]")


def _conv(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    _over_time(b, c, x)
    stride, dilation, groups = (int(b.number(c, k, 1)) for k in ("strides", "dilation_rate", "groups"))
    count = w[0].shape[2] if w and w[0].ndim == 3 else 1
    if min(stride, dilation, groups) < 1 or x.width % groups or count % groups:
        raise b.refuse(
            f"strides {stride}, dilation {dilation}, groups {groups}", f"expected what {x.width} inputs take"
        )
    kernel, bias = with_bias(b, c, w, (None, x.width // groups, None), bias=(count,))
    options: dict[str, float] = {
        k: v for k, v in (("stride", stride), ("dilation", dilation), ("groups", groups)) if v > 1
    }
    options |= _padded(b, c, x, (len(kernel) - 1) * dilation + 1, stride)
    y = b.add(name, "conv", {"w": kernel.transpose(2, 1, 0), "b": bias}, x, options=options)
    return activated(b, y, name, activation(b, c.get("activation")))


def _pool(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    _over_time(b, c, x)
    kernel = int(b.number(c, "pool_size", 2))
    stride = int(b.number(c, "strides", kernel))
    if min(kernel, stride) < 1:
        raise b.refuse(f"pool_size {kernel}, strides {stride}", "expected 1 or more")
    options: dict[str, float] = {"kernel": kernel, "stride": stride, **_padded(b, c, x, kernel, stride)}
    return b.add(name, "pool", {}, x, options=options | ({"max": 1} if kind.startswith("Max") else {}))


def _global_pool(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    _over_time(b, c, x)
    options = {"max": 1} if "Max" in kind else {}
    return b.add(name, "pool", {}, x, rank=3 if c.get("keepdims") else 2, options=options)


def _flatten(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    b.want(c, "data_format", "channels_last", None)
    return x if x.rank == 2 else b.add(name, "flatten", {}, x, rank=2)


def _each_step(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    """TimeDistributed: layers that look at one step do what they do without it."""
    inner = c.get("layer")
    held = str(inner.get("class_name")) if isinstance(inner, dict) else "nothing"
    if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict) or held not in PER_STEP or x.rank != 3:
        raise b.refuse(f"TimeDistributed of {held}", f"expected {', '.join(PER_STEP)} on a sequence")
    return LAYERS[held](b, held, inner["config"], w, x, name)


PER_STEP = ("Dense", *ACTIVATION_LAYERS, "Dropout", "Rescaling")
IDENTITY = "Dropout SpatialDropout1D GaussianNoise GaussianDropout AlphaDropout ActivityRegularization Identity".split()
LAYERS: Mapping[str, Make] = {
    **dict.fromkeys(OPS, one_way),
    "Bidirectional": both_ways,
    "Dense": _dense,
    "TimeDistributed": _each_step,
    **dict.fromkeys(ACTIVATION_LAYERS, _activation),
    **dict.fromkeys(IDENTITY, _same),
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Conv1D": _conv,
    **dict.fromkeys(("MaxPooling1D", "AveragePooling1D"), _pool),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalAveragePooling1D"), _global_pool),
    "Flatten": _flatten,
}
"""Class -> its function, of the layers with one input."""
MODES = {"Add": "sum", "Average": "ave", "Multiply": "mul", "Concatenate": "concat"}
"""The layers with several inputs, in Bidirectional's words."""


def merge(b: Builder, kind: str, c: Config, lines: Sequence[Line], name: str) -> Line:
    """Add, Average, Multiply or Concatenate."""
    if kind == "Concatenate":
        _last_axis(b, c, lines[0])
    if kind != "Concatenate" and len({x.width for x in lines}) > 1:
        raise b.refuse("inputs of different widths", "expected the same features")
    return merged(b, MODES[kind], lines, identifier(name, "merge"))
