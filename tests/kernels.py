"""The kernel test library: every target and tests/shims/twin.c, called through cffi with exact-size buffers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cffi
import numpy as np

from quantize.qnetwork import QLayer
from toolkit.build import build_kernels

SHIMS = Path(__file__).with_name("shims")
STRUCTS = """
typedef struct { int32_t low, high, offset; int16_t m; uint8_t k, s; } tl_input;
typedef struct { int32_t offset; int16_t m; uint8_t s; } tl_output;
typedef struct { const int8_t *wh; const int16_t *wx16; const int8_t *wx8; const int32_t *b; const int16_t *m;
                 uint16_t inputs, hidden; uint8_t t, f, frac; } tl_lstm_w8a16;
typedef struct { const int16_t *w; const int32_t *b; uint16_t inputs, outputs; } tl_dense_w16a16;
"""
TWINS = """
void twin_sat16(int16_t *y, const int32_t *v, uint32_t n);
void twin_mulw(int32_t *y, const int32_t *a, const int16_t *m, uint32_t n);
void twin_requantize(int16_t *y, const int32_t *acc, const int16_t *m, const uint8_t *t, uint32_t n);
void twin_sigmoid(int16_t *y, const int16_t *z, uint32_t n);
void twin_tanh(int16_t *y, const int16_t *z, uint32_t n);
void twin_cell(int16_t *y, const int16_t *f, const int16_t *c, const int16_t *i, const int16_t *g, const uint8_t *frac,
               uint32_t n);
void twin_hidden(int16_t *y, const int16_t *o, const int16_t *tanh_c, uint32_t n);
void twin_scale_in(int16_t *y, const int32_t *raw, const tl_input *p, uint32_t n);
void twin_scale_out(int32_t *y, const int32_t *v, const tl_output *p, uint32_t n);
void twin_interpolate(int16_t *y, const int16_t *last, const int16_t *next, const int32_t *k, const int16_t *reciprocal,
                      uint32_t n);
"""
KERNELS = """
void tl_lstm_step_w8a16_{t}(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16 *p);
void tl_dense_w16a16_{t}(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);
"""
INT16, INT32, UINT8 = np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.uint8)


class Kernels:
    """The library; arrays go in and out as numpy arrays whose buffers are exactly as long as the contract says."""

    def __init__(self, library: Path) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(STRUCTS + TWINS + KERNELS.replace("{t}", "ref"))
        self.lib = self.ffi.dlopen(str(library))

    @classmethod
    def build(cls, folder: Path, sanitize: str | None = None) -> Kernels:
        """Compiles it into `folder`."""
        return cls(build_kernels(folder, extra=[SHIMS / "twin.c"], sanitize=sanitize))

    def pointer(self, array: np.ndarray) -> Any:
        """A pointer to an array's own memory; the caller keeps the array alive."""
        kind = f"{array.dtype.name}_t *"
        return self.ffi.cast(kind, array.ctypes.data)

    def twin(self, name: str, out: np.dtype[Any], *arrays: Any) -> np.ndarray:
        """twin_<name> over equally long int64 arrays (or cffi struct arrays): each is narrowed without loss."""
        length, pointers, keep = 0, [], []
        kinds = [a.item.cname for a in self.ffi.typeof(getattr(self.lib, f"twin_{name}")).args[1:-1]]
        for kind, array in zip(kinds, arrays, strict=True):
            if isinstance(array, self.ffi.CData):
                pointers.append(array)
                continue
            narrow = np.ascontiguousarray(array, np.dtype(kind.removesuffix("_t")))
            assert (narrow == array).all(), f"twin_{name}: {kind} cannot hold its argument"
            keep.append(narrow)
            pointers.append(self.pointer(narrow))
            length = len(narrow)
        y = np.empty(length, out)
        getattr(self.lib, f"twin_{name}")(self.pointer(y), *pointers, length)
        return y.astype(np.int64)

    def lstm_step(
        self, target: str, q: QLayer, x: np.ndarray, h: np.ndarray, c: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of a target's kernel -> h', c'."""
        a = q.arrays
        wide = a["wx"].dtype == np.int16
        p = self.ffi.new("tl_lstm_w8a16 *")
        p.wh, p.b, p.m = self.pointer(a["wh"]), self.pointer(a["b"]), self.pointer(a["m"])
        setattr(p, "wx16" if wide else "wx8", self.pointer(a["wx"]))
        p.inputs, p.hidden = a["wx"].shape[1], a["wh"].shape[1]
        p.t, p.f, p.frac = q.params["t"], q.params["f"], q.params["frac"]
        new, cell = np.empty(len(h), np.int16), c.astype(np.int16)
        before, sample = h.astype(np.int16), x.astype(np.int16)
        function = getattr(self.lib, f"tl_lstm_step_w8a16_{target}")
        function(self.pointer(new), self.pointer(cell), self.pointer(before), self.pointer(sample), p)
        return new.astype(np.int64), cell.astype(np.int64)

    def dense(self, target: str, q: QLayer, h: np.ndarray) -> np.ndarray:
        """A target's dense kernel -> y."""
        w, b = q.arrays["w"], q.arrays["b"]
        p = self.ffi.new("tl_dense_w16a16 *")
        p.w, p.b, p.inputs, p.outputs = self.pointer(w), self.pointer(b), w.shape[1], w.shape[0]
        y, v = np.empty(w.shape[0], np.int32), h.astype(np.int16)
        getattr(self.lib, f"tl_dense_w16a16_{target}")(self.pointer(y), self.pointer(v), p)
        return y.astype(np.int64)
