"""The registry of kernel targets: which file of csrc/ holds one, what it implements, and how it is compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"

SHARED_SOURCES = ("tl_state.c",)
"""Files of csrc/ that every target uses."""


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
    "v6m": Target("v6m", "tl_v6m.c", frozenset({"lstm_step_w8a16"}), (), ()),
    "v7m": Target("v7m", "tl_v7m.c", frozenset({"lstm_step_w8a16"}), (), ()),
}
