"""Runs an image in unicorn, with the UART of the board's [run] facts, and counts instructions with the native hook."""

from __future__ import annotations

import importlib
import importlib.util
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import elf
from toolkit.boards import Board, Region
from toolkit.emulate.cores import Core
from toolkit.emulate.counter import Counter, Profile
from toolkit.emulate.outcome import Outcome

_PERIPHERALS = Region(0x4000_0000, 0x2000_0000)
_SYSTEM = Region(0xE000_0000, 0x0010_0000)  # System Control Space: plain memory here, nothing in it is needed
_PAGE = 0x1000
_BKPT_SEMIHOSTING = 0xBEAB
_SYS_EXIT, _EXIT_OK = 0x18, 0x20026
_WHOLE_EXIT_LINES = (b"\nEXIT:0\n", b"\nEXIT:1\n")


def _unicorn() -> Any:
    """The package, imported only where it is the job; untyped."""
    return importlib.import_module("unicorn")


def _register(name: str) -> int:
    return int(getattr(importlib.import_module("unicorn.arm_const"), f"UC_ARM_REG_{name}"))


def available(board: Board) -> bool:
    """True when unicorn is installed and knows the board's core."""
    return board.run is not None and board.run.unicorn != "" and importlib.util.find_spec("unicorn") is not None


def version() -> str:
    """E.g. `unicorn 2.1.4`."""
    return f"unicorn {_unicorn().__version__}"


class Machine:
    """A core with flash, RAM and a serial line that can only be written to."""

    def __init__(self, image: Path, board: Board) -> None:
        assert board.run is not None and board.memory is not None
        unicorn, arm = _unicorn(), importlib.import_module("unicorn.arm_const")
        self.board, self.flash, self.ram = board, board.memory.flash, board.memory.ram
        self.file, self.serial = image, bytearray()
        self.code: int | None = None
        self.fault = ""
        # MCLASS alone means a Cortex-M33; the model must be set before anything else is done.
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(getattr(arm, f"UC_CPU_ARM_{board.run.unicorn.upper().replace('-', '_')}"))
        if board.fpu != "none":  # the start-up code's write to CPACR lands in plain memory
            self.uc.reg_write(_register("C1_C0_2"), self.uc.reg_read(_register("C1_C0_2")) | 0xF << 20)
            self.uc.reg_write(_register("FPEXC"), 1 << 30)
        for region in (self.flash, self.ram, _SYSTEM):
            self.uc.mem_map(region.origin, -(-region.length // _PAGE) * _PAGE)
        self.reads, self.uart_write = dict(board.run.reads), board.run.uart_write
        self.uc.mmio_map(_PERIPHERALS.origin, _PERIPHERALS.length, self._read, None, self._write, None)
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._interrupt)
        self.image = bytearray()
        for segment in elf.segments(image):
            offset = segment.address - self.flash.origin
            self.image[len(self.image) :] = bytes(max(0, offset + len(segment.data) - len(self.image)))
            self.image[offset : offset + len(segment.data)] = segment.data
        self.uc.mem_write(self.flash.origin, bytes(self.image))

    def _read(self, _uc: Any, offset: int, _size: int, _user: Any) -> int:
        return self.reads.get(_PERIPHERALS.origin + offset, 0)

    def _write(self, uc: Any, offset: int, _size: int, value: int, _user: Any) -> None:
        if _PERIPHERALS.origin + offset == self.uart_write:
            self.serial.append(value & 0xFF)
            if not self.board.semihosting and self.serial.endswith(_WHOLE_EXIT_LINES):
                uc.emu_stop()

    def _interrupt(self, uc: Any, number: int, _user: Any) -> None:
        pc = uc.reg_read(_register("PC"))
        is_exit = uc.reg_read(_register("R0")) == _SYS_EXIT and self._half_word(pc) == _BKPT_SEMIHOSTING
        if is_exit and self.board.semihosting:
            self.code = 0 if uc.reg_read(_register("R1")) == _EXIT_OK else 1
        else:
            self.fault = f"exception {number} at pc={pc:08x}"
        uc.emu_stop()

    def _half_word(self, address: int) -> int:
        at = address - self.flash.origin
        return int.from_bytes(self.image[at : at + 2], "little") if 0 <= at < len(self.image) else 0

    def run(self, timeout_s: float) -> bool:
        """Runs from reset. Returns False when the timeout ended it."""
        vectors = next(s.address for s in elf.symbols(self.file) if s.name == "tl_vectors") - self.flash.origin
        stack, start = struct.unpack_from("<II", self.image, vectors)
        self.uc.reg_write(_register("SP"), stack)
        began = time.monotonic()
        try:
            self.uc.emu_start(start | 1, 0xFFFF_FFFF, timeout=int(timeout_s * 1e6))
        except _unicorn().UcError as e:
            self.fault = f"{e} at pc={self.uc.reg_read(_register('PC')):08x}"
        return time.monotonic() - began < timeout_s


def run(image: Path, board: Board, timeout_s: float, *, count: bool) -> Outcome:
    """Runs until the EXIT line (semihosting boards: until the exit call), a fault, or the timeout."""
    if not count:
        return _run(Machine(image, board), timeout_s, None, image)
    machine = Machine(image, board)
    return _run(machine, timeout_s, Counter(machine, image, None, {}), image)


def profile(
    image: Path, board: Board, timeout_s: float, *, core: Core | None, layers: Mapping[str, str]
) -> tuple[Outcome, Profile]:
    """`run` with the costs of `core`, shared out to functions and to the layers with these names."""
    machine = Machine(image, board)
    counter = Counter(machine, image, core, layers)
    return _run(machine, timeout_s, counter, image), counter.profile()


def _run(machine: Machine, timeout_s: float, counter: Counter | None, image: Path) -> Outcome:
    in_time = machine.run(timeout_s)
    lines = machine.serial.decode("ascii", "replace").splitlines()
    if machine.fault:
        lines.append(f"FAULT {machine.fault} (unicorn)")
    counts = counter.counts(image) if counter is not None else None
    return Outcome(tuple(lines), machine.code, not in_time, machine.fault, counts)
