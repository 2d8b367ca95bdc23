"""The verb `boards`: what there is, one board whole, and a starting file for one of your own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from toolkit.boards import Board, board_names, load_board
from toolkit.errors import ToolkitError, write_whole
from toolkit.flash.tools import TOOLS

_LIKE = (  # the beginning of a chip's name -> the board that is nearest
    ("nrf51", "microbit"),
    ("nrf5", "nrf52840dk"),
    ("rp2040", "pico"),
    ("rp23", "pico2"),
    ("stm32f1", "stm32vldiscovery"),
    ("stm32f[24]", "netduinoplus2"),
    ("stm32[fh]7", "nucleo_h743zi"),
    ("stm32[uh]5", "nucleo_u575zi"),
    ("lm3s", "lm3s6965evb"),
    ("esp32-?c3", "esp32c3"),
    ("x86", "pc_uefi"),
)


def tried(board: Board) -> str:
    """How a board was tried: executed in which emulators, or linked only."""
    if board.memory is None:
        return "this computer"
    run = board.run
    under = " under OVMF" if board.tools.boot else ""
    if board.name not in board_names():
        return "not by us"
    found = [f"QEMU{under}"] if run and run.qemu else []
    found += [name for name in ("unicorn", "rp2040js") if run and getattr(run, name)]
    return f"executed in {' and '.join(found)}" if found else "linked only"


def _size(count: int) -> str:
    return f"{count // 1024} KB" if count < 1 << 23 else f"{count / 2**20:.0f} MB"


def _clock(board: Board) -> str:
    meaningless = board.memory is None or board.clock_hz >= 10**9  # of emulated machines and PCs
    return "" if meaningless else f"{board.clock_hz / 1e6:g} MHz"


def table(boards: Sequence[Board]) -> list[tuple[str, ...]]:
    """Name, chip, core, target, flash, RAM, clock, how it was tried; the first row has the names of the columns."""
    rows: list[tuple[str, ...]] = [("board", "chip", "core", "kernels", "flash", "RAM", "clock", "tried")]
    for b in boards:
        sizes = [_size(r.length) for r in (b.memory.flash, b.memory.ram)] if b.memory else ["", ""]
        rows.append((b.name, b.chip, b.core, b.target, *sizes, _clock(b), tried(b)))
    return rows


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """A table in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def one(board: Board) -> str:
    """A board's facts, a line each."""
    heads, row = table([board])
    facts = [("title", board.title), *zip(heads[1:], row[1:], strict=True)]
    if board.memory is not None:
        for name, region in (("flash", board.memory.flash), ("RAM", board.memory.ram)):
            facts.append((f"{name} at", f"{region.origin:#010x}"))
        facts += [("stack", f"{board.memory.stack} B"), ("needs", board.requires_text)]
    tools = board.tools
    ways = [tool.name for tool in TOOLS.values() if tool.knows(board)]
    ways += ["a copy to its drive"] if tools.uf2 else []
    ways += [f"USB disk with {tools.boot}"] if tools.boot else []
    facts.append(("flashed by", ", ".join(ways)))
    return aligned([(board.name, ""), *((f"  {k}", v) for k, v in facts if v)])


def start_file(chip: str, out: Path) -> dict[str, str]:
    """Writes a commented board file for a chip, like the nearest board that there is.

    Raises: ToolkitError when no board is near, or the file is there already."""
    like = next((name for start, name in _LIKE if re.match(start, chip.lower())), None)
    if like is None:
        known = ", ".join(sorted({load_board(name).chip for _, name in _LIKE}))
        raise ToolkitError(f'--chip "{chip}": of no family that has a firmware/hal_<family>.c: expected e.g. {known}')
    if out.suffix == ".toml" and out.exists():
        raise ToolkitError(f"{out}: exists already; expected the name of a new .toml file: --out FILE")
    if out.suffix != ".toml":
        raise ToolkitError(f"{out}: expected the name of a new .toml file")
    board = load_board(like)
    assert board.memory is not None
    flash, ram = board.memory.flash, board.memory.ram
    text = f"""# {chip}, like {like}: what is not said here is as in boards/{like}.toml.
name = "{out.stem}"
like = "{like}"
title = "{chip}"
chip = "{chip}"

# Where the serial line is, and its pins: firmware/hal_{board.hal}.c says what each means.
# cflags = {json.dumps(board.cflags)}
# clock_hz = {board.clock_hz}      # as firmware/hal_{board.hal}.c sets it

# CHECK against the data sheet of {chip}: this is the {board.chip}'s. Bytes; an image is linked into them.
[memory]
flash = {{ origin = {flash.origin:#x}, length = {flash.length} }}
ram = {{ origin = {ram.origin:#x}, length = {ram.length} }}
stack = {board.memory.stack}

# No emulator is this chip: QEMU is left out, and unicorn takes the serial line that is said here.
[run]
qemu = ""

# What each tool calls the chip: `pyocd list --targets`, `probe-rs chip list`; usb: of its serial port, by `lsusb`.
[tools]
pyocd = ""                       # as in "{board.tools.pyocd}"
probe_rs = ""                    # as in "{board.tools.probe_rs}"
usb = []                         # as in {json.dumps(board.tools.usb)}
"""
    write_whole(out, text)
    return {"file": str(out), "like": like}
