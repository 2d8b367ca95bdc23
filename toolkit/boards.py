"""Boards are data: one TOML file each, read into frozen dataclasses, with every mistake named."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import isa
from toolkit.errors import ToolkitError, nearest
from toolkit.tables import Table
from toolkit.targets import ROOT, TARGETS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BOARDS = ROOT / "boards"
TOOLCHAINS = ("arm-none-eabi", "aarch64-linux", "aarch64", "riscv32", "x86_64-uefi", "host")
UNICORN_CPUS = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33")


@dataclass(frozen=True, slots=True)
class Region:
    """Addresses [origin, origin + length)."""

    origin: int
    length: int


@dataclass(frozen=True, slots=True)
class Memory:
    """flash, ram: bytes on the chip; stack: of RAM, kept for it; constants: `flash`, or `ram` with the data."""

    flash: Region
    ram: Region
    stack: int
    constants: str


@dataclass(frozen=True, slots=True)
class Budget:
    """What the user allows, in bytes; None: what the chip has."""

    flash: int | None
    ram: int | None
    stack: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """How to emulate the board; an empty name: that emulator cannot.

    qemu: a machine of the system emulator, or for a Linux program the processor; cpu: the machine's, if not its own.
    uart_write: the register whose written bytes are the serial output.
    reads: (address, value) of the status registers that the HAL waits for; every other peripheral register reads 0.
    """

    qemu: str
    cpu: str
    unicorn: str
    rp2040js: bool
    uart_write: int
    reads: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Uf2:
    """The drive that a chip in its boot loader shows: Board-ID in its INFO_UF2.TXT, and the family of its images."""

    board_id: str
    family: int


@dataclass(frozen=True, slots=True)
class Tools:
    """What each tool that can write the board calls it; empty: that tool cannot.

    openocd: its configuration files; cubeprogrammer: the port, SWD; dfu: vendor:product of the boot loader;
    usb: vendor:product of the board's serial ports; boot: the program that a PC's firmware starts from a USB disk."""

    pyocd: str = ""
    openocd: tuple[str, ...] = ()
    probe_rs: str = ""
    cubeprogrammer: str = ""
    esptool: str = ""
    dfu: str = ""
    picotool: bool = False
    uf2: Uf2 | None = None
    boot: str = ""
    usb: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """One board. `memory` is None for the host; `run` is None where no emulator knows the board."""

    name: str
    title: str
    chip: str
    core: str
    fpu: str
    target: str
    toolchain: str
    cflags: tuple[str, ...]
    requires: str
    requires_text: str
    clock_hz: int
    hal: str
    semihosting: bool
    memory: Memory | None
    budget: Budget
    run: Run | None
    tools: Tools


_BYTES = "bytes, e.g. 131072"
_ADDRESS = "an address, e.g. 0x20000000"


def _region(table: Table | None) -> Region:
    assert table is not None
    region = Region(table.integer("origin", _ADDRESS), table.integer("length", _BYTES))
    if region.length == 0 or region.origin % 4 or region.origin + region.length > 2**32:
        table.wrong("length" if region.origin % 4 == 0 else "origin", "a region of whole words inside 32 bits")
    table.finish()
    return region


def _memory(table: Table | None) -> Memory | None:
    if table is None:
        return None
    region = "{ origin = 0x20000000, length = 131072 }"
    flash, ram = _region(table.table("flash", region)), _region(table.table("ram", region))
    memory = Memory(flash, ram, table.integer("stack", _BYTES), table.one_of("constants", ("flash", "ram"), "flash"))
    if memory.stack % 8 or not 256 <= memory.stack < memory.ram.length:
        table.wrong("stack", f"a multiple of 8 between 256 and memory.ram.length = {memory.ram.length}")
    table.finish()
    return memory


def _budget(table: Table | None) -> Budget:
    if table is None:
        return Budget(None, None, None)
    budget = Budget(*(table.integer(key, _BYTES, None) for key in ("flash", "ram", "stack")))
    table.finish()
    return budget


def _run(table: Table | None) -> Run | None:
    if table is None:
        return None
    reads = []
    for entry in table.tables("reads", "a list of { address = 0x40011000, value = 0xC0 }"):
        reads.append((entry.integer("address", _ADDRESS), entry.integer("value", "a number, e.g. 0xC0")))
        entry.finish()
    unicorn = table.one_of("unicorn", UNICORN_CPUS, "")
    run = Run(
        qemu=table.text("qemu", 'the name of a QEMU machine, e.g. "microbit"', ""),
        cpu=table.text("cpu", 'a processor for that machine, e.g. "max"', ""),
        unicorn=unicorn,
        rp2040js=table.flag("rp2040js", False),
        uart_write=table.integer("uart_write", _ADDRESS, ... if unicorn else 0),
        reads=tuple(reads),
    )
    table.finish()
    return run


def _tools(table: Table | None) -> Tools:
    if table is None:
        return Tools()
    drive = table.table("uf2", '{ board_id = "RPI-RP2", family = 0xE48BFF56 }', None)
    uf2 = Uf2(drive.text("board_id", "as INFO_UF2.TXT has it"), drive.integer("family", "a number")) if drive else None
    if drive:
        drive.finish()
    tools = Tools(
        pyocd=table.text("pyocd", 'a target of pyocd, e.g. "nrf51"', ""),
        openocd=table.texts("openocd", 'files, e.g. ["interface/cmsis-dap.cfg", "target/nrf51.cfg"]'),
        probe_rs=table.text("probe_rs", 'a chip of probe-rs, e.g. "nRF51822_xxAA"', ""),
        cubeprogrammer=table.one_of("cubeprogrammer", ("SWD", "JTAG"), ""),
        esptool=table.text("esptool", 'a chip of esptool, e.g. "esp32c3"', ""),
        dfu=table.text("dfu", 'vendor:product, e.g. "0483:df11"', ""),
        picotool=table.flag("picotool", False),
        uf2=uf2,
        boot=table.text("boot", 'a path on the disk, e.g. "EFI/BOOT/BOOTX64.EFI"', ""),
        usb=table.texts("usb", 'a list of vendor:product, e.g. ["0d28:0204"]'),
    )
    table.finish()
    return tools


def _told(top: Table) -> str:
    """What is said where `requires` does not hold: the board's name, and what the file says it is."""
    text = top.text("requires_text", 'what the board is, e.g. "is a Cortex-M4: compile with -mcpu=cortex-m4"')
    return f"{top.text('name', '')} {text}" if text else ""


def _board(top: Table) -> Board:
    hals = {p.stem.removeprefix("hal_") for p in (ROOT / "firmware").glob("hal_*.c")}
    toolchain = top.one_of("toolchain", TOOLCHAINS)
    on_host = toolchain == "host"
    board = Board(
        name=top.text("name", "the file's name without .toml"),
        title=top.text("title", "one line for people"),
        chip=top.text("chip", "the chip's name"),
        core=top.one_of("core", isa.CORES),
        fpu=top.one_of("fpu", isa.FPUS),
        target=top.one_of("target", TARGETS),
        toolchain=toolchain,
        cflags=top.texts("cflags"),
        requires=top.text("requires", "a preprocessor condition, e.g. defined(__ARM_ARCH_7EM__)"),
        requires_text=_told(top),
        clock_hz=top.integer("clock_hz", "hertz, e.g. 16000000", 0 if on_host else ...),
        hal=top.one_of("hal", hals, "" if on_host else ...),
        semihosting=top.flag("semihosting", False if on_host else ...),
        memory=_memory(top.table("memory", "a [memory] table", None if on_host else ...)),
        budget=_budget(top.table("budget", "a [budget] table", None)),
        run=_run(top.table("run", "a [run] table", None)),
        tools=_tools(top.table("tools", "a [tools] table", None)),
    )
    top.finish()
    if not on_host:
        _check_instructions(top, board)
    return board


def _check_instructions(top: Table, board: Board) -> None:
    """Raises: ToolkitError when core, fpu, cflags and target do not go together."""
    fpus = isa.CORES[board.core].fpus
    if board.fpu not in fpus:
        top.wrong("fpu", f"one that a {board.core} can have: {', '.join(fpus)}")
    for flag in board.cflags:
        if flag.startswith(isa.CHOOSES):
            raise ToolkitError(f'{top.path}: cflags has "{flag}": take it out: core and fpu choose the code')
    lacks = isa.NEEDS.get(board.target, frozenset({"host"})) - isa.features(board.core, board.fpu)
    if lacks:
        what = " and ".join(isa.MEANING.get(name, "this computer") for name in sorted(lacks))
        able = ", ".join(isa.able(board.core, board.fpu))
        top.wrong("target", f"one of {able} for a {board.core}: {board.target} needs {what}")


def board_names() -> list[str]:
    """The boards that come with Tealight."""
    return sorted(p.stem for p in BOARDS.glob("*.toml"))


def _read(name: str, below: tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
    """A board's file: how it is called in messages, and its values over those of the board that it is `like`."""
    if name.endswith(".toml"):
        path, shown = Path(name), name
    else:
        path, shown = BOARDS / f"{name}.toml", f"boards/{name}.toml"
        if not path.is_file():
            hint = nearest(name, board_names())
            raise ToolkitError(f'board "{name}" is not known{hint} (or give the path of a .toml)')
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ToolkitError(f"{shown}: cannot read: {e.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ToolkitError(f"{shown}: not TOML: {e}") from None
    if values.get("name") != path.stem:
        raise ToolkitError(f'{shown}: name = "{values.get("name")}": expected "{path.stem}", as the file is called')
    if "like" not in values:
        return shown, values
    like = values.pop("like")
    if not isinstance(like, str) or Path(like).stem in (*below, path.stem):
        raise ToolkitError(f'{shown}: like = "{like}": expected another board, e.g. "netduinoplus2"')
    try:
        _, base = _read(like, (*below, path.stem))
    except ToolkitError as e:
        raise ToolkitError(f"{shown}: like: {e}") from None
    return shown, _over(base, values)


def _over(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `values` laid over it, table by table; a list is exchanged whole."""
    both = {k: _over(base[k], v) for k, v in values.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **values, **both}


def load_board(name: str) -> Board:
    """A board by its name, or by the path of a user's own .toml.

    Raises: ToolkitError, which names the file and the key."""
    shown, values = _read(name)
    return _board(Table(shown, "", values))
