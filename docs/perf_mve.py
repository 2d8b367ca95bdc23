"""Prints what a step of the Helium kernels costs, counted in QEMU's mps3-an547: `python docs/perf_mve.py gcc`."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from quantize.ops import OPS, rows
from quantize.qnetwork import QLayer
from tests.nets import random_gru, random_lstm, random_x
from tests.qemu_call import Caller, build
from toolkit import elf
from toolkit.boards import load_board
from toolkit.codegen.packers import pack
from toolkit.targets import CSRC
from toolkit.toolchain import cross_toolchain

BOARD = load_board("mps3_an547")
SHAPES = {
    (1, 32): "2.88 / 2.36",
    (1, 64): "1.59 / 1.19",
    (8, 32): "2.38 / 1.95",
    (16, 64): "1.29 / 0.97",
    (32, 128): "0.86 / 0.55",
    (64, 64): "0.99 / 0.67",
}
"""(I, H) -> what CMSIS-NN's int8 LSTM takes, instructions per MAC with gcc and clang."""


def step(image: Path, folder: Path, q: QLayer) -> tuple[int, int]:
    """Instructions and bytes of stack of one step."""
    rng, size = np.random.default_rng(0), rows.hidden_size(q)
    m = Caller(image, BOARD)
    h, c, new = (m.array(random_x(rng, (size,)).astype(np.int16)) for _ in range(3))
    x = m.array(random_x(rng, (rows.input_size(q),)).astype(np.int16))
    m.call(f"tl_{OPS[q.op].KERNEL}_mve", new, c, h, x, m.layer(pack(q, "mve")))
    _, spent = m.run(folder)
    return sum(n for (name, _), (n, _) in spent.cells.items() if name != "run"), m.stack[0]


def main(kind: str) -> None:
    """Prints the table. kind: the compiler."""
    print("| layer | (I,H) | x | compiler | instructions | per MAC | CMSIS-NN s8, gcc / clang | stack |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        image = build(BOARD, folder, cross_toolchain(kind))
        for (inputs, hidden), peer in SHAPES.items():
            for bits in (16, 8):
                rng = np.random.default_rng(0)
                cells = {
                    "lstm": random_lstm(rng, "q", inputs, hidden, bits),
                    "gru, reset after": random_gru(rng, "q", inputs, hidden, bits, after=True),
                    "gru, reset before": random_gru(rng, "q", inputs, hidden, bits, after=False),
                }
                for name, q in cells.items():
                    count, stack = step(image, folder, q)
                    print(
                        f"| {name} | ({inputs},{hidden}) | int{bits} | {kind} | {count} "
                        f"| {count / OPS[q.op].macs(q):.3f} | {peer if q.op == 'lstm' else ''} | {stack} |"
                    )
        text = "".join((CSRC / name).read_text("utf-8") for name in ("tl_mve.c", "tl_mve_sums.h"))
        code = [s.size for s in elf.symbols(image) if s.kind == "code" and re.search(rf"\b{s.name}\b", text)]
        print(f"\nCode of LSTM, GRU and dense together: {sum(code)} bytes; tables: 2048.")


if __name__ == "__main__":
    main(sys.argv[1])
