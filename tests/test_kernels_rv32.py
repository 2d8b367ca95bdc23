"""What an LSTM step of rv32 costs in unicorn. (Its bits: test_ops, test_kernels_small.)"""

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
    return Riscv(image)


@pytest.mark.parametrize("wide", [True, False])
def test_what_a_step_costs_at_most_whatever_the_data(core: Riscv, wide: bool) -> None:
    """(16,64): 3.5 instructions per multiply-accumulate; the bar is 3.6. One count for all numbers."""
    rng, counts = np.random.default_rng(0), set()
    for extreme in (False, True, True):
        q = small.random_layer(rng, 16, 64, wide=wide, extreme=extreme)
        counts.add(core.step(lstm_rv32(q), small.random_state(rng, q, extreme=extreme), count=True)[2])
    assert len(counts) == 1
    assert counts.pop() <= 3.5 * 4 * 64 * (16 + 64)
