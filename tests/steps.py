"""Single steps of all kernels of a target on a machine, at every block edge: the memory is left as by the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantize.ops import OPS, gru
from quantize.qnetwork import QLayer
from tests.memory import Memory
from tests.nets import random_cell, random_dense, random_x
from tests.parity import Bench
from toolkit.codegen.pack import Packed
from toolkit.codegen.packers import place

SIZES = [(i, h) for i in (1, 2, 3, 5, 8, 17) for h in (1, 2, 7, 8, 9, 15, 16, 17, 20, 31, 33, 40)]
SIZES += [(4, 64), (16, 64), (15, 65), (12, 140), (140, 3)]
Step = tuple[list[int], list[tuple[int, np.ndarray, bool]]]
"""Arguments of a call; where it writes, what it is to leave there, and whether that matters: scratch does not."""


def recurrent(rng: np.random.Generator, memory: Memory, q: QLayer, p: int) -> Step:
    """One random step of a layer."""
    hidden, kind = OPS[q.op].output_size(q), np.dtype(OPS[q.op].STATE["h"])
    x, h = activations(rng, OPS[q.op].input_size(q), kind), activations(rng, hidden, kind)
    state = {"h": h, "c": rng.choice([-32768, 32767, 0, 5, -77, 20000], (1, hidden))}
    new, after = OPS[q.op].int_step(q, x, state, None)
    skew = 2 * int(rng.integers(4))
    odd = skew + (kind.itemsize == 1)
    x_at, h_at, new_at = (memory.put(v.astype(kind), 8, odd) for v in (x, h, np.zeros_like(h)))
    second, left = 0, []  # c, or the scratch of reset before
    if "c" in OPS[q.op].STATE:
        second = memory.put(state["c"].astype(np.int16), 8, skew)
        left = [(second, after["c"].astype(np.int16), True)]
    elif not gru.reset_after(q):
        second = memory.put(np.zeros(hidden, np.int16), 8, skew)
        left = [(second, np.zeros(hidden, np.int16), False)]
    return [new_at, second, h_at, x_at, p], [(new_at, new.astype(kind), True), *left]


def dense(rng: np.random.Generator, memory: Memory, q: QLayer, p: int) -> Step:
    """The same of a dense layer."""
    kind = np.dtype(np.int8 if q.op == "dense_w16a8" else np.int16)
    h = activations(rng, OPS[q.op].input_size(q), kind)
    y, _ = OPS[q.op].int_step(q, h, {}, None)
    h_at = memory.put(h.astype(kind), 8, int(rng.integers(4)) * kind.itemsize)
    y_at = memory.put(np.zeros(y.size, np.int32), 4)
    return [y_at, h_at, p], [(y_at, y.astype(np.int32), True)]


def activations(rng: np.random.Generator, count: int, kind: np.dtype[Any]) -> np.ndarray:
    """[1, count] over the range of their kind, with many at its ends."""
    return random_x(rng, (1, count)) if kind == np.int16 else rng.choice([-128, 127, -1, 0, 77, -90], (1, count))


def random_layers(rng: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[QLayer]:
    """Layers of every op at every size; of GRU and w8a8 two, with any reset mode or activation."""
    ops = ("lstm", "gru", "gru", "lstm_w8a8", "lstm_w8a8")
    cells = [random_cell(rng, op, op, *size, int(rng.choice([8, 16]))) for op in ops for size in sizes]
    return [*cells, *(random_dense(rng, op, *size, op) for op in ("dense", "dense_w16a8") for size in sizes)]


def in_slices(
    rng: np.random.Generator, memory: Memory, q: QLayer, packed: Packed, arguments: list[int]
) -> list[list[int]]:
    """A step as one call, or as two, of some blocks and of the rest."""
    size, slices = OPS[q.op].output_size(q), packed.slices
    if slices is None or size <= slices.block or rng.integers(2):
        return [arguments]
    cut = slices.block * int(rng.integers(1, -(-size // slices.block)))
    kind, calls = np.dtype(OPS[q.op].STATE["h"]), []
    for first, units in ((0, cut), (cut, size - cut)):
        new, second, *rest, _ = arguments
        second += 2 * first if "c" in OPS[q.op].STATE else 0
        calls.append([new + kind.itemsize * first, second, *rest, memory.layer(packed, first, units)])
    return calls


def check(bench: Bench, target: str, layout: str | None = None) -> None:
    """All of them in one memory. layout: the target whose layout the weights are in, where it is another one."""
    rng = np.random.default_rng(11)
    layers = random_layers(rng, SIZES)
    machine = bench.machine_for(target, layers)
    memory, calls, wanted = machine.memory(), [], []
    for q in layers:
        owner, packed = place(q, layout or target)
        function = machine.functions[f"tl_{OPS[q.op].KERNEL}_{target if layout else owner}"]
        arguments, left = (recurrent if OPS[q.op].STATE else dense)(rng, memory, q, memory.layer(packed))
        calls += [(function, a) for a in in_slices(rng, memory, q, packed, arguments)]
        wanted.append((f"{q.op} {OPS[q.op].input_size(q)} -> {OPS[q.op].output_size(q)}", left))
    assert len(memory.data) <= bench.core.room
    memory.data += b"\xa5" * 16
    before = bytes(memory.data)
    memory.data[:] = machine.call(calls, before)
    for what, left in wanted:
        for at, values, matters in left:
            seen = memory.get(at, values.dtype.type, values.size)
            assert not matters or seen.tolist() == values.ravel().tolist(), f"{bench.core.name}, {target}: {what}"
            memory.set(at, before[at - memory.base :][: values.nbytes])
    assert memory.data == before, f"{bench.core.name}, {target}: written outside"
