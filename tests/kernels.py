"""The kernel test library: every target and tests/shims/twin.c, called through cffi with exact-size buffers."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import cffi
import numpy as np

from quantize.ops import gru
from quantize.qnetwork import QLayer
from tests.images import write_lists
from toolkit import cpu
from toolkit.build import build_kernels
from toolkit.codegen.packers import place
from toolkit.errors import ToolkitError
from toolkit.lock import locked
from toolkit.targets import CSRC, PORTABLE, SHIMS, TARGETS, W8A8
from toolkit.toolchain import CACHE

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
    names = dict.fromkeys(
        h for t in (*HERE, *small, *PORTABLE.values()) for h in t.headers if not h.startswith("tl_tables")
    )
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


@contextlib.contextmanager
def alone(name: str) -> Iterator[Path]:
    """A folder of build/tests that outlives the run, while no other process has it: what is there need not be built."""
    folder = CACHE / "tests" / name
    with contextlib.ExitStack() as stack:
        for _ in range(6000):
            with contextlib.suppress(ToolkitError):
                stack.enter_context(locked(folder))
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"{folder}: another process has held it for 10 minutes")
        yield folder


def library(sanitize: str | None = None) -> Path:
    """The library of every kernel and every shim of this folder; SCons makes anew what changed since the last run."""
    with alone(f"kernels-{sanitize or 'plain'}") as folder:
        lists = write_lists(folder, [t.name for t in HERE if runnable(t.name)])
        shims = [SHIMS / f"{stem}.c" for stem in ("twin", "twin_w8a8", "stream")]
        return build_kernels(folder, extra=[*shims, lists], sanitize=sanitize)


class Kernels:
    """The library; arrays go in and out as numpy arrays whose buffers are exactly as long as the contract says."""

    def __init__(self, sanitize: str | None = None) -> None:
        self.ffi = cffi.FFI()
        calls = [f"void tl_{op}_{t.name}{CALLS[op]}" for t in HERE for op in sorted(t.ops)]
        self.ffi.cdef(STRUCTS + structs() + TWINS + "\n".join(calls))
        self.lib = self.ffi.dlopen(str(library(sanitize)))
        self.layer: QLayer | None = None  # the last one, and how it is packed: that costs more than a step
        self.placed: dict[str, tuple[str, Any]] = {}
        self.kept: WeakKeyDictionary[Any, dict[str, np.ndarray]] = WeakKeyDictionary()  # arrays live as long as structs

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
        """A layer packed for a target, as the generator writes it: a pointer to its struct, whose fields stay so."""
        return self._placed(q, target)[1]

    def _placed(self, q: QLayer, target: str) -> tuple[str, Any]:
        """Whose layout it is, and that pointer."""
        if q is not self.layer:
            self.layer, self.placed = q, {}
        if target not in self.placed:
            self.placed[target] = self._place(q, target)
        return self.placed[target]

    def _place(self, q: QLayer, target: str) -> tuple[str, Any]:
        owner, packed = place(q, target)
        arrays = {
            a.suffix: np.ascontiguousarray(a.array, a.ctype.split()[-1].removesuffix("_t")) for a in packed.arrays
        }
        p = self.ffi.new(f"{packed.struct} *")
        for field, value in packed.fields:
            if "{layer}" in value:  # code made for the layer: the twins need none
                continue
            setattr(p, field, self.pointer(arrays[value[1:]]) if value.startswith("@") else int(value))
        self.kept[p] = arrays
        return owner, p

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
        owner, p = self._placed(q, target)
        return self.gru_step_of(owner, q, p, x, h)

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
        owner = self._placed(q, target)[0]
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
