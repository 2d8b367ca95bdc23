"""Test vectors of a float32 model: a replay of samples with what float64 gives at every step, as a C header."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.float_stream import FloatStream
from quantize.network import Network
from toolkit.codegen.render import SPDX, carray
from toolkit.vectors import MISSING, RESET

TEXT = "1e-5"
TOLERANCE = float(TEXT)
"""Of a forecast, in standard deviations of its column, or as a part of it where it is more than one of them."""


@dataclass(frozen=True, slots=True, eq=False)
class FloatVectors:
    """ops [steps], raw float32 [steps, inputs], forecast float64 [steps, outputs], std [outputs]."""

    ops: np.ndarray
    raw: np.ndarray
    forecast: np.ndarray
    std: np.ndarray


def expect(network: Network, ops: np.ndarray, raw: np.ndarray) -> FloatVectors:
    """float64's answer to a replay: op 0 predict, 1 predict_missing, 2 reset and predict."""
    stream, raw = FloatStream(network), np.asarray(raw, np.float32)
    forecast = np.empty((len(ops), len(network.outputs)))
    for i, op in enumerate(ops):
        if op == RESET:
            stream.reset()
        forecast[i] = stream.predict_missing() if op == MISSING else stream.predict(raw[i].astype(np.float64))
    return FloatVectors(np.asarray(ops), raw, forecast, np.array([c.std for c in network.outputs]))


def errors(v: FloatVectors, got: np.ndarray) -> np.ndarray:
    """The error of each forecast [steps, outputs] in the terms of TOLERANCE; a NaN counts as 1."""
    error: np.ndarray = np.abs(got - v.forecast) / np.maximum(np.abs(v.forecast), v.std)
    return np.where(error < 1, error, 1)


def header(v: FloatVectors) -> str:
    """Text of vectors.h."""
    rows = [str(i) for i in range(len(v.ops))]
    parts = [
        SPDX,
        "/* Test vectors: what float64 expects. Included by firmware/main_f32.c. */",
        "#ifndef TL_VECTORS_H",
        "#define TL_VECTORS_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define TL_VECTOR_STEPS {len(v.ops)}u",
        f"#define TL_VECTOR_TOLERANCE {TEXT}f",
        "",
        carray("uint8_t", "tl_vector_op", v.ops, "0 predict, 1 predict_missing, 2 reset and predict", None),
        carray("float", "tl_vector_std", v.std, "standard deviation of each output", None),
        carray("float", "tl_vector_in", v.raw, "samples", rows),
        carray("float", "tl_vector_out", v.forecast, "forecasts", rows),
    ]
    return "\n".join([*parts, "", "#endif", ""])


def model_header(network: Network) -> str:
    """Text of model.h: the model's names under those that the firmware knows."""
    n, big = network.name, network.name.upper()
    lines = [
        SPDX,
        "/* The model under the names that firmware/main_f32.c calls. */",
        "#ifndef TL_MODEL_H",
        "#define TL_MODEL_H",
        "",
        f'#include "{n}.h"',
        "",
        f'#define TL_MODEL_NAME "{n}"',
        *(f"#define TL_MODEL_{c} {big}_{c}" for c in ("INPUTS", "OUTPUTS")),
        *(f"#define tl_model_{f} {n}_{f}" for f in ("reset", "predict", "predict_missing")),
        f"typedef {n}_state tl_model_state;",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)
