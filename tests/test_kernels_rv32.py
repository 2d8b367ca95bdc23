"""The kernels of rv32 as RISC-V code in unicorn against the oracle, and what a step costs. (The C twin: test_ops.)"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import small_layers as small
from tests.conftest import needs
from tests.riscv_call import Riscv, build
from toolkit.codegen.pack_small import lstm_rv32

TOOLS = {"gcc": "riscv-gcc", "zig": "zig"}


@pytest.fixture(scope="module", params=sorted(TOOLS))
def core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Riscv:
    needs(TOOLS[request.param], "unicorn")
    image: Path = build(tmp_path_factory.mktemp("rv32"), request.param)
    return Riscv(image, request.param)


def test_equals_the_oracle(core: Riscv) -> None:
    rng = np.random.default_rng(7)
    shapes = [(i, h) for i in (1, 2, 3, 4, 5) for h in (1, 2, 3, 8, 9)] + [(9, 15), (20, 33), (7, 140), (140, 5)]
    for number, (inputs, hidden) in enumerate(shapes * 4):
        wide, extreme = bool(number & 1), bool(rng.integers(2))
        q = small.random_layer(rng, inputs, hidden, wide=wide, extreme=extreme)
        state = small.random_state(rng, q, extreme=extreme)
        h, c, _ = core.step(lstm_rv32(q), state, count=False)
        want = small.expected(q, state)
        assert np.array_equal(h, want[0]) and np.array_equal(c, want[1]), (inputs, hidden, wide)


@pytest.mark.parametrize("wide", [True, False])
def test_what_a_step_costs_at_most_whatever_the_data(core: Riscv, wide: bool) -> None:
    """(16,64): 3.6 instructions per multiply-accumulate with gcc, the bar; zig's clang misses it by 1 %, held at 3.65.
    One count for all numbers."""
    rng, counts = np.random.default_rng(0), set()
    for extreme in (False, True, True):
        q = small.random_layer(rng, 16, 64, wide=wide, extreme=extreme)
        counts.add(core.step(lstm_rv32(q), small.random_state(rng, q, extreme=extreme), count=True)[2])
    assert len(counts) == 1
    assert counts.pop() <= (3.6 if core.compiler == "gcc" else 3.65) * 4 * 64 * (16 + 64)
