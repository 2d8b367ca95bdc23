"""Random and damaged frames without end to the firmware, here, behind a terminal and in emulators: every answer is the
right one, nothing hangs, and a stretch of samples afterwards still has parity."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.long.campaign import campaign
from tests.wire_model import Fuzz
from tests.wired import opened

DEVICES = {  # frames a seed: each in about a second
    "host": 12000,
    "sanitized": 4000,
    "pty": 4000,
    "aarch64_user": 3000,
    "qemu_riscv32": 200,
    "mps2_an386": 200,
    "mps3_an547": 200,
    "netduinoplus2": 200,
    "microbit": 200,
}


def test_random_frames() -> None:
    done: Counter[str] = Counter()

    def check(seed: int) -> None:
        for name, frames in DEVICES.items():
            try:
                fuzz = Fuzz(opened(name), random.Random(f"{seed} {name}"))  # one at a time: each polls its line
            except pytest.skip.Exception as e:
                print(f"{name}: {e}")
                continue
            try:
                fuzz.start()
                fuzz.frames(frames)
                fuzz.parity()
            finally:
                fuzz.stream.close()
            done[name] += frames

    try:
        assert campaign("wire", check) > 0 and done
    finally:
        print(*(f"{name}: {count} frames" for name, count in done.items()), sep="\n")
        print(f"{sum(done.values())} frames in all")
