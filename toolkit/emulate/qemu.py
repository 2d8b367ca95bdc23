"""Runs an image in QEMU and reads its serial line: a whole machine, or a Linux program in user mode."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from toolkit.boards import Board
from toolkit.emulate.outcome import Outcome
from toolkit.errors import ToolkitError

PROGRAMS = {  # by a board's toolchain
    "arm-none-eabi": "qemu-system-arm",
    "aarch64-linux": "qemu-aarch64",
    "riscv32": "qemu-system-riscv32",
}
_GRACE_S = 10.0  # for an image that ends by semihosting, after its EXIT line


def available(board: Board) -> bool:
    """True when QEMU is on PATH and the board names a machine of it."""
    return board.run is not None and board.run.qemu != "" and shutil.which(PROGRAMS[board.toolchain]) is not None


def version(board: Board) -> str:
    """E.g. `qemu 7.2.22`."""
    command = [PROGRAMS[board.toolchain], "--version"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"version (\S+)", done.stdout)
    return f"qemu {found[1]}" if found else "qemu"


def _is_program(board: Board) -> bool:
    return board.toolchain == "aarch64-linux"


def _command(image: Path, board: Board, more: Sequence[str]) -> list[str]:
    assert board.run is not None
    program = PROGRAMS[board.toolchain]
    if _is_program(board):
        return [program, "-cpu", board.run.qemu, *more, str(image)]
    command = [program, "-M", board.run.qemu, "-display", "none", "-monitor", "none", "-serial", "stdio"]
    command += ["-kernel", str(image), *more]
    if board.toolchain == "riscv32":
        command += ["-bios", "none"]  # else QEMU starts one of its own in machine mode
    return [*command, "-semihosting-config", "enable=on,target=native"] if board.semihosting else command


def counts(board: Board) -> bool:
    """Whether this QEMU takes plugins, which count."""
    done = subprocess.run(
        [PROGRAMS[board.toolchain], "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return "-plugin" in done.stdout


def _exit_code(process: subprocess.Popen[str], board: Board) -> int | None:
    """What the image handed over: by a semihosting call, as a program, or to QEMU's test device for RISC-V; a board
    without these sleeps and is ended."""
    hands_over = board.semihosting or board.toolchain in ("aarch64-linux", "riscv32")
    if not hands_over:
        process.terminate()  # not killed: a plugin still writes what it counted
    try:
        code = process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    return code if hands_over else None


def run(image: Path, board: Board, timeout_s: float, more: Sequence[str] = ()) -> Outcome:
    """Runs until the EXIT line, the end of QEMU, or the timeout. `more`: arguments of QEMU's.

    Raises: ToolkitError when QEMU cannot start."""
    command = _command(image, board, more)
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
            code = _exit_code(process, board) if lines and lines[-1].startswith("EXIT:") else process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        errors.seek(0)
        complaint = errors.read().strip().splitlines()
    note = "" if expired.is_set() or not complaint else complaint[-1]
    return Outcome(lines=tuple(lines), code=code, expired=expired.is_set(), note=note, counts=None)
