"""The dashboard, through a pseudo-terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

ROOM = "docs/examples/room.toml"
RUN = [sys.executable, "-m", "toolkit", "train", ROOM, "--set", "train.epochs=100000",
       "--set", "train.patience=100000", "--set", "model.hidden=6"]  # fmt: skip


def shown(
    command: list[str], act: Callable[[int, subprocess.Popen[bytes]], bool], *, ready: bytes = b"samples/s"
) -> tuple[int, bytes]:
    """Runs a command on a 100 x 30 terminal; once `ready` is shown, `act(terminal, process)` until it returns False.

    Returns the exit code and all that was written, after the terminal's settings were found to be as before."""
    ours, theirs = pty.openpty()
    if hasattr(termios, "tcsetwinsize"):
        termios.tcsetwinsize(theirs, (30, 100))
    before = termios.tcgetattr(theirs)
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.set_blocking(ours, False)
    seen, more, end = b"", True, time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.3)
        with contextlib.suppress(BlockingIOError):
            seen += os.read(ours, 1 << 20)
        if more and ready in seen:
            more = act(ours, child)
    child.kill()
    with contextlib.suppress(BlockingIOError):
        while True:
            seen += os.read(ours, 1 << 20)
    assert termios.tcgetattr(theirs) == before and b"\x1b[?1049l" in seen, seen[-2000:]
    return child.wait(), seen


def test_keys_stop_safely_and_the_terminal_is_as_before(tmp_path: Path) -> None:
    keys = [b"q", b"s", b"\x1b[B", b"\x1b[A", b"\x1b[C", b"\x1b[D", b"?"]

    def press(terminal: int, _: subprocess.Popen[bytes]) -> bool:
        os.write(terminal, keys.pop())
        return bool(keys)

    code, seen = shown([*RUN, "--out", str(tmp_path)], press, ready=b"NER")
    assert code == 0 and b"stop safely" in seen and b"recent" in seen and b"saved" in seen
    assert b"flash" in seen
    assert (tmp_path / "train.json").is_file() and (tmp_path / "checkpoint.safetensors").is_file()


def test_a_signal_leaves_the_terminal_as_before_and_a_checkpoint(tmp_path: Path) -> None:
    def terminate(_: int, child: subprocess.Popen[bytes]) -> bool:
        child.send_signal(signal.SIGTERM)
        return False

    code, _ = shown([*RUN, "--out", str(tmp_path)], terminate)
    assert code == 143 and (tmp_path / "checkpoint.safetensors").is_file()


def test_an_error_inside_an_epoch_leaves_the_terminal_as_before(tmp_path: Path) -> None:
    bad = ["--set", "train.lr=1e30", "--set", "train.clip=1e30", "--set", "train.warmup_epochs=3999"]
    code, seen = shown([*RUN, *bad, "--out", str(tmp_path)], lambda *_: False)
    assert code == 1 and b"the loss is no longer a number" in seen


def test_watch_replays_a_run_and_ends_on_q(tmp_path: Path) -> None:
    quick = ["--set", "train.epochs=3", "--set", "model.hidden=3", "--out", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "toolkit", "train", ROOM, *quick], check=True, stderr=subprocess.DEVNULL)

    def quit_(terminal: int, _: subprocess.Popen[bytes]) -> bool:
        os.write(terminal, b"q")
        return False

    code, seen = shown([sys.executable, "-m", "toolkit", "watch", str(tmp_path)], quit_)
    assert code == 0 and b"epoch 3/3" in seen
    assert "RMSE of temperature [°C]".encode() in seen  # as the run's own files say


def test_what_the_documentation_shows_is_a_screen_and_its_cost() -> None:
    lines = Path("docs/dashboard.txt").read_text("utf-8").splitlines()
    rules = [k for k, line in enumerate(lines) if line == "-" * 100]
    screen = lines[rules[0] + 1 : rules[1]]
    assert len(screen) == 30 and max(map(len, screen)) <= 100
    assert "samples/s" in screen[1] and any("estimated cycles a forecast" in x for x in screen)
    kept = json.loads(Path("docs/dashboard.json").read_text("utf-8"))
    assert f"What the dashboard costs: {kept['shown'] / kept['plain'] - 1:+.1%} of wall time" in "\n".join(lines)
