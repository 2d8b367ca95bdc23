"""Random networks as data on every core that can be emulated, by the core's own instructions; campaigns: tests/long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantize.network import frozen_arrays
from quantize.ops import OPS
from quantize.qnetwork import QNetwork
from tests import steps
from tests.conftest import needs
from tests.machines import CORES
from tests.parity import Bench, Case, differences, expected, first_unit, long_network, random_case, random_chunks
from toolkit import cpu
from toolkit.codegen.packers import place
from toolkit.targets import TARGETS, W8A8

NETWORKS = 40


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [random_case(seed) for seed in range(NETWORKS)]


@pytest.fixture(scope="module", params=sorted(CORES))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    core = CORES[request.param]
    needs(*core.needs)
    return Bench(core, tmp_path_factory.mktemp("image"))


def test_every_target_runs_on_a_core() -> None:
    """The instructions of x86-64 run only where the processor has them, and nowhere here by twins."""
    emulated = {target for core in CORES.values() if core.name != "host" for target in core.targets}
    assert emulated | cpu.FEATURES.keys() == TARGETS.keys()


def test_random_networks_reach_every_kernel(cases: list[Case]) -> None:
    """Of both schemes."""
    for target in TARGETS:
        owners = {(OPS[x.op].KERNEL, place(x, target)[0]) for case in cases for x in case.q.layers}
        for registry in (TARGETS, W8A8):
            if target in registry:
                assert {(op, target) for op in registry[target].ops} <= owners


def test_every_step_at_every_edge(bench: Bench) -> None:
    for target in bench.core.targets:
        steps.check(bench, target)


def test_every_state_is_the_oracle_s(bench: Bench, cases: list[Case]) -> None:
    for target in bench.core.targets:
        assert differences(bench, target, cases) == []


def test_a_stream_goes_on(bench: Bench) -> None:
    """Chunk after chunk, as the longest runs are made."""
    for q in map(long_network, ("lstm", "gru", "lstm_w8a8")):
        chunks = list(random_chunks(q, 20, 3))
        case = expected(q, np.concatenate(chunks))
        for target in bench.core.targets:
            hashes = np.concatenate(list(bench.stream(target, q, chunks)))
            assert hashes.tolist() == case.hashes.tolist(), target


# --- a planted fault ---


def planted(case: Case, rng: np.random.Generator) -> tuple[QNetwork, str, int] | None:
    """The network with one bit of one recurrent weight turned -> it, the layer, the unit. None: the sums do not fit."""
    k = int(rng.integers(len(case.q.layers) - 1))
    x = case.q.layers[k]
    wh = x.arrays["wh"].copy()
    row, column = (int(rng.integers(n)) for n in wh.shape)
    wh[row, column] ^= np.int8(1 << int(rng.integers(4, 7)))
    bad = replace(x, arrays=frozen_arrays({**x.arrays, "wh": wh}))
    if wh[row, column] == -128 or not OPS[x.op].fits(bad).all():
        return None
    layers = (*case.q.layers[:k], bad, *case.q.layers[k + 1 :])
    return replace(case.q, layers=layers), x.name, row % wh.shape[1]


@pytest.fixture(scope="module")
def faults(cases: list[Case]) -> list[tuple[Case, QNetwork, str]]:
    """Faults that show: the case, its network with the fault, and what is to be found, by the oracle."""
    rng, found = np.random.default_rng(17), []
    while len(found) < 4:
        case = cases[int(rng.integers(len(cases)))]
        fault = planted(case, rng)
        if fault is None:
            continue
        q, layer, unit = fault
        wrong = expected(q, case.raw)
        shown = np.flatnonzero(wrong.hashes != case.hashes)
        if len(shown):
            step = int(shown[0])
            where = first_unit(case.q, wrong.states[step], case.states[step])
            assert where.startswith(f"{layer}, ") and f" of unit {unit}: " in where
            found.append((case, q, f"{case.q.name}, step {step}, {where}"))
    return found


def test_a_planted_fault_is_found_and_named(
    bench: Bench, cases: list[Case], faults: list[tuple[Case, QNetwork, str]]
) -> None:
    """One bit of one weight of one layer: network, step, layer and unit, on every core with all its kernels."""
    for case, q, where in faults:
        at = cases.index(case)
        data = [q if k == at else c.q for k, c in enumerate(cases)]
        for target in bench.core.targets:
            assert differences(bench, target, cases, data) == [f"{bench.core.name}, {target}: {where}"]


def test_a_write_outside_is_found(bench: Bench) -> None:
    memory = bench.machine.memory()
    at = memory.put(bytes(64), 16)
    memory.rooms.append((at - memory.base, 63))
    after = bytearray(memory.data)
    after[-2] = 1
    memory.take(bytes(after))
    after[-1] = 1
    with pytest.raises(AssertionError, match="written outside"):
        memory.take(bytes(after))
