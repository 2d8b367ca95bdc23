"""Time and progress of a campaign: seeds one after the other, from where the last run stopped, for a slice of time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRESS = ROOT / "build" / "long"


def seconds() -> float:
    """What a campaign may take."""
    return float(os.environ.get("TEALIGHT_LONG_SECONDS", "600"))


def campaign(name: str, check: Callable[[int], None], *, parts: int = 1) -> int:
    """Runs check(seed) for TEALIGHT_LONG_SECONDS (600), shared by the `parts` of a campaign that are tests apart;
    build/long/<name>.txt holds the next seed. Prints the count.

    A seed that fails stays the next one: the same command meets it again. To begin anew, delete the file."""
    PROGRESS.mkdir(parents=True, exist_ok=True)
    progress = PROGRESS / f"{name}.txt"
    first = int(progress.read_text()) if progress.is_file() else 0
    seed, end = first, time.monotonic() + seconds() / parts
    try:
        while seed == first or time.monotonic() < end:
            check(seed)
            seed += 1
    finally:
        progress.write_text(f"{seed}\n")
        print(f"{name}: {seed - first} done in this run, seeds {first} .. {seed - 1}; {seed} in all")
    return seed - first
