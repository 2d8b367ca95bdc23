"""Finds instructions that a core does not have in what was linked for it, by disassembling all of its code.

Capstone names the extension that an instruction came with; what it does not know is told apart by its place among the
encodings (Armv8-M Architecture Reference Manual, C2.2 and C2.3). Left out: instructions that only a system register
tells apart from others, but for those below."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import capstone as cs

from toolkit import elf, isa

# Groups of capstone's -> features of toolkit/isa.py; any other group says nothing of the core.
_THUMB_GROUPS = {
    "thumb2": "thumb2",
    "THUMB2DSP": "dsp",
    "T2EXTRACTPACK": "dsp",
    "v8": "v8m",
    "vfp2": "fp",
    "vfp3": "fp",
    "vfp4": "fp",
    "dpvfp": "fp64",
    "fparmv8": "fpv5",
    "neon": "v81m",  # where Helium has the encodings of NEON
    "crc": "unknown",
    "crypto": "unknown",
    "not mclass": "unknown",
}
_SYSTEM = {"basepri": "thumb2", "basepri_max": "thumb2", "faultmask": "thumb2", "msplim": "v8m", "psplim": "v8m"}
_A64_GROUPS = {"neon": "neon", "fparmv8": "fp", "crc": "a64crc"}
_A64_GROUPS |= dict.fromkeys(("crypto", "pointer authentication"), "unknown")
_A64_LATER = ("[su]dot", "ld(add|clr|eor|set|[su]m(in|ax))", "cas", "swp", "sqrdml[as]h")
_RISCV_GROUPS = {f"hasStdExt{k}": f"rv{k.lower()}" for k in "MACFD"}


_X64_GROUPS = dict.fromkeys(("avx", "avx2", "fma", "bmi", "bmi2"), "avx2")
_X64_GROUPS |= dict.fromkeys(("avx512", "vlx", "bwi", "dqi", "cdi"), "avx512")


@dataclass(frozen=True, slots=True)
class Foreign:
    """An instruction that the core does not have; needs: the features of toolkit/isa.py that it lacks."""

    address: int
    symbol: str
    text: str
    needs: tuple[str, ...]

    def __str__(self) -> str:
        lacks = ", ".join(isa.MEANING[n] for n in self.needs)
        return f"`{self.text}` at 0x{self.address:08x} in {self.symbol} (needs {lacks})"


def _thumb_needs(code: bytes, found: Any) -> set[str]:
    """What a Thumb instruction needs beside Armv6-M."""
    a = int.from_bytes(code[:2], "little")
    b = int.from_bytes(code[2:], "little")
    if len(code) == 2:
        if found is None:
            return {"unknown"}
        if (a & 0xFF07) in (0x4704, 0x4784):  # BXNS, BLXNS
            return {"v8m"}
        return _of_groups(found, _THUMB_GROUPS)
    coprocessor = (a & 0xEC00) == 0xEC00
    if coprocessor and (b & 0x0F00) == 0x0900 and found is not None:
        return {"fp", "fp16"}
    needs = _of_groups(found, _THUMB_GROUPS) if found is not None else {"v81m" if coprocessor else "unknown"}
    if coprocessor and not needs & {"fp", "fp64", "fpv5"}:
        return {"v81m"} if found is None or found.mnemonic not in ("vlldm", "vlstm") else {"v8m"}
    # selects, shifts of two registers, CLRM: what ORRS and LDM would be with SP or PC; loops: B.W without its bit 12
    selects = (a & 0xFFF0) == 0xEA50 and (b & 0x8000 != 0 or b & 0xD == 0xD)
    if selects or a == 0xE89F or ((a & 0xFF80) == 0xF000 and (b & 0xD001) == 0xC001):
        return {"v81m"}
    if (a == 0xE97F and b == 0xE97F) or (a & 0xFFF0 == 0xE840 and b & 0xF03F == 0xF000):  # SG; TT, TTA, TTT, TTAT
        return {"v8m"}
    if found is not None and found.mnemonic in ("mrs", "msr"):
        needs |= {_SYSTEM[word] for word in re.findall(r"\w+", found.op_str) if word in _SYSTEM}
    return needs


def _of_groups(found: Any, table: dict[str, str]) -> set[str]:
    return {table[name] for name in map(found.group_name, found.groups) if name in table}


def _a64_needs(code: bytes, found: Any) -> set[str]:
    """What an instruction of AArch64 needs. SVE, SME, i8mm and bf16 are nobody's."""
    word = int.from_bytes(code, "little")
    if found is None or (word >> 25) & 0xF == 0x2 or found.mnemonic in ("smmla", "ummla", "usmmla", "usdot", "sudot"):
        return {"unknown"}
    if any(re.match(name, found.mnemonic) for name in _A64_LATER):
        return {"a64", "armv8.2"}
    if re.search(r"\bv\d+\.[48]h|\bh\d+", found.op_str) and re.match("f(?!cvt)", found.mnemonic):
        return {"a64", "fp16"}
    hint = word & 0xFFFFF01F == 0xD503201F  # a NOP where the core does not know it
    return {"a64"} | (set() if hint else _of_groups(found, _A64_GROUPS))


def _riscv_needs(_code: bytes, found: Any) -> set[str]:
    return {"unknown"} if found is None else {"rv32"} | _of_groups(found, _RISCV_GROUPS)


def _x64_needs(_code: bytes, found: Any) -> set[str]:
    """What capstone does not know is newer than it, e.g. VNNI."""
    return {"avx512"} if found is None else {"x64"} | _of_groups(found, _X64_GROUPS)


@dataclass(frozen=True, slots=True)
class _Machine:
    """size: bytes of the instruction that begins with a half-word; 0: only capstone knows."""

    arch: int
    mode: int
    size: Callable[[int], int]
    needs: Callable[[bytes, Any], set[str]]


_MACHINES = {
    "EM_ARM": _Machine(
        cs.CS_ARCH_ARM,
        cs.CS_MODE_THUMB | cs.CS_MODE_MCLASS | cs.CS_MODE_V8,
        lambda half: 4 if half >= 0xE800 else 2,
        lambda code, found: {"thumb"} | _thumb_needs(code, found),
    ),
    "EM_AARCH64": _Machine(cs.CS_ARCH_ARM64, cs.CS_MODE_ARM, lambda half: 4, _a64_needs),
    "EM_RISCV": _Machine(
        cs.CS_ARCH_RISCV,
        cs.CS_MODE_RISCV32 | cs.CS_MODE_RISCVC,
        lambda half: 4 if half & 3 == 3 else 2,
        _riscv_needs,
    ),
    "EM_X86_64": _Machine(cs.CS_ARCH_X86, cs.CS_MODE_64, lambda half: 0, _x64_needs),
}


def _instructions(engine: Any, machine: _Machine, code: bytes, address: int) -> Iterator[tuple[int, bytes, Any]]:
    """Address, bytes and what capstone says, None where it knows nothing."""
    at = 0
    while at < len(code):
        for found in engine.disasm(code[at:], address + at):
            size = machine.size(int.from_bytes(code[at : at + 2], "little"))
            if size not in (0, found.size):
                break
            size = found.size
            yield address + at, code[at : at + size], found
            at += size
        if at < len(code):
            size = machine.size(int.from_bytes(code[at : at + 2], "little")) or 1
            yield address + at, code[at : at + size], None
            at += size


def foreign(image: Path, has: frozenset[str]) -> list[Foreign]:
    """Every instruction in an image that needs more than `has`, by address; literals and jump tables are no code."""
    name, pieces = elf.code(image)
    machine = _MACHINES[name]
    engine = cs.Cs(machine.arch, machine.mode)
    engine.detail = True
    functions = [s for s in elf.symbols(image) if s.kind == "code"]
    starts = [s.address for s in functions]
    rows = []
    for piece in pieces:
        for address, code, found in _instructions(engine, machine, piece.data, piece.address):
            lacks = machine.needs(code, found) - has
            if lacks:
                at = bisect_right(starts, address) - 1
                if not any(code) and at >= 0 and address >= starts[at] + functions[at].size > starts[at]:
                    continue  # the linker's padding before an aligned function
                symbol = functions[at].name if at >= 0 else "(no symbol)"
                text = f"{found.mnemonic} {found.op_str}".strip() if found is not None else f"bytes {code.hex(' ')}"
                rows.append(Foreign(address, symbol, text, tuple(sorted(lacks))))
    return rows
