"""One process at a time in a folder. The system lets go of the lock when the process ends, however it ends."""

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
def locked(folder: Path, doing: str = "builds or runs", *, leave: bool = True) -> Iterator[None]:
    """Holds `<folder>/lock`, which names the process. Without `leave` the file goes afterwards, and a folder with
    nothing else in it.

    Raises: ToolkitError when another process holds it: that one is `doing` something here."""
    path = folder / "lock"
    with _tidied(path, leave), _held(path, doing) as file:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            if not leave and sys.platform != "win32":  # while it is held; Windows removes no open file
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _tidied(path: Path, leave: bool) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder is not empty, or the next process has the file
            if not leave and sys.platform == "win32":
                path.unlink()
            if not leave:
                path.parent.rmdir()


@contextlib.contextmanager
def _held(path: Path, doing: str) -> Iterator[IO[str]]:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="ascii")
        except FileNotFoundError:  # the process before has just removed the folder
            continue
        except OSError as e:
            text = f"{path.parent}: cannot write: {e.strerror}; choose a folder that is writable"
            raise ToolkitError(text) from None
        with file:
            try:
                _take(file)
            except OSError:
                file.seek(0)
                by = file.read().strip()
                text = f"{path.parent}: process {by or 'unknown'} {doing} here; wait until it ends"
                raise ToolkitError(text) from None
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return
