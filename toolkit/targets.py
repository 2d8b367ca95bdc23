"""The registry of kernel targets: which file of csrc/ holds one, what it implements, and how it is compiled."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
SHIMS = ROOT / "tests" / "shims"
"""Intrinsics of other processors, for the tests on this computer."""

SHARED_SOURCES = ("tl_state.c",)
"""Files of csrc/ that every target uses."""


_SHIMMED = (f"-I{SHIMS}",)
_ON_ARM = platform.machine().lower() in ("aarch64", "arm64")
_DOTPROD = ("-march=armv8.2-a+dotprod",)
_VNNI = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni")


@dataclass(frozen=True, slots=True)
class Target:
    """One set of kernels.

    headers: the files of csrc/ that it needs beside those that every target uses; the first has its parameter structs.
    table_bytes: of sigmoid and tanh, as its lstm step reads them.
    ops: `<op>_<scheme>` that the file has; codegen takes any other from `ref`.
    also_on: other targets whose cores run these kernels, too: candidates there for `tune`.
    small: whether it is the small form of the targets in also_on.
    flags: what a board's compiler needs beyond its board's own flags.
    host_flags: what a host compiler needs to build the file for the tests (shims for foreign intrinsics).
    """

    name: str
    cores: str
    source: str
    headers: tuple[str, ...]
    table_bytes: int
    ops: frozenset[str]
    flags: tuple[str, ...]
    host_flags: tuple[str, ...]
    also_on: tuple[str, ...] = ()
    small: bool = False


_ALL = frozenset({"lstm_step_w8a16", "gru_step_w8a16", "dense_w16a16"})
_PACKED = "tl_tables_packed.h"
_LINES = "tl_tables_lines.h"
_UNROLLED = "tl_dense_unrolled.h"
_BLOCKS = "tl_gru_blocks.h"
_CHAIN = ("tl_chain.h", "tl_chain_gru.h", _BLOCKS, "tl_column8.h", _LINES)
_TILES = ("tl_tiled.h", "tl_tiles.h", "tl_inline.h")
_X86_256 = ("tl_x86_256.h", "tl_x86.h")
_X86_512 = ("tl_x86_512.h", "tl_x86.h")
_AARCH64 = ("tl_aarch64_w8a16.h", "tl_aarch64.h", "tl_tables.h")
_WORDS = ("tl_tiles_madd.h", "tl_tiles_words.h", "tl_words.h", "tl_tables.h")
_W8A8 = frozenset({"lstm_step_w8a8", "dense_w16a8"})
_TILES_W8A8 = ("tl_tiled_w8a8.h", "tl_tiles_w8a8.h", "tl_gemmlowp.h", "tl_w8a8.h", "tl_inline.h")
_AARCH64_W8A8 = ("tl_aarch64_w8a8.h", "tl_aarch64.h", "tl_tables_w8a8.h")
_LINES_W8A8 = ("tl_lines_w8a8.h", "tl_inline.h", "tl_w8a8.h", "tl_tables_w8a8_lines.h")
_UNIT_W8A8 = ("tl_unit_w8a8.h", *_LINES_W8A8)
_CHAIN_W8A8 = ("tl_v6m_w8a8.h", "tl_chain_w8a8.h", "tl_column8.h", *_UNIT_W8A8)
_PAIRS_W8A8 = ("tl_pairs_w8a8.h", "tl_tables_w8a8.h")

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("ref", "any core, portable C11", "tl_ref.c", ("tl_tables.h",), 1028, _ALL, (), ()),
        Target(
            "v6m",
            "Cortex-M0, M0+",
            "tl_v6m.c",
            ("tl_v6m.h", "tl_v6m_column.h", "tl_v6m_rows.h", _UNROLLED, *_CHAIN),
            2048,
            _ALL,
            (),
            (),
        ),
        Target(
            "v7m",
            "Cortex-M3",
            "tl_v7m.c",
            ("tl_v7m.h", "tl_v7m_loop.h", "tl_v6m.h", _UNROLLED, *_CHAIN),
            2048,
            _ALL,
            (),
            (),
        ),
        Target(
            "rv32",
            "RV32IM, RISC-V",
            "tl_rv32.c",
            ("tl_rv32.h", "tl_rv32_lstm.h", "tl_rv32_loop.h", _BLOCKS, _UNROLLED, _PACKED),
            2048,
            _ALL,
            (),
            (),
        ),
        Target(
            "dsp",
            "Cortex-M4, M7, M33 with DSP",
            "tl_dsp.c",
            ("tl_dsp.h", "tl_dsp_layer.h", "tl_dsp_groups.h", "tl_dsp_twin.h", _PACKED),
            2048,
            _ALL,
            (),
            (),
        ),
        Target(
            "dsp_size",
            "the same, in the least flash",
            "tl_dsp_size.c",
            ("tl_dsp_size.h", "tl_tables.h"),
            1028,
            frozenset({"lstm_step_w8a16"}),
            (),
            (),
            ("dsp",),
            True,
        ),
        Target(
            "mve",
            "Cortex-M55, M85 with Helium",
            "tl_mve.c",
            ("tl_mve.h", "tl_mve_sums.h", "tl_tables_planes.h"),
            2048,
            _ALL,
            (),
            (f"-I{SHIMS}",),
        ),
        Target(
            "avx2",
            "x86-64 with AVX2",
            "tl_avx2.c",
            ("tl_avx2.h", *_TILES, *_X86_256, *_WORDS),
            1028,
            _ALL,
            ("-mavx2",),
            ("-mavx2",),
        ),
        Target(
            "avx512vnni",
            "x86-64 with AVX-512 VNNI",
            "tl_avx512vnni.c",
            ("tl_avx512vnni.h", *_TILES, *_X86_512, "tl_tiles_madd.h", "tl_tables_planes.h"),
            2048,
            _ALL,
            _VNNI,
            _VNNI,
        ),
        Target(
            "neon",
            "AArch64",
            "tl_neon.c",
            ("tl_neon.h", *_TILES, *_AARCH64),
            1028,
            _ALL,
            (),
            () if _ON_ARM else _SHIMMED,
            ("neon_dotprod",),
        ),
        Target(
            "neon_dotprod",
            "AArch64 with dot products (Armv8.2)",
            "tl_neon_dotprod.c",
            ("tl_neon_dotprod.h", *_TILES, *_AARCH64),
            1028,
            _ALL,
            (),  # the core of its board has them
            _DOTPROD if _ON_ARM else _SHIMMED,
        ),
        Target(
            "wasm_simd128",
            "WebAssembly with 128-bit SIMD",
            "tl_wasm_simd128.c",
            ("tl_wasm_simd128.h", *_TILES, "tl_wasm.h", *_WORDS),
            1028,
            _ALL,
            ("-msimd128",),
            _SHIMMED,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class FloatTarget:
    """One file of float32 kernels (tl_f32.h).

    headers: what it needs beside tl_f32.h; units: of a block, 0 in the layout of `ref`; dense: whether it has that
    kernel, too; needs: the features of toolkit/isa.py that a board must have, None: the host alone runs it;
    host_flags: as in Target.
    """

    source: str
    headers: tuple[str, ...]
    units: int
    dense: bool
    needs: frozenset[str] | None
    host_flags: tuple[str, ...]


_F32 = ("tl_inline.h", "tl_dot_f32.h", "tl_tiles_f32.h")
_F32_UNITS = (*_F32, "tl_units_f32.h")

F32: dict[str, FloatTarget] = {
    "avx512vnni": FloatTarget("tl_avx512_f32.c", _F32, 32, True, None, ("-mavx512f", "-mavx512dq")),
    "avx2": FloatTarget("tl_avx2_f32.c", _F32, 16, True, None, ("-mavx2", "-mfma")),
    "wasm_simd128": FloatTarget("tl_wasm_simd128_f32.c", _F32_UNITS, 8, True, None, _SHIMMED),
    "neon": FloatTarget("tl_neon_f32.c", _F32_UNITS, 8, True, frozenset({"neon"}), () if _ON_ARM else _SHIMMED),
    "mve": FloatTarget("tl_mve_f32.c", _F32, 4, True, frozenset({"v81m", "fp"}), _SHIMMED),
    "fpv4": FloatTarget("tl_fpv4_f32.c", _F32, 2, False, frozenset({"thumb2", "fp"}), ()),
    "ref": FloatTarget("tl_ref_f32.c", (), 0, True, frozenset({"fp"}), ()),
}
"""Float32 kernels by target; where a board can run several, the first is the fastest."""

W8A8: dict[str, Target] = {
    t.name: t
    for t in (
        Target(
            "ref",
            "any core, portable C11",
            "tl_ref_w8a8.c",
            ("tl_w8a8.h", "tl_tables_w8a8.h"),
            514,
            _W8A8,
            (),
            (),
        ),
        Target(
            "v6m",
            TARGETS["v6m"].cores,
            "tl_v6m_w8a8.c",
            (*_CHAIN_W8A8, "tl_v6m_column.h"),
            2048,
            frozenset({"lstm_step_w8a8"}),
            (),
            (),
        ),
        Target(
            "v7m",
            TARGETS["v7m"].cores,
            "tl_v7m_w8a8.c",
            (*_CHAIN_W8A8, "tl_v7m_loop.h"),
            2048,
            frozenset({"lstm_step_w8a8"}),
            (),
            (),
        ),
        Target(
            "rv32",
            TARGETS["rv32"].cores,
            "tl_rv32_w8a8.c",
            ("tl_rv32_w8a8.h", "tl_rv32_loop.h", *_UNIT_W8A8),
            2048,
            frozenset({"lstm_step_w8a8"}),
            (),
            (),
        ),
        Target(
            "dsp",
            TARGETS["dsp"].cores,
            "tl_dsp_w8a8.c",
            ("tl_dsp_w8a8.h", "tl_dsp_w8a8_layer.h", "tl_dsp_groups.h", *_LINES_W8A8),
            2048,
            frozenset({"lstm_step_w8a8"}),
            (),
            (),
        ),
        Target(
            "mve",
            "Cortex-M55, M85 with Helium",
            "tl_mve_w8a8.c",
            ("tl_mve_w8a8.h", "tl_w8a8.h", "tl_tables_w8a8_planes.h"),
            1024,
            frozenset({"lstm_step_w8a8"}),
            (),
            _SHIMMED,
        ),
        Target(
            "avx2",
            TARGETS["avx2"].cores,
            "tl_avx2_w8a8.c",
            (*_TILES_W8A8, *_X86_256, *_PAIRS_W8A8),
            514,
            _W8A8,
            ("-mavx2",),
            ("-mavx2",),
        ),
        Target(
            "avx512vnni",
            TARGETS["avx512vnni"].cores,
            "tl_avx512vnni_w8a8.c",
            (*_TILES_W8A8, *_X86_512, "tl_tables_w8a8_planes.h"),
            1024,
            _W8A8,
            _VNNI,
            _VNNI,
        ),
        Target(
            "neon",
            TARGETS["neon"].cores,
            "tl_neon_w8a8.c",
            (*_TILES_W8A8, *_AARCH64_W8A8),
            514,
            _W8A8,
            (),
            () if _ON_ARM else _SHIMMED,
        ),
        Target(
            "neon_dotprod",
            TARGETS["neon_dotprod"].cores,
            "tl_neon_dotprod_w8a8.c",
            (*_TILES_W8A8, *_AARCH64_W8A8),
            514,
            _W8A8,
            (),
            _DOTPROD if _ON_ARM else _SHIMMED,
        ),
        Target(
            "wasm_simd128",
            TARGETS["wasm_simd128"].cores,
            "tl_wasm_simd128_w8a8.c",
            (*_TILES_W8A8, "tl_wasm.h", "tl_words.h", *_PAIRS_W8A8),
            514,
            _W8A8,
            ("-msimd128",),
            _SHIMMED,
        ),
    )
}
"""The same targets' kernels of the scheme w8a8, in files of their own; the first header has the parameter struct."""


def _portable(source: str, header: str, kernel: str) -> Target:
    return Target("ref", "any core, portable C11", source, (header, "tl_tables.h"), 1028, frozenset({kernel}), (), ())


PORTABLE = {
    "lstm_norm": _portable("tl_ref_norm.c", "tl_norm.h", "lstm_norm_step_w8a16"),
    "dense_hidden": _portable("tl_ref_hidden.c", "tl_hidden.h", "dense_hidden_w16a16"),
    "dense_w8a8": Target(
        "ref",
        "any core, portable C11",
        "tl_ref_dense_w8a8.c",
        ("tl_dense_w8a8.h", "tl_w8a8.h"),
        0,
        frozenset({"dense_w8a8"}),
        (),
        (),
    ),
}
"""The ops that every target runs by the portable kernel."""


def file_of(op: str, target: str) -> Target:
    """The file that holds a target's kernel of an op."""
    if op in PORTABLE:
        return PORTABLE[op]
    return W8A8[target] if op in ("lstm_w8a8", "dense_w16a8") else TARGETS[target]


LAYERS_F32: dict[str, tuple[str, ...]] = {
    "tl_layers_f32.c": ("tl_layers_f32.h", "tl_math_f32.h"),
    "tl_time_f32.c": ("tl_layers_f32.h", "tl_math_f32.h", "tl_sums_f32.h"),
    "tl_activation_f32.c": ("tl_activation_f32.h", "tl_math_f32.h"),
    "tl_cells_f32.c": ("tl_cells_f32.h", "tl_activation_f32.h", "tl_layers_f32.h", "tl_math_f32.h", "tl_sums_f32.h"),
}
"""The portable float32 layers that imported networks need: file of csrc/ -> the headers beside tl_kernels.h."""
