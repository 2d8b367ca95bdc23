"""Prints the instructions of an LSTM step on RV32IM: `python -m tests.measure_rv32 [gcc|zig]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests import small_layers as small
from tests.riscv_call import Riscv, build
from toolkit import elf
from toolkit.codegen.pack_small import lstm_rv32

SHAPES = ((1, 32), (1, 64), (8, 32), (16, 64), (32, 128), (64, 64))


def main(kinds: list[str]) -> None:
    print("| compiler | (I,H) | x | instructions | per MAC | code | weights |")
    print("|---|---|---|---|---|---|---|")
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            image = build(Path(folder), kind)
            core, code = Riscv(image), elf.section_bytes(image, ".text")
        for inputs, hidden in SHAPES:
            for wide in (True, False):
                rng = np.random.default_rng(0)
                q = small.typical_layer(rng, inputs, hidden, wide=wide)
                packed = lstm_rv32(q)
                count = core.step(packed, small.random_state(rng, q, extreme=False), count=True)[2]
                print(
                    f"| {kind} | ({inputs},{hidden}) | {'int16' if wide else 'int8'} | {count} "
                    f"| {count / (4 * hidden * (inputs + hidden)):.2f} | {code} "
                    f"| {sum(a.array.nbytes for a in packed.arrays)} |"
                )


if __name__ == "__main__":
    main(sys.argv[1:] or ["gcc", "zig"])
