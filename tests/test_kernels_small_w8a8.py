"""What a w8a8 step costs on the cores without vectors, whatever the data. (Its bits: test_parity, test_w8a8.)"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from docs.perf_w8a8 import layer
from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from tests.conftest import needs
from tests.machines import CORES, Machine
from tests.test_w8a8 import extreme_layer
from toolkit.codegen.packers import place

BARS = {"cortex-m0": ("v6m", 6.2), "cortex-m3": ("v7m", 3.0), "cortex-m4": ("dsp", 1.48), "rv32im": ("rv32", 4.6)}
"""Instructions per multiply-accumulate at (16,64)."""
SMALL = extreme_layer(np.random.default_rng(5), 3, 5, True, 127)
TYPICAL = layer((16, 64), True)


@pytest.fixture(scope="module", params=sorted(BARS))
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Machine]:
    core = CORES[request.param]
    needs(*core.needs)
    made = [code for q in (SMALL, TYPICAL) if (code := place(q, BARS[core.name][0])[1].code)]
    return core.name, core.build(core, tmp_path_factory.mktemp("image"), made, "auto")


def counts(target: str, machine: Machine, q: QLayer, steps: int) -> Iterator[int]:
    """Instructions of random steps, with data at its ends and between."""
    import unicorn

    rng, seen = np.random.default_rng(0), [0]
    size, inputs = lstm_w8a8.hidden_size(q), lstm_w8a8.input_size(q)

    def one(*_: object) -> None:
        seen[0] += 1

    memory = machine.memory()
    p = memory.layer(place(q, target)[1])
    new, h, x = (memory.room(n, 4) for n in (size, size, inputs))
    c = memory.room(2 * size, 4)
    for _ in range(steps):
        memory.set(h, rng.choice([-128, 127, 0, -1, 60], size).astype(np.int8).tobytes())
        memory.set(x, rng.choice([-128, 127, 0, 1, -70], inputs).astype(np.int8).tobytes())
        memory.set(c, rng.choice([-32768, 32767, 0, -1, 9000], size).astype(np.int16).tobytes())
        seen[0] = 0
        machine.uc.ctl_flush_tb()  # code translated without the hook would not call it
        hook = machine.uc.hook_add(unicorn.UC_HOOK_CODE, one)
        machine.call([(machine.functions[f"tl_lstm_step_w8a8_{target}"], [new, c, h, x, p])], bytes(memory.data))
        machine.uc.hook_del(hook)
        yield seen[0]


def test_what_a_step_costs_at_most(machine: tuple[str, Machine]) -> None:
    core, image = machine
    target, bar = BARS[core]
    assert next(counts(target, image, TYPICAL, 1)) <= bar * lstm_w8a8.macs(TYPICAL)


def test_a_step_costs_the_same_whatever_the_data(machine: tuple[str, Machine]) -> None:
    core, image = machine
    assert place(SMALL, BARS[core][0])[0] == BARS[core][0]
    assert len(set(counts(BARS[core][0], image, SMALL, 100))) == 1
