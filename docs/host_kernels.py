"""Times one streaming LSTM step (w8a16) of every kernel that this computer runs: `python docs/host_kernels.py`.

Prints microseconds, the best of many short runs, one line per shape. Compare columns of one run, not runs."""

from __future__ import annotations

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
from toolkit import cpu  # noqa: E402
from toolkit.build import build_kernels  # noqa: E402
from toolkit.codegen import pack_x86  # noqa: E402
from toolkit.codegen.pack import Packed, lstm_ref  # noqa: E402
from toolkit.toolchain import SUFFIX, host_toolchain  # noqa: E402

SHAPES = ((1, 32), (1, 64), (8, 32), (16, 64), (32, 128), (32, 256))
BARS = (0.085, 0.203, 0.091, 0.234, 0.896, 3.86)  # an int8 LSTM from Opus' kernels on a Zen 5, AVX-512 VNNI
PACKERS = {"ref": lstm_ref, "avx2": pack_x86.lstm_avx2, "avx512vnni": pack_x86.lstm_avx512vnni}
ROUNDS = 40


def structs() -> str:
    """C of the parameter structs, as cffi reads it."""
    tail = "uint16_t inputs, hidden; uint8_t t, f, frac; }"
    text = (
        "typedef struct { const int8_t *wh; const int16_t *wx16; const int8_t *wx8; const int32_t *b; const int16_t *m;"
        f"{tail} tl_lstm_w8a16;"
    )
    for target in cpu.FEATURES:
        text += f"typedef struct {{ const int8_t *w8; const int16_t *wx16; const int32_t *b; const int32_t *m;{tail}"
        text += f"tl_lstm_w8a16_{target};"
    return text


def random_layer(inputs: int, hidden: int) -> QLayer:
    """Weights of the size of a trained layer's: the time does not depend on them."""
    rng = np.random.default_rng(0)
    rows = 4 * hidden
    arrays = {
        "wh": rng.integers(-127, 128, (rows, hidden)).astype(np.int8),
        "wx": rng.integers(-900, 901, (rows, inputs)).astype(np.int16),
        "b": np.zeros(rows, np.int32),
        "m": rng.integers(16384, 32768, rows).astype(np.int16),
    }
    return QLayer("lstm0", "lstm", arrays, {"t": 9, "f": 2, "frac": 12})


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


def main() -> None:
    """Prints the table."""
    targets = cpu.host_targets()
    with tempfile.TemporaryDirectory() as work:
        loop = Path(work) / f"loop{SUFFIX}"
        source = str(ROOT / "docs" / "host_kernels.c")
        subprocess.run([*host_toolchain("auto").cc, "-O2", "-shared", "-fPIC", "-o", str(loop), source], check=True)
        ffi = cffi.FFI()
        ffi.cdef(structs() + "".join(f"int tl_lstm_step_w8a16_{t}();" for t in targets))
        ffi.cdef("double nanoseconds(void *, int16_t *, int16_t *, int16_t *, const int16_t *, void *, uint32_t);")
        kernels, timer = ffi.dlopen(str(build_kernels(Path(work)))), ffi.dlopen(str(loop))
        print("(I, H)     " + "".join(f"{t:>12}" for t in targets) + f"{'ref / best':>12}{'Opus int8':>12}")
        for (inputs, hidden), bar in zip(SHAPES, BARS, strict=True):
            keep: list[np.ndarray] = []
            q = random_layer(inputs, hidden)
            steps = [ffi.addressof(kernels, f"tl_lstm_step_w8a16_{t}") for t in targets]
            cases = [(step, make(ffi, PACKERS[t](q), keep)) for t, step in zip(targets, steps, strict=True)]
            h_a, h_b, c = (ffi.new("int16_t[]", hidden) for _ in range(3))
            x = ffi.new("int16_t[]", [1000 * (-1) ** i for i in range(inputs)])
            best = [float("inf")] * len(targets)
            for _ in range(ROUNDS):  # in turn, so that a disturbance hits all alike
                for i, (step, p) in enumerate(cases):
                    n = 1 + 400_000 // (4 * hidden * (hidden + inputs)) * (1 if targets[i] == "ref" else 10)
                    best[i] = min(best[i], timer.nanoseconds(step, h_a, h_b, c, x, p, n) / 1000)
            numbers = "".join(f"{v:12.3f}" for v in best)
            print(f"({inputs}, {hidden})".ljust(11) + numbers + f"{best[-1] / best[0]:12.1f}{bar:12.3f}")


if __name__ == "__main__":
    main()
