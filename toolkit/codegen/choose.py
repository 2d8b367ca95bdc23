"""Which kernel runs each layer: by the profile that is asked for, and by what `tune` measured where it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from quantize.ops import OPS
from quantize.qnetwork import QLayer, QNetwork
from toolkit import cpu
from toolkit.boards import Board
from toolkit.codegen.packers import owner
from toolkit.errors import ToolkitError, nearest
from toolkit.targets import TARGETS

PROFILES = {
    "speed": "least time",
    "size": "least flash",
    "balanced": "least flash among those at most a quarter slower than the fastest",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A layer's kernel, and why."""

    layer: str
    target: str
    why: str


def candidates(board: Board) -> tuple[str, ...]:
    """The targets whose kernels a board's core runs: its own first, `ref` last."""
    if board.toolchain == "host":
        return cpu.host_targets()
    others = (t.name for t in TARGETS.values() if board.target in t.also_on)
    return tuple(dict.fromkeys((board.target, *others, "ref")))


def choose(
    q: QNetwork, board: Board, *, optimize: str, wanted: str | None, tune: Mapping[str, Any] | None
) -> list[Choice]:
    """One choice per layer. `wanted`: kernels by name, or `best` on the host; `tune`: what `tune` wrote, or None.

    Raises: ToolkitError when there are no such kernels, or the board's core cannot run them."""
    if wanted is not None:
        target = _asked(board, wanted)
        return [_place(x, target, f"--target {wanted}") for x in q.layers]
    if tune is not None:
        found = tune["choice"][optimize]
        return [_place(x, found["kernels"][x.name], found["why"]) for x in q.layers]
    target = untuned(board, optimize)
    return [_place(x, target, f"{PROFILES[optimize]}, not measured (`tune` does)") for x in q.layers]


def untuned(board: Board, optimize: str) -> str:
    """What a profile takes where nothing was measured: the board's own kernels, or for `size` their small form."""
    if optimize != "size" or board.toolchain == "host":
        return board.target
    small = [t.name for t in TARGETS.values() if t.small and board.target in t.also_on]
    return [*small, "ref"][0]


def _asked(board: Board, wanted: str) -> str:
    able = candidates(board)
    if wanted == "best" and board.toolchain == "host":
        return able[0]
    if wanted not in TARGETS:
        raise ToolkitError(f"--target {wanted}: no such kernels{nearest(wanted, [*TARGETS, 'best'])}")
    if wanted not in able:
        raise ToolkitError(f"--target {wanted}: {board.name} cannot run them; it can run {', '.join(sorted(able))}")
    return wanted


def _place(x: QLayer, target: str, why: str) -> Choice:
    """The target, or `ref` where it has no kernel for the layer, which is then the reason."""
    found = owner(x, target)
    if found != target:
        op = OPS[x.op]
        why = f"{target} has none for {x.op} {op.input_size(x)} -> {op.output_size(x)}"
        if not x.params.get("table", 1) and owner(replace(x, params={**x.params, "table": 1}), target) == target:
            why = f"{target} has {x.op} for the table activations (tflm) alone; these are gemmlowp's (tflite)"
    return Choice(x.name, found, why)
