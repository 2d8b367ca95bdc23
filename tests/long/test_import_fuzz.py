"""Damaged model files of every format, by the hundred thousand: a line that says what is wrong, or a network. No crash,
no traceback, no more than 2 s and 1 GiB for one file."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import needs
from tests.long.campaign import PROGRESS, ROOT, campaign
from tests.long.fuzz_seeds import EDITS, SEEDS

BATCH = 500
BATCHES = {"keras": 50}  # HDF5 is read in a process of its own, several a second
SECONDS = 2.0  # of the worker's own time
HANGS = 30.0  # of anyone's


class Worker:
    """The process of fuzz_worker.py; a new one when it has died."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.long.fuzz_worker"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        assert self._answer(300) is not None, "the worker does not start"

    def _answer(self, seconds: float) -> dict[str, object] | None:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def result(self, path: Path) -> str:
        """What became of a file: "imported", "refused", or what is wrong with us."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(str(path)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return f"the process died before it ({self.process.wait()})"
        answer = self._answer(HANGS)
        if answer is None:
            died = self.process.poll()
            return f"the process died ({died})" if died is not None else f"no answer in {HANGS:g} s"
        slow = float(answer["seconds"]) > SECONDS  # type: ignore[arg-type]
        return f"{answer['seconds']:.1f} s" if slow else str(answer["result"])

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def worker() -> Iterator[list[Worker]]:
    """In a list, so that a dead one can be exchanged."""
    held = [Worker()]
    yield held
    held[0].stop()


def damaged(blob: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One file after one to three of: cut, flipped bits, bytes written over, taken out, doubled, taken from another."""
    data = bytearray(blob)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) + 1))
        size = int(rng.integers(1, 1 + min(64, max(1, len(data)))))
        kind = rng.integers(7)
        if kind == 0:
            del data[at:]
        elif kind == 1 and data:
            for bit in rng.integers(8 * len(data), size=rng.integers(1, 9)).tolist():
                data[bit // 8] ^= 1 << bit % 8
        elif kind == 2:
            data[at : at + size] = rng.bytes(size)
        elif kind == 3:
            data[at : at + size] = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * size
        elif kind == 4:
            del data[at : at + size]
        elif kind == 5:
            data[at:at] = data[at : at + size]
        else:
            there = int(rng.integers(len(other)))
            data[at : at + size] = other[there : there + size]
    return bytes(data)


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_files_are_refused_in_a_line(kind: str, worker: list[Worker], tmp_path: Path) -> None:
    needs("onnx")
    seeds = SEEDS[kind](tmp_path)
    blobs = [p.read_bytes() for p in seeds]
    for p in seeds:
        assert worker[0].result(p) == "imported", p
    done: Counter[str] = Counter()
    batch = BATCHES.get(kind, BATCH)

    def check(seed: int) -> None:
        for k in range(batch):
            rng = np.random.default_rng((seed, k))
            pick, other = rng.integers(len(blobs), size=2)
            edited = kind in EDITS and rng.random() < 0.5
            blob = EDITS[kind](blobs[pick], rng) if edited else damaged(blobs[pick], blobs[other], rng)
            path = tmp_path / f"damaged{seeds[pick].suffix}"
            path.write_bytes(blob)
            result = worker[0].result(path)
            done[result.split(":")[0]] += 1
            if result != "imported" and not result.startswith("refused: "):
                kept = PROGRESS / f"import_fuzz_{kind}_{seed}_{k}{path.suffix}"
                kept.write_bytes(blob)
                worker[0].stop()
                worker[0] = Worker()
                pytest.fail(f"{kept}: {result}")

    try:
        assert campaign(f"import_fuzz_{kind}_by_{batch}", check, parts=len(SEEDS)) > 0
    finally:
        print(kind, dict(done))
