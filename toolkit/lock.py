"""One process at a time in a build folder. The system lets go of the lock when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from toolkit.errors import ToolkitError

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[str]) -> None:
        file.seek(4096)  # what is locked there cannot be read: not the process's number
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `<folder>/lock`, which names the process.

    Raises: ToolkitError when another process holds it."""
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="ascii")
    except OSError as e:
        raise ToolkitError(f"{folder}: cannot write: {e.strerror}; choose a folder that is writable") from None
    with file:
        try:
            _take(file)
        except OSError:
            file.seek(0)
            by = file.read().strip()
            raise ToolkitError(f"{folder}: process {by or 'unknown'} builds or runs here; wait until it ends") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
