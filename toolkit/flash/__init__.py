"""Writes a built image to a board with the tools that people already have, and verifies what was written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import elf, images
from toolkit.boards import Board
from toolkit.elf import Segment
from toolkit.errors import CheckFailed, ToolkitError, nearest
from toolkit.flash import disk, drives
from toolkit.flash.tools import TOOLS, Step, Target, Tool

Say = Callable[[str], None]
_NOBODY = re.compile(
    "no (connected|available|target|probe|debug|device|dfu|accessible)|does not start"
    "|(could not|failed to|unable to) connect|could not open .*port",
    re.I,
)
"""What tools say when there is no board: nothing was written."""
_LOGGED = re.compile(r"^\d+ [A-Z] (.*?)( \[\w+\])?$")
"""A line of pyocd's log: milliseconds, level, text, module."""


@dataclass(frozen=True, slots=True)
class Options:
    """tool: one of TOOLS, `uf2` or `disk`; empty: the first that is here. drive: of a UF2 board; device: a USB disk."""

    tool: str
    port: str
    drive: Path | None
    device: Path | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port. usb: vendor:product; serial: of the board behind it."""

    path: str
    usb: str
    serial: str


def serial_ports() -> list[Port]:
    """Those of USB that are plugged in; none where pyserial is not installed."""
    try:
        from serial.tools.list_ports import comports
    except ImportError:
        return []
    found = [p for p in comports() if p.vid is not None]
    return [Port(p.device, f"{p.vid:04x}:{p.pid:04x}", p.serial_number or "") for p in found]


def choose_port(board: Board, wanted: str, ports: Sequence[Port]) -> Port:
    """The port that is meant: the wanted one, or the only one of such a board; an empty one where none is seen.

    Raises: ToolkitError when there are several."""
    if wanted:
        return next((p for p in ports if p.path == wanted), Port(wanted, "", ""))
    found = [p for p in ports if p.usb in board.tools.usb]
    if len(found) > 1:
        what = ", ".join(p.path for p in found)
        raise ToolkitError(f"{len(found)} boards like {board.name} are plugged in: {what}; choose one with --port")
    return found[0] if found else Port("", "", "")


def check_port(path: str) -> None:
    """Raises: ToolkitError when a serial port is not there, or another program has it."""
    if sys.platform == "win32":
        return  # the tool says it itself
    import fcntl

    try:
        handle = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as e:
        there = ", ".join(p.path for p in serial_ports()) or "none"
        raise ToolkitError(f"{path}: {e.strerror}; serial ports of USB here: {there}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ToolkitError(f"{path}: in use by another program; close that first") from None
    finally:
        os.close(handle)


def whole(image: Path, board: Board) -> Segment:
    """All that is written to flash, gaps as erased flash. Raises: ToolkitError when it does not fit the board."""
    assert board.memory is not None
    flash, ram = board.memory.flash, board.memory.ram
    here = [s for s in elf.segments(image) if not ram.origin <= s.address < ram.origin + ram.length]
    found, _ = images.flat(here)  # a ROM that fills RAM takes its own part from another form
    end = found.address + len(found.data)
    if not flash.origin <= found.address <= end <= flash.origin + flash.length:
        place = f"{flash.origin:#x} to {flash.origin + flash.length:#x}"
        raise ToolkitError(f"{image}: {found.address:#x} to {end:#x}: too big for {board.name}, whose flash is {place}")
    return found


def choose_tool(board: Board, wanted: str) -> tuple[Tool, str]:
    """The wanted tool, or the first that knows the board and is installed; its program.

    Raises: ToolkitError, which says what would do and how to install it."""
    able = [t for t in TOOLS.values() if t.knows(board)]
    if wanted:
        if wanted not in TOOLS:
            raise ToolkitError(f'--tool "{wanted}": not known{nearest(wanted, (*TOOLS, "uf2"))}')
        able = [t for t in able if t.name == wanted]
        if not able:
            raise ToolkitError(f"{wanted} does not know {board.name}: its file has no tools.{wanted}")
    for tool in able:
        program = tool.program()
        if program is not None:
            return tool, program
    if not able:
        raise ToolkitError(f"{board.name}: nothing writes it: expected a [tools] table in its file, e.g. pyocd")
    ways = "; ".join(f"{t.name} ({t.install})" for t in able)
    raise ToolkitError(f"{board.name}: no tool to write it is installed; any of these would do: {ways}")


def steps_of(board: Board, folder: Path, options: Options) -> list[Step]:
    """The commands that write an image, in this order. A dry run also shows those of a tool that is not installed."""
    port = choose_port(board, options.port, serial_ports())
    try:
        tool, program = choose_tool(board, options.tool)
    except ToolkitError:
        if not (options.dry_run and options.tool in TOOLS and TOOLS[options.tool].knows(board)):
            raise
        tool, program = TOOLS[options.tool], TOOLS[options.tool].programs[0]
    if tool.name == "esptool":
        if port.path and not options.dry_run:
            check_port(port.path)
    elif options.port and not port.serial:
        there = ", ".join(p.path for p in serial_ports() if p.serial) or "none"
        raise ToolkitError(
            f"--port {options.port}: {tool.name} finds a board by the USB serial number behind its port, and this has "
            f"none; those that have one here: {there}; only esptool takes any port: leave out --port"
        )
    target = Target(board, folder, whole(folder / "firmware.elf", board), port.path, port.serial)
    return list(tool.steps(program, target))


def _run(step: Step) -> str:
    """Runs a command, shows what it prints as it comes, and returns it. Raises: ToolkitError, CheckFailed."""
    shown = bytearray()
    try:
        process = subprocess.Popen(
            step.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as e:
        raise ToolkitError(f"{step.command[0]} does not start: {e.strerror}") from None
    try:
        assert process.stdout is not None
        while chunk := process.stdout.read1(4096):  # type: ignore[attr-defined]
            shown += chunk
            sys.stderr.write(chunk.decode(errors="replace"))
            sys.stderr.flush()
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    text = shown.decode(errors="replace")
    if code != 0 or step.says not in text:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = next((line for line in reversed(lines) if "error" in line.lower() or "fail" in line.lower()), "")
        said = _LOGGED.sub(r"\1", said or (lines[-1] if lines else f"exit code {code}")).rstrip(".")
        if step.purpose == "verify":
            raise CheckFailed(f"the board holds something else than the image: {said}; flash it again")
        raise ToolkitError(f"{Path(step.command[0]).name}, to {step.purpose}: {said}")
    return text


def _write(steps: Sequence[Step], target: Segment, say: Say) -> None:
    for step in steps:
        say(f"{step.purpose}: {shlex.join(step.command)}")
        if step.purpose == "read back":
            Path(step.command[-1]).unlink(missing_ok=True)  # dfu-util does not write over a file
        try:
            _run(step)
        except KeyboardInterrupt:
            raise ToolkitError("interrupted: the board may be half written; flash it again") from None
        except CheckFailed:
            raise
        except ToolkitError as e:
            if step.purpose != "write":
                raise
            left = (
                "plug it in, and check its cable"
                if _NOBODY.search(str(e))
                else "it may be half written: flash it again"
            )
            raise ToolkitError(f"{e}; {left}") from None
        if step.purpose == "read back" and Path(step.command[-1]).read_bytes() != target.data:
            raise CheckFailed(f"{step.command[-1]}: the board holds something else than the image; flash it again")


def flash(board: Board, folder: Path, options: Options, *, say: Say, ask: Callable[[str], str]) -> dict[str, Any]:
    """Writes the image in a build folder to a board and verifies it; a dry run only says how.

    Raises: ToolkitError, CheckFailed; either says when the board may be half written."""
    if board.memory is None:
        raise ToolkitError(f"board {board.name} takes no image; choose another board")
    if board.tools.boot or options.device is not None:
        if options.port:
            raise ToolkitError(f"--port {options.port}: a USB disk takes none; leave it out")
        return _to_disk(board, folder, options, say, ask)
    if board.tools.uf2 is not None and options.tool in ("", "uf2"):
        drive = drives.find(board.tools.uf2, options.drive)
        if drive is not None and options.port:
            raise ToolkitError(
                f"--port {options.port}: a copy to {drive} takes none; leave it out (--drive chooses one)"
            )
        if drive is not None:
            return _to_drive(board, folder, drive, options, say)
    if options.tool == "uf2" or options.drive is not None:
        how = "hold BOOTSEL while it is plugged in" if board.tools.uf2 else f"{board.name} has none"
        raise ToolkitError(f"no drive of a board in its boot loader here: {how}")
    steps = steps_of(board, folder, options)
    if options.dry_run:
        for step in steps:
            say(f"{step.purpose}: {shlex.join(step.command)}")
    else:
        _write(steps, whole(folder / "firmware.elf", board), say)
        say(f"{board.name}: written and verified")
    commands = [{"purpose": s.purpose, "command": list(s.command)} for s in steps]
    return {"board": board.name, "written": not options.dry_run, "commands": commands}


def _to_drive(board: Board, folder: Path, drive: Path, options: Options, say: Say) -> dict[str, Any]:
    image = folder / "firmware.uf2"
    say(f"copy {image} to {drive}")
    if not options.dry_run:
        drives.copy(image, drive, say)
    return {"board": board.name, "written": not options.dry_run, "image": str(image), "drive": str(drive)}


def _to_disk(board: Board, folder: Path, options: Options, say: Say, ask: Callable[[str], str]) -> dict[str, Any]:
    """The image of a USB disk is always there; a disk is written only when it is named and confirmed."""
    if not board.tools.boot:
        raise ToolkitError(f"--device: {board.name} does not start from a USB disk")
    image = folder / "firmware.img"
    say(f"{image}: the image of a USB disk that starts the board")
    result = {"board": board.name, "image": str(image), "written": False}
    if options.device is None:
        return result
    found = disk.describe(options.device)
    disk.refuse(options.device, found, image.stat().st_size)
    say(f"write {image} to {options.device}")
    if options.dry_run:
        return result
    disk.confirm(options.device, found, ask)
    disk.write(image, options.device, say)
    return {**result, "written": True, "device": str(options.device)}
