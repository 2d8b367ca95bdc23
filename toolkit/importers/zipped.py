"""The members of a .pt, .pth or .keras file, which is a zip of members that are stored as they are.

Frameworks never compress them, so a compressed member is a repacked file or a bomb: refused before it is unpacked."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from toolkit.errors import ToolkitError

ZIP = b"PK\x03\x04"
_BROKEN = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, RuntimeError, EOFError, OSError, KeyError)


class Members:
    """The members of a zip file by name, read one by one.

    Raises: ToolkitError when the archive is damaged, or its members are compressed or larger than the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = zipfile.ZipFile(path)
        except _BROKEN as e:
            raise ToolkitError(f"{path}: not a complete zip archive ({e}); save or copy it again") from None
        found = [m for m in self._file.infolist() if not m.filename.endswith("/")]
        for m in found:
            if m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size:
                raise ToolkitError(
                    f"{path}: {m.filename} is compressed ({m.compress_size} -> {m.file_size} bytes); expected members "
                    f"that are stored, as frameworks write them: save it again"
                )
        claimed, size = sum(m.file_size for m in found), path.stat().st_size
        if claimed > size:
            raise ToolkitError(f"{path}: its members claim {claimed} bytes and the file has {size}; save it again")
        self.names = tuple(m.filename for m in found)

    def __enter__(self) -> Members:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises: ToolkitError when there is none, or it is damaged."""
        try:
            return self._file.read(name)
        except KeyError:
            raise ToolkitError(f"{self.path}: has no {name}; it is incomplete: save it again") from None
        except _BROKEN as e:
            raise ToolkitError(f"{self.path}: {name} is damaged ({e}); save or copy it again") from None
