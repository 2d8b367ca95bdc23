"""Prints instructions, estimated cycles, code and stack of the small kernels: `python -m tests.measure_small`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests import small_layers as small
from tests.thumb import Kernel, compile_kernel
from toolkit.codegen.pack_small import lstm_v6m, lstm_v7m

SHAPES = ((1, 32), (1, 64), (8, 32), (16, 64), (32, 128), (64, 64))
CORES = (("v6m", "cortex-m0plus"), ("v7m", "cortex-m3"))
LEVEL = {"gcc": "-O2", "zig": "-Os"}


def main(names: list[str]) -> None:
    """names: v6m, v7m, gcc, zig or none, for all."""
    print("| target | compiler | (I,H) | x | instructions | per MAC | est. cycles | per MAC | code | stack | weights |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for target, core in CORES:
            for kind, level in LEVEL.items():
                if any(n in (*LEVEL, "v6m", "v7m") and n not in (target, kind) for n in names):
                    continue
                image, code = compile_kernel(core, f"tl_{target}.c", Path(folder), kind, level)
                kernel = Kernel(image, core)
                for inputs, hidden in SHAPES:
                    for wide in (True, False):
                        print(_row(kernel, target, kind, inputs, hidden, wide, code))


def _row(kernel: Kernel, target: str, kind: str, inputs: int, hidden: int, wide: bool, code: int) -> str:
    rng = np.random.default_rng(0)
    q = small.typical_layer(rng, inputs, hidden, wide=wide)
    state = small.random_state(rng, q, extreme=False)
    packed = lstm_v6m(q) if target == "v6m" else lstm_v7m(q)
    h, c, cost = kernel.step(f"tl_lstm_step_w8a16_{target}", packed, state, shift=0, count=True)
    assert np.array_equal(h, small.expected(q, state)[0]) and np.array_equal(c, small.expected(q, state)[1])
    macs = 4 * hidden * (inputs + hidden)
    return (
        f"| {target} | {kind} {LEVEL[kind]} | ({inputs},{hidden}) | {'int16' if wide else 'int8'} | "
        f"{cost.instructions} | {cost.instructions / macs:.2f} "
        f"| {cost.cycles} | {cost.cycles / macs:.2f} | {code} | {cost.stack} "
        f"| {sum(a.array.nbytes for a in packed.arrays)} |"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
