"""Writes docs/dashboard.txt: the dashboard in a 100 x 30 terminal, the plain log, and what the dashboard costs.

`python docs/dashboard.py`, from the root; needs pyte and plotext. `--cost` measures the cost anew, which takes a minute
and wants a machine that does nothing else; it is kept in docs/dashboard.json."""

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
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs" / "dashboard.json"
ROWS, COLUMNS = 30, 100
TRAIN = [sys.executable, "-m", "toolkit", "train", "--preset", "glucose"]
ROUNDS = 8
LONGER = ["--set", "train.patience=1000", "--set", "train.epochs=60"]


def on_terminal(command: list[str], *, look: bool) -> tuple[list[str], float]:
    """Runs a command in a terminal: the last screen of the dashboard within the first half of its epochs, if asked to
    `look`, which takes processor time of its own; and the command's processor time in seconds."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=ROOT)
    os.close(theirs)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, kept = pyte.ByteStream(screen), list[str]()
    while True:
        if select.select([ours], [], [], 0.05)[0]:
            try:
                written = os.read(ours, 1 << 16)
            except OSError:  # the other side has closed it
                break
            if not look:
                continue
            stream.feed(written)
            at = re.match(r"epoch (\d+)/(\d+) .*samples/s", screen.display[1])
            if at and 2 * int(at[1]) <= int(at[2]):
                kept = [line.rstrip() for line in screen.display]
    os.close(ours)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return kept, used.ru_utime + used.ru_stime


def seconds(folder: Path) -> float:
    """Of the training of a run, without what comes before it."""
    return float(json.loads((folder / "train.json").read_text("utf-8"))["training"]["seconds"])


def cost(folder: Path) -> dict[str, float]:
    """Of the same training with the dashboard and without, in turn: seconds of the training, the fastest of each, and
    processor seconds of the whole command, the least of each."""
    runs: dict[str, list[tuple[float, float]]] = {"": [], "--plain": []}
    for k in range(ROUNDS):
        for option, taken in runs.items():
            _, used = on_terminal([*TRAIN, *LONGER, "--out", str(folder), *option.split()], look=False)
            taken.append((seconds(folder), used))
            print(f"{k + 1}/{ROUNDS} {option or 'dashboard'}: {taken[-1][0]:.2f} s, processor {used:.2f} s", flush=True)
    (told, told_used), (plain, plain_used) = ([min(column) for column in zip(*x, strict=True)] for x in runs.values())
    return {"shown": told, "plain": plain, "shown_used": told_used, "plain_used": plain_used, "rounds": ROUNDS}


def page() -> str:
    """The text of docs/dashboard.txt."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown, _ = on_terminal([*TRAIN, *LONGER, "--out", str(folder)], look=True)
        log = subprocess.run(
            [*TRAIN, "--plain", "--board", "mps2_an386", "--out", "runs/glucose"],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
    c = json.loads(KEPT.read_text("utf-8"))
    wall, used = c["shown"] / c["plain"] - 1, c["shown_used"] / c["plain_used"] - 1
    rule = "-" * COLUMNS
    return "\n".join(
        [
            f"Written by docs/dashboard.py. `toolkit train --preset glucose {' '.join(LONGER)}`",
            f"in a terminal of {COLUMNS} x {ROWS}, half way:",
            *(rule, *shown, rule),
            "`toolkit train --preset glucose --plain --board mps2_an386`, or the same without --plain",
            "where standard error is no terminal:",
            *(rule, *log.rstrip().splitlines(), rule),
            f"What the dashboard costs: {wall:+.1%} of wall time ({c['shown']:.2f} s of training, "
            f"{c['plain']:.2f} s with --plain),",
            f"{used:+.1%} of the command's processor time ({c['shown_used']:.2f} s, {c['plain_used']:.2f} s); of each "
            f"the least of {c['rounds']} runs,",
            "in turn: others use the machine, too.",
            "",
        ]
    )


if __name__ == "__main__":
    if "--cost" in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as name:
            KEPT.write_text(json.dumps(cost(Path(name)), indent=2) + "\n", "utf-8")
    (ROOT / "docs" / "dashboard.txt").write_text(page(), "utf-8")
