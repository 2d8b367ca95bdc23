"""Run in a process of its own by test_sanitizers.py: the stream replay and the kernels in an instrumented library.

python -m tests.sanitized FOLDER SANITIZER [bad]"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from quantize.ops import OPS
from tests import kept, test_f32, test_f32_graph, test_f32_math, test_fixedpoint, test_ops, test_stream, test_w8a8
from tests.kernels import Kernels, runnable
from tests.kernels_f32 import FloatKernels
from tests.models import assert_same, compile_all, random_calls
from tests.nets import random_qnetwork, random_shape
from toolkit import build
from toolkit.targets import F32, TARGETS


def main(folder: Path, sanitize: str) -> None:
    """Every mode, policy and gap; random shapes; the kernels at their edges; the scalar steps."""
    networks = test_stream.grid_networks()[::7]
    networks += [
        random_qnetwork(np.random.default_rng(i), random_shape(np.random.default_rng(i)), f"any{i}") for i in (1, 2, 3)
    ]
    compiled = compile_all(networks, folder / "models", sanitize=sanitize)
    for seed, q in enumerate(networks):
        assert_same(q, compiled.host(q), random_calls(np.random.default_rng(seed), q, 25))
    kernels = Kernels(sanitize)
    for target in filter(runnable, TARGETS):
        for op, check in test_ops.INTEGER.items():
            if OPS[op].KERNEL not in TARGETS[target].ops:
                continue
            for size in test_ops.SIZES[::2]:
                check(*size, np.random.default_rng(size), test_ops.call(kernels, op, target))
    floats = FloatKernels(sanitize)
    for target in filter(runnable, F32):
        for op, after in test_f32.KINDS:
            test_f32.test_extremes_saturate(floats, target, op, after)
    functions = test_f32_math.Functions(sanitize)
    for text in test_f32_math.CASES:
        test_f32_math.test_over_the_whole_range(functions, text)
    graphs = test_f32_graph.compiled(test_f32_graph.a_few(), folder / "graphs", sanitize=sanitize)
    test_f32_graph.test_every_op_and_option(graphs)
    test_f32_graph.test_predict_follows_float64(graphs)
    small = test_w8a8.Kernels(sanitize)
    for target in filter(runnable, test_w8a8.HERE):
        for shape in test_w8a8.SIZES[::2]:
            test_w8a8.test_step_is_the_oracle(small, target, shape)
    for bits in range(7):
        test_w8a8.test_activations_of_all_inputs(small, bits, bits % 3)
    test_w8a8.test_high_mul(small)
    if sanitize == "undefined":
        test_fixedpoint.test_scale_in(kernels)
        test_fixedpoint.test_scale_out(kernels)
        test_fixedpoint.test_interpolate_over_every_gap(kernels)
    print("sanitized: equal")


def bad(folder: Path, sanitize: str) -> None:
    """What each sanitizer must stop: a read beyond a buffer, a signed overflow."""
    kernels = Kernels(sanitize)
    if sanitize == "address":
        short, y = np.zeros(8, np.int32), np.zeros(4096, np.int16)
        kernels.lib.twin_sat16(kernels.pointer(y), kernels.pointer(short), 4096)
    else:
        kernels.twin(
            "interpolate", np.dtype(np.int16), np.array([-32640]), np.array([32640]), np.array([900]), np.array([9])
        )
    print("sanitized: not stopped")


if __name__ == "__main__":
    build._scons = kept.scons
    (bad if sys.argv[3:] == ["bad"] else main)(Path(sys.argv[1]), sys.argv[2])
