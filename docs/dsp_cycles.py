"""Instructions and estimated cycles of the target `dsp` on the shapes of interest: `python docs/dsp_cycles.py`.

Instructions are counted in unicorn; cycles are estimated with the table of the Cortex-M4's manual, zero wait states."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.arm_call import Arm, Cycles
from tests.nets import random_gru
from tests.test_kernels_dsp import arm_step, image_of, layer, vectors
from toolkit import elf
from toolkit.toolchain import cross_toolchain

SHAPES = ((1, 32, 1.68), (1, 64, 1.38), (8, 32, 1.56), (16, 64, 1.31), (32, 128, 1.19), (64, 64, 1.22))


def main() -> None:
    """Prints the table."""
    rng = np.random.default_rng(0)
    layers = [
        layer(rng, inputs, hidden, wide, False, 3 if wide else 0)
        for inputs, hidden, _ in SHAPES
        for wide in (True, False)
    ]
    layers += [random_gru(rng, "gru", inputs, hidden, 8, after=True) for inputs, hidden, _ in SHAPES]
    with tempfile.TemporaryDirectory() as work:
        image = image_of(layers, Path(work), cross_toolchain(sys.argv[1] if len(sys.argv) > 1 else "auto"))
        machine = Arm(image)
        sizes = {s.name: s.size for s in elf.symbols(image)}
        cycles = Cycles(machine, image)
        print("op    (I,H)     inputs  instr/MAC  cycles/MAC  bar   cycles/unit  code of the step")
        for k, q in enumerate(layers):
            inputs, hidden, bar = [*(s for s in SHAPES for _ in range(2)), *SHAPES][k]
            machine.top = 0x2000_0000
            h, c, x = vectors(rng, q, False)
            arm_step(machine, k, q, h, c, x, 0)
            count, spent = cycles.totals()
            macs = len(q.arrays["wh"]) * (hidden + inputs)
            print(
                f"{q.op:<6}" + f"({inputs},{hidden})".ljust(10) + f"{q.arrays['wx'].dtype!s:<8}"
                f"{count / macs:9.3f}{spent / macs:12.3f}{f'{bar:7.2f}' if q.op == 'lstm' else ' ' * 7}"
                f"{spent / hidden:10.1f}{sizes[f'l{k}_step']:14} B"
            )


if __name__ == "__main__":
    main()
