"""The dashboard, through a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

pytest.importorskip("plotext")
RUN = [sys.executable, "-m", "toolkit", "train", "docs/examples/room.toml", "--set", "train.epochs=4000",
       "--set", "train.patience=4000", "--set", "model.hidden=6"]  # fmt: skip


def test_keys_stop_safely_and_the_terminal_is_as_before(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100)) if hasattr(termios, "tcsetwinsize") else None
    before = termios.tcgetattr(theirs)
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    child = subprocess.Popen([*RUN, "--out", str(tmp_path)], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    seen, sent, end = b"", [b"q", b"s", b"\x1b[D", b"?"], time.monotonic() + 40
    os.set_blocking(ours, False)
    while child.poll() is None and time.monotonic() < end:
        time.sleep(0.3)
        try:
            seen += os.read(ours, 1 << 20)
        except BlockingIOError:
            continue
        if sent and b"samples/s" in seen:
            os.write(ours, sent.pop())
    child.kill()
    assert child.wait() == 0, seen[-2000:]
    for _ in range(99):
        try:
            seen += os.read(ours, 1 << 20)
        except BlockingIOError:
            break
    assert termios.tcgetattr(theirs) == before
    assert b"\x1b[?1049l" in seen
    assert b"stop safely" in seen and b"recent" in seen and b"saved" in seen
    assert (tmp_path / "train.json").is_file() and (tmp_path / "checkpoint.safetensors").is_file()
