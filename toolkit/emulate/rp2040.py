"""Runs firmware.uf2 in rp2040js, an emulator of the RP2040 that node runs: `npm install --prefix build rp2040js`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from toolkit.boards import Board
from toolkit.emulate import serial
from toolkit.emulate.outcome import Outcome
from toolkit.toolchain import CACHE

PACKAGE = CACHE / "node_modules" / "rp2040js"


def available(board: Board) -> bool:
    """True when node and rp2040js are installed and the board is an RP2040."""
    return board.run is not None and board.run.rp2040js and PACKAGE.is_dir() and shutil.which("node") is not None


def version() -> str:
    """E.g. `rp2040js 1.3.1`."""
    return f"rp2040js {json.loads((PACKAGE / 'package.json').read_text('utf-8'))['version']}"


def command(image: Path) -> list[str]:
    """What runs the UF2 beside an image, its serial line on standard input and output."""
    return ["node", str(Path(__file__).with_suffix(".cjs")), str(PACKAGE), str(image.with_suffix(".uf2"))]


def run(image: Path, timeout_s: float) -> Outcome:
    """Runs the UF2 beside an image until its EXIT line or the timeout."""
    return serial.run(command(image), timeout_s, hands_over=False)
