"""Our kernels for `bench`: one LSTM layer in a scheme's layout, timed inside C."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cffi
import numpy as np

from quantize.network import Layer
from quantize.ops import lstm, lstm_w8a8
from quantize.qnetwork import QLayer
from toolkit import cpu
from toolkit.build import build_kernels
from toolkit.codegen import pack_f32, packers
from toolkit.codegen.pack import Packed
from toolkit.targets import CSRC, F32, TARGETS, W8A8

LOOP = Path(__file__).with_name("bench_loop.c")
RANGE = 3.0  # |x| of the calibration that the quantized layer stands for
CALLS = """
double tl_bench_steps(void *, void *, void *, void *, void *, uint32_t, uint32_t, void *, uint32_t);
double tl_bench_load(void *, uint32_t, uint32_t, uint64_t *);
"""
Seconds = Callable[[int], float]  # of n calls


def _headers() -> dict[str, None]:
    """The headers of this computer's kernels, each once."""
    here = [*cpu.host_targets()]
    own = [h for t in here for files in (TARGETS[t], W8A8.get(t)) if files for h in files.headers]
    return dict.fromkeys(["tl_kernels.h", "tl_f32.h", *(h for h in own if not h.startswith("tl_tables"))])


def cdef() -> str:
    """C for cffi: the parameter structs of this computer's kernels, the recurrent kernels, the timing loops."""
    text = "".join(re.sub(r"/\*.*?\*/", "", (CSRC / name).read_text("utf-8"), flags=re.S) for name in _headers())
    out = [f"typedef struct {b} {k};" for b, k in re.findall(r"typedef struct tl_\w+ (\{.*?\}) (\w+);", text, re.S)]
    out += [f"typedef {old} {new};" for old, new in re.findall(r"typedef (tl_\w+) (tl_\w+);", text)]
    for target in F32:
        out += [f"void tl_{op}_step_f32_{target}(void *, void *, void *, void *, void *);" for op in ("lstm", "gru")]
        out += [f"void tl_dense_f32_{target}(void *, void *, void *);"]
    for target in cpu.host_targets():
        out += [f"void tl_lstm_step_{s}_{target}(void *, void *, void *, void *, void *);" for s in ("w8a16", "w8a8")]
    return "\n".join([*out, CALLS])


def aligned(array: np.ndarray) -> np.ndarray:
    """The same numbers, at an address that 64 divides."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    out: np.ndarray = room[start : start + array.nbytes].view(array.dtype)
    out[:] = array.ravel()
    return out


def quantized(layer: Layer, scheme: str) -> QLayer:
    """The layer in an integer scheme, for inputs of up to RANGE; w8a8 with the tables of TFLite Micro."""
    size = lstm.input_size(layer)
    if scheme == "w8a8":
        return lstm_w8a8.quantize(layer, np.full(size, RANGE / 127), {"c": 1.0, "h": 1.0}, table=True)
    return lstm.quantize(layer, np.full(size, 4 * RANGE / 32767), {"c": 1.0}, 16)


class Ours:
    """The library of kernels and loops of this computer."""

    def __init__(self, folder: Path) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(cdef())
        widest = F32[pack_f32.host_target()].host_flags
        here = cpu.host_targets()
        self.library = self.ffi.dlopen(str(build_kernels(folder, extra=[LOOP], extra_flags=widest, targets=here)))

    def at(self, array: np.ndarray) -> Any:
        """A pointer to the array's memory; the caller keeps it alive."""
        return self.ffi.cast("void *", array.ctypes.data)

    def lstm(self, layer: Layer, scheme: str, x: np.ndarray) -> tuple[Seconds, Seconds, Seconds, int]:
        """Seconds of n steps, of n sequences x [time, inputs], of loading the weights n times; their bytes."""
        if scheme == "f32":
            owner, packed = pack_f32.place(layer, pack_f32.host_target())
            samples = x.astype(np.float32)
        else:
            owner, packed = packers.place(quantized(layer, scheme), cpu.host_targets()[0])
            q = x * 127 / RANGE if scheme == "w8a8" else x * 32767 / (4 * RANGE)
            samples = np.rint(q).astype(np.int8 if scheme == "w8a8" else np.int16)
        dtype = samples.dtype
        p, arrays = self._parameters(packed)
        step = self.ffi.cast("void *", self.ffi.addressof(self.library, f"tl_lstm_step_{scheme}_{owner}"))
        width = -(-lstm.hidden_size(layer) * 4 // 64) * 64 // dtype.itemsize  # any scheme's h or c
        room, rows = aligned(np.zeros(3 * width, dtype)), aligned(samples)
        states = [self.at(room[k * width : (k + 1) * width]) for k in range(3)]
        keep = (p, arrays, room, rows, step)

        def sequence(n: int, stride: int = x.shape[1] * dtype.itemsize, steps: int = len(x) // 2 * 2) -> float:
            p, _, _, rows, step = keep
            return float(self.library.tl_bench_steps(step, *states, self.at(rows), stride, steps, p, n)) * 1e-9

        def streaming(n: int) -> float:
            return sequence(n, 0, 2) / 2

        load, size = self._load(list(arrays.values()))
        return streaming, sequence, load, size

    def _parameters(self, packed: Packed) -> tuple[Any, dict[str, np.ndarray]]:
        """The parameter struct over aligned arrays."""
        arrays = {
            a.suffix: aligned(np.asarray(a.array).astype(np.float32 if a.ctype.endswith("float") else a.array.dtype))
            for a in packed.arrays
        }
        p = self.ffi.new(f"{packed.struct} *")
        for field, value in packed.fields:
            setattr(p, field, self.at(arrays[value[1:]]) if value.startswith("@") else int(value))
        return p, arrays

    def _load(self, arrays: list[np.ndarray]) -> tuple[Seconds, int]:
        size = sum(a.nbytes for a in arrays)
        room, sink = aligned(np.ones(-(-size // 256) * 32, np.uint64)), self.ffi.new("uint64_t[8]")
        return lambda n: float(self.library.tl_bench_load(self.at(room), room.nbytes, n, sink)) * 1e-9, size
