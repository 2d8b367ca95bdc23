"""Writes a linked image in every form that a tool or a boot loader takes; the same ELF gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence
from pathlib import Path

from intelhex import IntelHex

from toolkit import elf, fat, pe
from toolkit.boards import Board
from toolkit.elf import Segment
from toolkit.errors import ToolkitError, write_whole

_UF2_PAGE = 256
_UF2_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_UF2_FAMILY = 0x2000  # flag: the last word of a block's header is the family
_ESP_CHIPS = {"esp32c3": 5}  # as the header of an image numbers them
_ESP_ALIGN = 4


def pages(segments: Sequence[Segment], size: int) -> list[Segment]:
    """The aligned pages of `size` bytes that segments touch, with zeros where a page has nothing."""
    filled: dict[int, bytearray] = {}
    for segment in segments:
        for offset, byte in enumerate(segment.data):
            at = segment.address + offset
            filled.setdefault(at - at % size, bytearray(size))[at % size] = byte
    return [Segment(at, bytes(filled[at])) for at in sorted(filled)]


def uf2(segments: Sequence[Segment], family: int) -> bytes:
    """USB Flashing Format (github.com/microsoft/uf2): blocks of 512 bytes that each carry 256 and their address."""
    blocks = pages(segments, _UF2_PAGE)
    made = []
    for number, page in enumerate(blocks):
        header = (*_UF2_MAGIC[:2], _UF2_FAMILY, page.address, _UF2_PAGE, number, len(blocks), family)
        made.append(struct.pack("<8I", *header) + page.data.ljust(476, b"\0") + struct.pack("<I", _UF2_MAGIC[2]))
    return b"".join(made)


def esp(segments: Sequence[Segment], entry: int, chip: str) -> bytes:
    """The image that Espressif's ROM loads (esptool, "Firmware Image Format"): segments, a checksum, SHA-256."""
    if chip not in _ESP_CHIPS:
        raise ToolkitError(f'tools.esptool = "{chip}": expected one of {", ".join(_ESP_CHIPS)}')
    header = struct.pack("<4BI", 0xE9, len(segments), 2, 0x20, entry)  # DIO, 4 MB, 40 MHz
    header += struct.pack("<4BHBHH4BB", 0xEE, 0, 0, 0, _ESP_CHIPS[chip], 0, 0, 0xFFFF, 0, 0, 0, 0, 1)  # 1: SHA-256
    body, check = bytearray(header), 0xEF
    for segment in segments:
        data = segment.data + bytes(-len(segment.data) % _ESP_ALIGN)
        body += struct.pack("<2I", segment.address, len(data)) + data
        for byte in data:
            check ^= byte
    body += bytes(15 - len(body) % 16) + bytes([check])
    return bytes(body) + hashlib.sha256(body).digest()


def flat(segments: Sequence[Segment]) -> tuple[Segment, str]:
    """What flash holds from the first byte to the last, gaps as erased flash, and the same as Intel HEX."""
    memory, text = IntelHex(), io.StringIO()
    for segment in segments:
        memory.puts(segment.address, segment.data)
    memory.write_hex_file(text)
    return Segment(int(memory.minaddr()), memory.tobinstr()), text.getvalue()


def write_images(image: Path, board: Board) -> list[str]:
    """Writes beside firmware.elf what the board's tools take: .bin and .hex, a .uf2 as well where its boot loader has a
    drive, or the one form that its ROM or firmware starts. Returns the names of all, the ELF first."""
    segments = elf.segments(image)
    if board.tools.boot:
        assert board.memory is not None
        program = pe.application(image, board.memory.flash.origin - pe.PAGE)
        made: dict[str, bytes | str] = {".efi": program, ".img": fat.disk_image({board.tools.boot: program})}
    elif board.tools.esptool:
        made = {".esp.bin": esp(segments, elf.entry(image), board.tools.esptool)}
    else:
        binary, text = flat(segments)
        made = {".bin": binary.data, ".hex": text}
        if board.tools.uf2 is not None:
            made[".uf2"] = uf2(segments, board.tools.uf2.family)
    for suffix, data in made.items():
        write_whole(image.with_suffix(suffix), data)
    return [image.name, *(image.with_suffix(suffix).name for suffix in made)]
