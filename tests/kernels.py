"""The kernel test library: every target and tests/shims/twin.c, called through cffi with exact-size buffers."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import cffi
import numpy as np

from quantize.ops import gru
from quantize.qnetwork import QLayer
from toolkit import cpu
from toolkit.build import build_kernels
from toolkit.codegen.packers import place
from toolkit.targets import CSRC, NORM, TARGETS, W8A8
from toolkit.toolchain import CACHE, SUFFIX, host_toolchain

SHIMS = Path(__file__).with_name("shims")
STRUCTS = """
typedef struct { int32_t low, high, offset; int16_t m; uint8_t k, s; } tl_input;
typedef struct { int32_t offset; int16_t m; uint8_t s; } tl_output;
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
void twin_log2(int32_t *y, const int32_t *v, uint32_t n);
void twin_log_return(int32_t *y, const int32_t *now, const int32_t *before, uint32_t n);
void twin_price(int32_t *y, const int32_t *last, const int32_t *change, uint32_t n);
void twin_difference(int32_t *y, const int32_t *now, const int32_t *before, uint32_t n);
void twin_add_sat(int32_t *y, const int32_t *a, const int32_t *b, uint32_t n);
void twin_interpolate(int16_t *y, const int16_t *last, const int16_t *next, const int32_t *k, const int16_t *reciprocal,
                      uint32_t n);
"""
CALLS = {
    "lstm_step_w8a16": "(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const void *p);",
    "gru_step_w8a16": "(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x, const void *p);",
    "dense_w16a16": "(int32_t *y, const int16_t *h, const void *p);",
}
HERE = [t for t in TARGETS.values() if t.name not in cpu.FEATURES or cpu.is_x86()]  # what build_kernels builds
INT16, INT32, UINT8 = np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.uint8)


def structs(more: Sequence[Path] = ()) -> str:
    """The parameter structs of every target, read from the headers of csrc/, and those of the files `more`."""
    small = [t for t in W8A8.values() if t.name in {own.name for own in HERE}]
    names = dict.fromkeys(h for t in (*HERE, *small, NORM) for h in t.headers if not h.startswith("tl_tables"))
    paths = (CSRC / "tl_kernels.h", *(CSRC / name for name in names), *more)
    text = "".join(re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.S) for path in paths)
    found = {kind: function for function, kind in re.findall(r"(typedef void (tl_\w+)\([^;]*\);)", text)}
    for body, kind in re.findall(r"typedef struct \w+ (\{.*?\}) (\w+);", text, re.S):
        found.setdefault(kind, f"typedef struct {body} {kind};")
    for old, kind in re.findall(r"typedef (tl_\w+) (tl_\w+);", text):
        found.setdefault(kind, f"typedef {old} {kind};")
    return "\n".join(found.values())


def runnable(target: str) -> bool:
    """Whether this computer can run a target's kernels, as they are or by their C twins."""
    shimmed = target not in cpu.FEATURES and target not in cpu.own_targets()
    return shimmed or target in cpu.host_targets()


def library(folder: Path, sanitize: str | None = None) -> Path:
    """The library with every shim of this folder; built once per source and compiler, since many tests want it."""
    sources = [*sorted(CSRC.glob("*.[ch]")), *sorted(SHIMS.iterdir()), CSRC.parent / "toolkit" / "targets.py"]
    text = b"".join(path.read_bytes() for path in sources) + host_toolchain("auto").version.encode()
    key = hashlib.sha256(text + (sanitize or "").encode()).hexdigest()[:16]
    kept = CACHE / "kernels" / f"kernels-{key}{SUFFIX}"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        built = build_kernels(folder, extra=[SHIMS / "twin.c"], sanitize=sanitize)
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copy(built, part)
        os.replace(part, kept)  # two processes may build it at once
    return kept


class Kernels:
    """The library; arrays go in and out as numpy arrays whose buffers are exactly as long as the contract says."""

    def __init__(self, library: Path) -> None:
        self.ffi = cffi.FFI()
        calls = [f"void tl_{op}_{t.name}{CALLS[op]}" for t in HERE for op in sorted(t.ops)]
        self.ffi.cdef(STRUCTS + structs() + TWINS + "\n".join(calls))
        self.lib = self.ffi.dlopen(str(library))
        self.kept: WeakKeyDictionary[Any, dict[str, np.ndarray]] = WeakKeyDictionary()  # arrays live as long as structs

    @classmethod
    def build(cls, folder: Path, sanitize: str | None = None) -> Kernels:
        """Compiles it, in `folder`, unless one of the same sources is there."""
        return cls(library(folder, sanitize))

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

    def parameters(self, q: QLayer, target: str) -> Any:
        """A layer packed for a target, as the generator writes it: a pointer to its struct."""
        _, packed = place(q, target)
        arrays = {
            a.suffix: np.ascontiguousarray(a.array, a.ctype.split()[-1].removesuffix("_t")) for a in packed.arrays
        }
        p = self.ffi.new(f"{packed.struct} *")
        for field, value in packed.fields:
            if "{layer}" in value:  # code made for the layer: the twins need none
                continue
            setattr(p, field, self.pointer(arrays[value[1:]]) if value.startswith("@") else int(value))
        self.kept[p] = arrays
        return p

    def lstm_step(
        self, target: str, q: QLayer, x: np.ndarray, h: np.ndarray, c: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of a target's kernel -> h', c'."""
        return self.lstm_step_of(target, self.parameters(q, target), x, h, c)

    def lstm_step_of(
        self, target: str, p: Any, x: np.ndarray, h: np.ndarray, c: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same of a layer that `parameters` packed."""
        new, cell = np.empty(len(h), np.int16), c.astype(np.int16)
        before, sample = h.astype(np.int16), x.astype(np.int16)
        function = getattr(self.lib, f"tl_lstm_step_w8a16_{target}")
        function(self.pointer(new), self.pointer(cell), self.pointer(before), self.pointer(sample), p)
        return new.astype(np.int64), cell.astype(np.int64)

    def gru_step(self, target: str, q: QLayer, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        """One step of a target's kernel -> h'."""
        return self.gru_step_of(place(q, target)[0], q, self.parameters(q, target), x, h)

    def gru_step_of(self, target: str, q: QLayer, p: Any, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        """The same of a layer that `parameters` packed. With reset after there is no scratch, and none to touch."""
        new, reset = np.empty(len(h), np.int16), np.empty(len(h), np.int16)
        before, sample = h.astype(np.int16), x.astype(np.int16)
        scratch = self.ffi.NULL if gru.reset_after(q) else self.pointer(reset)
        function = getattr(self.lib, f"tl_gru_step_w8a16_{target}")
        function(self.pointer(new), scratch, self.pointer(before), self.pointer(sample), p)
        return new.astype(np.int64)

    def cell(
        self, target: str, q: QLayer, p: Any, x: np.ndarray, state: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """One step of any recurrent layer that `parameters` packed for `target` -> its state, tensor by tensor."""
        owner = place(q, target)[0]
        if q.op == "gru":
            return {"h": self.gru_step_of(owner, q, p, x, state["h"])}
        h, c = self.lstm_step_of(owner, p, x, state["h"], state["c"])
        return {"h": h, "c": c}

    def dense(self, target: str, q: QLayer, h: np.ndarray) -> np.ndarray:
        """A target's dense kernel -> y."""
        p = self.parameters(q, target)
        y, v = np.empty(len(q.arrays["b"]), np.int32), h.astype(np.int16)
        getattr(self.lib, f"tl_dense_w16a16_{target}")(self.pointer(y), self.pointer(v), p)
        return y.astype(np.int64)
