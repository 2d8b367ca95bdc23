"""The activation functions of a float network, by name: `"tanh"`, `"leaky_relu(0.01)"`, `"hard_sigmoid(0.2,0.5)"`.

ONNX's operators and their parameters, alpha and beta in that order (onnx/docs/Operators.md); float64."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from quantize.errors import QuantizeError

SELU = (1.6732632423543772, 1.0507009873554805)  # alpha, gamma (Klambauer et al. 2017)
_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the features, the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Its logarithm, over the features."""
    d = x - x.max(-1, keepdims=True)
    return np.asarray(d - np.log(np.exp(d).sum(-1, keepdims=True)))


def _elu(x: np.ndarray, a: float) -> np.ndarray:
    return np.where(x > 0, x, a * np.expm1(np.minimum(x, 0.0)))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


FUNCTIONS: dict[str, tuple[int, Callable[..., np.ndarray]]] = {
    "relu": (0, lambda x: np.maximum(x, 0.0)),
    "tanh": (0, np.tanh),
    "sigmoid": (0, sigmoid),
    "affine": (2, lambda x, a, b: a * x + b),
    "leaky_relu": (1, lambda x, a: np.where(x >= 0, x, a * x)),
    "thresholded_relu": (1, lambda x, a: np.where(x > a, x, 0.0)),
    "scaled_tanh": (2, lambda x, a, b: a * np.tanh(b * x)),
    "hard_sigmoid": (2, lambda x, a, b: np.clip(a * x + b, 0.0, 1.0)),
    "elu": (1, _elu),
    "softsign": (0, lambda x: x / (1 + np.abs(x))),
    "softplus": (0, softplus),
    "selu": (0, lambda x: SELU[1] * _elu(x, SELU[0])),
    "gelu": (0, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))),
    "gelu_tanh": (0, _gelu_tanh),
    "silu": (0, lambda x: x * sigmoid(x)),
    "exp": (0, np.exp),
    "relu6": (0, lambda x: np.clip(x, 0.0, 6.0)),
    "hard_swish": (0, lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0)),
    "softmax": (0, softmax),
    "log_softmax": (0, log_softmax),
}
"""Name -> (number of parameters, function of x [..., features] and the parameters)."""
OVER_FEATURES = ("softmax", "log_softmax")  # the others are elementwise


def parse(text: str) -> tuple[str, tuple[float, ...]]:
    """`"leaky_relu(0.01)"` -> ("leaky_relu", (0.01,)).

    Raises: QuantizeError where there is no such function, or its parameters are not what it takes."""
    found = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", text)
    name = found[1] if found else text
    if found is None or name not in FUNCTIONS:
        raise QuantizeError(f'activation "{text}": expected one of {", ".join(FUNCTIONS)}')
    try:
        values = tuple(float(v) for v in found[2].split(",")) if found[2] else ()
    except ValueError:
        values = (math.nan,)
    if len(values) != FUNCTIONS[name][0] or not all(map(math.isfinite, values)):
        raise QuantizeError(f'activation "{text}": expected {FUNCTIONS[name][0]} finite numbers')
    return name, values


def activation(text: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function that a name stands for; parameters are taken in float64."""
    name, values = parse(text)
    function = FUNCTIONS[name][1]
    return lambda x: np.asarray(function(x, *values))


def write(name: str, *values: float) -> str:
    """The text that `parse` reads, with the shortest digits that give the same float64."""
    return f"{name}({','.join(repr(float(v)) for v in values)})" if values else name
