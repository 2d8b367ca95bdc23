"""The fake model's firmware at the other end of a line: a program of this computer, or an emulated board."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

from tests import fake_model
from tests.conftest import needs
from toolkit.boards import load_board
from toolkit.build import build_firmware, build_host_firmware
from toolkit.emulate import qemu
from toolkit.wire.stream import Port, Process, Stream

_FOLDER = tempfile.TemporaryDirectory(prefix="tealight-wired-")
NEEDS = {  # any other board: MACHINE
    "host": ("host-cc",),
    "sanitized": ("gcc",),
    "pty": ("host-cc", "pyserial"),
    "aarch64_user": ("aarch64-gcc", "qemu-aarch64"),
    "qemu_riscv32": ("riscv-gcc", "qemu-riscv32"),
}
MACHINE = ("arm-gcc", "qemu")


@functools.cache
def program(name: str) -> list[str]:
    """The command of a device: host, sanitized (the same under ASan and UBSan), or an emulated board's name."""
    folder = Path(_FOLDER.name) / name
    c_dir = fake_model.write(folder, fake_model.vectors(20))
    board = load_board("host" if name == "sanitized" else name)
    if board.memory is None:
        sanitize = "address,undefined" if name == "sanitized" else None
        return [str(build_host_firmware(c_dir, board, folder / "build", sanitize=sanitize))]
    build_firmware(c_dir, board, folder / "build", toolchain="auto", say=lambda _: None, purpose="serve")
    return qemu.command(folder / "build" / "firmware.elf", board, ())


def opened(name: str) -> Stream:
    """A device that runs until the stream closes; `pty` is the host's program behind a pseudo-terminal."""
    needs(*NEEDS.get(name, MACHINE))
    return Terminal() if name == "pty" else Process(name, program(name))


class Terminal:
    """The host's program with a pseudo-terminal as its serial line; `port` is a stream to the terminal's other side."""

    def __init__(self) -> None:
        import tty

        self.far, self.near = os.openpty()  # `near` stays open, or the program sees the line end when a port closes
        tty.setraw(self.far)
        self.device = os.ttyname(self.near)
        self.process = subprocess.Popen(program("host"), stdin=self.far, stdout=self.far)
        self.port = Port(self.device)
        self.name, self.write, self.read = self.device, self.port.write, self.port.read

    def vanish(self) -> None:
        """As a board that is unplugged."""
        self.process.kill()
        self.process.wait()
        if self.far >= 0:
            os.close(self.far)
            os.close(self.near)
            self.far = -1

    def close(self) -> None:
        self.port.close()
        self.vanish()
