"""Memory of a machine that runs kernels: arrays, and C structs as its compiler lays them out; a pattern between."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tests.kernels import SHIMS, STRUCTS, structs
from toolkit.codegen.pack import Packed

GUARD = b"\xa5" * 16


@functools.cache
def layout(kind: str, pointer: int) -> tuple[tuple[tuple[str, int, int], ...], int, int]:
    """Members of a struct of csrc/ or of shims/stream.c: (name, offset, bytes); its size and alignment.

    pointer: bytes of an address."""
    text = STRUCTS + structs((SHIMS / "stream.c",))
    while alias := re.search(rf"typedef (tl_\w+) {kind};", text):
        kind = alias[1]
    body = re.search(rf"typedef struct {{([^}}]*)}} {kind};", text)
    assert body is not None, f"no struct {kind}"
    members, at, most = [], 0, 1
    for declaration in filter(None, map(str.strip, body[1].split(";"))):
        function = re.search(r"\(\*(\w+)\)", declaration)
        base, _, names = declaration.removeprefix("const ").partition(" ")
        for name in [f"*{function[1]}"] if function else names.split(","):
            unit = pointer if "*" in name else np.dtype(base.removesuffix("_t")).itemsize
            count = re.search(r"\[(\d+)\]", name)
            at += -at % unit
            members.append((re.sub(r"[ *]|\[.*", "", name), at, unit * (int(count[1]) if count else 1)))
            at, most = at + members[-1][2], max(most, unit)
    return tuple(members), at + -at % most, most


@dataclass
class Memory:
    """What lies at `base`. pointer: bytes of an address; code: addresses of the functions made for layers, by text.

    placed: where the arrays of the layers lie, which all slices of a layer share."""

    base: int
    pointer: int
    code: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    rooms: list[tuple[int, int]] = field(default_factory=list)
    placed: dict[Packed, dict[str, int]] = field(default_factory=dict)

    def put(self, values: np.ndarray | bytes, align: int, skew: int = 0) -> int:
        """Copies an array to an address that is `skew` behind a multiple of `align`."""
        self.data += GUARD + b"\xa5" * ((skew - len(self.data) - len(GUARD)) % align)
        at = len(self.data)
        self.data += values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes()
        return self.base + at

    def room(self, size: int, align: int, skew: int = 0, byte: int = 0) -> int:
        """Bytes that the machine may change, zeros at first or `byte`, -128 .. 255."""
        at = self.put(bytes([byte & 255]) * size, align, skew)
        self.rooms.append((at - self.base, size))
        return at

    def bytes_of(self, kind: str, values: Mapping[str, int | bytes]) -> bytes:
        """A struct; members that are not named are 0."""
        members, size, _ = layout(kind, self.pointer)
        assert set(values) <= {name for name, *_ in members}, (kind, values)
        data = bytearray(size)
        for name, at, length in members:
            value = values.get(name, 0)
            data[at : at + length] = (
                value if isinstance(value, bytes) else value.to_bytes(length, "little", signed=value < 0)
            )
        return bytes(data)

    def structs(self, kind: str, values: list[Mapping[str, int | bytes]]) -> int:
        """An array of structs."""
        return self.put(b"".join(self.bytes_of(kind, v) for v in values), layout(kind, self.pointer)[2])

    def layer(self, packed: Packed, first: int = 0, units: int | None = None) -> int:
        """A packed layer's arrays and the parameter struct that points to them -> the address of the struct.

        units: those of a slice, from `first` on, as the generated C would set them."""
        at = self.placed.get(packed, {})
        for a in packed.arrays if not at else ():
            assert f"{a.array.dtype}_t" == a.ctype.split()[-1], f"{packed.struct}, {a.suffix}: {a.array.dtype}"
            at[f"@{a.suffix}"] = self.put(a.array, 64 if "_Alignas" in a.ctype else a.array.itemsize)
        self.placed[packed] = at
        made = self.code.get(code_of(packed), 0)
        values = {name: at[v] if v in at else made if "{layer}" in v else int(v) for name, v in packed.fields}
        if units is not None and packed.slices is not None:
            size = {f"@{a.suffix}": a.array.itemsize for a in packed.arrays}
            for name, elements in packed.slices.pointers:
                values[name] += first // packed.slices.block * elements * size[dict(packed.fields)[name]]
            values |= {name: units * value for name, _, value in packed.slices.counts}
            if "first" in {name for name, *_ in layout(packed.struct, self.pointer)[0]}:
                values["first"] = first
        return self.structs(packed.struct, [values])

    def get(self, address: int, kind: type, count: int) -> np.ndarray:
        """An array, as the machine left it."""
        return np.frombuffer(self.data, kind, count, address - self.base).copy()

    def set(self, address: int, values: bytes) -> None:
        """Overwrites what was put there."""
        at = address - self.base
        self.data[at : at + len(values)] = values

    def take(self, after: bytes) -> None:
        """The memory that the machine handed back. Raises: AssertionError where it changed what is not its own."""
        mine = np.ones(len(self.data), bool)
        for at, size in self.rooms:
            mine[at : at + size] = False
        changed = mine & (np.frombuffer(self.data, np.uint8) != np.frombuffer(after, np.uint8))
        assert not changed.any(), f"written outside the arrays, at byte {int(changed.argmax())} of {len(self.data)}"
        self.data[:] = after


def code_of(packed: Packed) -> tuple[str, ...]:
    """The C that was made for a layer's shape; empty where the target's kernels serve any shape."""
    return packed.code
