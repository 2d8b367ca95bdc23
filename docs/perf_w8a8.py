"""Instructions per multiply-accumulate of a step of the scheme w8a8, exact: `python -m docs.perf_w8a8 [gcc|zig]`.

Every target of the registry on the first core that runs it, and `ref` beside it; WebAssembly in microseconds."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from docs import perf_neon, perf_wasm
from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from tests.machines import CORES, Core
from tests.memory import Memory
from tests.qemu_call import Caller, build
from toolkit.bench_ours import RANGE
from toolkit.codegen.packers import place
from toolkit.stages.bench import random_lstm
from toolkit.targets import W8A8
from toolkit.toolchain import cross_toolchain

SHAPES = perf_neon.SHAPES
KINDS = {"tflm": True, "tflite": False}
Count = Callable[[str, QLayer], int]
"""Instructions of a step of a layer by a target's kernel."""


def layer(shape: tuple[int, int], table: bool) -> QLayer:
    """Weights of a trained layer's size."""
    return lstm_w8a8.quantize(random_lstm(*shape), np.full(shape[0], RANGE / 127), {"c": 1.0}, table=table)


def put(memory: Memory, target: str, q: QLayer) -> list[int]:
    """A layer and its vectors -> the arguments of its step."""
    p, size = memory.layer(place(q, target)[1]), lstm_w8a8.hidden_size(q)
    h_new, h = (memory.put(np.zeros(size, np.int8), 16) for _ in range(2))
    c, x = memory.put(np.zeros(size, np.int16), 16), memory.put(np.zeros(lstm_w8a8.input_size(q), np.int8), 16)
    return [h_new, c, h, x, p]


def by_unicorn(core: Core, folder: Path, kind: str) -> Count:
    """Hooked before every instruction. An image holds code made for layers only if that is given to it."""
    import unicorn

    def count(target: str, q: QLayer) -> int:
        made = place(q, target)[1].code
        at = folder / f"{core.name}{len(list(folder.iterdir()))}"
        at.mkdir()
        machine = core.build(core, at, [made] if made else [], kind)
        memory, seen = machine.memory(), [0]
        arguments = put(memory, target, q)

        def one(*_: object) -> None:
            seen[0] += 1

        machine.uc.hook_add(unicorn.UC_HOOK_CODE, one)
        machine.call([(machine.functions[f"tl_lstm_step_w8a8_{target}"], arguments)], bytes(memory.data))
        return seen[0]

    return count


def by_qemu(core: Core, folder: Path, kind: str) -> Count:
    """Counted by QEMU's plug-in."""
    board = core.board
    assert board is not None
    image = build(board, folder, cross_toolchain(kind, board.toolchain))

    def count(target: str, q: QLayer) -> int:
        m = Caller(image, board)
        m.call(f"tl_lstm_step_w8a8_{target}", *put(m.memory, target, q))
        _, spent = m.run(folder)
        return sum(n for (name, _), (n, _) in spent.cells.items() if name != "run")

    return count


def on_aarch64(core: Core, folder: Path, kind: str) -> Count:
    """In unicorn, too, which runs the Linux program's functions."""
    core.build(core, folder, [], kind)
    machine = perf_neon.Machine(folder / "image.elf")

    def count(target: str, q: QLayer) -> int:
        memory = Memory(perf_neon.BASE, 8)
        arguments = put(memory, target, q)
        return machine.call(f"tl_lstm_step_w8a8_{target}", memory, *arguments)

    return count


def counter(core: Core, folder: Path, kind: str) -> Count:
    """Whatever counts on a core."""
    if core.name in ("neoverse-n1", "cortex-a53"):
        return on_aarch64(core, folder, kind)
    return (by_qemu if core.name == "cortex-m55" else by_unicorn)(core, folder, kind)


def rows(kind: str) -> list[str]:
    """A line per core, kernels and activations."""
    lines, seen = [], set()
    for core in CORES.values():
        new = [t for t in core.targets if t in W8A8 and t != "ref" and t not in seen]
        if core.name in ("host", "wasm") or (core.targets[0] in seen and not new):
            continue
        seen |= {core.targets[0], *new}
        with tempfile.TemporaryDirectory() as folder:
            count = counter(core, Path(folder), kind)
            for target in (*new, "ref"):
                for name, table in KINDS.items():
                    layers = [layer(shape, table) for shape in SHAPES]
                    if place(layers[0], target)[0] == target:
                        cells = [f"{count(target, q) / lstm_w8a8.macs(q):.3f}" for q in layers]
                        lines.append(f"| {core.name} | {target} | {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Prints the tables."""
    shapes = " | ".join(f"({i},{h})" for i, h in SHAPES)
    print(f"| core | kernels | activations | {shapes} |\n|{'---|' * (3 + len(SHAPES))}")
    print("\n".join(rows((sys.argv[1:] or ["gcc"])[0])))
    print(f"\n| microseconds in node | activations | {shapes} |\n|{'---|' * (2 + len(SHAPES))}")
    for target in ("wasm_simd128", "ref"):
        for name, table in KINDS.items():
            cases = []
            for shape in SHAPES:
                q, memory = layer(shape, table), Memory(perf_wasm.BASE, 4)
                cases.append(perf_wasm.case(f"tl_lstm_step_w8a8_{target}", memory, put(memory, target, q), shape))
            best = (f"{v / 1e3:.3f}" for v in perf_wasm.timed(cases))
            print(f"| {target} | {name} | {' | '.join(best)} |")


if __name__ == "__main__":
    main()
