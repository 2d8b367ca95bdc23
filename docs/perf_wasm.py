"""Times an LSTM step of wasm_simd128 and of ref, both as WebAssembly: `python -m docs.perf_wasm` prints a table.

Microseconds in node, the best of many short runs."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.machines import CORES
from tests.memory import Memory
from tests.test_kernels_tiles import layer
from toolkit.codegen.packers import pack

BASE = 0x20_0000
SHAPES = ((1, 32), (1, 64), (8, 32), (16, 64), (32, 128), (32, 256))


def case(name: str, memory: Memory, arguments: list[int], shape: tuple[int, int]) -> dict[str, Any]:
    """What the timer is told of one kernel and shape."""
    inputs, hidden = shape
    return {
        "name": name,
        "base": BASE,
        "memory": base64.b64encode(memory.data).decode(),
        "pointers": arguments,
        "steps": 1 + 300_000 // (4 * hidden * (inputs + hidden)),
    }


def timed(cases: list[dict[str, Any]]) -> list[float]:
    """Nanoseconds of a call of each."""
    with tempfile.TemporaryDirectory() as folder:
        core = CORES["wasm"]
        core.build(core, Path(folder), [], "zig")
        command = ["node", str(Path(__file__).with_suffix(".mjs")), str(Path(folder) / "image.wasm")]
        done = subprocess.run(command, input=json.dumps(cases), stdout=subprocess.PIPE, text=True, check=True)
    return [float(v) for v in json.loads(done.stdout)]


def w8a16(target: str, shape: tuple[int, int]) -> dict[str, Any]:
    """A step of the scheme w8a16."""
    memory = Memory(BASE, 4)
    p = memory.layer(pack(layer(np.random.default_rng(3), "lstm", *shape, wide=True, extreme=False), target))
    pointers = [memory.put(np.zeros(n, np.int16), 16, 0) for n in (shape[1], shape[1], shape[1], shape[0])]
    return case(f"tl_lstm_step_w8a16_{target}", memory, [*pointers, p], shape)


def main() -> None:
    """Prints the table."""
    best = timed([w8a16(target, shape) for shape in SHAPES for target in ("wasm_simd128", "ref")])
    print("| (I,H) | wasm_simd128 | ref | ref / wasm_simd128 |\n|---|---|---|---|")
    for i, (inputs, hidden) in enumerate(SHAPES):
        own, ref = best[2 * i] / 1e3, best[2 * i + 1] / 1e3
        print(f"| ({inputs},{hidden}) | {own:.3f} | {ref:.3f} | {ref / own:.1f} |")


if __name__ == "__main__":
    main()
