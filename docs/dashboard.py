"""Writes docs/dashboard.txt: the dashboard in a 100 x 30 terminal, the plain log, and what the dashboard costs.

`python docs/dashboard.py`, from the root; needs pyte and plotext; about two minutes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parents[1]
ROWS, COLUMNS = 30, 100
TRAIN = [sys.executable, "-m", "toolkit", "train", "--preset", "glucose"]
ROUNDS = 12
LONGER = ["--set", "train.patience=1000", "--set", "train.epochs=60"]


def on_terminal(command: list[str]) -> list[str]:
    """Runs a command in a terminal; the last screen of the dashboard within the first half of its epochs."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=ROOT)
    os.close(theirs)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, kept = pyte.ByteStream(screen), list[str]()
    while child.poll() is None:
        if select.select([ours], [], [], 0.05)[0]:
            try:
                stream.feed(os.read(ours, 1 << 16))
            except OSError:  # the other side has closed it
                break
            at = re.match(r"epoch (\d+)/(\d+) .*samples/s", screen.display[1])
            if at and 2 * int(at[1]) <= int(at[2]):
                kept = [line.rstrip() for line in screen.display]
    os.close(ours)
    if child.wait():
        raise SystemExit(f"{' '.join(command)}: exit {child.returncode}")
    return kept


def seconds(folder: Path) -> float:
    """Of the training of a run, without what comes before it."""
    return float(json.loads((folder / "train.json").read_text("utf-8"))["training"]["seconds"])


def cost(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of the same training (with the dashboard, without), in turn."""
    told, plain = list[float](), list[float]()
    command = [*TRAIN, *LONGER, "--out", str(folder)]
    for k in range(ROUNDS):
        on_terminal(command)
        told.append(seconds(folder))
        on_terminal([*command, "--plain"])
        plain.append(seconds(folder))
        print(f"{k + 1}/{ROUNDS}: {told[-1]:.2f} s, plain {plain[-1]:.2f} s", flush=True)
    return told, plain


def page() -> str:
    """The text of docs/dashboard.txt."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = on_terminal([*TRAIN, *LONGER, "--out", str(folder)])
        log = subprocess.run(
            [*TRAIN, "--plain", "--board", "mps2_an386", "--out", "runs/glucose"],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
        told, plain = cost(folder)
    added = min(told) / min(plain) - 1
    rule = "-" * COLUMNS
    return "\n".join(
        [
            f"Written by docs/dashboard.py. `toolkit train --preset glucose {' '.join(LONGER)}`",
            f"in a terminal of {COLUMNS} x {ROWS}, half way:",
            *(rule, *shown, rule),
            "`toolkit train --preset glucose --plain --board mps2_an386`, or the same without --plain",
            "where standard error is no terminal:",
            *(rule, *log.rstrip().splitlines(), rule),
            f"What the dashboard costs: {added:+.1%} of wall time ({min(told):.2f} s with it, {min(plain):.2f} s with "
            f"--plain; of each the fastest of",
            f"{ROUNDS}, in turn: others use the machine, too; the training alone).",
            "",
        ]
    )


if __name__ == "__main__":
    begun = time.monotonic()
    (ROOT / "docs" / "dashboard.txt").write_text(page(), "utf-8")
    print((ROOT / "docs" / "dashboard.txt").read_text("utf-8"), f"{time.monotonic() - begun:.0f} s", sep="\n")
