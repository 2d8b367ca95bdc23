"""Instruction sets as data: the features of each core and of its FPU, and what each kernel target needs of them."""

from __future__ import annotations

from dataclasses import dataclass

MEANING = {
    "thumb": "Armv6-M",
    "thumb2": "Armv7-M",
    "dsp": "the DSP extension",
    "v8m": "Armv8-M",
    "v81m": "Armv8.1-M with Helium",
    "fp": "an FPU",
    "fp64": "an FPU with double precision",
    "fpv5": "an FPU of version 5",
    "fp16": "half precision",
    "a64": "AArch64",
    "neon": "NEON",
    "a64crc": "CRC-32 of Armv8",
    "armv8.2": "an extension of Armv8.1 or later, e.g. dot products",
    "x64": "x86-64",
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "rv32": "RV32I",
    "rvm": "RISC-V's M: multiplication",
    "rvc": "RISC-V's C: compressed code",
    "rva": "RISC-V's A: atomics",
    "rvf": "RISC-V's F: single precision",
    "rvd": "RISC-V's D: double precision",
    "wasm": "WebAssembly",
    "unknown": "an extension that no core here has",
}
"""Every feature, as a message says it."""


@dataclass(frozen=True, slots=True)
class Core:
    """features: of the core alone; fpus: what it can have beside them."""

    features: frozenset[str]
    fpus: tuple[str, ...]


_V6M = frozenset({"thumb"})
_V7M = _V6M | {"thumb2"}
_V7EM = _V7M | {"dsp"}
_V8M = _V7EM | {"v8m"}
_A64 = frozenset({"a64", "neon", "a64crc"})
_RV32IM = frozenset({"rv32", "rvm"})

CORES: dict[str, Core] = {
    "cortex-m0": Core(_V6M, ("none",)),
    "cortex-m0plus": Core(_V6M, ("none",)),
    "cortex-m3": Core(_V7M, ("none",)),
    "cortex-m4": Core(_V7EM, ("none", "fpv4-sp-d16")),
    "cortex-m7": Core(_V7EM, ("none", "fpv5-sp-d16", "fpv5-d16")),
    "cortex-m33": Core(_V8M, ("none", "fpv5-sp-d16")),
    "cortex-m55": Core(_V8M | {"v81m", "fp16"}, ("fpv5-d16",)),
    "cortex-a53": Core(_A64, ("neon",)),
    "neoverse-n1": Core(_A64 | {"armv8.2", "fp16"}, ("neon",)),
    "rv32im": Core(_RV32IM, ("none",)),
    "rv32imc": Core(_RV32IM | {"rvc"}, ("none",)),
    "rv32imac": Core(_RV32IM | {"rvc", "rva"}, ("none",)),
    "x86-64": Core(frozenset({"x64"}), ("sse",)),
    "x86-64-v3": Core(frozenset({"x64", "avx2"}), ("sse",)),
    "cascadelake": Core(frozenset({"x64", "avx2", "avx512"}), ("sse",)),
    "host": Core(frozenset(), ("host",)),
}

FPUS: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "fpv4-sp-d16": frozenset({"fp"}),
    "fpv5-sp-d16": frozenset({"fp", "fpv5"}),
    "fpv5-d16": frozenset({"fp", "fpv5", "fp64"}),
    "neon": frozenset({"fp", "fp64"}),
    "sse": frozenset({"fp", "fp64"}),
    "host": frozenset(),
}

NEEDS: dict[str, frozenset[str]] = {
    "ref": frozenset(),
    "v6m": _V6M,
    "v7m": _V7M,
    "dsp": _V7EM,
    "dsp_size": _V7EM,
    "mve": _V8M | {"v81m"},
    "neon": frozenset({"neon"}),
    "neon_dotprod": frozenset({"neon", "armv8.2"}),
    "rv32": _RV32IM,
    "avx2": frozenset({"avx2"}),
    "avx512vnni": frozenset({"avx512"}),
    "wasm_simd128": frozenset({"wasm"}),
}
"""What the kernels of a target need of a board; a target that is not here runs on the host alone."""

CHOOSES = tuple("-mcpu -march -mfpu -mfloat-abi -mthumb -marm -mabi -m32 -m64 -target --target".split())
"""Beginnings of compiler flags that choose the instructions: a board does so by `core` and `fpu` alone."""


def features(core: str, fpu: str) -> frozenset[str]:
    """What the code for a core with an FPU may use."""
    return CORES[core].features | FPUS[fpu]


def able(core: str, fpu: str) -> list[str]:
    """The kernel targets that a board can run."""
    return [name for name, needs in NEEDS.items() if needs <= features(core, fpu)]
