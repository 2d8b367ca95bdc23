"""Instructions and estimated cycles of the target `dsp` on the shapes of interest: `python docs/dsp_cycles.py`.

Instructions are counted in unicorn; cycles are estimated with the table of the Cortex-M4's manual, zero wait states."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.arm_call import Arm, Cycles
from tests.test_kernels_dsp import arm_step, image_of, layer, vectors
from toolkit.toolchain import cross_toolchain

SHAPES = ((1, 32, 1.68), (1, 64, 1.38), (8, 32, 1.56), (16, 64, 1.31), (32, 128, 1.19), (64, 64, 1.22))


def main() -> None:
    """Prints the table."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as work:
        layers = [
            layer(rng, inputs, hidden, wide, False, 3 if wide else 0)
            for inputs, hidden, _ in SHAPES
            for wide in (True, False)
        ]
        image = image_of(layers, Path(work), cross_toolchain(sys.argv[1] if len(sys.argv) > 1 else "auto"))
        machine = Arm(image)
        cycles = Cycles(machine, image)
        print("(I,H)     inputs  instr/MAC  cycles/MAC  bar   cycles/unit")
        for k, q in enumerate(layers):
            inputs, hidden, bar = SHAPES[k // 2]
            machine.top = 0x2000_0000
            arm_step(machine, k, q, *vectors(rng, q, False), 0)
            count, spent = cycles.totals()
            macs = 4 * hidden * (hidden + inputs)
            print(
                f"({inputs},{hidden})".ljust(10) + f"{q.arrays['wx'].dtype!s:<8}"
                f"{count / macs:9.3f}{spent / macs:12.3f}{bar:7.2f}{spent / hidden:10.1f}"
            )


if __name__ == "__main__":
    main()
