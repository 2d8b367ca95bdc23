"""Makes a UEFI application of an ELF: a PE32+ image with the ELF's sections and what must be adjusted in them.

Microsoft's "PE Format" and chapter 2 of the UEFI specification; the same ELF gives the same bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from toolkit.errors import ToolkitError

PAGE = 4096
"""Bytes below the ELF that the headers take."""

_FILE_ALIGN, _HEADERS = 512, 1024
_R_X86_64_RELATIVE = 8
_DIR64 = 10
_CODE, _DATA, _ZEROS = 0x6000_0020, 0x4000_0040, 0xC000_0080  # readable, and executable; writable where it is said


def _up(value: int, size: int) -> int:
    return -(-value // size) * size


def _adjusted(elf: Any, path: Path) -> dict[int, int]:
    """The 64-bit words that hold an address, by their own: what the linker kept for a loader."""
    table = elf.get_section_by_name(".rela.dyn")
    found = {} if table is None else {r["r_offset"]: r["r_addend"] for r in table.iter_relocations()}
    if table is not None and any(r["r_info_type"] != _R_X86_64_RELATIVE for r in table.iter_relocations()):
        raise ToolkitError(f"{path}: an address that a loader cannot adjust; compile with -fPIE")
    return dict(sorted(found.items()))


def _words_in(data: bytes, start: int, words: Mapping[int, int]) -> bytes:
    """A section's bytes with its words filled in."""
    filled = bytearray(data)
    for address, value in words.items():
        if start <= address < start + len(data):
            filled[address - start : address - start + 8] = value.to_bytes(8, "little")
    return bytes(filled)


def _relocations(addresses: Iterable[int], base: int) -> bytes:
    """The section .reloc: by page, the words to which the loader adds how far it moved the image."""
    blocks = []
    for page, group in groupby(addresses, lambda a: (a - base) // PAGE * PAGE):
        entries = [_DIR64 << 12 | (a - base) % PAGE for a in group]
        entries += [0] * (len(entries) % 2)
        blocks.append(struct.pack(f"<2I{len(entries)}H", page, 8 + 2 * len(entries), *entries))
    return b"".join(blocks) or struct.pack("<2I", 0, 8)


def application(path: Path, base: int) -> bytes:
    """The image of an ELF linked to run at `base` and above, which leaves a page there for the headers."""
    elf = ELFFile(io.BytesIO(path.read_bytes()))
    words = _adjusted(elf, path)
    parts = []  # name, RVA, size in memory, bytes, what it is
    for s in (s for s in elf.iter_sections() if s["sh_flags"] & 2 and s["sh_size"]):  # SHF_ALLOC
        stored = s["sh_type"] != "SHT_NOBITS"
        kind = _ZEROS if not stored else _CODE if s["sh_flags"] & 4 else _DATA | (s["sh_flags"] & 1) << 31
        data = _words_in(s.data(), s["sh_addr"], words) if stored else b""
        parts.append((s.name, s["sh_addr"] - base, s["sh_size"], data, kind))
    end = _up(max(rva + size for _, rva, size, _, _ in parts), PAGE)
    table = _relocations(words, base)
    parts.append((".reloc", end, len(table), table, _DATA | 0x0200_0000))  # not needed once loaded
    headers, body = b"", b""
    for name, rva, size, data, kind in parts:
        room = _up(len(data), _FILE_ALIGN)
        at = _HEADERS + len(body) if data else 0
        headers += struct.pack("<8s6I2HI", name.encode()[:8], size, rva, room, at, 0, 0, 0, 0, kind)
        body += data.ljust(room, b"\0")
    sizes = [sum(_up(p[2], _FILE_ALIGN) for p in parts if p[4] & bit) for bit in (0x20, 0x40, 0x80)]
    entry, code = elf["e_entry"] - base, parts[0][1]
    optional = struct.pack("<H2B5IQ2I", 0x20B, 0, 0, *sizes, entry, code, base, PAGE, _FILE_ALIGN)
    optional += struct.pack("<6HI", 0, 0, 0, 0, 0, 0, 0)
    optional += struct.pack("<3I2H4Q2I", end + _up(len(table), PAGE), _HEADERS, 0, 10, 0, *[0] * 4, 0, 16)
    optional += bytes(8 * 5) + struct.pack("<2I", end, len(table)) + bytes(8 * 10)  # the sixth entry: relocations
    coff = struct.pack("<2H3I2H", 0x8664, len(parts), 0, 0, 0, len(optional), 0x22E)  # large addresses, no symbols
    start = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    whole = start + b"PE\0\0" + coff + optional + headers
    assert len(whole) <= _HEADERS
    return whole.ljust(_HEADERS, b"\0") + body
