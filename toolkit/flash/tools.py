"""The tools that write boards, as data: the program, how to install it, and its command lines for a board."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.boards import Board
from toolkit.elf import Segment


@dataclass(frozen=True, slots=True)
class Target:
    """What is written where. serial: of the probe or board; port: of a serial line; empty: the only one there is."""

    board: Board
    folder: Path
    image: Segment
    port: str
    serial: str

    def file(self, suffix: str) -> str:
        """A form of the image."""
        return str(self.folder / f"firmware{suffix}")


@dataclass(frozen=True, slots=True)
class Step:
    """One command. purpose: `write`, `verify`, `read back` (into a file that is compared here) or `reset`.

    says: what its output must contain; a tool whose exit code tells nothing has to say so."""

    purpose: str
    command: tuple[str, ...]
    says: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """programs: its names, one of which is on PATH; knows: whether it can write a board; steps: in this order."""

    name: str
    programs: tuple[str, ...]
    install: str
    knows: Callable[[Board], bool]
    steps: Callable[[str, Target], Sequence[Step]]

    def program(self) -> str | None:
        """The one that is installed: on PATH, or beside the Python that runs this."""
        here = Path(sys.executable).parent
        return next((found for p in self.programs if (found := shutil.which(p) or shutil.which(p, path=here))), None)


def _pyocd(program: str, t: Target) -> Sequence[Step]:
    which = ("--no-wait", "--target", t.board.tools.pyocd, *(("--uid", t.serial) if t.serial else ()))
    compare = f"compare {t.image.address:#x} {t.file('.bin')}"
    return (
        Step("write", (program, "flash", *which, t.file(".hex"))),
        Step("verify", (program, "commander", *which, "-c", compare), says="bytes match."),
        Step("reset", (program, "reset", *which)),
    )


def _openocd(program: str, t: Target) -> Sequence[Step]:
    words = [w for part in t.board.tools.openocd for w in (("-f", part) if part.endswith(".cfg") else ("-c", part))]
    words += ["-c", f"adapter serial {t.serial}"] if t.serial else []
    return (Step("write", (program, *words, "-c", f"program {{{t.file('.elf')}}} verify reset exit")),)


def _probe_rs(program: str, t: Target) -> Sequence[Step]:
    usb = next(iter(t.board.tools.usb), "")
    probe = ("--probe", f"{usb}:{t.serial}") if t.serial and usb else ()
    which = ("--non-interactive", "--chip", t.board.tools.probe_rs, *probe)
    return (
        Step("write", (program, "download", *which, "--verify", t.file(".elf"))),
        Step("reset", (program, "reset", *which)),
    )


def _cubeprogrammer(program: str, t: Target) -> Sequence[Step]:
    port = (f"port={t.board.tools.cubeprogrammer}", *((f"sn={t.serial}",) if t.serial else ()))
    return (Step("write", (program, "-c", *port, "-w", t.file(".hex"), "-v", "-rst")),)


def _esptool(program: str, t: Target) -> Sequence[Step]:
    which = ("--chip", t.board.tools.esptool, *(("--port", t.port) if t.port else ()))
    image = ("0x0", t.file(".esp.bin"))
    return (
        Step("write", (program, *which, "--after", "no-reset", "write-flash", *image)),
        Step("verify", (program, *which, "verify-flash", *image)),
    )


def _dfu(program: str, t: Target) -> Sequence[Step]:
    which = ("-d", t.board.tools.dfu, "-a", "0", *(("-S", t.serial) if t.serial else ()))
    whole = f"{t.image.address:#010x}:{len(t.image.data)}:leave"
    return (
        Step("write", (program, *which, "-s", f"{t.image.address:#010x}", "-D", t.file(".bin"))),
        Step("read back", (program, *which, "-s", whole, "-U", t.file(".read"))),
    )


def _picotool(program: str, t: Target) -> Sequence[Step]:
    which = ("--ser", t.serial) if t.serial else ()
    return (Step("write", (program, "load", "--verify", "--execute", t.file(".uf2"), *which)),)


TOOLS: dict[str, Tool] = {
    t.name: t
    for t in (
        Tool("picotool", ("picotool",), "apt-get install picotool", lambda b: b.tools.picotool, _picotool),
        Tool("pyocd", ("pyocd",), "pip install pyocd", lambda b: b.tools.pyocd != "", _pyocd),
        Tool("probe-rs", ("probe-rs",), "cargo install probe-rs-tools", lambda b: b.tools.probe_rs != "", _probe_rs),
        Tool("openocd", ("openocd",), "apt-get install openocd", lambda b: b.tools.openocd != (), _openocd),
        Tool(
            "cubeprogrammer",
            ("STM32_Programmer_CLI",),
            "STM32CubeProgrammer, from st.com",
            lambda b: b.tools.cubeprogrammer != "",
            _cubeprogrammer,
        ),
        Tool("esptool", ("esptool", "esptool.py"), "pip install esptool", lambda b: b.tools.esptool != "", _esptool),
        Tool("dfu-util", ("dfu-util",), "apt-get install dfu-util", lambda b: b.tools.dfu != "", _dfu),
    )
}
"""In the order in which they are taken. A drive (uf2) and a USB disk (pc_uefi) need no tool."""
