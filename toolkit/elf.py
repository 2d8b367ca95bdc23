"""Reads linked images and objects: symbols, sizes by kind, raw bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from toolkit.errors import ToolkitError, nearest, write_whole

_LIBRARY_ALLOWED = ("memcpy", "memmove", "memset", "memcmp", "__aeabi_mem")
_LINKER_MADE = ("_DYNAMIC", "_GLOBAL_OFFSET_TABLE_")  # in a program that can be loaded anywhere


@dataclass(frozen=True, slots=True)
class Symbol:
    """kind: `code`, `const` (in flash), `data`, `bss`, `undefined` or `other` (linker script, files)."""

    name: str
    address: int
    size: int
    kind: str


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes at `address`."""

    address: int
    data: bytes


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ToolkitError(f"{path}: cannot read: {e.strerror}; run `python3 run.py build` first") from None


def _open(path: Path) -> Any:
    return _parse(path, _read(path))


def _parse(path: Path, data: bytes) -> Any:
    try:
        return ELFFile(io.BytesIO(data))
    except ELFError as e:
        raise ToolkitError(f"{path}: not an ELF file: {e}") from None


def _kind(elf: Any, entry: Any) -> str:
    index = entry["st_shndx"]
    if index == "SHN_UNDEF":
        return "undefined"
    if not isinstance(index, int) or entry["st_info"]["type"] not in ("STT_FUNC", "STT_OBJECT"):
        return "other"
    if entry["st_info"]["type"] == "STT_FUNC":
        return "code"
    section = elf.get_section(index)
    if section["sh_type"] == "SHT_NOBITS":
        return "bss"
    return "data" if section["sh_flags"] & 1 else "const"  # SHF_WRITE


def symbols(path: Path) -> list[Symbol]:
    """Every named symbol but Arm's mapping symbols, section and file names, by address."""
    return list(_symbols(path, _read(path)))


@functools.lru_cache(maxsize=64)
def _symbols(path: Path, data: bytes) -> tuple[Symbol, ...]:
    """A build asks for those of an image and its objects many times, and pyelftools is slow."""
    elf = _parse(path, data)
    table = elf.get_section_by_name(".symtab")
    if table is None:
        raise ToolkitError(f"{path}: no symbol table; build it again with `python3 run.py build`")
    found = []
    for entry in table.iter_symbols():
        if entry["st_info"]["type"] in ("STT_FILE", "STT_SECTION"):
            continue
        if entry.name and not entry.name.startswith("$"):
            kind = _kind(elf, entry)
            address = entry["st_value"] & ~1 if kind == "code" else entry["st_value"]
            found.append(Symbol(entry.name, address, entry["st_size"], kind))
    return tuple(sorted(found, key=lambda s: (s.address, s.name)))


def segments(path: Path) -> list[Segment]:
    """What is to be written to flash, by load address."""
    loaded = (s for s in _open(path).iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"])
    return sorted((Segment(s["p_paddr"], s.data()) for s in loaded), key=lambda s: s.address)


def code(path: Path) -> tuple[str, list[Segment]]:
    """The machine, e.g. EM_ARM, and the instructions of an image without the data between them.

    Mapping symbols tell the two apart (ELF for the Arm Architecture, IHI 0044, 4.5.6): $t, $x from here on code, $d
    data; on x86-64 no data lies between. Raises: ToolkitError when there are none."""
    elf = _open(path)
    machine = str(elf["e_machine"])
    marks: dict[int, dict[int, bool]] = {}
    for entry in elf.get_section_by_name(".symtab").iter_symbols():
        if entry.name[:2] in ("$t", "$x", "$d") and isinstance(entry["st_shndx"], int):
            marks.setdefault(entry["st_shndx"], {})[entry["st_value"]] = entry.name[1] != "d"
    found = []
    for index, section in enumerate(elf.iter_sections()):
        if section["sh_flags"] & 4 and section["sh_size"] and section["sh_type"] == "SHT_PROGBITS":  # SHF_EXECINSTR
            start, data = section["sh_addr"], section.data()
            here = marks.get(index, {}) if machine != "EM_X86_64" else {start: True}
            if not any(here.values()):
                raise ToolkitError(f"{path}: {section.name} does not say what in it is code; link it without -s")
            ends = [*sorted(here), start + len(data)]
            pairs = pairwise(ends)
            found += [Segment(a, data[a - start : b - start]) for a, b in pairs if here[a] and b > a]
    return machine, found


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an image that takes room on the chip. stored: its bytes are in the image, else it starts as zeros."""

    name: str
    address: int
    size: int
    stored: bool


def sections(path: Path) -> list[Section]:
    """What lies in the chip's memory, by address, without empty ones."""
    found = (s for s in _open(path).iter_sections() if s["sh_flags"] & 2 and s["sh_size"])  # SHF_ALLOC
    taken = [Section(s.name, s["sh_addr"], s["sh_size"], s["sh_type"] != "SHT_NOBITS") for s in found]
    return sorted(taken, key=lambda s: s.address)


def entry(path: Path) -> int:
    """Where an image starts."""
    return int(_open(path)["e_entry"])


def section_bytes(path: Path, name: str) -> int:
    """The size of a section; 0 when there is none."""
    section = _open(path).get_section_by_name(name)
    return 0 if section is None else int(section["sh_size"])


def _model_kind(symbol: Symbol) -> str:
    """A name with a dot is the compiler's own: a string, a switch table, a constant inside a function."""
    if symbol.kind == "code" or "." in symbol.name:
        return "code"
    return "tables" if symbol.name.startswith("tl_") else "weights"


def measure(elf: Path, model_objects: Iterable[Path]) -> dict[str, int]:
    """Bytes by kind. weights, tables, code: the model's own; vectors: the test data; firmware: the rest of the flash.

    Tables are the model's constants called `tl_*`; its other named constants are weights. flash is all that is flashed,
    ram = data + bss, without the stack."""
    model = {s.name for path in model_objects for s in symbols(path) if s.kind != "undefined"}
    sizes = dict.fromkeys(("weights", "tables", "code", "vectors"), 0)
    for symbol in symbols(elf):
        if symbol.kind == "const" and symbol.name.startswith("tl_vector_"):
            sizes["vectors"] += symbol.size
        elif symbol.name in model and symbol.kind in ("const", "code"):
            sizes[_model_kind(symbol)] += symbol.size
    flash = sum(len(s.data) for s in segments(elf))
    data, bss = section_bytes(elf, ".data"), section_bytes(elf, ".bss")
    firmware = flash - sum(sizes.values())
    return {**sizes, "firmware": firmware, "flash": flash, "data": data, "bss": bss, "ram": data + bss}


def largest(elf: Path, count: int) -> list[Symbol]:
    """The symbols that take most room, in flash or RAM."""
    return sorted((s for s in symbols(elf) if s.size), key=lambda s: (-s.size, s.name))[:count]


def foreign_symbols(elf: Path, objects: Iterable[Path]) -> list[str]:
    """Symbols of an image that come neither from our objects nor from the linker script; mem* is allowed."""
    own = {s.name for path in objects for s in symbols(path) if s.kind != "undefined"}
    return sorted(
        s.name
        for s in symbols(elf)
        if s.name not in (*own, *_LINKER_MADE)
        and not s.name.startswith(("__tl_", *_LIBRARY_ALLOWED))
        and not (s.name.startswith("__") and s.name.endswith(("_veneer", "_from_thumb")))  # made by the linker
    )


def missing_symbols(objects: Iterable[Path], linker_script_prefix: str) -> dict[str, list[str]]:
    """Names that our objects use and none defines, each with the objects that use it."""
    paths = list(objects)
    own = {s.name for path in paths for s in symbols(path) if s.kind != "undefined"}
    missing: dict[str, list[str]] = {}
    for path in paths:
        for symbol in symbols(path):
            given = symbol.name in own or symbol.name.startswith(linker_script_prefix)
            if symbol.kind == "undefined" and not given:
                missing.setdefault(symbol.name, []).append(path.name)
    return dict(sorted(missing.items()))


def _place(path: Path, name: str) -> tuple[int, int]:
    """Offset in the file and size of a symbol's bytes."""
    elf = _open(path)
    table = elf.get_section_by_name(".symtab")
    found = table.get_symbol_by_name(name) if table is not None else None
    if not found:
        raise ToolkitError(f'{path}: no symbol "{name}"{nearest(name, (s.name for s in symbols(path) if s.size))}')
    symbol = found[0]
    section = elf.get_section(symbol["st_shndx"])
    if section["sh_type"] == "SHT_NOBITS":
        raise ToolkitError(f'{path}: symbol "{name}" has no bytes in the image: it lies in RAM')
    address = symbol["st_value"] & ~1 if symbol["st_info"]["type"] == "STT_FUNC" else symbol["st_value"]
    return address - section["sh_addr"] + section["sh_offset"], symbol["st_size"]


def read_symbol(elf: Path, name: str) -> bytes:
    """The bytes of a symbol in an image, e.g. the weights `lstm0_wh`.

    Raises: ToolkitError when there is no such symbol."""
    offset, size = _place(elf, name)
    return elf.read_bytes()[offset : offset + size]


def patch_symbol(elf: Path, name: str, offset: int, xor: int, out: Path) -> None:
    """Writes a copy of an image with one byte of a symbol changed, to plant a fault.

    Raises: ToolkitError when there is no such symbol or byte."""
    start, size = _place(elf, name)
    if not 0 <= offset < size:
        raise ToolkitError(f'{elf}: symbol "{name}" has {size} bytes: there is no byte {offset}')
    data = bytearray(elf.read_bytes())
    data[start + offset] ^= xor & 0xFF
    write_whole(out, bytes(data))
