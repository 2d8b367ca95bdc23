"""The registry of kernel targets: which file of csrc/ holds one, what it implements, and how it is compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"

SHARED_SOURCES = ("tl_state.c",)
"""Files of csrc/ that every target uses."""


_VNNI = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni")


@dataclass(frozen=True, slots=True)
class Target:
    """One set of kernels.

    headers: the files of csrc/ that it needs beside those that every target uses. The one called tl_<name>.h, if any,
    has its parameter structs.
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


_LSTM = frozenset({"lstm_step_w8a16"})
_BOTH = _LSTM | {"dense_w16a16"}
_ALL = _BOTH | {"gru_step_w8a16"}
_PACKED = "tl_tables_packed.h"

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("ref", "any core, portable C11", "tl_ref.c", ("tl_tables.h",), 1028, _ALL, (), ()),
        Target("v6m", "Cortex-M0, M0+", "tl_v6m.c", ("tl_v6m.h", "tl_chain.h", _PACKED), 2048, _LSTM, (), ()),
        Target("v7m", "Cortex-M3", "tl_v7m.c", ("tl_v7m.h", "tl_v6m.h", "tl_chain.h", _PACKED), 2048, _LSTM, (), ()),
        Target("rv32", "RV32IM, RISC-V", "tl_rv32.c", ("tl_rv32.h", _PACKED), 2048, _LSTM, (), ()),
        Target(
            "dsp",
            "Cortex-M4, M7, M33 with DSP",
            "tl_dsp.c",
            ("tl_dsp.h", "tl_dsp_units.h", _PACKED),
            2048,
            _BOTH,
            (),
            (),
        ),
        Target(
            "avx2",
            "x86-64 with AVX2",
            "tl_avx2.c",
            ("tl_avx2.h", "tl_x86.h", "tl_tables.h"),
            1028,
            _BOTH,
            ("-mavx2",),
            ("-mavx2",),
        ),
        Target(
            "avx512vnni",
            "x86-64 with AVX-512 VNNI",
            "tl_avx512vnni.c",
            ("tl_avx512vnni.h", "tl_x86.h", "tl_tables_planes.h"),
            2048,
            _BOTH,
            _VNNI,
            _VNNI,
        ),
    )
}
