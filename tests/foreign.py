"""Calls kernels of another instruction set in a program that reads its calls from standard input.

A call is 7 uint64: the op (0 LSTM, 1 GRU, 2 dense), the bytes of memory, 5 pointers; then the memory, which lies at
a fixed address. The program sends it back as the kernel left it, all of it: what should not change is compared, too."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quantize.ops import OPS, gru
from quantize.qnetwork import QLayer
from tests.nets import random_cell, random_dense, random_x
from toolkit.codegen.packers import PACKERS

OP = {"lstm": 0, "gru": 1, "dense": 2}


@dataclass
class Memory:
    """What lies at `base`: arrays with a pattern between them. pointer: `I` or `Q`, as struct packs an address."""

    base: int
    pointer: str
    data: bytearray = field(default_factory=bytearray)

    def put(self, values: np.ndarray | bytes, align: int, skew: int) -> int:
        """Copies an array to an address that is `skew` behind a multiple of `align`."""
        self.data += b"\xa5" * (16 + (skew - len(self.data) - 16) % align)
        at = len(self.data)
        self.data += values if isinstance(values, bytes) else values.tobytes()
        return self.base + at

    def expect(self, address: int, values: np.ndarray) -> None:
        """What the kernel is to leave there."""
        at, data = address - self.base, values.tobytes()
        self.data[at : at + len(data)] = data


def parameters(memory: Memory, q: QLayer, target: str) -> int:
    """A packed layer in the memory -> the address of its struct, as a C compiler lays it out."""
    packed = PACKERS[q.op, target](q)
    assert packed is not None and (q.op == "dense" or packed.struct.endswith(target))
    at = {a.suffix: memory.put(a.array, 64 if q.op != "dense" else 4, 0) for a in packed.arrays}
    values = {name: at[v[1:]] if v.startswith("@") else int(v) for name, v in packed.fields}
    names = ("w", "b") if q.op == "dense" else ("w8", "wx16", "b", "m")
    rest = [v for name, v in values.items() if name not in names]
    form = f"<{len(names)}{memory.pointer}HH{len(rest) - 2}B"
    size = 8 if memory.pointer == "Q" else 4
    body = struct.pack(form, *(values.get(name, 0) for name in names), *rest)
    return memory.put(body + b"\0" * (-len(body) % size), size, 0)


def recurrent(rng: np.random.Generator, target: str, memory: Memory, op: str, size: tuple[int, int]) -> bytes:
    """One random step of a layer: its call; the memory is left as the oracle expects it afterwards."""
    inputs, hidden = size
    q = random_cell(rng, op, f"{op}0", inputs, hidden, int(rng.choice([8, 16])))
    x, h = random_x(rng, (1, inputs)), random_x(rng, (1, hidden))
    state = {"h": h, "c": rng.choice([-32768, 32767, 0, 5, -77, 20000], (1, hidden))}
    trace: dict[str, np.ndarray] = {}
    new, after = OPS[op].int_step(q, x, state, trace)
    p = parameters(memory, q, target)
    skew = 2 * int(rng.integers(4))
    x_at, h_at, new_at = (memory.put(v.astype(np.int16), 8, skew) for v in (x, h, np.zeros_like(h)))
    second, left = 0, None  # c, or the scratch of reset before
    if op == "lstm":
        second, left = memory.put(state["c"].astype(np.int16), 8, skew), after["c"]
    elif not gru.reset_after(q):
        second, left = memory.put(np.zeros(hidden, np.int16), 8, skew), (trace["gru0.r"] * h + (1 << 14)) >> 15
    call = _call(OP[op], memory, new_at, second, h_at, x_at, p)
    memory.expect(new_at, new.astype(np.int16))
    if left is not None:
        memory.expect(second, left.astype(np.int16))
    return call


def dense(rng: np.random.Generator, target: str, memory: Memory, size: tuple[int, int]) -> bytes:
    """The same of a dense layer."""
    q, h = random_dense(rng, "dense0", *size), random_x(rng, (1, size[0]))
    y, _ = OPS["dense"].int_step(q, h, {}, None)
    p, h_at = parameters(memory, q, target), memory.put(h.astype(np.int16), 8, 2 * int(rng.integers(4)))
    y_at = memory.put(np.zeros(size[1], np.int32), 4, 0)
    call = _call(OP["dense"], memory, y_at, h_at, p, 0, 0)
    memory.expect(y_at, y.astype(np.int32))
    return call


def _call(op: int, memory: Memory, *pointers: int) -> bytes:
    memory.data += b"\xa5" * 16
    return struct.pack("<7Q", op, len(memory.data), *pointers) + bytes(memory.data)


SIZES = [(i, h) for i in (1, 2, 3, 5, 8, 17) for h in (1, 2, 7, 8, 9, 15, 16, 17, 20, 31, 33, 40)]
SIZES += [(4, 64), (16, 64), (15, 65), (12, 140), (140, 3)]


def check(command: Sequence[str], target: str, base: int, pointer: str) -> None:
    """Steps of every op at every size, in one run of the program: each must leave the memory as the oracle says."""
    rng, calls, wanted = np.random.default_rng(11), [], []
    for op in ("lstm", "gru", "gru", "dense"):
        for size in SIZES:
            memory = Memory(base, pointer)
            if op == "dense":
                calls.append(dense(rng, target, memory, size))
            else:
                calls.append(recurrent(rng, target, memory, op, size))
            wanted.append((op, size, bytes(memory.data)))
    done = subprocess.run(command, input=b"".join(calls), capture_output=True, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    seen = done.stdout
    assert len(seen) == sum(len(data) for *_, data in wanted)
    for op, size, data in wanted:
        assert seen[: len(data)] == data, (op, size)
        seen = seen[len(data) :]
