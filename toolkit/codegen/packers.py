"""The registry of layouts: (op, target) -> the function that packs a layer, or None where its kernel cannot take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from quantize.ops import OPS
from quantize.qnetwork import QLayer, QNetwork
from toolkit.codegen import (
    pack_dsp,
    pack_dsp_size,
    pack_dsp_w8a8,
    pack_mve,
    pack_mve_w8a8,
    pack_small,
    pack_small_w8a8,
    pack_tiles,
    pack_w8a8,
)
from toolkit.codegen.pack import Packed, dense_hidden_ref, dense_ref, gru_ref, lstm_norm_ref, lstm_ref
from toolkit.targets import file_of

PACKERS: dict[tuple[str, str], Callable[[QLayer], Packed | None]] = {
    ("lstm", "ref"): lstm_ref,
    ("gru", "ref"): gru_ref,
    ("lstm_norm", "ref"): lstm_norm_ref,
    ("dense_hidden", "ref"): dense_hidden_ref,
    ("dense", "ref"): dense_ref,
    ("lstm_w8a8", "ref"): pack_w8a8.lstm_ref,
    ("lstm_w8a8", "dsp"): pack_dsp_w8a8.lstm_dsp,
    ("lstm_w8a8", "v6m"): pack_small_w8a8.lstm_chain,
    ("lstm_w8a8", "v7m"): pack_small_w8a8.lstm_chain,
    ("lstm_w8a8", "rv32"): pack_small_w8a8.lstm_rv32,
    ("lstm_w8a8", "mve"): pack_mve_w8a8.lstm_mve,
    ("dense_w8a8", "ref"): pack_w8a8.dense_hidden_ref,
    ("dense_w16a8", "ref"): pack_w8a8.dense_ref,
    ("lstm", "v6m"): pack_small.lstm_v6m,
    ("lstm", "v7m"): pack_small.lstm_v7m,
    ("lstm", "rv32"): pack_small.lstm_rv32,
    ("gru", "v6m"): pack_small.gru_v6m,
    ("gru", "v7m"): pack_small.gru_v7m,
    ("gru", "rv32"): pack_small.gru_rv32,
    **{("dense", target): dense_ref for target in ("v6m", "v7m", "rv32")},
    ("lstm", "dsp"): pack_dsp.lstm_dsp,
    ("gru", "dsp"): pack_dsp.gru_dsp,
    ("dense", "dsp"): dense_ref,
    ("lstm", "dsp_size"): pack_dsp_size.lstm_dsp_size,
    ("lstm", "mve"): pack_mve.lstm_mve,
    ("gru", "mve"): pack_mve.gru_mve,
    ("dense", "mve"): dense_ref,
    **{(op, target): pack_tiles.packer(target) for op in ("lstm", "gru") for target in pack_tiles.FORMS},
    **{("dense", target): dense_ref for target in pack_tiles.FORMS},
    **{("lstm_w8a8", target): pack_w8a8.lstm_tiled(target) for target in pack_w8a8.FORMS},
    **{("dense_w16a8", target): pack_w8a8.dense_ref for target in pack_w8a8.FORMS},
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


def files_for(owners: Iterable[tuple[str, str]]) -> set[str]:
    """The files of csrc/ that these kernels, (op, target), need."""
    found = [file_of(op, target) for op, target in owners]
    return {name for t in found for name in (t.source, *t.headers)}


def functions(q: QNetwork, kernels: Mapping[str, str]) -> dict[str, str]:
    """Layer -> the C function that computes it, in the order of a step. kernels: layer -> target that owns it."""
    return {x.name: f"tl_{OPS[x.op].KERNEL}_{kernels[x.name]}" for x in q.layers}
