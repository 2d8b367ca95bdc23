"""What the GRU steps of v6m, v7m and rv32 cost in unicorn. (Their bits: test_ops, test_slices, tests/steps.py.)"""

from __future__ import annotations

from collections.abc import Callable
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
MOST = {("v6m", True): 4.2, ("v7m", True): 2.65, ("rv32", True): 3.65}
MOST |= {("v6m", False): 4.27, ("v7m", False): 2.75, ("rv32", False): 3.7}
"""Instructions per multiply-accumulate of (16,64), with reset after and before."""
Step = Callable[[Packed, dict[str, np.ndarray], int, bool], tuple[np.ndarray, np.ndarray, int]]


def machine(core: str, target: str, kind: str, folder: Path) -> Step:
    """The GRU step of a target's file on a core: (layer, state, shift of h and x, whether to count)."""
    name = f"tl_gru_step_w8a16_{target}"
    if core == "rv32":
        needs("riscv-gcc" if kind == "gcc" else kind, "unicorn")
        riscv = Riscv(build(folder, kind, target))
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
