"""The USB disk for every PC: the firmware starts it, and it starts the program for the processor that it finds."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests import fake_model
from tests.conftest import needs
from toolkit import fat
from toolkit.boards import load_board
from toolkit.build import build_firmware
from toolkit.emulate import qemu
from toolkit.emulate.outcome import parse
from toolkit.errors import ToolkitError
from toolkit.uefi import KINDS, build_disk

STEPS = 30


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of the disk with all three programs."""
    needs("x86_64-gcc")
    folder, programs = tmp_path_factory.mktemp("disk"), {}
    for kind, name in KINDS.items():
        c_dir = fake_model.write(folder / kind, fake_model.vectors(STEPS))
        build = folder / kind / "build"
        build_firmware(c_dir, load_board(name), build, toolchain="gcc", say=lambda _: None)
        programs[kind] = build / "firmware.efi"
    return build_disk(load_board("pc_uefi"), programs, folder / "out", toolchain="gcc")


@pytest.mark.parametrize("cpu, board", [("qemu64", "pc_uefi"), ("max", "pc_uefi_avx2")])
def test_a_pc_starts_what_its_processor_can_run(cpu: str, board: str, stick: Path) -> None:
    """QEMU has no AVX-512."""
    needs("qemu-uefi")
    pc = load_board("pc_uefi")
    assert pc.run is not None
    seen = parse(qemu.run(stick, replace(pc, run=replace(pc.run, cpu=cpu)), 120.0).lines)
    assert seen["board"] == board and seen["exit"] == 0 and seen["hash"] == fake_model.run_hash(STEPS)


def test_the_files_of_a_disk() -> None:
    """Read back by the rules of FAT: every byte of every file, by its chain of clusters."""
    files = {"EFI/BOOT/BOOTX64.EFI": bytes(range(256)) * 40, "NOTE.TXT": b"hello", "EMPTY": b""}
    image = fat.disk_image(files)
    assert image == fat.disk_image(files) and image[510:512] == b"\x55\xaa" and image[450] == 0xEF
    start, sectors = struct.unpack_from("<2I", image, 454)
    volume = image[start * 512 :]
    assert len(volume) == sectors * 512 and volume[54:62] == b"FAT16   "
    found = {}
    per_cluster, reserved, fats, entries = struct.unpack_from("<BHBH", volume, 13)
    per_fat = struct.unpack_from("<H", volume, 22)[0]
    root = (reserved + fats * per_fat) * 512
    data = root + entries * 32
    table = struct.unpack_from(f"<{per_fat * 256}H", volume, reserved * 512)

    def content(cluster: int) -> bytes:
        parts = []
        while 2 <= cluster < 0xFFF8:
            at = data + (cluster - 2) * per_cluster * 512
            parts.append(volume[at : at + per_cluster * 512])
            cluster = table[cluster]
        return b"".join(parts)

    def walk(folder: bytes, path: str) -> None:
        for at in range(0, len(folder), 32):
            entry = folder[at : at + 32]
            cluster, size = struct.unpack_from("<HI", entry, 26)
            name = f"{entry[:8].decode().strip()}.{entry[8:11].decode().strip()}".rstrip(".")
            if entry[0] in (0, ord(".")):
                continue
            if entry[11] & 0x10:
                walk(content(cluster), f"{path}{name}/")
            else:
                found[path + name] = content(cluster)[:size]

    walk(volume[root:data], "")
    assert found == files


@pytest.mark.parametrize(
    "name, size, says", [("boot.efi", 1, "expected capitals"), ("A.EFI", 1 << 28, "bytes on a USB disk: expected")]
)
def test_what_a_disk_cannot_hold(name: str, size: int, says: str) -> None:
    with pytest.raises(ToolkitError, match=says):
        fat.disk_image({name: bytes(size)})
