"""What the functions of Keras' layers (keras_recurrent.py, keras_ops.py) share: the layers in the making, and
activations by name, of Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize.activations import write as text
from quantize.float_graph import shape
from quantize.network import Layer, layer
from toolkit.errors import ToolkitError, nearest
from toolkit.importers.finish import free

Config = Mapping[str, Any]
Weights = Sequence[np.ndarray]


@dataclass(frozen=True, slots=True)
class Line:
    """A tensor of Keras: layers of ours whose outputs, one after the other, are it. `rank` 3: [batch, time, features],
    2: [batch, features], which is one step to us."""

    names: tuple[str, ...]
    rank: int
    steps: int
    width: int


class Builder:
    """Our layers in the making. `version`: of the Keras that wrote the file; `where`: the layer being read."""

    def __init__(self, version: int, steps: int, inputs: int) -> None:
        self.version, self.where = version, ""
        self.layers: list[Layer] = []
        self._sizes: dict[str, tuple[int, int]] = {"": (steps, inputs)}

    def add(
        self,
        name: str,
        op: str,
        weights: Mapping[str, np.ndarray],
        x: Line | Sequence[Line],
        *,
        rank: int | None = None,
        **more: Any,
    ) -> Line:
        """A layer behind x, or behind several lines (add, mul: elementwise).

        Raises: QuantizeError where its sizes do not fit."""
        lines = [x] if isinstance(x, Line) else [self.single(v) for v in x]
        made = layer(free(name, self._sizes), op, weights, sources=tuple(n for v in lines for n in v.names), **more)
        self.layers.append(made)
        steps, width = self._sizes[made.name] = shape(made, [self._sizes[n] for n in made.sources])
        return Line((made.name,), rank or lines[0].rank, steps, width)

    def single(self, x: Line) -> Line:
        """One layer that is all of x."""
        if len(x.names) == 1:
            return x
        return self.add(f"{x.names[0]}_join", "pick", {}, x, options={"first": 0, "count": x.width})

    def refuse(self, what: str, instead: str) -> ToolkitError:
        """The error for something of this layer that is not taken."""
        return ToolkitError(f"{self.where}: {what}; {instead}")

    def want(self, config: Config, key: str, *allowed: Any) -> None:
        """Raises: ToolkitError where an option is set to what has no form here."""
        found = config.get(key, allowed[0])
        if found not in allowed:
            raise self.refuse(f"{key} = {found!r}", f"expected {' or '.join(map(repr, allowed))}")

    def weights(self, w: Weights, *sizes: tuple[int | None, ...]) -> list[np.ndarray]:
        """The layer's arrays as float64, of these shapes.

        Raises: ToolkitError where they are not."""
        found = [a.shape for a in w]
        fit = len(found) == len(sizes) and all(
            len(a) == len(b) and all(n in (m, None) for m, n in zip(a, b, strict=True))
            for a, b in zip(found, sizes, strict=True)
        )
        if not fit:
            wanted = ", ".join(str(["any" if n is None else n for n in s]) for s in sizes)
            raise self.refuse(
                f"weights of shapes {', '.join(str(list(s)) for s in found) or '(none)'}", f"expected {wanted}"
            )
        return [np.asarray(a, np.float64) for a in w]

    def number(self, config: Config, key: str, default: float) -> float:
        """A number of the configuration, or the only one of a list; None is the default."""
        found = config.get(key, default)
        found = found[0] if isinstance(found, list) and len(found) == 1 else found
        found = default if found is None else found
        if not isinstance(found, int | float) or isinstance(found, bool) or not -1e30 < found < 1e30:
            raise self.refuse(f"{key} = {found!r}", "expected a number")
        return found


def activation(b: Builder, value: Any) -> str:
    """Our name for an activation of a configuration; "" is linear.

    Raises: ToolkitError for a function of the file's own, or one that has no form here."""
    if isinstance(value, dict):
        kind, config = value.get("class_name"), value.get("config")
        if isinstance(kind, str) and kind in ACTIVATION_LAYERS and isinstance(config, dict):
            return ACTIVATION_LAYERS[kind](b, config)
        raise b.refuse(f"activation {kind} {config!r}", f"expected one of {', '.join(NAMES)}")
    if value is None:
        return ""
    if value == "hard_sigmoid":
        return text("hard_sigmoid", 0.2, 0.5) if b.version == 2 else text("hard_sigmoid", 1 / 6, 0.5)
    if not isinstance(value, str) or value not in NAMES:
        raise b.refuse(f'activation "{value}"', f"expected{nearest(str(value), [*NAMES, 'hard_sigmoid']).lstrip(';')}")
    return NAMES[value]


NAMES = {
    "linear": "",
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "elu": text("elu", 1.0),
    "selu": "selu",
    "softplus": "softplus",
    "softsign": "softsign",
    "exponential": "exp",
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "relu6": "relu6",
    "leaky_relu": text("leaky_relu", 0.2),
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
}
"""Keras' name -> ours; hard_sigmoid depends on the version."""


def _relu(b: Builder, c: Config) -> str:
    most, slope, threshold = c.get("max_value"), b.number(c, "negative_slope", 0), b.number(c, "threshold", 0)
    if most in (None, 6) and threshold == 0 and (most is None or slope == 0):
        return "relu6" if most else text("leaky_relu", slope) if slope else "relu"
    if most is None and slope == 0 and threshold > 0:
        return text("thresholded_relu", threshold)
    raise b.refuse(f"max_value = {most!r}, threshold = {threshold}", "expected no bound or 6, and no threshold")


def _softmax(b: Builder, c: Config) -> str:
    b.want(c, "axis", -1)
    return "softmax"


ACTIVATION_LAYERS: dict[str, Callable[[Builder, Config], str]] = {
    "ReLU": _relu,
    "LeakyReLU": lambda b, c: text("leaky_relu", b.number(c, "negative_slope", b.number(c, "alpha", 0.3))),
    "ELU": lambda b, c: text("elu", b.number(c, "alpha", 1.0)),
    "Softmax": _softmax,
    "ThresholdedReLU": lambda b, c: text("thresholded_relu", b.number(c, "theta", 1.0)),
    "Activation": lambda b, c: activation(b, c.get("activation")),
}


def activated(b: Builder, x: Line, name: str, function: str) -> Line:
    """x, or an activation layer behind it."""
    return b.add(f"{name}_{function.split('(')[0]}", "activation", {}, x, activations=(function,)) if function else x


def merged(b: Builder, mode: Any, lines: Sequence[Line], name: str) -> Line:
    """Several lines as one: concat, sum, ave or mul.

    Raises: ToolkitError where they have other shapes, or the mode is another."""
    if len({(x.rank, x.steps) for x in lines}) > 1:
        raise b.refuse("inputs of different lengths", "expected the same steps")
    if mode == "concat":
        names = tuple(n for x in lines for n in x.names)
        return Line(names, lines[0].rank, lines[0].steps, sum(x.width for x in lines))
    if mode not in ("sum", "ave", "mul"):
        raise b.refuse(f"merge_mode = {mode!r}", "expected concat, sum, ave or mul")
    y = b.add(f"{name}_{mode}", "mul" if mode == "mul" else "add", {}, lines)
    return y if mode != "ave" else scaled(b, y, f"{name}_mean", 1 / len(lines), 0.0)


def scaled(b: Builder, x: Line, name: str, gain: Any, offset: Any) -> Line:
    """gain x + offset, of a number or of one a feature."""
    wide = {
        k: np.broadcast_to(np.asarray(v, np.float64).ravel(), (x.width,))
        for k, v in (("gain", gain), ("offset", offset))
    }
    return b.add(name, "scale", wide, x)


def with_bias(
    b: Builder, c: Config, w: Weights, *sizes: tuple[int | None, ...], bias: tuple[int, ...]
) -> list[np.ndarray]:
    """The weights, with zeros for a bias that is not used."""
    if c.get("use_bias", True):
        return b.weights(w, *sizes, bias)
    return [*b.weights(w, *sizes), np.zeros(bias)]
