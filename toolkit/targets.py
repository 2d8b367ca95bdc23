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

    ops: `<op>_<scheme>` that the file has; codegen takes any other from `ref`.
    flags: what a board's compiler needs beyond its board's own flags.
    host_flags: what a host compiler needs to build the file for the tests (shims for foreign intrinsics).
    """

    name: str
    source: str
    ops: frozenset[str]
    flags: tuple[str, ...]
    host_flags: tuple[str, ...]


TARGETS: dict[str, Target] = {
    "ref": Target("ref", "tl_ref.c", frozenset({"lstm_step_w8a16", "dense_w16a16"}), (), ()),
    "avx2": Target("avx2", "tl_avx2.c", frozenset({"lstm_step_w8a16", "dense_w16a16"}), ("-mavx2",), ("-mavx2",)),
    "avx512vnni": Target("avx512vnni", "tl_avx512vnni.c", frozenset({"lstm_step_w8a16", "dense_w16a16"}), _VNNI, _VNNI),
}
