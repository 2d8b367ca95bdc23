"""One compiled kernel in unicorn: links it, writes its arrays, calls it, counts instructions, estimates cycles."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile

from tests.layouts import struct_bytes
from toolkit.codegen.pack import Packed
from toolkit.targets import CSRC
from toolkit.toolchain import CACHE, WARNINGS, Toolchain, cross_toolchain

CODE, DATA, STACK = 0x0001_0000, 0x2000_0000, 0x3000_0000
STACK_BYTES = 0x1000
PAINT = 0xA5
SIZES = {"int8_t": 1, "int16_t": 2, "int32_t": 4, "uint32_t": 4, "uint16_t": 2, "uint8_t": 1}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call. cycles: estimated from the core's Technical Reference Manual, zero wait states."""

    instructions: int
    cycles: int
    stack: int


def compile_kernel(core: str, source: str, out: Path, kind: str, level: str, op: str = "lstm") -> tuple[Path, int]:
    """Links one step of a file of csrc/ alone for a core: no library may be missing. -> image, bytes of its code."""
    tool: Toolchain = cross_toolchain(kind)
    cpu = ["-target", "thumb-freestanding-eabi", f"-mcpu={core.replace('-', '_')}", "-mthumb", "-fhosted"]
    quiet = ["-fno-sanitize=undefined", "-fno-stack-protector", "-fno-unwind-tables", "-g"]
    flags = [*cpu, *quiet] if tool.kind == "zig" else [f"-mcpu={core}", "-mthumb", "-mfloat-abi=soft"]
    flags += ["-std=c11", *WARNINGS, level, "-ffunction-sections", "-fdata-sections", f"-I{CSRC}"]
    image, script = out / f"{source}.{core}.elf", out / "kernel.ld"
    script.write_text(f"SECTIONS {{ . = {CODE}; .text : {{ *(.text*) }} .rodata : {{ *(.rodata*) }} }}\n")
    link = [
        "-nostdlib",
        f"-Wl,--gc-sections,--entry=tl_{op}_step_w8a16_{source[3:6]}",
        "-T",
        str(script),
        *(["-rtlib=compiler-rt"] if tool.kind == "zig" else []),
    ]
    command = [*tool.cc, *flags, str(CSRC / source), *link, "-o", str(image)]
    CACHE.mkdir(exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **tool.env})
    if done.returncode:
        raise AssertionError(done.stderr)
    with image.open("rb") as f:
        return image, sum(s["sh_size"] for s in ELFFile(f).iter_sections() if s.name == ".text")


class Kernel:
    """A linked kernel on a Cortex-M core, callable from Python."""

    def __init__(self, image: Path, core: str) -> None:
        unicorn, self.arm = importlib.import_module("unicorn"), importlib.import_module("unicorn.arm_const")
        self.core = core
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        # unicorn has no M0+: the same instructions
        self.uc.ctl_set_cpu_model(getattr(self.arm, f"UC_CPU_ARM_{core.upper().replace('-', '_').rstrip('PLUS')}"))
        self.uc.mem_map(CODE, 0x10_0000)
        self.uc.mem_map(DATA, 0x20_0000)
        self.uc.mem_map(STACK, STACK_BYTES)
        self.symbols: dict[str, int] = {}
        with image.open("rb") as f:
            elf = ELFFile(f)
            for segment in elf.iter_segments("PT_LOAD"):
                if CODE <= segment["p_paddr"] < DATA and segment["p_filesz"]:
                    self.uc.mem_write(segment["p_paddr"], segment.data())
            for symbol in elf.get_section_by_name(".symtab").iter_symbols():
                self.symbols[symbol.name] = symbol["st_value"]
        self.hook = unicorn.UC_HOOK_CODE

    def _place(self, packed: Packed) -> tuple[int, int]:
        """Writes a layer's arrays and struct. -> address of the struct, first free address."""
        at, addresses = DATA, {}
        for a in packed.arrays:
            data = np.ascontiguousarray(a.array).tobytes()
            addresses[f"@{a.suffix}"] = at
            self.uc.mem_write(at, data)
            at += (len(data) + 3) // 4 * 4
        block = struct_bytes(packed, addresses)
        self.uc.mem_write(at, block)
        return at, at + (len(block) + 3) // 4 * 4

    def step(
        self, name: str, packed: Packed, state: dict[str, np.ndarray], *, shift: int, count: bool
    ) -> tuple[np.ndarray, np.ndarray, Cost]:
        """h', c' and the cost of one step; shift: bytes, 0 or 2, by which h and x miss the alignment of a word."""
        pointer, at = self._place(packed)
        places = {}
        for key, value in {"h_new": np.zeros_like(state["h"]), **state}.items():
            places[key] = at + shift
            self.uc.mem_write(at + shift, value.tobytes())
            at += (value.nbytes + 7) // 4 * 4
        reg = lambda k: getattr(self.arm, f"UC_ARM_REG_{k}")  # noqa: E731
        for register, key in (("R0", "h_new"), ("R1", "c"), ("R2", "h"), ("R3", "x")):
            self.uc.reg_write(reg(register), places[key])
        top = STACK + STACK_BYTES - 16
        self.uc.mem_write(STACK, bytes([PAINT]) * (STACK_BYTES - 16))
        self.uc.mem_write(top, pointer.to_bytes(4, "little"))
        self.uc.reg_write(reg("SP"), top)
        kept = {f"R{r}": 0x1111_1111 * r for r in range(4, 12)}
        for register, value in kept.items():
            self.uc.reg_write(reg(register), value)
        end = CODE + 0xF_FF00
        self.uc.reg_write(reg("LR"), end | 1)
        trace: list[tuple[int, int]] = []
        hook = self.uc.hook_add(self.hook, lambda _u, a, s, _d: trace.append((a, s))) if count else None
        self.uc.emu_start(self.symbols[name] | 1, end)
        if hook is not None:
            self.uc.hook_del(hook)
        assert all(self.uc.reg_read(reg(r)) == v for r, v in kept.items()), "a callee-saved register changed"
        assert self.uc.reg_read(reg("SP")) == top
        painted = bytes(self.uc.mem_read(STACK, STACK_BYTES - 16))
        stack = len(painted) - next((k for k, byte in enumerate(painted) if byte != PAINT), len(painted))
        result = [
            np.frombuffer(bytes(self.uc.mem_read(places[k], state["h"].nbytes)), np.int16) for k in ("h_new", "c")
        ]
        return result[0], result[1], Cost(len(trace), self._cycles(trace, end), stack)

    def _cycles(self, trace: list[tuple[int, int]], end: int) -> int:
        counts: Counter[tuple[int, int, int]] = Counter()
        for (a, s), (b, _) in zip(trace, [*trace[1:], (end, 0)], strict=False):
            counts[a, s, int(b != a + s)] += 1
        rule = cycles_v7m if self.core == "cortex-m3" else cycles_v6m
        return sum(rule(bytes(self.uc.mem_read(a, s)), bool(t)) * k for (a, s, t), k in counts.items())


def cycles_v6m(code: bytes, taken: bool) -> int:
    """Cortex-M0+ r0p1 TRM, table 3-1, with the fast multiplier."""
    op = int.from_bytes(code[:2], "little")
    if len(code) == 4:
        return 3  # BL, DMB, MRS
    listed = bin(op & 0xFF).count("1")
    if op >> 12 == 0xC:
        return 1 + listed
    if op & 0xFE00 == 0xB400:
        return 1 + listed + (op >> 8 & 1)
    if op & 0xFE00 == 0xBC00:
        return 3 + listed if op >> 8 & 1 else 1 + listed
    if 0x4800 <= op < 0xA000:
        return 2
    return 2 if taken else 1


def cycles_v7m(code: bytes, taken: bool) -> int:
    """Cortex-M3 r2p1 TRM, table 3-1: loads 2 each (pipelining ignored), STR 1, MLA 2, a taken branch 3."""
    op, low = int.from_bytes(code[:2], "little"), int.from_bytes(code[2:4] or b"\0\0", "little")
    branch = 2 if taken else 0
    if len(code) == 2:
        if op >> 12 == 0xC or op & 0xF600 == 0xB400:
            return 1 + bin(op & (0xFF if op >> 12 == 0xC else 0x1FF)).count("1") + branch
        if 0x4800 <= op < 0xA000:
            load = op < 0x5000 or (0x5600 <= op < 0x6000) or (op >= 0x6000 and op >> 11 & 1)
            return 2 if load else 1
        return 1 + branch
    if op >> 9 == 0x74:
        return 3 if op & 0x40 else 1 + bin(low).count("1") + branch  # LDRD, STRD; LDM, STM
    if op >> 9 == 0x7C:
        return (2 if op & 0x10 else 1) + branch
    if op >> 4 == 0xFB0:
        return 1 if low >> 12 == 0xF else 2
    return 1 + branch


if __name__ == "__main__":
    sys.exit("python -m tests.measure_small prints the table")
