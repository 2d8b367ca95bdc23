"""The float32 kernels through cffi: layers of a float network in a target's layout, on aligned buffers."""

from __future__ import annotations

from typing import Any

import cffi
import numpy as np

from quantize.network import Layer, layer
from tests.kernels import library
from toolkit.bench_ours import aligned, cdef
from toolkit.codegen.pack_f32 import KERNELS, place


def random_layer(rng: np.random.Generator, op: str, inputs: int, hidden: int, *, reset_after: bool = True) -> Layer:
    """Weights as a trained layer has them: uniform in +-1/sqrt(H)."""
    top, gates = 1 / np.sqrt(hidden), 4 if op == "lstm" else 3
    biases = 4 if op == "lstm" or reset_after else 3
    weights = {
        "w_ih": rng.uniform(-top, top, (gates * hidden, inputs)),
        "w_hh": rng.uniform(-top, top, (gates * hidden, hidden)),
        "b": rng.uniform(-top, top, biases * hidden),
    }
    return layer("cell", op, weights)


class FloatKernels:
    """The library of all kernels."""

    def __init__(self, sanitize: str | None = None) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(cdef())
        self.lib = self.ffi.dlopen(str(library(sanitize)))

    def pointer(self, array: np.ndarray) -> Any:
        return self.ffi.cast("float *", array.ctypes.data)

    def cell(self, x: Layer, target: str) -> Cell:
        return Cell(self, x, target)


class Cell:
    """One layer of one target; every array that it hands over is exactly as long as the contract says."""

    def __init__(self, kernels: FloatKernels, x: Layer, target: str) -> None:
        self.kernels, self.op = kernels, x.op
        self.owner, packed = place(x, target)
        self.keep = {a.suffix: aligned(a.array) for a in packed.arrays}
        self.p = kernels.ffi.new(f"{packed.struct} *")
        for field, value in packed.fields:
            at = kernels.pointer(self.keep[value[1:]]) if value.startswith("@") else int(value)
            setattr(self.p, field, at)
        self.function = getattr(kernels.lib, f"tl_{KERNELS[x.op]}_{self.owner}")

    def step(self, h: np.ndarray, c: np.ndarray, x: np.ndarray, *, down: bool = False) -> np.ndarray:
        """h' of one step; an LSTM's c is updated in place. down: h_new lies below h."""
        room = np.zeros(2 * len(h), np.float32)
        new, old = (room[: len(h)], room[len(h) :]) if down else (room[len(h) :], room[: len(h)])
        old[:] = h
        scratch = c if self.op == "lstm" else np.zeros(len(h), np.float32)
        self.function(*map(self.kernels.pointer, (new, scratch, old, x)), self.p)
        return new.copy()

    def dense(self, h: np.ndarray, outputs: int) -> np.ndarray:
        y = np.empty(outputs, np.float32)
        self.function(self.kernels.pointer(y), self.kernels.pointer(h), self.p)
        return y
