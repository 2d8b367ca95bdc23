"""The verb `boards`: the table, one board, and a file for one of your own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.boards import board_names, load_board
from toolkit.cli import main
from toolkit.flash.tools import TOOLS
from toolkit.stages.boards import table, tried
from toolkit.targets import ROOT


def test_the_table_has_every_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards"]) == 0
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split() == ["board", "chip", "core", "kernels", "flash", "RAM", "clock", "tried"]
    assert [line.split()[0] for line in lines] == board_names()
    assert "executed in unicorn and rp2040js" in next(line for line in lines if line.startswith("pico "))
    assert main(["boards", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == set(board_names())


def test_how_boards_were_tried() -> None:
    ways = {name: tried(load_board(name)) for name in board_names()}
    assert ways["esp32c3"] == ways["pc_uefi_avx512"] == "linked only"
    assert ways["pc_uefi"] == "executed in QEMU under OVMF" and ways["host"] == "this computer"
    assert sum(way.startswith("executed") for way in ways.values()) >= 14


def test_one_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards", "microbit"]) == 0
    facts = dict(line.strip().split("  ", 1) for line in capsys.readouterr().out.splitlines()[1:])
    assert facts["flash at"].strip() == "0x00000000" and facts["flashed by"].strip() == "pyocd, probe-rs, openocd"


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it says in comments holds when it is said."""
    out = tmp_path / "mine.toml"
    assert main(["boards", "new", "--chip", "STM32F401RE", "--out", str(out)]) == 0
    board, like = load_board(str(out)), load_board("netduinoplus2")
    assert (board.name, board.chip, board.cflags, board.memory) == ("mine", "STM32F401RE", like.cflags, like.memory)
    assert tried(board) == "not by us" and not board.tools.pyocd and board.tools.cubeprogrammer == "SWD"
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: [memory] is that of netduinoplus2: check it against the data sheet of STM32F401RE"
    ]
    lines = out.read_text().splitlines()
    assert "flash = { origin = 0x8000000, length = 1048576 }" in lines
    settings = ("# cflags", "# clock_hz")
    out.write_text("\n".join(line[2:] if line.startswith(settings) else line for line in lines))
    assert load_board(str(out)) == board
    for arguments, says in (
        (["--chip", "STM32F401RE", "--out", str(out)], "exists already; expected the name of a new .toml file"),
        (["--chip", "STM32F401RE", "--out", str(tmp_path / "b.txt")], "b.txt: expected the name of a new .toml file"),
        (["--chip", "ATmega328", "--out", str(tmp_path / "b.toml")], '--chip "ATmega328": of no family'),
    ):
        assert main(["boards", "new", *arguments]) == 1
        assert says in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["boards", "new"])


def test_the_table_in_columns() -> None:
    [_, row] = table([load_board("nucleo_u575zi")])
    assert row == (
        "nucleo_u575zi",
        "STM32U575ZI",
        "cortex-m33",
        "dsp",
        "2048 KB",
        "768 KB",
        "4 MHz",
        "executed in unicorn",
    )


def test_the_page_about_boards(tmp_path: Path) -> None:
    """Its example loads, and its table has every tool."""
    page = (ROOT / "docs" / "boards.md").read_text("utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    (tmp_path / "black_f405.toml").write_text(example)
    assert load_board(str(tmp_path / "black_f405.toml")).hal == "stm32" and example.count("\n") == 3
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert rows == ["tool", *TOOLS, "a copy", "a USB disk"]
