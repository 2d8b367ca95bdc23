"""The GRU steps of v6m, v7m and rv32 as machine code in unicorn: the oracle's bits, one count for all data, its limit.

(Their C twins: test_ops, test_slices.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize.ops import gru
from quantize.qnetwork import QLayer
from tests.conftest import needs
from tests.nets import random_gru, random_x
from tests.riscv_call import Riscv, build
from tests.thumb import Kernel, compile_kernel
from toolkit.codegen.pack import Packed, gru_ref
from toolkit.codegen.pack_small import gru_rv32, gru_v6m, gru_v7m

CORES = {"v6m": "cortex-m0plus", "v7m": "cortex-m3", "rv32": "rv32"}
PACK: dict[str, Callable[[QLayer], Packed | None]] = {"v6m": gru_v6m, "v7m": gru_v7m, "rv32": gru_rv32, "ref": gru_ref}
LEVEL = {"gcc": "-O2", "zig": "-Os"}
SHAPES = [(i, h) for i in (1, 2, 3, 4, 5) for h in (1, 2, 3, 4, 5, 7, 8, 9)] + [(9, 15), (20, 33), (7, 70), (33, 5)]
MOST = {("v6m", True): 4.2, ("v7m", True): 2.65, ("rv32", True): 3.65}
MOST |= {("v6m", False): 4.27, ("v7m", False): 2.75, ("rv32", False): 3.7}
"""Instructions per multiply-accumulate of (16,64), with reset after and before."""
Step = Callable[[Packed, dict[str, np.ndarray], int, bool], tuple[np.ndarray, np.ndarray, int]]


def machine(core: str, target: str, kind: str, folder: Path) -> Step:
    """The GRU step of a target's file on a core: (layer, state, shift of h and x, whether to count)."""
    name = f"tl_gru_step_w8a16_{target}"
    if core == "rv32":
        needs("riscv-gcc" if kind == "gcc" else kind, "unicorn")
        riscv = Riscv(build(folder, kind, target), kind)
        return lambda packed, state, _, count: riscv.step(packed, state, count=count, name=name)
    needs("arm-gcc" if kind == "gcc" else kind, "unicorn")
    arm = Kernel(compile_kernel(core, f"tl_{target}.c", folder, kind, LEVEL[kind], "gru")[0], core)

    def step(packed: Packed, state: dict[str, np.ndarray], shift: int, count: bool) -> tuple:
        h, reset, cost = arm.step(name, packed, state, shift=shift, count=count)
        assert cost.stack <= 240
        return h, reset, cost.instructions

    return step


def packed_for(target: str, q: QLayer) -> Packed:
    packed = PACK[target](q)
    assert packed is not None
    return packed


def draw(
    rng: np.random.Generator, inputs: int, hidden: int, bits: int, *, after: bool
) -> tuple[QLayer, dict[str, np.ndarray]]:
    q = random_gru(rng, "q", inputs, hidden, bits, after=after)
    h, x = (random_x(rng, (n,)).astype(np.int16) for n in (hidden, inputs))
    return q, {"h": h, "c": np.full(hidden, 77, np.int16), "x": x}


def expected(q: QLayer, state: dict[str, np.ndarray], trace: dict[str, np.ndarray] | None = None) -> np.ndarray:
    rows = {k: v.astype(np.int64)[None] for k, v in state.items()}
    return gru.int_step(q, rows["x"], {"h": rows["h"]}, trace)[0][0]


@pytest.mark.parametrize("kind", sorted(LEVEL))
@pytest.mark.parametrize("target", sorted(CORES))
def test_machine_code_equals_the_oracle(target: str, kind: str, tmp_path: Path) -> None:
    step, rng = machine(CORES[target], target, kind, tmp_path), np.random.default_rng(7)
    for number, shape in enumerate(SHAPES * 8):
        after = bool(number // len(SHAPES) & 1)
        q, state = draw(rng, *shape, (8, 16)[number & 1], after=after)
        h, reset, _ = step(packed_for(target, q), state, number & 2, False)
        trace: dict[str, np.ndarray] = {}
        assert np.array_equal(h, expected(q, state, trace)), (shape, number)
        kept = (trace["q.r"][0] * state["h"] + (1 << 14)) >> 15
        assert np.array_equal(reset, state["c"] if after else kept), "the scratch: r h, or not to be touched"


@pytest.mark.parametrize("target", sorted(CORES))
def test_a_slice_blends_with_its_own_units(target: str, tmp_path: Path) -> None:
    step, rng = machine(CORES[target], target, "gcc", tmp_path), np.random.default_rng(8)
    q, state = draw(rng, 5, 19, 16, after=True)
    packed = packed_for(target, q)
    assert packed.slices is not None
    moved, first = dict(packed.slices.pointers), 8
    arrays = []
    for a in packed.arrays:
        field = next(k for k, v in packed.fields if v == f"@{a.suffix}")
        arrays.append(replace(a, array=a.array.reshape(-1)[first // packed.slices.block * moved[field] :]))
    fields = {**dict(packed.fields), "units": "7", "first": str(first)}
    part = replace(packed, arrays=tuple(arrays), fields=tuple(fields.items()))
    h = step(part, state, 0, False)[0]
    assert np.array_equal(h[:7], expected(q, state)[first : first + 7]) and not h[7:].any()


@pytest.mark.parametrize("kind", sorted(LEVEL))
@pytest.mark.parametrize("target", sorted(CORES))
def test_what_a_step_costs_at_most_whatever_the_data(target: str, kind: str, tmp_path: Path) -> None:
    """(16,64): instructions per multiply-accumulate, one count for all numbers, and at most half of ref's."""
    own, ref = (machine(CORES[target], t, kind, tmp_path) for t in (target, "ref"))
    rng = np.random.default_rng(0)
    for bits, after in ((8, True), (16, True), (8, False), (16, False)):
        counts = set()
        for _ in range(4):
            q, state = draw(rng, 16, 64, bits, after=after)
            counts.add(own(packed_for(target, q), state, 0, True)[2])
        of_ref = ref(gru_ref(q), state, 0, True)[2]
        assert len(counts) == 1
        assert counts.pop() <= min(MOST[target, after] * gru.macs(q), of_ref / 2)
