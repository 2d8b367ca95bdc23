"""TFLite graphs that converters do not write for us: imported exactly, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import needs
from tests.tflite_made import Made, agrees, read
from toolkit.errors import ToolkitError

RNG = np.random.default_rng(4)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape)


def fused(g: Made, x: int, inputs: int, hidden: int, *, cifg: bool, peepholes: bool, direction: str) -> list[int]:
    """The inputs of a fused LSTM behind its first one: weights, peepholes, biases (and projections)."""
    gates = [-1 if cifg and k == 0 else k for k in range(4)]
    made = [g.constant(weights(hidden, inputs)) if k >= 0 else -1 for k in gates]
    made += [g.constant(weights(hidden, hidden)) if k >= 0 else -1 for k in gates]
    made += [g.constant(weights(hidden)) if peepholes else -1 for _ in range(3)]
    made += [g.constant(weights(hidden)) if k >= 0 else -1 for k in gates]
    return [*made, -1, -1]


def unidirectional(cifg: bool = False, peepholes: bool = False, clip: float = 0.0) -> Callable[[Made], int]:
    def make(g: Made) -> int:
        inputs = fused(g, g.x, 3, 4, cifg=cifg, peepholes=peepholes, direction="")
        state = [g.state(4), g.state(4)]
        more = {"fusedActivationFunction": 4, "cellClip": clip}
        return g.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [g.x, *inputs, *state, -1, -1, -1, -1], (1, 6, 4), **more)

    return make


def bidirectional(merge: bool) -> Callable[[Made], int]:
    def make(g: Made) -> int:
        both = [v for way in "fb" for v in fused(g, g.x, 3, 4, cifg=False, peepholes=False, direction=way)]
        inputs = [g.x, *both, *(g.state(4) for _ in range(4)), *[-1] * 9]
        more = {"fusedActivationFunction": 4, "mergeOutputs": merge, "timeMajor": False}
        sizes = [(1, 6, 8)] if merge else [(1, 6, 4)] * 2
        _, y = g.several("BIDIRECTIONAL_SEQUENCE_LSTM", inputs, sizes, **more)
        return y[0] if merge else g.op("CONCATENATION", y, (1, 6, 8), axis=2)

    return make


def simple(g: Made) -> int:
    inputs = [g.x, g.constant(weights(4, 3)), g.constant(weights(4, 4)), g.constant(weights(4)), g.state(4)]
    return g.op("UNIDIRECTIONAL_SEQUENCE_RNN", inputs, (1, 6, 4), fusedActivationFunction=4)


def image(g: Made, x: int, width: int, steps: int = 6) -> int:
    return g.op("RESHAPE", [x, g.constant([1, 1, steps, width], "int32")], (1, 1, steps, width))


def pooled(name: str, padding: int) -> Callable[[Made], int]:
    def make(g: Made) -> int:
        steps = 3 if padding == 0 else 2
        return g.op(name, [image(g, unidirectional()(g), 4)], (1, 1, steps, 4), padding=padding, strideW=2, strideH=1,
                    filterWidth=3, filterHeight=1)  # fmt: skip

    return make


def depthwise(g: Made) -> int:
    w, b = g.constant(weights(1, 1, 3, 6)[0][None]), g.constant(weights(6))
    y = g.op("DEPTHWISE_CONV_2D", [image(g, g.x, 3), w, b], (1, 1, 6, 6), padding=0, strideW=1, strideH=1,
             depthMultiplier=2, dilationWFactor=1, dilationHFactor=1)  # fmt: skip
    return g.op("TANH", [y], (1, 1, 6, 6))


def strided(g: Made) -> int:
    w, b = g.constant(weights(5, 1, 2, 3)), g.constant(weights(5))
    return g.op("CONV_2D", [image(g, g.x, 3), w, b], (1, 1, 2, 5), padding=1, strideW=2, strideH=1,
                dilationWFactor=3, dilationHFactor=1)  # fmt: skip


def arithmetic(g: Made) -> int:
    """Batch normalisation as it is left over, a residual, a gate."""
    y = unidirectional()(g)
    scaled = g.op("MUL", [y, g.constant(weights(4))], (1, 6, 4), fusedActivationFunction=0)
    moved = g.op("SUB", [scaled, g.constant(weights(1, 1, 4))], (1, 6, 4), fusedActivationFunction=0)
    both = g.op("ADD", [moved, y], (1, 6, 4), fusedActivationFunction=1)
    gate = g.op("LOGISTIC", [g.op("DIV", [y, g.constant(3.0)], (1, 6, 4), fusedActivationFunction=0)], (1, 6, 4))
    return g.op("MUL", [both, gate], (1, 6, 4), fusedActivationFunction=0)


def averaged(g: Made) -> int:
    y = g.op("MEAN", [unidirectional()(g), g.constant([1], "int32")], (1, 4), keepDims=False)
    z = g.op(
        "FULLY_CONNECTED", [y, g.constant(weights(3, 4)), g.constant(weights(3))], (1, 3), fusedActivationFunction=3
    )
    return g.op("LEAKY_RELU", [z], (1, 3), alpha=0.25)


def flat(g: Made) -> int:
    """All steps into one dense layer, some features of it."""
    y = g.op("RESHAPE", [unidirectional()(g), g.constant([1, -1], "int32")], (1, 24))
    z = g.op("FULLY_CONNECTED", [y, g.constant(weights(5, 24)), -1], (1, 5), fusedActivationFunction=1)
    begin, end, step = (g.constant(v, "int32") for v in ([0, 1], [1, 4], [1, 1]))
    part = g.op("STRIDED_SLICE", [z, begin, end, step], (1, 3), beginMask=0, endMask=0)
    return g.op("SOFTMAX", [part], (1, 3), beta=1.0)


MADE: dict[str, Callable[[Made], int]] = {
    "peepholes": unidirectional(peepholes=True),
    "cell clip": unidirectional(clip=0.3),
    "coupled input and forget gate": unidirectional(cifg=True),
    "simple RNN": simple,
    "bidirectional": bidirectional(False),
    "bidirectional, merged": bidirectional(True),
    "average, same": pooled("AVERAGE_POOL_2D", 0),
    "maximum, valid": pooled("MAX_POOL_2D", 1),
    "depthwise": depthwise,
    "strided, dilated": strided,
    "arithmetic": arithmetic,
    "mean over time": averaged,
    "flat": flat,
}


@pytest.mark.parametrize("name", MADE)
def test_a_graph_of_any_tool(name: str, tmp_path: Path) -> None:
    needs("litert")
    g = Made(6, 3)
    path = tmp_path / "made.tflite"
    path.write_bytes(g.blob(MADE[name](g)))
    agrees(read(path))


# --- refusals ---


def dense(g: Made, x: int, w: np.ndarray, **more: Any) -> int:
    return g.op("FULLY_CONNECTED", [x, g.constant(w), -1], (1, 6, len(w)), fusedActivationFunction=0, **more)


def hybrid(g: Made) -> int:
    w = g.constant(RNG.integers(-9, 9, (2, 3)), "int8", scale=0.1)
    return g.op("FULLY_CONNECTED", [g.x, w, -1], (1, 6, 2), keepNumDims=True)


def part_of_time(g: Made) -> int:
    begin, end, step = (g.constant(v, "int32") for v in ([0, 1, 0], [1, 4, 3], [1, 1, 1]))
    return g.op("STRIDED_SLICE", [g.x, begin, end, step], (1, 3, 3), beginMask=0)


def integers_inside(g: Made) -> int:
    x = g.op("QUANTIZE", [g.x], (1, 6, 3), "int8")
    y = g.op("TANH", [x], (1, 6, 3), "int8")
    return g.op("DEQUANTIZE", [y], (1, 6, 3))


BAD: dict[str, tuple[Callable[[Made], int], str]] = {
    "operator": (lambda g: g.op("COS", [g.x], (1, 6, 3)), r"operator 0 \(COS\): not supported"),
    "several operators": (
        lambda g: g.op("RSQRT", [g.op("COS", [g.op("COS", [g.x], (1, 6, 3))], (1, 6, 3))], (1, 6, 3)),
        r"operator 0 \(COS\), operator 2 \(RSQRT\): not supported; .*; part of a normalisation",
    ),
    "hybrid": (hybrid, r"operator 0 \(FULLY_CONNECTED\): int8 weights with float activations \(dynamic range\)"),
    "int8 operator": (integers_inside, r"operator 1 \(TANH\): has no int8 form"),
    "width": (lambda g: dense(g, g.x, weights(2, 5)), r"weights \[2, 5\] for 3 features"),
    "rank": (lambda g: dense(g, g.x, weights(2, 1, 3)), r"weights of shape \[2, 1, 3\]; expected two axes"),
    "NaN": (lambda g: dense(g, g.x, np.full((2, 3), np.nan)), "NaN or infinite"),
    "time": (part_of_time, "3 of 6 steps; supported are all steps or one"),
    "backwards": (
        lambda g: g.op("REVERSE_V2", [unidirectional()(g), g.constant([1], "int32")], (1, 6, 4)),
        "runs backwards",
    ),
    "nothing": (lambda g: g.x, "nothing to import"),
    "beta": (lambda g: g.op("SOFTMAX", [g.x], (1, 6, 3), beta=2.0), "beta = 2"),
    "variables": (lambda g: g.op("READ_VARIABLE", [g.x], (1, 6, 3)), "the weights are in variables"),
    "constant": (lambda g: g.constant(np.ones((1, 6, 3))), "its output is a constant"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_supported_is_named(name: str, tmp_path: Path) -> None:
    needs("litert")
    make, text = BAD[name]
    g = Made(6, 3)
    path = tmp_path / "bad.tflite"
    path.write_bytes(g.blob(make(g)))
    with pytest.raises(ToolkitError, match=text) as e:
        read(path)
    assert "\n" not in str(e.value) and len(str(e.value)) < 500


@pytest.mark.parametrize(
    ("shape", "signature", "more", "text"),
    [
        ((4, 6, 3), (4, 6, 3), {}, "a batch of 4; expected 1"),
        ((1, 1, 3), (-1, -1, 3), {}, "leaves its number of steps open; give --steps N"),
        ((1, 6, 3), (1, 6, 3), {"steps": 7}, "has 6 steps, not 7"),
        ((1, 2, 6, 3, 1), (1, 2, 6, 3, 1), {}, r"expected \[1, time, features\]"),
        ((1, 40000, 3), (1, 40000, 3), {}, "40000 steps of 3 features; expected at most"),
    ],
)
def test_the_shape_of_the_input(
    shape: tuple[int, ...], signature: tuple[int, ...], more: dict[str, int], text: str, tmp_path: Path
) -> None:
    needs("litert")
    g = Made(6, 3)
    y = unidirectional()(g)
    g.tensors[g.x].shape, g.tensors[g.x].shapeSignature = list(shape), list(signature)
    path = tmp_path / "shape.tflite"
    path.write_bytes(g.blob(y))
    with pytest.raises(ToolkitError, match=text):
        read(path, **more)


def test_an_open_number_of_steps(tmp_path: Path) -> None:
    needs("litert")
    g = Made(6, 3)
    y = unidirectional()(g)
    g.tensors[g.x].shape, g.tensors[g.x].shapeSignature = [1, 1, 3], [-1, -1, 3]
    path = tmp_path / "open.tflite"
    path.write_bytes(g.blob(y))
    imported = read(path, steps=11)
    assert imported.network.window == 11
    agrees(imported)
