"""Random networks without end: oracle = C in every forecast and every saved state.

One image per core serves all of them (tests/parity.py: networks as data); the last campaign generates and compiles each
network, and calls the whole API."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import needs
from tests.long.campaign import campaign, seconds
from tests.machines import CORES
from tests.models import assert_same, compile_all, random_calls
from tests.parity import Bench, differences, expected, long_network, network, random_case, random_chunks

BATCH = 50
CHUNK, HOST_STEPS, CORE_STEPS = 5_000, 1_000_000, 100_000


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> list[Bench]:
    """Every core that this computer can run; the others are named."""
    needs("host-cc")
    found = []
    for core in CORES.values():
        try:
            needs(*core.needs)
        except pytest.skip.Exception as e:
            print(f"{core.name}: {e}")
        else:
            found.append(Bench(core, tmp_path_factory.mktemp(core.name)))
    return found


def test_instructions_are_the_oracle(benches: list[Bench]) -> None:
    """Every core with all its kernels: its own instructions; on this computer Arm's and WebAssembly's by C twins."""
    done: Counter[str] = Counter()

    def check(seed: int) -> None:
        cases = [random_case(BATCH * seed + k) for k in range(BATCH)]
        for bench in benches:
            for target in bench.core.targets:
                assert differences(bench, target, cases) == []
                done[f"{bench.core.name}, {target}"] += BATCH

    try:
        assert campaign(f"parity_instructions_by_{BATCH}", check) > 0
    finally:
        print(*(f"{where}: {count} networks" for where, count in done.items()), sep="\n")


@pytest.mark.parametrize("cell", ["lstm", "gru", "lstm_w8a8"])
def test_longest_run(benches: list[Bench], cell: str) -> None:
    """One stream on every core in step with `ref` here, whose first chunk is the oracle's: all hashes are equal.

    The three share a campaign's time."""
    q, end, done = long_network(cell), time.monotonic() + seconds() / 3, Counter[str]()
    streams = {}
    for bench in benches:
        steps = HOST_STEPS if bench.core.name == "host" else CORE_STEPS
        for target in bench.core.targets:
            streams[f"{bench.core.name}, {target}"] = bench.stream(target, q, random_chunks(q, CHUNK, steps // CHUNK))
    want = expected(q, next(random_chunks(q, CHUNK, 1))).hashes
    try:
        for begin in range(0, HOST_STEPS, CHUNK):
            reference = next(streams["host, ref"])
            assert begin or (reference == want).all()
            done["host, ref"] += CHUNK
            for name, stream in streams.items():
                hashes = next(stream, None) if name != "host, ref" else None
                if hashes is not None:
                    wrong = hashes != reference
                    assert not wrong.any(), f"{name}: {q.name}, step {begin + int(wrong.argmax())}"
                    done[name] += CHUNK
            if time.monotonic() > end:
                break
    finally:
        print(*(f"{q.name} on {name}: {count} steps" for name, count in done.items()), sep="\n")


def test_generated_c_is_the_oracle() -> None:
    needs("host-cc")

    def check(seed: int) -> None:
        """Ten networks in one build."""
        with tempfile.TemporaryDirectory() as folder:
            networks = [network(10 * seed + k) for k in range(10)]
            compiled = compile_all(networks, Path(folder))
            for q in networks:
                assert_same(q, compiled.host(q), random_calls(np.random.default_rng(seed), q, 40))

    assert campaign("parity_generated_by_ten", check) > 0
