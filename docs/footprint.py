"""What a model's reset, step and head take on a Cortex-M4, weights aside: `python docs/footprint.py`.

16 inputs, 64 hidden units, a dense head of one output; every set of kernels that the core runs, at -O2 and -Os. Linked
with --gc-sections and no library, so that only what the three functions need is there; the stack is painted. Cycles are
estimated with the table of the Cortex-M4's manual, zero wait states."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import unicorn.arm_const as arm

from quantize.qnetwork import QNetwork
from tests.arm_call import Arm, Cycles
from tests.nets import Shape, random_qnetwork
from toolkit import elf
from toolkit.boards import load_board
from toolkit.codegen.choose import candidates, choose
from toolkit.codegen.lower import destination, scratch_bytes, state_bytes
from toolkit.codegen.render import generate
from toolkit.targets import ROOT

BOARD = load_board("mps2_an386")
SHAPE = Shape(16, (64,), 1, (16,), "stateful", 0, "hold", 3)
LINK = "SECTIONS { . = 0x10000; .text : { KEEP(*(.text.keep)) *(.text*) *(.rodata*) } /DISCARD/ : { *(.ARM*) } }\n"
STACK_TOP, PAINT = 0x3000_8000, 0xA5


def main() -> None:
    q = random_qnetwork(np.random.default_rng(0), SHAPE, "net")
    print("kernels            code  tables  code + tables  stack of step  cycles of step")
    for target in candidates(BOARD):
        for level in ("-O2", "-Os"):
            with tempfile.TemporaryDirectory() as folder:
                code, tables, stack, cycles = measure(q, target, level, Path(folder))
            print(f"{target + ' ' + level:16} {code:6} {tables:7} {code + tables:14} {stack:14} {cycles:15}")
    print(f"state and scratch: {state_bytes(q)} bytes a stream")


def measure(q: QNetwork, target: str, level: str, folder: Path) -> tuple[int, int, int, int]:
    """(bytes of code, bytes of tables, bytes of stack of a step, its cycles)."""
    choices = choose(q, BOARD, optimize="speed", wanted=target, tune=None)
    files = generate(q, destination(BOARD, choices, False))
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "keep.c").write_text(
        '#include "net.h"\nvoid keep_reset(net_state *s);\n'
        "void keep_step(net_state *s, const int16_t *x, int32_t *y);\n"
        '__attribute__((section(".text.keep"))) void keep_reset(net_state *s) { net_reset(s); }\n'
        '__attribute__((section(".text.keep"))) void keep_step(net_state *s, const int16_t *x, int32_t *y)\n'
        "{ net_step(s, x, y); }\n"
    )
    (folder / "link.ld").write_text(LINK)
    sources = [*sorted(p.name for p in folder.glob("*.c")), str(ROOT / "firmware" / "libmem.c")]
    flags = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", level, "-std=c11"]
    flags += ["-ffunction-sections", "-fdata-sections", "-nostdlib", "-fno-unwind-tables", "-Wl,--gc-sections"]
    flags += ["-fno-tree-loop-distribute-patterns"]  # copy loops stay loops: mem* is not counted, nor called
    command = ["arm-none-eabi-gcc", *flags, *sources, "-T", "link.ld", "-Wl,--entry=keep_step", "-o", "net.elf"]
    subprocess.run(command, cwd=folder, check=True)
    image = folder / "net.elf"
    data = {s.name: s.size for s in elf.symbols(image) if s.kind != "code"}
    tables = sum(size for name, size in data.items() if name.startswith(("tl_sigmoid", "tl_tanh")))
    weights = sum(size for name, size in data.items() if name.startswith(("lstm0", "dense0")))
    text = elf.section_bytes(image, ".text") - sum(s.size for s in elf.symbols(image) if s.name.startswith("keep_"))
    return text - tables - weights, tables, *_step(image, q)


def _step(image: Path, q: QNetwork) -> tuple[int, int]:
    """(bytes of stack, cycles)."""
    machine = Arm(image)
    cycles = Cycles(machine, image)
    state, x, y = (machine.array(np.zeros(n, np.uint8)) for n in (state_bytes(q), 32, 4))
    machine.uc.mem_write(0x3000_0000, bytes([PAINT]) * 0x100000)
    machine.call("net_step", state, x, y)
    top = 0x3000_0000 + 0x100000 - 64
    below = bytes(machine.uc.mem_read(0x3000_0000, top - 0x3000_0000))
    assert machine.uc.reg_read(arm.UC_ARM_REG_SP) == top and scratch_bytes(q) > 0
    return len(below) - next(i for i, byte in enumerate(below) if byte != PAINT), cycles.totals()[1]


if __name__ == "__main__":
    main()
