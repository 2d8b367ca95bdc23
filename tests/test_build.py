"""Builds: images, sizes, the symbol rule, budgets, and what is said when the C is wrong."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import toolkit.build
from tests import fake_model, kept
from tests.conftest import needs
from toolkit import elf
from toolkit.boards import BOARDS, load_board
from toolkit.build import build_firmware, build_host
from toolkit.errors import CheckFailed, ToolkitError
from toolkit.targets import ROOT

KEEP = '__attribute__((section(".vectors"), used))'  # what nothing calls, and the linker must not drop
COMPILERS = [("gcc", "arm-gcc"), ("zig", "zig")]


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit.build, "_scons", kept.REAL)


def build(tmp_path: Path, *, board: str = "microbit", compiler: str = "auto", extra: str = "") -> dict[str, Any]:
    """The fake model with `extra` C added to it."""
    c_dir = fake_model.write(tmp_path, fake_model.vectors(20))
    (c_dir / "fake.c").write_text((c_dir / "fake.c").read_text() + extra)
    return build_firmware(c_dir, load_board(board), tmp_path / "build", toolchain=compiler, say=lambda _: None)


def uses(expression: str) -> str:
    """C that makes the model need `expression`."""
    head = "\nvolatile uint32_t fake_a, fake_b;\nvoid fake_extra(void);\n"
    return f"{head}{KEEP} void fake_extra(void) {{ fake_a = {expression}; }}\n"


@pytest.mark.parametrize("compiler, tool", COMPILERS)
def test_images_hold_the_same_bytes(compiler: str, tool: str, tmp_path: Path) -> None:
    needs(tool)
    result = build(tmp_path, board="netduinoplus2", compiler=compiler)
    out = tmp_path / "build"
    raw = (out / "firmware.bin").read_bytes()
    assert raw == b"".join(s.data for s in elf.segments(out / "firmware.elf"))
    assert len(raw) == result["sizes"]["flash"]
    assert (out / "firmware.hex").read_text().startswith(":02000004")
    assert json.loads((out / "build.json").read_text()) == result
    for name, image in result["images"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == image["sha256"]


def test_bin_is_what_objcopy_makes(tmp_path: Path) -> None:
    needs("arm-gcc")
    build(tmp_path, compiler="gcc")
    out = tmp_path / "build"
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", out / "firmware.elf", out / "other.bin"], check=True)
    subprocess.run(["arm-none-eabi-objcopy", "-O", "ihex", out / "firmware.elf", out / "other.hex"], check=True)
    assert (out / "firmware.bin").read_bytes() == (out / "other.bin").read_bytes()
    from intelhex import IntelHex

    assert IntelHex(str(out / "firmware.hex")).todict() == {
        k: v for k, v in IntelHex(str(out / "other.hex")).todict().items() if k != "start_addr"
    } | {k: v for k, v in IntelHex(str(out / "firmware.hex")).todict().items() if k == "start_addr"}


def test_sizes_by_kind(tmp_path: Path) -> None:
    table = (
        "\nconst int16_t tl_sigmoid_nodes[33] = {1};\nconst int8_t lstm0_wh[100] = {1};\nint fake_get(int i);\n"
        f"{KEEP} int fake_get(int i) {{ return tl_sigmoid_nodes[i] + lstm0_wh[i]; }}\n"
    )
    without = build(tmp_path / "a")["sizes"]
    sizes = build(tmp_path / "b", extra=table)["sizes"]
    assert sizes["tables"] == without["tables"] + 66
    assert sizes["weights"] == without["weights"] + 100
    assert sizes["vectors"] == without["vectors"] == 20 * (1 + 8 + 4 + 4)
    flash = sum(sizes[k] for k in ("weights", "tables", "code", "vectors", "firmware"))
    assert sizes["flash"] == flash and sizes["ram"] == sizes["data"] + sizes["bss"]


@pytest.mark.parametrize("compiler, tool", COMPILERS)
@pytest.mark.parametrize(
    "expression, symbol",
    [("fake_a / fake_b", "__aeabi_uidiv"), ("(uint32_t)(((uint64_t)fake_a * fake_b) / 3u)", "__aeabi_uldivmod")],
)
def test_library_code_is_refused_by_name(
    compiler: str, tool: str, expression: str, symbol: str, tmp_path: Path
) -> None:
    needs(tool)
    with pytest.raises(CheckFailed) as caught:
        build(tmp_path, compiler=compiler, extra=uses(expression))
    assert symbol in str(caught.value) and "model_fake.o" in str(caught.value) and "only mem*" in str(caught.value)
    assert not (tmp_path / "build" / "build.json").exists()


@pytest.mark.parametrize("compiler, tool", COMPILERS)
def test_mem_functions_are_ours(compiler: str, tool: str, tmp_path: Path) -> None:
    needs(tool)
    build(tmp_path, compiler=compiler)
    names = {s.name for s in elf.symbols(tmp_path / "build" / "firmware.elf")}
    assert not [s.name for s in elf.symbols(tmp_path / "build" / "firmware.elf") if s.kind == "undefined"]
    assert "tl_reset" in names and names & {"memcpy", "__aeabi_memcpy"}


@pytest.mark.parametrize("compiler, tool", COMPILERS)
def test_a_network_too_big_shows_what_takes_the_room(compiler: str, tool: str, tmp_path: Path) -> None:
    needs(tool)
    big = '\n__attribute__((section(".rodata.big"), used)) const int8_t lstm0_wh[300000] = {1};\n'
    keep = f"int8_t fake_get(int i);\n{KEEP} int8_t fake_get(int i) {{ return lstm0_wh[i]; }}\n"
    with pytest.raises(CheckFailed) as caught:
        build(tmp_path, compiler=compiler, extra=big + keep)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("microbit: the image does not fit: flash ") and "the chip has 262144" in lines[0]
    assert any(line.split() == ["lstm0_wh", "300000", "flash"] for line in lines)
    assert not (tmp_path / "build" / "build.json").exists() and not (tmp_path / "build" / "firmware.bin").exists()


def test_ram_too_small_and_budgets(tmp_path: Path) -> None:
    room = (
        f"\nint8_t fake_room[15000];\nint8_t *fake_get(void);\n{KEEP} int8_t *fake_get(void) {{ return fake_room; }}\n"
    )
    with pytest.raises(CheckFailed, match=r"ram 1[0-9]+ bytes, with 2048 of stack; the chip has 16384"):
        build(tmp_path / "a", extra=room)
    path = tmp_path / "microbit.toml"
    path.write_text((BOARDS / "microbit.toml").read_text() + "\n[budget]\nflash = 1000\n")
    with pytest.raises(CheckFailed, match=r"flash [0-9]+ bytes, the budget allows 1000"):
        build(tmp_path / "b", board=str(path))


def test_wrong_c_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError) as caught:
        build(tmp_path, extra="\nint fake_bad(void) { return 1 }\n")
    assert "fake.c" in str(caught.value) and "error:" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    board = load_board("microbit")
    with pytest.raises(ToolkitError, match=r"model\.h: missing"):
        build_firmware(fake_model.FOLDER, board, tmp_path / "out", toolchain="auto", say=lambda _: None)
    fake_model.write(tmp_path, fake_model.vectors(5))
    with pytest.raises(ToolkitError, match=r"no C here; run `python3 run\.py generate-c` first"):
        build_firmware(tmp_path / "none", board, tmp_path / "build", toolchain="auto", say=lambda _: None)
    with pytest.raises(ToolkitError, match='toolchain "gc" is not known; did you mean "gcc"'):
        build_firmware(tmp_path / "c", board, tmp_path / "build", toolchain="gc", say=lambda _: None)
    with pytest.raises(ToolkitError, match="takes no image"):
        build_firmware(tmp_path / "c", load_board("host"), tmp_path / "build", toolchain="auto", say=lambda _: None)
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolkitError, match="cannot write"):
        build_firmware(tmp_path / "c", board, tmp_path / "file" / "build", toolchain="auto", say=lambda _: None)


def test_a_second_build_only_links_and_a_changed_vector_builds_again(tmp_path: Path) -> None:
    first = build(tmp_path)
    board, c_dir, out = load_board("microbit"), tmp_path / "c", tmp_path / "build"
    assert " -c " in (out / "build.log").read_text()
    again = build_firmware(c_dir, board, out, toolchain="auto", say=lambda _: None)
    assert again == first and " -c " not in (out / "build.log").read_text()
    (out / "vectors.h").write_text(fake_model.vectors(21))
    changed = build_firmware(c_dir, board, out, toolchain="auto", say=lambda _: None)
    assert changed["sizes"]["vectors"] == 21 * 17


def test_same_c_same_image_in_any_folder(tmp_path: Path) -> None:
    assert (
        build(tmp_path / "a")["images"]["firmware.bin"]
        == build(tmp_path / "b" / "with space")["images"]["firmware.bin"]
    )


def test_host_library_shows_only_the_api(tmp_path: Path) -> None:
    c_dir = fake_model.write(tmp_path, fake_model.vectors(5))
    library = ctypes.CDLL(str(build_host(c_dir, tmp_path / "host")))
    state, forecast = (ctypes.c_uint8 * 64)(), (ctypes.c_int32 * 1)()
    library.fake_reset(state)
    library.fake_predict(state, (ctypes.c_int32 * 2)(500, -300), forecast)
    assert forecast[0] == fake_model.Oracle().step((500, -300))
    if sys.platform == "linux":
        found = {s.name for s in elf.symbols(tmp_path / "host" / "model.so") if s.kind == "code"}
        assert "fake_predict" in found
        assert not hasattr(library, "crc32") and not hasattr(library, "clamp")


def test_host_library_with_zig_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("zig")
    c_dir = fake_model.write(tmp_path, fake_model.vectors(5))
    monkeypatch.setenv("PATH", str(tmp_path))
    library = ctypes.CDLL(str(build_host(c_dir, tmp_path / "host")))
    assert hasattr(library, "fake_predict")
    with pytest.raises(ToolkitError, match="sanitizers need gcc or clang"):
        build_host(c_dir, tmp_path / "san", sanitize="undefined")


def test_undefined_behaviour_sanitizer_builds(tmp_path: Path) -> None:
    needs("gcc")
    c_dir = fake_model.write(tmp_path, fake_model.vectors(5))
    library = build_host(c_dir, tmp_path / "host", sanitize="undefined")
    assert b"__ubsan" in library.read_bytes()


def test_read_and_patch_a_symbol(tmp_path: Path) -> None:
    needs("arm-gcc")
    build(tmp_path, board="mps2_an386", compiler="gcc")
    image = tmp_path / "build" / "firmware.elf"
    assert elf.read_symbol(image, "tl_vector_op") == bytes(1 if s % 11 == 3 else 0 for s in range(20))
    elf.patch_symbol(image, "tl_vector_in", 5, 0x80, tmp_path / "patched.elf")
    before, after = elf.read_symbol(image, "tl_vector_in"), elf.read_symbol(tmp_path / "patched.elf", "tl_vector_in")
    assert [(i, a ^ b) for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [(5, 0x80)]
    with pytest.raises(ToolkitError, match='no symbol "tl_vector_inn"; did you mean "tl_vector_in"'):
        elf.read_symbol(image, "tl_vector_inn")
    with pytest.raises(ToolkitError, match="there is no byte 999"):
        elf.patch_symbol(image, "tl_vector_in", 999, 1, tmp_path / "x.elf")


def test_scons_alone_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "SCons", "-Q", "-f", "SConstruct"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2 and "use `toolkit build" in done.stderr


def test_nothing_is_written_in_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("zig")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    build(tmp_path / "run", compiler="zig")
    assert not os.listdir(home)


def test_two_builds_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.test_build import build; "
        "build(Path(sys.argv[1]), compiler='auto')"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)], cwd=ROOT) for name in "ab"]
    assert [p.wait(120) for p in both] == [0, 0]
    shutil.rmtree(tmp_path / "a")
