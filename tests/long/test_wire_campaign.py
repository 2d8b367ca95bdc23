"""Random and damaged frames without end to the firmware, here, behind a terminal and in emulators: every answer is the
right one, nothing hangs, and a stretch of samples after each thousand still has parity."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.long.campaign import campaign
from tests.wire_model import Fuzz
from tests.wired import opened

DEVICES = {  # frames a seed: as many as take about the same time
    "host": 8000,
    "sanitized": 4000,
    "pty": 4000,
    "aarch64_user": 3000,
    "qemu_riscv32": 400,
    "mps2_an386": 400,
    "mps3_an547": 400,
    "netduinoplus2": 400,
    "microbit": 400,
}


def test_random_frames() -> None:
    done: Counter[str] = Counter()
    with ExitStack() as stack:
        devices: dict[str, Fuzz] = {}
        for name in DEVICES:
            try:
                stream = opened(name)
            except pytest.skip.Exception as e:
                print(f"{name}: {e}")
                continue
            stack.callback(stream.close)
            devices[name] = Fuzz(stream, random.Random(0))

        def check(seed: int) -> None:
            for name, fuzz in devices.items():
                fuzz.rng = random.Random(f"{seed} {name}")
                fuzz.start()
                fuzz.frames(DEVICES[name])
                fuzz.parity()
                done[name] += DEVICES[name]

        try:
            assert devices and campaign("wire", check) > 0
        finally:
            print(*(f"{name}: {count} frames" for name, count in done.items()), sep="\n")
            print(f"{sum(done.values())} frames in all")
