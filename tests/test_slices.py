"""Every target's kernels in slices of whole blocks = its step in one call, driven as the generated C drives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantize.ops import OPS, rows
from quantize.qnetwork import QLayer
from tests.conftest import needs
from tests.kernels import Kernels, runnable
from tests.nets import random_gru, random_lstm, random_x
from toolkit.codegen.pack import Slices
from toolkit.codegen.packers import place
from toolkit.targets import TARGETS

CELLS = [(t, op) for t in TARGETS for op in OPS if OPS[op].STATE and OPS[op].KERNEL in TARGETS[t].ops]


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    needs("host-cc")
    return Kernels()


def slice_of(c: Kernels, p: Any, s: Slices, first: int, units: int) -> Any:
    """A copy of a layer's parameters for `units` units from `first` on, as the generated C makes it."""
    copy = c.ffi.new(c.ffi.typeof(p), p[0])
    for field, elements in s.pointers:
        setattr(copy, field, getattr(p, field) + first // s.block * elements)
    for field, _, value in s.counts:
        setattr(copy, field, units * value)
    if hasattr(copy, "first"):
        copy.first = first
    return copy


def in_slices(c: Kernels, target: str, q: QLayer, x: np.ndarray, state: dict[str, np.ndarray], budget: int) -> Any:
    """One step of a layer, `budget` units at a time -> its state."""
    p, (_, packed) = c.parameters(q, target), place(q, target)
    assert packed.slices is not None
    block, size = packed.slices.block, rows.hidden_size(q)
    new = np.full(size, 77, np.int16)
    narrow = {k: np.ascontiguousarray(v, np.int16) for k, v in {**state, "x": x}.items()}
    step = getattr(c.lib, f"tl_{OPS[q.op].KERNEL}_{target}")
    first = 0
    while first < size:
        units = min(size - first, max(block, budget - budget % block))
        part = slice_of(c, p, packed.slices, first, units)
        own = c.pointer(narrow["c"]) + first if "c" in narrow else c.ffi.NULL
        step(c.pointer(new) + first, own, c.pointer(narrow["h"]), c.pointer(narrow["x"]), part)
        first += units
    return {"h": new, **({"c": narrow["c"]} if "c" in narrow else {})}


@pytest.mark.parametrize(("target", "op"), CELLS)
def test_slices_are_the_step(kernels: Kernels, target: str, op: str) -> None:
    if not runnable(target):
        pytest.skip(f"SKIPPED: this processor cannot run the {target} kernels")
    rng = np.random.default_rng(3)
    for inputs, hidden in ((1, 1), (3, 7), (2, 33), (9, 40), (5, 70), (17, 96)):
        for bits in (8, 16):
            q = (
                random_lstm(rng, "l", inputs, hidden, bits)
                if op == "lstm"
                else random_gru(rng, "l", inputs, hidden, bits, after=True)
            )
            assert place(q, target)[0] == target
            for budget in (1, 8, 20, 32, 100):
                state = {k: random_x(rng, (hidden,)) for k in OPS[op].STATE}
                x = random_x(rng, (inputs,))
                _, want = OPS[op].int_step(q, x[None], {k: v[None] for k, v in state.items()}, None)
                got = in_slices(kernels, target, q, x, state, budget)
                for tensor, values in want.items():
                    np.testing.assert_array_equal(got[tensor], values[0])
