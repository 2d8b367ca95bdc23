"""Errors that a user sees, the nearest-name hint, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


class ToolkitError(Exception):
    """A user's mistake: one line that says where, what was found, what was expected, what to do. Exit 1."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(c if c.isprintable() else "?" for c in text))  # a damaged file's names hold anything


class CheckFailed(Exception):
    """A budget or a parity check that failed. Exit 3."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` or, when nothing is near, the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1, 0.5)
    return f'; did you mean "{close[0]}"?' if close else f"; there is: {', '.join(names)}"


def write_whole(path: str | Path, data: bytes | str) -> None:
    """Writes a file so that it appears whole or not at all.

    Raises: ToolkitError when the folder cannot be written."""
    path = Path(path)
    blob = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as e:
        raise ToolkitError(f"{path}: cannot write: {e.strerror}; choose a folder that is writable") from None
    with _removed_on_error(temporary, path):
        with os.fdopen(handle, "wb") as f:
            f.write(blob)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)


@contextlib.contextmanager
def _removed_on_error(temporary: str, path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as e:
        if isinstance(e, OSError):
            e.filename = str(path)  # a full disk: of which file
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
