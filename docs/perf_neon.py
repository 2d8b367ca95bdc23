"""Instructions of a step of neon and neon_dotprod, exact: `python -m docs.perf_neon [gcc|zig]` prints a table.

Runs the image of tests/machines.py in unicorn, block by block."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import unicorn
from unicorn import arm64_const as arm

from quantize.ops import OPS
from tests.machines import CORES
from tests.memory import Memory
from tests.test_kernels_tiles import layer
from toolkit import elf
from toolkit.codegen.packers import pack

SHAPES = ((1, 32), (1, 64), (8, 32), (16, 64), (32, 128), (64, 64))
BASE, _STACK, _END, _MIB = 0x2000_0000, 0x3000_0000, 0x3010_0000, 0x10_0000


class Machine:
    """An AArch64 processor with an image."""

    def __init__(self, image: Path) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(arm.UC_CPU_ARM64_MAX)
        for origin in (0, 0x40_0000, 0x100_0000, BASE, _STACK, _END):
            self.uc.mem_map(origin, 4 * _MIB if origin < _STACK else _MIB)
        for segment in elf.segments(image):
            self.uc.mem_write(segment.address, segment.data)
        self.functions = {s.name: s for s in elf.symbols(image) if s.kind == "code"}
        self.executed = 0
        self.uc.hook_add(unicorn.UC_HOOK_BLOCK, self._block)

    def _block(self, uc: unicorn.Uc, address: int, size: int, _: object) -> None:
        self.executed += size // 4

    def call(self, name: str, memory: Memory, *arguments: int) -> int:
        """Instructions of one call."""
        self.uc.mem_write(BASE, bytes(memory.data))
        for register, value in enumerate(arguments):
            self.uc.reg_write(arm.UC_ARM64_REG_X0 + register, value)
        self.uc.reg_write(arm.UC_ARM64_REG_SP, _STACK + _MIB)
        self.uc.reg_write(arm.UC_ARM64_REG_LR, _END)
        self.executed = 0
        self.uc.emu_start(self.functions[name].address, _END)
        return self.executed


def count(machine: Machine, target: str, op: str, shape: tuple[int, int], wide: bool) -> tuple[int, float]:
    """Instructions of a step, and per multiply-accumulate."""
    rng = np.random.default_rng(3)
    while True:  # a GRU with reset after
        q = layer(rng, op, *shape, wide=wide, extreme=False)
        if op == "lstm" or len(q.arrays["b"]) == 4 * shape[1]:
            break
    memory = Memory(BASE, 8)
    p = memory.layer(pack(q, target))
    x = memory.put(np.zeros(shape[0], np.int16), 16, 0)
    h_new, c, h = (memory.put(np.zeros(shape[1], np.int16), 16, 0) for _ in range(3))
    executed = machine.call(f"tl_{op}_step_w8a16_{target}", memory, h_new, c, h, x, p)
    return executed, executed / OPS[op].macs(q)


def main() -> None:
    """Prints the table."""
    kind = (sys.argv[1:] or ["gcc"])[0]
    print("| target | (I,H) | x | LSTM | per MAC | GRU | per MAC | code of both |")
    print("|---|---|---|---|---|---|---|---|")
    core = CORES["neoverse-n1"]
    with tempfile.TemporaryDirectory() as folder:
        core.build(core, Path(folder), [], kind)
        machine = Machine(Path(folder) / "image.elf")
    for target in ("neon", "neon_dotprod"):
        code = sum(machine.functions[f"tl_{op}_step_w8a16_{target}"].size for op in ("lstm", "gru"))
        for shape in SHAPES:
            for wide in (True, False):
                (a, b), (c, d) = (count(machine, target, op, shape, wide) for op in ("lstm", "gru"))
                kinds = f"int{16 if wide else 8}"
                print(f"| {target} | ({shape[0]},{shape[1]}) | {kinds} | {a} | {b:.3f} | {c} | {d:.3f} | {code} |")


if __name__ == "__main__":
    main()
