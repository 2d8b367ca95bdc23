"""The registry of layouts: (op, target) -> the function that packs a layer, or None where its kernel cannot take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from quantize.qnetwork import QLayer
from toolkit.codegen import pack_dsp, pack_small, pack_x86
from toolkit.codegen.pack import Packed, dense_ref, gru_ref, lstm_ref
from toolkit.targets import TARGETS

PACKERS: dict[tuple[str, str], Callable[[QLayer], Packed | None]] = {
    ("lstm", "ref"): lstm_ref,
    ("gru", "ref"): gru_ref,
    ("dense", "ref"): dense_ref,
    ("lstm", "v6m"): pack_small.lstm_v6m,
    ("lstm", "v7m"): pack_small.lstm_v7m,
    ("lstm", "rv32"): pack_small.lstm_rv32,
    ("lstm", "dsp"): pack_dsp.lstm_dsp,
    ("dense", "dsp"): dense_ref,
    ("lstm", "avx2"): pack_x86.lstm_avx2,
    ("dense", "avx2"): dense_ref,
    ("lstm", "avx512vnni"): pack_x86.lstm_avx512vnni,
    ("dense", "avx512vnni"): dense_ref,
}


def place(q: QLayer, target: str) -> tuple[str, Packed]:
    """Whose kernel runs a layer, and the layer in its layout: `target`, or `ref` where that has no kernel for it."""
    packer = PACKERS.get((q.op, target))
    packed = packer(q) if packer is not None else None
    if packed is not None:
        return target, packed
    reference = PACKERS[q.op, "ref"](q)
    assert reference is not None, f"{q.op}: ref takes every layer"
    return "ref", reference


def pack(q: QLayer, target: str) -> Packed:
    """A layer in the target's layout, or in `ref`'s where the target has no kernel for it."""
    return place(q, target)[1]


def owner(q: QLayer, target: str) -> str:
    """The target whose kernel runs this layer: `target`, or `ref` where it has none."""
    return place(q, target)[0]


def files_for(owners: Iterable[str]) -> set[str]:
    """The files of csrc/ that the kernels of these targets need."""
    return {name for t in owners for name in (TARGETS[t].source, *TARGETS[t].headers)}
