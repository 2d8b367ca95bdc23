"""Calls single functions of csrc/ in unicorn, counts their instructions and estimates their cycles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import unicorn
from unicorn import arm_const as arm

from toolkit import elf
from toolkit.targets import CSRC, ROOT
from toolkit.toolchain import Toolchain

_CODE, _RAM, _STACK, _END = 0x0001_0000, 0x2000_0000, 0x3000_0000, 0x0000_F000
_SIZE = 0x0010_0000


def build(source: str, folder: Path, toolchain: Toolchain) -> Path:
    """One file of csrc/ as an image that can be called into."""
    zig = [
        "-target",
        "thumb-freestanding-eabi",
        "-mcpu=cortex_m4",
        "-fno-sanitize=undefined",
        "-Os",
        "-g",
        "-fhosted",
        f"-I{ROOT / 'firmware' / 'libc'}",
    ]
    flags = zig if toolchain.kind == "zig" else ["-mcpu=cortex-m4", "-O2"]
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
    image, script = folder / f"{source}.{toolchain.kind}.elf", folder / "call.ld"
    script.write_text(
        f"SECTIONS {{ . = {_CODE:#x}; .text : {{ KEEP(*(.text*)) *(.rodata*) }} /DISCARD/ : {{ *(.ARM*) }} }}\n"
    )
    command = [*toolchain.cc, *flags, "-mthumb", "-std=c11", *warnings, f"-I{CSRC}", str(CSRC / source)]
    command += ["-o", str(image), "-nostdlib", "-fstack-usage", "-T", str(script)]
    command += ["-Wl,--entry=0", "-Wl,--build-id=none"]
    if toolchain.kind == "zig":
        command.remove("-fstack-usage")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **toolchain.env})
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return image


class Arm:
    """A Cortex-M4 with an image and a heap; what lies before and behind an array is filled with a pattern."""

    def __init__(self, image: Path) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        for origin in (0, _RAM, _STACK):
            self.uc.mem_map(origin, _SIZE)
        for segment in elf.segments(image):
            self.uc.mem_write(segment.address, bytes(segment.data))
        self.symbols = {s.name: s.address & ~1 for s in elf.symbols(image)}
        self.top = _RAM

    def put(self, data: bytes, skew: int = 0) -> int:
        """Places an array; `skew`: its address modulo 4."""
        at = self.top + 16 + skew
        self.uc.mem_write(self.top, b"\xa5" * (len(data) + 48))
        self.uc.mem_write(at, data)
        self.top = (at + len(data) + 19) & ~3
        return at

    def array(self, a: np.ndarray, skew: int = 0) -> int:
        return self.put(np.ascontiguousarray(a).tobytes(), skew)

    def get(self, at: int, like: np.ndarray) -> np.ndarray:
        """The array at an address. Raises: AssertionError when what lies around it has changed."""
        raw = bytes(self.uc.mem_read(at - 8, like.nbytes + 16))
        assert raw[:8] == raw[-8:] == b"\xa5" * 8, "written outside the array"
        return np.frombuffer(raw[8:-8], like.dtype).reshape(like.shape)

    def call(self, name: str, *arguments: int) -> None:
        sp = _STACK + _SIZE - 64
        for k, value in enumerate(arguments[4:]):
            self.uc.mem_write(sp + 4 * k, value.to_bytes(4, "little"))
        kept = {r: 0x5EED0000 + r for r in range(arm.UC_ARM_REG_R4, arm.UC_ARM_REG_R4 + 8)}
        for register, value in [(arm.UC_ARM_REG_SP, sp), (arm.UC_ARM_REG_LR, _END | 1), *kept.items()]:
            self.uc.reg_write(register, value)
        for k, value in enumerate(arguments[:4]):
            self.uc.reg_write(arm.UC_ARM_REG_R0 + k, value)
        self.uc.emu_start(self.symbols[name] | 1, _END)
        assert self.uc.reg_read(arm.UC_ARM_REG_SP) == sp
        assert all(self.uc.reg_read(r) == value for r, value in kept.items()), "a register was not restored"


class Cycles:
    """Counts instructions and estimates Cortex-M4 cycles (Technical Reference Manual, zero wait states) of a call."""

    def __init__(self, machine: Arm, image: Path) -> None:
        listing = subprocess.run(
            [shutil.which("arm-none-eabi-objdump") or "objdump", "-d", "--no-show-raw-insn", str(image)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        self.code: dict[int, tuple[str, str]] = {}
        for line in listing.splitlines():
            found = re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line)
            if found:
                self.code[int(found[1], 16)] = (found[2], found[3])
        self.trace: list[tuple[int, int]] = []
        machine.uc.hook_add(unicorn.UC_HOOK_CODE, lambda _uc, at, size, _user: self.trace.append((at, size)))

    def totals(self) -> tuple[int, int]:
        """(instructions, cycles) since the last call."""
        cycles, load_before = 0, False
        ends = [*(at for at, _ in self.trace[1:]), 0]
        for (at, size), following in zip(self.trace, ends, strict=True):
            name, operands = self.code[at]
            taken = following != at + size
            load = name.startswith("ldr") and not name.startswith("ldrd")
            cycles += cost(name, operands, taken, load and load_before)
            load_before = load
        count = len(self.trace)
        self.trace.clear()
        return count, cycles


def cost(name: str, operands: str, taken: bool, behind_load: bool) -> int:
    """Cycles of an instruction; a taken branch fills the pipeline in 2 more."""
    registers = _registers(operands)
    if name.startswith(("push", "stmdb", "stm")):
        return 1 + registers
    if name.startswith(("pop", "ldmia", "ldm")):
        return 1 + registers + (2 if taken else 0)
    if name.startswith(("ldrd", "strd")):
        return 3
    if name.startswith("ldr"):
        return (1 if behind_load else 2) + (2 if taken else 0)
    if name.startswith(("udiv", "sdiv")):
        return 12
    return 3 if taken else 1


def _registers(operands: str) -> int:
    inside = re.search(r"\{(.*)\}", operands)
    return len(inside[1].split(",")) if inside else 0


def measure_stack(su: Sequence[str]) -> int:
    """Sum of the frames in lines of a .su file."""
    return sum(int(line.split("\t")[1]) for line in su)
