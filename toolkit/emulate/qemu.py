"""Runs an image in QEMU and reads its serial line: a whole machine, or a Linux program in user mode."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from toolkit.boards import Board
from toolkit.emulate import serial
from toolkit.emulate.outcome import Outcome

PROGRAMS = {  # by a board's toolchain
    "aarch64": "qemu-system-aarch64",
    "x86_64-uefi": "qemu-system-x86_64",
    "arm-none-eabi": "qemu-system-arm",
    "aarch64-linux": "qemu-aarch64",
    "riscv32": "qemu-system-riscv32",
}


_OVMF = ("ovmf/OVMF.fd", "OVMF/OVMF_CODE.fd", "edk2/x64/OVMF.4m.fd", "qemu/edk2-x86_64-code.fd")


def firmware() -> Path | None:
    """The UEFI firmware for QEMU, where distributions put it."""
    return next((path for name in _OVMF if (path := Path("/usr/share") / name).is_file()), None)


def available(board: Board) -> bool:
    """True when QEMU is on PATH, the board names a machine of it, and what the machine starts is there."""
    known = board.run is not None and board.run.qemu != "" and shutil.which(PROGRAMS[board.toolchain]) is not None
    return known and (board.toolchain != "x86_64-uefi" or firmware() is not None)


def version(board: Board) -> str:
    """E.g. `qemu 7.2.22`."""
    command = [PROGRAMS[board.toolchain], "--version"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"version (\S+)", done.stdout)
    return f"qemu {found[1]}" if found else "qemu"


def _is_program(board: Board) -> bool:
    return board.toolchain == "aarch64-linux"


def command(image: Path, board: Board, more: Sequence[str]) -> list[str]:
    """What runs an image, its serial line on standard input and output."""
    assert board.run is not None
    program = PROGRAMS[board.toolchain]
    if _is_program(board):
        return [program, "-cpu", board.run.qemu, *more, str(image)]
    words = [program, "-M", board.run.qemu, "-display", "none", "-monitor", "none", "-serial", "stdio"]
    if board.toolchain == "x86_64-uefi":  # from the USB disk, as a PC does
        words += ["-bios", str(firmware()), "-cpu", board.run.cpu or "qemu64", "-m", "256", "-net", "none"]
        words += ["-snapshot", "-drive", f"if=none,id=usb,format=raw,file={image.with_suffix('.img')}"]
        return [*words, "-device", "qemu-xhci", "-device", "usb-storage,drive=usb", *more]
    bare = board.toolchain == "aarch64"  # QEMU starts an ELF in EL3, and a plain image as the board does, in EL2
    words += ["-kernel", str(image.with_suffix(".bin") if bare else image), *more]
    if board.toolchain == "riscv32":
        words += ["-bios", "none"]  # else QEMU starts one of its own in machine mode
    return [*words, "-semihosting-config", "enable=on,target=native"] if board.semihosting else words


def counts(board: Board) -> bool:
    """Whether this QEMU takes plugins, which count."""
    done = subprocess.run(
        [PROGRAMS[board.toolchain], "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return "-plugin" in done.stdout


def run(image: Path, board: Board, timeout_s: float, more: Sequence[str] = ()) -> Outcome:
    """Runs until the EXIT line, the end of QEMU, or the timeout. `more`: arguments of QEMU's.

    An image hands its exit code over by a semihosting call, as a program, or to QEMU's test device for RISC-V.
    Raises: ToolkitError when QEMU cannot start."""
    hands_over = board.semihosting or board.toolchain in ("aarch64-linux", "riscv32")
    return serial.run(command(image, board, more), timeout_s, hands_over=hands_over)
