"""The native hook that counts: instructions and estimated cycles, per function and per layer."""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit import elf
from toolkit.build import native_hook
from toolkit.emulate.cores import CLASSES, Core, cycles_of
from toolkit.emulate.outcome import Counts
from toolkit.errors import ToolkitError

NO_FUNCTION, NO_LAYER = "(no symbol)", ""


class _Core(ctypes.Structure):
    """Twin of tl_core in hook.c."""

    _fields_ = [
        *((name, ctypes.c_uint8 * len(CLASSES)) for name in ("fixed", "each", "taken")),
        ("pipelined", ctypes.c_uint8),
    ]


class Block(ctypes.Structure):
    """Twin of tl_block in hook.c."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("size", "instructions", "cycles")),
        ("function", ctypes.c_uint16),
        ("first", ctypes.c_uint8),
        ("last", ctypes.c_uint8),
    ]


class _Cell(ctypes.Structure):
    """Twin of tl_cell in hook.c."""

    _fields_ = [("instructions", ctypes.c_uint64), ("cycles", ctypes.c_uint64)]


def _all(kind: Any, *names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names]


class _Counter(ctypes.Structure):
    """Twin of tl_counter in hook.c."""

    _fields_ = [
        *_all(ctypes.c_void_p, "code"),
        *_all(ctypes.c_uint64, "base", "bytes"),
        *_all(ctypes.c_void_p, "cache", "function", "core", "cells"),
        *_all(ctypes.c_uint64, "layers"),
        *_all(ctypes.c_void_p, "layer", "entries", "least", "most", "kernel", "read_register", "read_memory"),
        ("registers", ctypes.c_int32 * 6),
        *_all(ctypes.c_uint64, "begin", "end", "total", "outside", "entered", "inside", "calls", "sum", "min", "max"),
        *_all(ctypes.c_uint64, "spent", "cycles", "cycles_min", "cycles_max", "in_layer", "leave", "since"),
        *_all(ctypes.c_void_p, "before"),
        *_all(ctypes.c_uint64, "before_end", "before_last"),
    ]


@dataclass(frozen=True, slots=True)
class Profile:
    """Sums over all calls of the region, without (function, layer) pairs that never ran.

    cells: (function, layer) -> instructions, cycles; entries: calls of each layer; cycles: sum, min, max of a call.
    calls: fewest and most instructions of a call of each layer that was called; without those nobody tells apart."""

    cells: Mapping[tuple[str, str], tuple[int, int]]
    entries: Mapping[str, int]
    cycles: tuple[int, int, int]
    calls: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@functools.cache
def _hook() -> Any:
    return ctypes.CDLL(str(native_hook()))


def _core(core: Core | None) -> _Core:
    """Without a core, every cost is zero."""
    if core is None:
        return _Core()
    tables = (cycles_of(core.fixed, 1), cycles_of(core.each, 0), cycles_of(core.taken, 0))
    return _Core(*((ctypes.c_uint8 * len(CLASSES))(*table) for table in tables), core.pipelined)


def decode_block(core: Core, code: bytes) -> Block:
    """Instructions and cycles of Thumb code, as if it followed no load and fell through."""
    block = Block()
    _hook().tl_decode_block(ctypes.byref(_core(core)), code, ctypes.c_uint32(len(code)), ctypes.byref(block))
    return block


def _functions(image: Path, base: int, size: int) -> tuple[list[elf.Symbol], Any]:
    """The functions of an image by address, and for each half-word of flash the index of its function, from 1."""
    code = [s for s in elf.symbols(image) if s.kind == "code" and base <= s.address < base + size]
    ends = [*(s.address for s in code[1:]), base + size]
    of = (ctypes.c_uint16 * (size // 2 + 1))()
    for k, (s, end) in enumerate(zip(code, ends, strict=True), start=1):
        end = min(end, s.address + s.size) if s.size else end  # assembly need not say its size
        first, last = (s.address - base) // 2, (end - base + 1) // 2
        of[first:last] = [k] * (last - first)
    return code, of


class Counter:
    """Counts while an image runs in unicorn. layers: names of the constants that are the layers' parameters -> the
    functions that take them; a call of another, with such an address left on the stack, is no layer's."""

    def __init__(self, machine: Any, image: Path, core: Core | None, layers: Mapping[str, str]) -> None:
        size, base = len(machine.image), machine.flash.origin
        self._functions, function = _functions(image, base, size)
        consts = {s.name: s.address for s in elf.symbols(image) if s.kind == "const"}
        self._layers = [name for name in layers if name in consts]
        probes = {s.name: s.address for s in self._functions if s.name in ("tl_probe_begin", "tl_probe_end")}
        own = set(layers.values())
        kernels = [s.address if s.name in own else 0 for s in self._functions]
        rows, columns = len(kernels) + 1, len(self._layers) + 1
        self._cells = (_Cell * (rows * columns))()
        self._entries, self._least, self._most = ((ctypes.c_uint64 * columns)() for _ in range(3))
        uclib = importlib.import_module("unicorn.unicorn_py3.unicorn").uclib
        arm = importlib.import_module("unicorn.arm_const")
        parts = {
            "code": (ctypes.c_uint8 * size).from_buffer_copy(machine.image),
            "cache": (Block * (size // 2 + 1))(),
            "function": function,
            "core": _core(core),
            "cells": self._cells,
            "layer": (ctypes.c_uint32 * columns)(*(consts[name] for name in self._layers)),
            "entries": self._entries,
            "least": self._least,
            "most": self._most,
            "kernel": (ctypes.c_uint32 * rows)(0, *kernels),
        }
        self._alive = parts
        self._state = _Counter(
            **{name: ctypes.addressof(part) for name, part in parts.items()},
            base=base,
            bytes=size,
            layers=columns,
            read_register=ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p),
            read_memory=ctypes.cast(uclib.uc_mem_read, ctypes.c_void_p),
            registers=(ctypes.c_int32 * 6)(
                *(getattr(arm, f"UC_ARM_REG_{name}") for name in ("R0", "R1", "R2", "R3", "SP", "LR"))
            ),
            begin=probes.get("tl_probe_begin", 0),
            end=probes.get("tl_probe_end", 0),
        )
        self._attach(uclib, machine)

    def _attach(self, uclib: Any, machine: Any) -> None:
        """The Python binding has no way to pass a native function, so this calls uc_hook_add through its own handle."""
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            machine.uc._uch,
            ctypes.byref(handle),
            importlib.import_module("unicorn").UC_HOOK_BLOCK,
            ctypes.cast(_hook().tl_count_block, ctypes.c_void_p),
            ctypes.byref(self._state),
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),  # begin > end: everywhere
        )
        if status != 0:
            raise ToolkitError(f"unicorn refuses the block hook: error {status}; install unicorn 2.1.4")

    def counts(self, image: Path) -> Counts:
        """Raises: ToolkitError when code ran that cannot be counted."""
        s = self._state
        if s.outside:
            raise ToolkitError(f"{s.outside} blocks ran outside the flash of {image}: they cannot be counted")
        return Counts(s.calls, s.sum, s.min, s.max, s.total)

    def profile(self) -> Profile:
        """What was counted between the probes."""
        names = [NO_FUNCTION, *(s.name for s in self._functions)]
        layers = [NO_LAYER, *self._layers]
        cells: dict[tuple[str, str], tuple[int, int]] = {}
        for i, name in enumerate(names):
            for k, layer in enumerate(layers):
                cell = self._cells[i * len(layers) + k]
                if cell.instructions:
                    a, b = cells.get((name, layer), (0, 0))  # two static functions may have one name
                    cells[name, layer] = (a + cell.instructions, b + cell.cycles)
        entries = {name: int(self._entries[i]) for i, name in enumerate(self._layers)}
        s = self._state
        calls = {
            name: (int(self._least[i]), int(self._most[i])) for i, name in enumerate(self._layers) if entries[name]
        }
        return Profile(cells, entries, (s.cycles, s.cycles_min, s.cycles_max), calls)
