"""The steps of rv32 as RV32IM code in unicorn: builds it, calls it, counts its instructions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

from tests.layouts import struct_bytes
from tests.machines import RISCV_GCC
from toolkit import elf
from toolkit.codegen.pack import Packed
from toolkit.targets import CSRC
from toolkit.toolchain import CACHE, WARNINGS, Toolchain, cross_toolchain

_CODE, _RAM, _STACK, _END, _SIZE = 0x0001_0000, 0x2000_0000, 0x3000_0000, 0x0000_F000, 0x0010_0000
_FENCE = b"\xa5" * 16


def build(folder: Path, kind: str, target: str = "rv32") -> Path:
    """The file of csrc/ alone, linked without any library. kind: gcc or zig."""
    if kind == "zig":
        tool = cross_toolchain("zig")
        flags = [
            "-target",
            "riscv32-freestanding",
            "-mcpu=generic_rv32+m",
            "-fhosted",
            "-Os",
            "-g",
            "-rtlib=compiler-rt",
        ]
        flags += ["-fno-sanitize=undefined", "-fno-stack-protector"]
    else:
        tool = Toolchain("gcc", (RISCV_GCC,), RISCV_GCC, {})
        (folder / "stdint.h").write_text("#include <stdint-gcc.h>\n")  # Debian's compiler comes without a C library
        flags = ["-march=rv32im", "-mabi=ilp32", "-O2", f"-isystem{folder}"]
    image, script = folder / f"{target}.{kind}.elf", folder / "call.ld"
    script.write_text(f"SECTIONS {{ . = {_CODE:#x}; .text : {{ *(.text*) }} .rodata : {{ *(.rodata* .srodata*) }} }}\n")
    command = [*tool.cc, *flags, "-std=c11", *WARNINGS, str(CSRC / f"tl_{target}.c"), "-o", str(image), "-nostdlib"]
    command += ["-T", str(script), f"-Wl,--entry=tl_lstm_step_w8a16_{target}"]
    CACHE.mkdir(exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **tool.env})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return image


class Riscv:
    """An RV32 core with the image; every array lies between fences."""

    def __init__(self, image: Path) -> None:
        import unicorn
        from unicorn import riscv_const

        self.registers, self.hook = riscv_const, unicorn.UC_HOOK_CODE
        self.uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        for origin in (0, _RAM, _STACK):
            self.uc.mem_map(origin, _SIZE)
        for segment in elf.segments(image):
            self.uc.mem_write(segment.address, bytes(segment.data))
        self.symbols = {s.name: s.address for s in elf.symbols(image)}

    def step(
        self, packed: Packed, state: dict[str, np.ndarray], *, count: bool, name: str = "tl_lstm_step_w8a16_rv32"
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """h', c' and, if asked to count, the instructions of a step; of a GRU c is the second argument."""
        at, places = _RAM, {}
        arrays = {f"@{a.suffix}": np.ascontiguousarray(a.array) for a in packed.arrays}
        for key, a in {**arrays, "h_new": np.zeros_like(state["h"]), **state}.items():
            places[key] = (at + 19) // 4 * 4 + (2 if a.dtype == np.int16 else 0)
            self.uc.mem_write(places[key] - 16, _FENCE + a.tobytes() + _FENCE)
            at = places[key] + a.nbytes + 16
        p = (at + 3) // 4 * 4
        self.uc.mem_write(p, struct_bytes(packed, places))
        r = self.registers
        kept = {getattr(r, f"UC_RISCV_REG_S{k}"): 0x5EED_0000 + k for k in range(12)}
        sp = _STACK + _SIZE - 64
        arguments = zip((10, 11, 12, 13), (places[k] for k in ("h_new", "c", "h", "x")), strict=True)
        values = {**kept, **{getattr(r, f"UC_RISCV_REG_X{k}"): v for k, v in arguments}}
        values |= {r.UC_RISCV_REG_A4: p, r.UC_RISCV_REG_SP: sp, r.UC_RISCV_REG_RA: _END}
        for register, value in values.items():
            self.uc.reg_write(register, value)
        seen = [0]

        def one(*_: object) -> None:
            seen[0] += 1

        self.uc.ctl_flush_tb()  # code translated without the hook would not call it
        hook = self.uc.hook_add(self.hook, one) if count else None
        self.uc.emu_start(self.symbols[name], _END)
        if hook is not None:
            self.uc.hook_del(hook)
        assert self.uc.reg_read(r.UC_RISCV_REG_SP) == sp
        assert all(self.uc.reg_read(k) == v for k, v in kept.items()), "a register was not restored"
        found = []
        for key in ("h_new", "c"):
            raw = bytes(self.uc.mem_read(places[key] - 16, state["h"].nbytes + 32))
            assert raw[:16] == raw[-16:] == _FENCE, "written outside the array"
            found.append(np.frombuffer(raw[16:-16], np.int16))
        return found[0], found[1], seen[0]
