"""Test vectors: a replay of raw samples with what the NumPy oracle expects of every step, as a C header."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize import features, oracle
from quantize.qnetwork import QNetwork
from toolkit.codegen.render import SPDX, carray

PREDICT, MISSING, RESET = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """ops [steps], raw [steps, inputs], forecast [steps, outputs], hashes [steps]; start: a saved state, or empty.

    Of steps in slices, `raw` has the samples as the network takes them, x_q, and `forecast` the head's y."""

    ops: np.ndarray
    raw: np.ndarray
    forecast: np.ndarray
    hashes: np.ndarray
    start: bytes
    end: bytes

    @property
    def run_hash(self) -> int:
        """FNV-1a over all state hashes."""
        return oracle.run_hash([int(h) for h in self.hashes])


def expect(q: QNetwork, ops: np.ndarray, raw: np.ndarray, start: bytes = b"") -> Vectors:
    """The oracle's answer to a replay: op 0 predict, 1 predict_missing, 2 reset and predict."""
    stream = oracle.Stream(q)
    if start:
        stream.restore(start)
    forecast = np.empty((len(ops), len(q.outputs)), np.int64)
    hashes = np.empty(len(ops), np.int64)
    blob = stream.save()
    for i, op in enumerate(ops):
        if op == RESET:
            stream.reset()
        forecast[i] = stream.predict_missing() if op == MISSING else stream.predict(raw[i])
        blob = stream.save()
        hashes[i] = oracle.state_hash(blob)
    return Vectors(np.asarray(ops), np.asarray(raw), forecast, hashes, start, blob)


def expect_steps(q: QNetwork, raw: np.ndarray, start: bytes = b"") -> Vectors:
    """The oracle's answer to raw samples [steps, raws] that go through `step`, one after the other."""
    stream = oracle.Stream(q)
    if start:
        stream.restore(start)
    x = oracle.quantize_inputs(q, features.over(q.front.features, raw) if q.front else raw)
    y, hashes, blob = np.empty((len(x), len(q.outputs)), np.int64), np.empty(len(x), np.int64), b""
    for i, sample in enumerate(x):
        y[i] = stream.step(sample)
        blob = stream.save()
        hashes[i] = oracle.state_hash(blob)
    return Vectors(np.full(len(x), PREDICT), x, y, hashes, start, blob)


def walk(runs: list[np.ndarray], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """ops, and real values [step, inputs], of at most `steps` steps over gap-free runs [time, inputs].

    Each run begins with a reset; now and then a sample is lost, so that every path of the C is walked."""
    ops: list[int] = []
    parts: list[np.ndarray] = []
    for run in runs:
        parts.append(run[: steps - len(ops)])
        ops += [PREDICT if i else RESET for i in range(len(parts[-1]))]
        if len(ops) >= steps:
            break
    for i in range(61, len(ops), 97):
        for k in range(i, min(i + 1 + i % 3, len(ops))):
            if ops[k] == PREDICT:
                ops[k] = MISSING
    return np.array(ops, np.int64), np.concatenate(parts)


def from_runs(q: QNetwork, runs: list[np.ndarray], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """`walk` in raw fixed point."""
    ops, values = walk(runs, steps)
    return ops, oracle.to_raw(q.raws, values)


def header(v: Vectors, in_slices: bool = False) -> str:
    """Text of vectors.h."""
    steps = len(v.ops)
    kind = "int16_t" if in_slices else "int32_t"
    parts = [
        SPDX,
        "/* Test vectors: what the NumPy oracle expects. Included by firmware/replay.c. */",
        "#ifndef TL_VECTORS_H",
        "#define TL_VECTORS_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define TL_VECTOR_STEPS {steps}u",
        f"#define TL_VECTOR_RESTORE {int(bool(v.start))}",
        "",
        carray("uint8_t", "tl_vector_op", v.ops, "0 predict, 1 predict_missing, 2 reset and predict", None),
        carray(kind, "tl_vector_in", v.raw, "samples", [str(i) for i in range(steps)]),
        carray("int32_t", "tl_vector_out", v.forecast, "forecasts", [str(i) for i in range(steps)]),
        carray("uint32_t", "tl_vector_hash", v.hashes, "state hashes", None),
    ]
    if v.start:
        start = np.frombuffer(v.start, np.uint8)
        parts.append(carray("uint8_t", "tl_vector_state", start, "the state to continue from", None))
    return "\n".join([*parts, "", "#endif", ""])


def model_header(q: QNetwork, budget: int | None = None) -> str:
    """Text of model.h: the model's names under those that the firmware knows; `budget`: of steps in slices."""
    n, big = q.name, q.name.upper()
    functions = ["reset", "predict", "predict_missing", "save", "restore", "warmed_up"]
    functions += ["step_begin", "step_poll"] if budget else []
    recurrent = sum(oracle.tensor_bytes(x) for x in q.layers)
    lines = [
        SPDX,
        "/* The model under the names that firmware/ calls. */",
        "#ifndef TL_MODEL_H",
        "#define TL_MODEL_H",
        "",
        f'#include "{n}.h"',
        "",
        f'#define TL_MODEL_NAME "{n}"',
        f"#define TL_MODEL_INPUTS {big}_{'RAWS' if q.front and not budget else 'INPUTS'}",
        *(f"#define TL_MODEL_{c} {big}_{c}" for c in ("OUTPUTS", "SAVE_BYTES", "STATE_BYTES")),
        f"#define TL_MODEL_RECURRENT_BYTES {recurrent}u",
        *(f"#define tl_model_{f} {n}_{f}" for f in functions),
        *([f"#define TL_MODEL_SLICE {budget}u /* hidden units at a time */"] if budget else []),
        f"typedef {n}_state tl_model_state;",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)
