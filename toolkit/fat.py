"""Writes a disk image with one partition of FAT16, which every PC reads; the same files give the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import PurePosixPath

from toolkit.errors import ToolkitError

SECTOR = 512
_START = 2048  # the partition's first sector
_PER_CLUSTER = 4
_CLUSTER = SECTOR * _PER_CLUSTER
_RESERVED, _FATS, _ROOT = 1, 2, 512  # sectors, copies of the table, entries of the root folder
_LEAST, _MOST = 5000, 65524  # clusters: with fewer than 4085 it would be FAT12, with more FAT32
_DATE = 1 << 5 | 1  # 1980-01-01
_ID = 0x7EA11647
_Files = Mapping[PurePosixPath, bytes]


def _short(name: str) -> bytes:
    stem, _, suffix = name.partition(".")
    if not 0 < len(stem) <= 8 or len(suffix) > 3 or name != name.upper():
        raise ToolkitError(f'"{name}" on a FAT disk: expected capitals, 8 and 3 of them at most')
    return stem.ljust(8).encode() + suffix.ljust(3).encode()


def _entry(name: bytes, kind: int, cluster: int, size: int) -> bytes:
    return struct.pack("<11s3B7HI", name, kind, 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, cluster, size)


class _Disk:
    """Clusters in the order in which they are given out: every file lies in one piece."""

    def __init__(self) -> None:
        self.table, self.data = [0xFFF8, 0xFFFF], bytearray()

    def put(self, content: bytes) -> int:
        """Its first cluster; 0 for nothing."""
        count = -(-len(content) // _CLUSTER)
        first = len(self.table)
        self.table += [*range(first + 1, first + count), 0xFFFF][: count if count else 0]
        self.data += content.ljust(count * _CLUSTER, b"\0")
        return first if count else 0


def _put_folder(
    disk: _Disk, files: Mapping[PurePosixPath, bytes], folder: PurePosixPath, own: int, above: int
) -> bytes:
    """The entries of a folder, whose files and folders are put on the disk. own, above: clusters; 0: the root."""
    entries = b"" if own == 0 else _entry(b".".ljust(11), 0x10, own, 0) + _entry(b"..".ljust(11), 0x10, above, 0)
    below = sorted({p.relative_to(folder).parts[0] for p in files if folder in p.parents})
    for name in below:
        path = folder / name
        if path in files:
            entries += _entry(_short(name), 0x20, disk.put(files[path]), len(files[path]))
            continue
        at = disk.put(bytes(_CLUSTER))
        content = _put_folder(disk, files, path, at, own)
        if len(content) > _CLUSTER:
            raise ToolkitError(f"{path}: more files in one folder than a cluster holds")
        offset = (at - 2) * _CLUSTER
        disk.data[offset : offset + len(content)] = content
        entries += _entry(_short(name), 0x10, at, 0)
    return entries


def disk_image(files: Mapping[str, bytes]) -> bytes:
    """A disk with these files, by paths of capitals, e.g. EFI/BOOT/BOOTX64.EFI. Raises: ToolkitError."""
    disk = _Disk()
    root = _put_folder(disk, {PurePosixPath(k): v for k, v in files.items()}, PurePosixPath("."), 0, 0)
    clusters = max(len(disk.table) - 2, _LEAST)
    if clusters > _MOST:
        raise ToolkitError(f"{len(disk.data)} bytes on a USB disk: expected {_MOST * _CLUSTER} at most")
    per_fat = -(-2 * (clusters + 2) // SECTOR)
    sectors = _RESERVED + _FATS * per_fat + _ROOT * 32 // SECTOR + clusters * _PER_CLUSTER
    sizes = (SECTOR, _PER_CLUSTER, _RESERVED, _FATS, _ROOT, 0, 0xF8, per_fat, 63, 255, _START, sectors)
    boot = b"\xeb\x3c\x90TEALIGHT" + struct.pack("<HBHBHHBHHHII", *sizes)
    boot += struct.pack("<3BI11s8s", 0x80, 0, 0x29, _ID, b"TEALIGHT   ", b"FAT16   ")
    boot = boot.ljust(510, b"\0") + b"\x55\xaa"
    fat = struct.pack(f"<{len(disk.table)}H", *disk.table).ljust(per_fat * SECTOR, b"\0")
    volume = boot + fat * _FATS + root.ljust(_ROOT * 32, b"\0") + bytes(disk.data).ljust(clusters * _CLUSTER, b"\0")
    partition = struct.pack("<B3sB3s2I", 0x80, b"\xfe\xff\xff", 0xEF, b"\xfe\xff\xff", _START, sectors)  # an EFI one
    record = bytes(440) + struct.pack("<IH", _ID, 0) + partition.ljust(64, b"\0") + b"\x55\xaa"
    return record.ljust(_START * SECTOR, b"\0") + volume
