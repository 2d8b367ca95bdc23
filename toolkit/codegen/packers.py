"""The registry of layouts: (op, target) -> the function that packs a layer. What a target lacks is taken from `ref`."""

from __future__ import annotations

from collections.abc import Callable

from quantize.qnetwork import QLayer, QNetwork
from toolkit.codegen import pack_dsp, pack_small, pack_x86
from toolkit.codegen.pack import Packed, dense_ref, lstm_ref
from toolkit.targets import TARGETS

PACKERS: dict[tuple[str, str], Callable[[QLayer], Packed]] = {
    ("lstm", "ref"): lstm_ref,
    ("dense", "ref"): dense_ref,
    ("lstm", "v6m"): pack_small.lstm_v6m,
    ("lstm", "v7m"): pack_small.lstm_v7m,
    ("lstm", "dsp"): pack_dsp.lstm_dsp,
    ("dense", "dsp"): dense_ref,
    ("lstm", "avx2"): pack_x86.lstm_avx2,
    ("dense", "avx2"): dense_ref,
    ("lstm", "avx512vnni"): pack_x86.lstm_avx512vnni,
    ("dense", "avx512vnni"): dense_ref,
}


def pack(q: QLayer, target: str) -> Packed:
    """A layer in the target's layout, or in `ref`'s where the target has no kernel for the op."""
    return PACKERS[q.op, owner(q, target)](q)


def owner(q: QLayer, target: str) -> str:
    """The target whose kernel runs this layer: `target`, or `ref` where it has none."""
    return target if (q.op, target) in PACKERS else "ref"


def files_for(q: QNetwork, target: str) -> tuple[str, ...]:
    """The files of csrc/ that the kernels of a network need, sorted."""
    owners = {owner(x, target) for x in q.layers}
    return tuple(sorted({name for t in owners for name in (TARGETS[t].source, *TARGETS[t].headers)}))
