"""Times a streaming step (w8a16) of an LSTM and of a GRU: `python docs/host_kernels.py [PYTHON]`.

Prints microseconds of each kernel that this computer runs, the best of many short runs, one line per shape. Compare
columns of one run, not runs.
PYTHON: the interpreter of an environment with ai-edge-litert, for a column with its float32 (host_litert.py)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cffi
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from quantize.qnetwork import QLayer  # noqa: E402
from tests.kernels import structs  # noqa: E402
from toolkit import cpu  # noqa: E402
from toolkit.build import build_kernels  # noqa: E402
from toolkit.codegen.pack import Packed  # noqa: E402
from toolkit.codegen.packers import pack  # noqa: E402
from toolkit.toolchain import SUFFIX, host_toolchain  # noqa: E402

SHAPES = ((1, 32), (1, 64), (8, 32), (16, 64), (32, 128), (32, 256))
BARS = (0.085, 0.203, 0.091, 0.234, 0.896, 3.86)  # what an int8 LSTM from Opus' kernels took on a Zen 5
ROUNDS = 40


def random_layer(op: str, inputs: int, hidden: int) -> QLayer:
    """Weights of the size of a trained layer's: the time does not depend on them. A GRU has reset after."""
    rng = np.random.default_rng(0)
    rows = (4 if op == "lstm" else 3) * hidden
    arrays = {
        "wh": rng.integers(-127, 128, (rows, hidden)).astype(np.int8),
        "wx": rng.integers(-900, 901, (rows, inputs)).astype(np.int16),
        "b": np.zeros(4 * hidden, np.int32),
        "m": rng.integers(16384, 32768, rows).astype(np.int16),
    }
    return QLayer(f"{op}0", op, arrays, {"t": 9, "f": 2, **({"frac": 12} if op == "lstm" else {})})


def make(ffi: cffi.FFI, packed: Packed, keep: list[np.ndarray]) -> Any:
    """The parameter struct over arrays aligned to 64 bytes."""
    p = ffi.new(f"{packed.struct} *")
    buffers = {}
    for a in packed.arrays:
        room = np.zeros(a.array.nbytes + 64, np.uint8)
        start = -room.ctypes.data % 64
        room[start : start + a.array.nbytes] = np.frombuffer(a.array.tobytes(), np.uint8)
        keep.append(room)
        buffers[a.suffix] = ffi.cast("void *", room.ctypes.data + start)
    for field, value in packed.fields:
        setattr(p, field, buffers[value[1:]] if value.startswith("@") else int(value))
    return p


def litert(python: str) -> list[float]:
    """Microseconds of LiteRT's float32 step per shape."""
    command = [python, str(ROOT / "docs" / "host_litert.py"), json.dumps(SHAPES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(v) for v in json.loads(done.stdout)]


def measure(op: str, targets: tuple[str, ...], work: Path) -> list[list[float]]:
    """Microseconds per step [shape][target]."""
    loop = work / f"loop{SUFFIX}"
    source = str(ROOT / "docs" / "host_kernels.c")
    subprocess.run([*host_toolchain("auto").cc, "-O2", "-shared", "-fPIC", "-o", str(loop), source], check=True)
    ffi = cffi.FFI()
    ffi.cdef(structs() + "".join(f"int tl_{op}_step_w8a16_{t}();" for t in targets))
    ffi.cdef("double nanoseconds(void *, int16_t *, int16_t *, int16_t *, const int16_t *, void *, uint32_t);")
    kernels, timer = ffi.dlopen(str(build_kernels(work))), ffi.dlopen(str(loop))
    steps = [ffi.addressof(kernels, f"tl_{op}_step_w8a16_{t}") for t in targets]
    table = []
    for inputs, hidden in SHAPES:
        keep: list[np.ndarray] = []
        q = random_layer(op, inputs, hidden)
        cases = [(step, make(ffi, pack(q, t), keep)) for t, step in zip(targets, steps, strict=True)]
        h_a, h_b, c = (ffi.new("int16_t[]", hidden) for _ in range(3))
        x = ffi.new("int16_t[]", [1000 * (-1) ** i for i in range(inputs)])
        best = [float("inf")] * len(targets)
        for _ in range(ROUNDS):  # in turn, so that a disturbance hits all alike
            for i, (step, p) in enumerate(cases):
                n = 1 + 400_000 // (4 * hidden * (hidden + inputs)) * (1 if targets[i] == "ref" else 10)
                best[i] = min(best[i], timer.nanoseconds(step, h_a, h_b, c, x, p, n) / 1000)
        table.append(best)
    return table


def show(op: str, targets: tuple[str, ...], work: Path, python: str | None) -> None:
    """Prints a table."""
    table = measure(op, targets, work)
    heads, columns = [*targets, "ref / best"], [*zip(*table, strict=True), [row[-1] / row[0] for row in table]]
    if op == "lstm":
        heads, columns = [*heads, "bar"], [*columns, BARS]
    if op == "lstm" and python:
        peer = litert(python)
        heads += ["LiteRT f32", "LiteRT / best"]
        columns += [peer, [a / row[0] for a, row in zip(peer, table, strict=True)]]
    print(f"{op} (I, H)".ljust(16) + "".join(f"{head:>14}" for head in heads))
    for shape, *row in zip(SHAPES, *columns, strict=True):
        print(f"     {shape}".ljust(16) + "".join(f"{v:14.3f}" for v in row))


def main() -> None:
    """Prints a table per op."""
    with tempfile.TemporaryDirectory() as work:
        for op in ("lstm", "gru"):
            show(op, cpu.host_targets(), Path(work), (sys.argv[1:] or [None])[0])


if __name__ == "__main__":
    main()
