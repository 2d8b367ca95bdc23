"""Calls of the kernels in csrc/train: their structs as arrays of words, laid out as tl_train.h says."""

from __future__ import annotations

import functools
import re

import numpy as np

from toolkit.targets import CSRC

HEADER = CSRC / "train" / "tl_train.h"
ALIGNED = 64
KINDS: dict[str, type[np.floating]] = {"float": np.float32, "double": np.float64}
Field = tuple[str, type[np.floating] | None]  # name, what it points to


@functools.cache
def _header() -> tuple[dict[str, tuple[int, str]], dict[str, tuple[Field, ...]]]:
    """(function -> its number and its struct, struct -> its fields)."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text("utf-8"), flags=re.S)
    functions = {name: (k, kind) for k, (name, kind) in enumerate(re.findall(r"call\((\w+), (\w+)\)", text))}
    structs: dict[str, tuple[Field, ...]] = {}
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", text, re.S):
        fields: list[Field] = []
        for declaration in filter(None, map(str.strip, body.split(";"))):
            kind, names = re.fullmatch(r"(?:const )?(\w+)\s+(.*)", declaration, re.S).groups()  # type: ignore[union-attr]
            if kind in structs:
                fields += structs[kind]
            else:
                fields += [(one.strip(" *\n"), KINDS.get(kind)) for one in names.split(",")]
        structs[name] = tuple(fields)
    return functions, structs


class Call:
    """One call: the arrays stay where they are, and alive; a field may be set anew between two runs."""

    def __init__(self, function: str, **values: np.ndarray | int | None) -> None:
        functions, structs = _header()
        self.number, kind = functions[function]
        self.fields = dict(structs[kind])
        if set(values) != set(self.fields):
            raise TypeError(f"{function}: {sorted(set(values) ^ set(self.fields))}: missing or unknown")
        self.index = {name: k for k, name in enumerate(self.fields)}
        self.words = np.zeros(len(self.fields), np.intp)
        self.arrays: dict[str, np.ndarray] = {}
        for name, value in values.items():
            self.set(name, value)

    def set(self, name: str, value: np.ndarray | int | None) -> None:
        """A size; or an array, by its address; or no array."""
        pointer = self.fields[name]
        if isinstance(value, np.ndarray):
            assert pointer is not None and value.dtype == pointer, name
            self.arrays[name] = value
            value = value.ctypes.data
        else:
            assert (value is None) == (pointer is not None and value is None) and (pointer is None or not value), name
        self.words[self.index[name]] = value or 0


class Table:
    """Calls in their order."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.words = np.array([(c.number, c.words.ctypes.data) for c in calls], np.intp).reshape(-1, 2)
        self.address, self.length = self.words.ctypes.data, len(calls)


def zeros(*shape: int) -> np.ndarray:
    """float32 zeros at an address that 64 divides."""
    size = int(np.prod(shape)) * 4
    room = np.zeros(size + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    return room[start : start + size].view(np.float32).reshape(shape)
