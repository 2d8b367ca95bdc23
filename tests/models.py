"""Networks compiled for this computer: many in one library, because a build costs a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantize.graph import layered
from quantize.oracle import Stream
from quantize.qnetwork import QNetwork
from tests.nets import generated, random_raw, random_x
from toolkit.build import build_host
from toolkit.codegen.render import write_folder
from toolkit.host import HostModel

PREDICT, MISSING, RESET, STEP, RUN, RELOAD, SLICES = range(7)


@dataclass(frozen=True, slots=True)
class Compiled:
    """Networks and the one library that holds them all."""

    networks: tuple[QNetwork, ...]
    library: Path

    def host(self, q: QNetwork) -> HostModel:
        """A new stream of one of them."""
        return HostModel(q, self.library, float_api=True)


def compile_all(networks: Sequence[QNetwork], folder: Path, *, sanitize: str | None = None) -> Compiled:
    """Generates and compiles; each network needs a name of its own."""
    files: dict[str, str] = {}
    for q in networks:
        files |= generated(q)
    write_folder(files, folder / "c")
    return Compiled(tuple(networks), build_host(folder / "c", folder / "build", sanitize=sanitize))


def random_calls(rng: np.random.Generator, q: QNetwork, steps: int) -> list[tuple[int, np.ndarray]]:
    """Calls with their data: mostly predict, with gaps up to just beyond max_gap, resets, integer steps and reloads."""
    calls: list[tuple[int, np.ndarray]] = []
    none = np.empty(0, np.int64)
    raw = random_raw(rng, q, steps)
    odds = [0.68, 0.2, 0.02, 0, 0, 0.1, 0] if layered(q) else [0.54, 0.2, 0.02, 0.06, 0.06, 0.06, 0.06]
    while len(calls) < steps:
        kind = rng.choice(7, p=odds)
        if kind == PREDICT:
            calls.append((PREDICT, raw[len(calls)]))
        elif kind == MISSING:
            calls += [(MISSING, none)] * int(rng.choice([1, 2, min(q.max_gap, 12), min(q.max_gap, 12) + 1]))
        elif kind in (STEP, SLICES):
            calls.append((int(kind), random_x(rng, (len(q.inputs),))))
        elif kind == RUN:
            calls.append((RUN, random_x(rng, (int(rng.integers(0, 5)), len(q.inputs)))))
        else:
            calls.append((int(kind), none))
    return calls[:steps]


def call(stream: Stream | HostModel, kind: int, data: np.ndarray) -> list[int]:
    """One call -> what came out of it."""
    if kind == PREDICT:
        return [int(v) for v in stream.predict(data)]
    if kind == MISSING:
        return [int(v) for v in stream.predict_missing()]
    if kind == STEP:
        return [int(v) for v in stream.step(data)]
    if kind == SLICES:
        budget = 1 + int(abs(data[0])) % 40
        return [
            int(v) for v in (stream.step(data) if isinstance(stream, Stream) else stream.step_in_slices(data, budget))
        ]
    if kind == RUN:
        return [int(v) for v in stream.run(data)]
    if kind == RESET:
        stream.reset()
    else:
        stream.restore(state(stream))
    return []


def state(stream: Stream | HostModel) -> bytes:
    """The saved bytes."""
    return stream.save() if isinstance(stream, Stream) else stream.state()


def assert_same(
    q: QNetwork, host: HostModel, calls: Sequence[tuple[int, np.ndarray]], oracle: Stream | None = None
) -> None:
    """Every output and every saved state of a replay: oracle = host C."""
    stream = oracle if oracle is not None else Stream(q)
    for at, (kind, data) in enumerate(calls):
        where = f"{q.name}, call {at} of kind {kind}"
        assert call(host, kind, data) == call(stream, kind, data), where
        assert state(host) == state(stream), where
        assert host.warmed_up == stream.warmed_up, where
