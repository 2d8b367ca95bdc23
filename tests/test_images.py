"""The forms of an image: each carries the bytes of the ELF, and readers that are not ours take them."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fake_model
from tests.conftest import needs
from toolkit import elf, images
from toolkit.boards import load_board
from toolkit.build import build_firmware
from toolkit.elf import Segment
from toolkit.emulate import replay
from toolkit.errors import ToolkitError


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of an image for the Pico."""
    needs("zig")
    out = tmp_path_factory.mktemp("pico")
    c_dir = fake_model.write(out, fake_model.vectors(20))
    build_firmware(c_dir, load_board("pico"), out / "build", toolchain="zig", say=lambda _: None)
    return out / "build"


def test_pages_are_filled_with_zeros() -> None:
    found = images.pages([Segment(0x1FE, b"abc"), Segment(0x404, b"d")], 256)
    assert [(p.address, p.data.rstrip(b"\0"), len(p.data)) for p in found] == [
        (0x100, bytes(254) + b"ab", 256),
        (0x200, b"c", 256),
        (0x400, bytes(4) + b"d", 256),
    ]


def test_a_uf2_says_what_the_elf_says(pico: Path) -> None:
    blocks = [struct.unpack("<8I476sI", chunk) for chunk in _chunks((pico / "firmware.uf2").read_bytes(), 512)]
    count = len(blocks)
    assert {b[:3] + b[7:8] + b[9:] for b in blocks} == {(0x0A324655, 0x9E5D5157, 0x2000, 0xE48BFF56, 0x0AB16F30)}
    assert [b[5:7] for b in blocks] == [(k, count) for k in range(count)]
    memory = {b[3] + k: byte for b in blocks for k, byte in enumerate(b[8][: b[4]])}
    for segment in elf.segments(pico / "firmware.elf"):
        assert bytes(memory[segment.address + k] for k in range(len(segment.data))) == segment.data


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[k : k + size] for k in range(0, len(data), size)]


@pytest.mark.parametrize(
    "at, says",
    [(32, "another checksum"), (0, "no UF2 block at 0")],  # of the second stage of the boot; of a block's header
)
def test_rp2040js_refuses_what_the_chip_refuses(at: int, says: str, pico: Path) -> None:
    needs("rp2040js")
    good = (pico / "firmware.uf2").read_bytes()
    try:
        (pico / "firmware.uf2").write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        result = replay(pico, load_board("pico"), emulator="rp2040js", say=lambda _: None)
    finally:
        (pico / "firmware.uf2").write_bytes(good)
    assert not result["passed"] and says in result["problems"][0]


@pytest.mark.parametrize("compiler, tool", [("gcc", "riscv-gcc"), ("zig", "zig")])
def test_esptool_takes_the_image(compiler: str, tool: str, tmp_path: Path) -> None:
    """Its checksum and its digest, its chip, its segments in RAM, and its entry."""
    needs(tool, "esptool")
    c_dir = fake_model.write(tmp_path, fake_model.vectors(20))
    build_firmware(c_dir, load_board("esp32c3"), tmp_path / "build", toolchain=compiler, say=lambda _: None)
    command = [sys.executable, "-m", "esptool", "--chip", "esp32c3", "image-info", "firmware.esp.bin"]
    shown = subprocess.run(command, cwd=tmp_path / "build", capture_output=True, text=True, check=True).stdout
    assert "ESP32-C3" in shown and "(valid)" in shown and "Validation hash" in shown and "invalid" not in shown
    image = tmp_path / "build" / "firmware.elf"
    assert f"{elf.entry(image):#010x}" in shown
    assert all(f"{segment.address:#010x}" in shown for segment in elf.segments(image))


def test_an_unknown_chip_of_espressif() -> None:
    with pytest.raises(ToolkitError, match=r'tools.esptool = "esp33": expected one of esp32c3'):
        images.esp([], 0, "esp33")
