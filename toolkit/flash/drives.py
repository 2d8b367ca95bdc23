"""The drive that a board in its UF2 boot loader shows: found by INFO_UF2.TXT, written by a copy."""

from __future__ import annotations

import os
import string
import sys
from collections.abc import Callable
from pathlib import Path

from toolkit.boards import Uf2
from toolkit.errors import CheckFailed, ToolkitError

INFO = "INFO_UF2.TXT"


def board_id(drive: Path) -> str:
    """What INFO_UF2.TXT on a drive says. Raises: ToolkitError when it is no such drive."""
    try:
        text = (drive / INFO).read_text("utf-8", errors="replace")
    except OSError:
        raise ToolkitError(f"{drive}: no {INFO}: not the drive of a board in its boot loader") from None
    found = (line.partition(":")[2].strip() for line in text.splitlines() if line.lower().startswith("board-id:"))
    return next(found, "")


def mounted() -> list[Path]:
    """Every drive here that shows an INFO_UF2.TXT."""
    if sys.platform == "win32":
        candidates = [Path(f"{letter}:/") for letter in string.ascii_uppercase]
    else:
        user = os.environ.get("USER", "")
        above = [Path("/Volumes"), Path("/media"), Path("/media") / user, Path("/run/media") / user]
        candidates = [p for folder in above if folder.is_dir() for p in sorted(folder.iterdir())]
    return [p for p in candidates if (p / INFO).is_file()]


def find(uf2: Uf2, drive: Path | None) -> Path | None:
    """The drive that is meant: the given one, or the only one with this Board-ID; None when none is mounted.

    Raises: ToolkitError when it is another board's, or there are two."""
    if drive is not None:
        found = board_id(drive)
        if found != uf2.board_id:
            raise ToolkitError(f'{drive}: Board-ID "{found}": expected "{uf2.board_id}"; nothing was written')
        return drive
    drives = [p for p in mounted() if board_id(p) == uf2.board_id]
    if len(drives) > 1:
        raise ToolkitError(f"{len(drives)} boards show a drive: {', '.join(map(str, drives))}; choose one with --drive")
    return drives[0] if drives else None


def copy(image: Path, drive: Path, say: Callable[[str], None]) -> None:
    """Writes the image to the drive, block by block to the end, and compares what the drive still shows of it.

    Raises: ToolkitError when the drive went away in between; CheckFailed when it shows something else."""
    data = image.read_bytes()
    to = drive / image.name.upper()
    written = 0
    try:
        with to.open("wb", buffering=0) as f:
            while written < len(data):
                written += f.write(data[written : written + 65536]) or 0
                say(f"{to}: {written} of {len(data)} bytes")
            os.fsync(f.fileno())
    except OSError as e:
        if written < len(data):
            left = f"{written} of {len(data)} bytes written, {e.strerror}: the board is half written; flash it again"
            raise ToolkitError(f"{to}: {left}") from None
    try:
        same = to.read_bytes() == data
    except OSError:
        say(f"{drive}: gone after the last block: the board has taken the image and starts it")
        return
    if not same:
        raise CheckFailed(f"{to}: reads back as something else; flash it again")
