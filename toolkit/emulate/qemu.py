"""Runs an image in qemu-system-arm and reads its serial line."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from toolkit.boards import Board
from toolkit.emulate.outcome import Outcome
from toolkit.errors import ToolkitError

PROGRAM = "qemu-system-arm"
_GRACE_S = 10.0  # for an image that ends by semihosting, after its EXIT line


def available(board: Board) -> bool:
    """True when QEMU is on PATH and the board names a machine of it."""
    return board.run is not None and board.run.qemu != "" and shutil.which(PROGRAM) is not None


def version() -> str:
    """E.g. `qemu 7.2.22`."""
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    words = done.stdout.split()
    return f"qemu {words[3]}" if len(words) > 3 else "qemu"


def counts() -> bool:
    """Whether this QEMU takes plugins, which count."""
    done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return "-plugin" in done.stdout


def _exit_code(process: subprocess.Popen[str], board: Board) -> int | None:
    """What the semihosting call handed over; a board without one sleeps, and is asked to end."""
    if not board.semihosting:
        process.terminate()  # not killed: a plugin still writes what it counted
    try:
        code = process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    return code if board.semihosting else None


def run(image: Path, board: Board, timeout_s: float, more: Sequence[str] = ()) -> Outcome:
    """Runs until the EXIT line, the end of QEMU, or the timeout. `more`: arguments of QEMU's.

    Raises: ToolkitError when QEMU cannot start."""
    assert board.run is not None
    command = [PROGRAM, "-M", board.run.qemu, "-display", "none", "-monitor", "none", "-serial", "stdio"]
    command += ["-kernel", str(image), *more]
    if board.semihosting:
        command += ["-semihosting-config", "enable=on,target=native"]
    lines: list[str] = []
    expired = threading.Event()
    with tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace"
            )
        except OSError as e:
            raise ToolkitError(f"{PROGRAM} does not start: {e.strerror}") from None

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(timeout_s, expire)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip("\r\n"))
                if lines[-1].startswith("EXIT:"):
                    break
            code = _exit_code(process, board) if lines and lines[-1].startswith("EXIT:") else process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        errors.seek(0)
        complaint = errors.read().strip().splitlines()
    note = "" if expired.is_set() or not complaint else complaint[-1]
    return Outcome(lines=tuple(lines), code=code, expired=expired.is_set(), note=note, counts=None)
