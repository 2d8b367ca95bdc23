"""Runs an emulator whose standard output is the serial line of a board."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Sequence

from toolkit.emulate.outcome import Outcome
from toolkit.errors import ToolkitError

_GRACE_S = 10.0  # for an image that ends the emulator, after its EXIT line


def _exit_code(process: subprocess.Popen[str], hands_over: bool) -> int | None:
    """What the image handed over; an image that cannot sleeps, and the emulator is ended."""
    if not hands_over:
        process.terminate()  # not killed: a plugin still writes what it counted
    try:
        code = process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    return code if hands_over else None


def run(command: Sequence[str], timeout_s: float, *, hands_over: bool) -> Outcome:
    """Runs until the EXIT line, the end of the emulator, or the timeout. hands_over: the image's exit code becomes the
    emulator's. Raises: ToolkitError when the emulator cannot start."""
    lines: list[str] = []
    expired = threading.Event()
    with tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace"
            )
        except OSError as e:
            raise ToolkitError(f"{command[0]} does not start: {e.strerror}") from None

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
            ended = lines and lines[-1].startswith("EXIT:")
            code = _exit_code(process, hands_over) if ended else process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        errors.seek(0)
        complaint = errors.read().strip().splitlines()
    note = "" if expired.is_set() or not complaint else complaint[-1]
    return Outcome(lines=tuple(lines), code=code, expired=expired.is_set(), note=note, counts=None)
