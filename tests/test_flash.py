"""Flashing: every tool's command lines, drives, disks, pyOCD into an emulated flash, and what can go wrong."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import pty
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import fake_model
from tests.conftest import needs
from toolkit.boards import load_board
from toolkit.build import build_firmware
from toolkit.cli import main
from toolkit.emulate import replay
from toolkit.errors import CheckFailed, ToolkitError
from toolkit.flash import Options, Port, check_port, choose_port, choose_tool, drives, flash, steps_of, whole
from toolkit.flash.tools import TOOLS

flash_module = importlib.import_module("toolkit.flash")
NOTHING = Options("", "", None, None, False)
STEPS = 40


def quiet(_: str) -> None:
    pass


def typed_no(_: str) -> str:
    return "no"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build folders by the names of boards."""
    needs("zig")
    folder = tmp_path_factory.mktemp("built")
    for name in ("microbit", "netduinoplus2", "pico", "nucleo_h743zi", "esp32c3"):
        c_dir = fake_model.write(folder / f"{name}.c", fake_model.vectors(STEPS))
        shutil.move(folder / f"{name}.c" / "build", folder / name)
        build_firmware(c_dir, load_board(name), folder / name, toolchain="zig", say=quiet)
    return folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that is all of PATH, but for the shell."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setattr(flash_module, "serial_ports", lambda: [])
    return folder


def put(folder: Path, name: str, script: str) -> None:
    """A program that does this."""
    (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    (folder / name).chmod(0o755)


LINES = {  # board, tool -> the commands; {} is the build folder
    ("microbit", "pyocd"): [
        "pyocd flash --no-wait --target nrf51 {}/firmware.hex",
        "pyocd commander --no-wait --target nrf51 -c 'compare 0x0 {}/firmware.bin'",
        "pyocd reset --no-wait --target nrf51",
    ],
    ("microbit", "probe-rs"): [
        "probe-rs download --non-interactive --chip nRF51822_xxAA --verify {}/firmware.elf",
        "probe-rs reset --non-interactive --chip nRF51822_xxAA",
    ],
    ("microbit", "openocd"): [
        "openocd -f interface/cmsis-dap.cfg -f target/nrf51.cfg -c 'program {{{}/firmware.elf}} verify reset exit'"
    ],
    ("nucleo_h743zi", "cubeprogrammer"): ["STM32_Programmer_CLI -c port=SWD -w {}/firmware.hex -v -rst"],
    ("netduinoplus2", "dfu-util"): [
        "dfu-util -d 0483:df11 -a 0 -s 0x08000000 -D {}/firmware.bin",
        "dfu-util -d 0483:df11 -a 0 -s 0x08000000:SIZE:leave -U {}/firmware.read",
    ],
    ("esp32c3", "esptool"): [
        "esptool --chip esp32c3 --after no-reset write-flash 0x0 {}/firmware.esp.bin",
        "esptool --chip esp32c3 verify-flash 0x0 {}/firmware.esp.bin",
    ],
    ("pico", "picotool"): ["picotool load --verify --execute {}/firmware.uf2"],
}


@pytest.mark.parametrize("board, tool", LINES)
def test_the_commands_of_a_dry_run(
    board: str, tool: str, built: Path, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a tool that is not installed here; nothing is started."""
    said: list[str] = []
    options = replace(NOTHING, tool=tool, dry_run=True)
    result = flash(load_board(board), built / board, options, say=said.append, ask=typed_no)
    size = len(whole(built / board / "firmware.elf", load_board(board)).data)
    lines = [line.format(built / board).replace("SIZE", str(size)) for line in LINES[board, tool]]
    assert [line.partition(": ")[2] for line in said] == lines
    assert result["written"] is False and len(result["commands"]) == len(lines)


def test_every_tool_has_its_command_lines_tried() -> None:
    assert {tool for _, tool in LINES} == TOOLS.keys()


def test_a_serial_number_goes_to_the_tool(built: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [Port("/dev/ttyACM0", "0d28:0204", "A1"), Port("/dev/ttyACM1", "0483:374b", "B2")]
    monkeypatch.setattr(flash_module, "serial_ports", lambda: ports)
    board = load_board("microbit")
    for tool, words in (("pyocd", "--uid A1"), ("probe-rs", "--probe 0d28:0204:A1"), ("openocd", "adapter serial A1")):
        step = steps_of(board, built / "microbit", replace(NOTHING, tool=tool, dry_run=True))[0]
        assert words in " ".join(step.command)


def refused(board: str, built: Path, options: Options) -> str:
    with pytest.raises(ToolkitError) as caught:
        flash(load_board(board), built / board, options, say=quiet, ask=typed_no)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_boards_with_one_name() -> None:
    ports = [Port(f"/dev/ttyACM{k}", "0d28:0204", str(k)) for k in range(2)]
    with pytest.raises(
        ToolkitError, match=r"2 boards like microbit are plugged in: /dev/ttyACM0, /dev/ttyACM1; choose"
    ):
        choose_port(load_board("microbit"), "", ports)
    assert choose_port(load_board("microbit"), "/dev/ttyACM1", ports).serial == "1"
    assert choose_port(load_board("microbit"), "", []).path == ""


def test_a_port_that_cannot_be_had() -> None:
    with pytest.raises(ToolkitError, match=r"/dev/ttyNONE: No such file or directory; serial ports of USB here: "):
        check_port("/dev/ttyNONE")
    main, other = pty.openpty()
    try:
        check_port(os.ttyname(other))
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ToolkitError, match="in use by another program"):
            check_port(os.ttyname(other))
    finally:
        os.close(main)
        os.close(other)


def test_a_port_that_says_nothing_to_the_tool(built: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but esptool know a board by its serial number; a drive and a disk are none's port."""
    monkeypatch.setattr(flash_module, "serial_ports", lambda: [Port("/dev/ttyACM0", "0d28:0204", "A1")])
    options = replace(NOTHING, port="/dev/ttyS7", dry_run=True)
    message = refused("microbit", built, replace(options, tool="pyocd"))
    assert message.startswith("--port /dev/ttyS7: pyocd finds a board by the USB serial number")
    assert "here: /dev/ttyACM0; only esptool takes any port" in message
    steps = steps_of(load_board("esp32c3"), built / "esp32c3", replace(options, tool="esptool"))
    assert "--port /dev/ttyS7" in " ".join(steps[0].command)
    assert "a USB disk takes none" in refused("pc_uefi", built, options)
    monkeypatch.setattr(drives, "find", lambda *_: Path("/drive"))
    assert "a copy to /drive takes none" in refused("pico", built, options)


def test_what_would_do_where_nothing_is_installed(built: Path, programs: Path) -> None:
    message = refused("microbit", built, NOTHING)
    assert "microbit: no tool to write it is installed; any of these would do: pyocd (pip install pyocd); " in message
    assert 'did you mean "pyocd"?' in refused("microbit", built, replace(NOTHING, tool="pyocdd"))
    assert "esptool does not know microbit" in refused("microbit", built, replace(NOTHING, tool="esptool"))
    with pytest.raises(ToolkitError, match=r"mps2_an385: nothing writes it: expected a \[tools\] table"):
        choose_tool(load_board("mps2_an385"), "")


def test_an_image_that_is_too_big(built: Path, programs: Path) -> None:
    board = load_board("microbit")
    assert board.memory is not None
    small = replace(board, memory=replace(board.memory, flash=replace(board.memory.flash, length=1024)))
    with pytest.raises(ToolkitError, match="too big for microbit, whose flash is 0x0 to 0x400"):
        flash(small, built / "microbit", replace(NOTHING, tool="pyocd", dry_run=True), say=quiet, ask=typed_no)


@pytest.mark.parametrize(
    "script, error, says",
    [
        (
            "[ $1 = flash ] && exit 0; echo Mismatched byte at 0x1",
            CheckFailed,
            "something else than the image: Mismatched",
        ),
        ("echo 0000491 E No target device available [load_cmd]; exit 1", ToolkitError, "to write: No target device"),
        (
            "echo E No target device available; exit 1",
            ToolkitError,
            "No target device available; plug it in, and check",
        ),
        ("echo Could not connect to an Espressif device; exit 2", ToolkitError, "device; plug it in, and check"),
        ("echo ERROR: Failed to connect to ESP32-C3: No data.; exit 2", ToolkitError, "No data; plug it in, and check"),
        ("echo Error: wrong chip; echo bye; exit 2", ToolkitError, "to write: Error: wrong chip; it may be half"),
    ],
)
def test_what_a_tool_says_counts(script: str, error: type[Exception], says: str, built: Path, programs: Path) -> None:
    """pyocd's `compare` exits 0 either way."""
    put(programs, "pyocd", script)
    with pytest.raises(error) as caught:
        flash(load_board("microbit"), built / "microbit", NOTHING, say=quiet, ask=typed_no)
    assert says in str(caught.value)


@pytest.mark.parametrize("flips", [False, True])
def test_dfu_util_reads_back(flips: bool, built: Path, programs: Path) -> None:
    """The bytes that come back are compared here."""
    to = built / "netduinoplus2" / "firmware.read"
    last = "printf x >> $last" if flips else ":"
    put(
        programs,
        "dfu-util",
        f'for last; do :; done\ncase "$*" in *-U*) cp {to.with_suffix(".bin")} $last; {last};; esac',
    )
    options = replace(NOTHING, tool="dfu-util")
    if not flips:
        assert flash(load_board("netduinoplus2"), to.parent, options, say=quiet, ask=typed_no)["written"]
        return
    with pytest.raises(CheckFailed, match="the board holds something else than the image; flash it again"):
        flash(load_board("netduinoplus2"), to.parent, options, say=quiet, ask=typed_no)


# --- drives of UF2 boot loaders ---


def volume(folder: Path, board_id: str) -> Path:
    """What looks like such a drive."""
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(f"UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: {board_id}\n")
    return folder


def test_a_drive_takes_the_image_of_its_board(built: Path, tmp_path: Path) -> None:
    """The file that lies on the drive then runs in rp2040js."""
    needs("rp2040js")
    drive = volume(tmp_path / "RPI-RP2", "RPI-RP2")
    options = replace(NOTHING, drive=drive)
    assert flash(load_board("pico"), built / "pico", options, say=quiet, ask=typed_no)["written"]
    copied = tmp_path / "copied"
    shutil.copytree(built / "pico", copied)
    shutil.copy(drive / "FIRMWARE.UF2", copied / "firmware.uf2")
    result = replay(copied, load_board("pico"), emulator="rp2040js", say=quiet)
    assert result["passed"] and result["hash"] == fake_model.run_hash(STEPS)


def test_a_drive_of_another_board_is_refused(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = volume(tmp_path / "OTHER", "RP2350")
    message = refused("pico", built, replace(NOTHING, drive=drive))
    assert message == f'{drive}: Board-ID "RP2350": expected "RPI-RP2"; nothing was written'
    assert [p.name for p in drive.iterdir()] == ["INFO_UF2.TXT"]
    assert "no INFO_UF2.TXT" in refused("pico", built, replace(NOTHING, drive=tmp_path))
    monkeypatch.setattr(drives, "mounted", lambda: [drive])
    assert "hold BOOTSEL" in refused("pico", built, replace(NOTHING, tool="uf2"))
    two = [volume(tmp_path / name, "RPI-RP2") for name in ("A", "B")]
    monkeypatch.setattr(drives, "mounted", lambda: [drive, *two])
    assert "2 boards show a drive: " in refused("pico", built, NOTHING)
    assert "microbit has none" in refused("microbit", built, replace(NOTHING, drive=drive))


def test_a_drive_that_goes_away(built: Path, tmp_path: Path) -> None:
    """Here one that is full."""
    drive = volume(tmp_path / "RPI-RP2", "RPI-RP2")
    (drive / "FIRMWARE.UF2").symlink_to("/dev/full")
    size = (built / "pico" / "firmware.uf2").stat().st_size
    message = refused("pico", built, replace(NOTHING, drive=drive))
    assert f"0 of {size} bytes written, No space left on device: the board is half written; flash it again" in message


# --- the verb ---


def test_the_verb(built: Path, tmp_path: Path, programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / "microbit", run / "build" / "microbit")
    verb = ["flash", str(run), "--board", "microbit", "--no-build", "--json"]
    assert main([*verb, "--tool", "pyocd", "--dry-run"]) == 0
    purposes = [c["purpose"] for c in json.loads(capsys.readouterr().out)["commands"]]
    assert purposes == ["write", "verify", "reset"]
    assert main(verb) == 1
    assert capsys.readouterr().err.startswith(
        "error: microbit: no tool to write it is installed; any of these would do"
    )
    shutil.copytree(built / "microbit", run / "serve" / "microbit")
    assert main([*verb, "--tool", "pyocd", "--dry-run", "--serve"]) == 0
    assert str(run / "serve" / "microbit" / "firmware.hex") in capsys.readouterr().out
    put(programs, "pyocd", "[ $1 = flash ] || echo Mismatched byte at 0x1")
    assert main(verb) == 3
    assert "failed: the board holds something else than the image" in capsys.readouterr().err
