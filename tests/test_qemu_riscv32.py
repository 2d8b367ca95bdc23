"""The board qemu_riscv32: the firmware on a bare RV32 core, with the kernels of rv32."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import fake_model
from tests.conftest import needs
from toolkit import elf
from toolkit.boards import BOARDS, Board, load_board
from toolkit.build import build_firmware
from toolkit.cli import main
from toolkit.emulate import replay, run_firmware
from toolkit.errors import CheckFailed, ToolkitError

COMPILERS = {"gcc": "riscv-gcc", "zig": "zig"}
GOLDEN = Path(__file__).with_name("golden")
HERE = load_board("qemu_riscv32")
STEPS = 50


def quiet(_: str) -> None:
    pass


def built(tmp_path: Path, compiler: str, vectors: str, old: str = "", new: str = "", board: Board = HERE) -> Path:
    """The fake model's build folder, with `old` in its C replaced."""
    needs(COMPILERS[compiler], "qemu-riscv32")
    c_dir = fake_model.write(tmp_path, vectors)
    source = (c_dir / "fake.c").read_text()
    assert old in source
    (c_dir / "fake.c").write_text(source.replace(old, new))
    build_firmware(c_dir, board, tmp_path / "build", toolchain=compiler, say=quiet)
    return tmp_path / "build"


def failed(folder: Path) -> tuple[str, dict[str, Any]]:
    with pytest.raises(CheckFailed) as caught:
        run_firmware(folder, HERE, emulator="qemu", say=quiet)
    return str(caught.value), replay(folder, HERE, emulator="qemu", say=quiet)


def on_core(tmp_path: Path, core: str) -> Board:
    """The board with another core, which QEMU's has all of."""
    path = tmp_path / "qemu_riscv32.toml"
    path.write_text((BOARDS / path.name).read_text("utf-8").replace('core = "rv32im"', f'core = "{core}"'), "utf-8")
    return load_board(str(path))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("core", ["rv32im", "rv32imc", "rv32imac"])
def test_the_firmware_passes(core: str, compiler: str, tmp_path: Path) -> None:
    folder = built(tmp_path, compiler, fake_model.vectors(STEPS), board=on_core(tmp_path, core))
    result = run_firmware(folder, HERE, emulator="auto", say=quiet)
    assert result["passed"] and result["hash"] == fake_model.run_hash(STEPS)
    assert 0 <= result["stack"] < result["stack_total"] <= 2048  # zig: a step of this model needs no stack
    assert elf.section_bytes(folder / "firmware.elf", ".bss") == result["ram"]
    starts = {s.name: s.address for s in elf.symbols(folder / "firmware.elf")}
    assert starts["tl_reset"] == 0x8000_0000 and starts["tl_fault"] % 4 == 0
    short = any(s.address % 4 for s in elf.symbols(folder / "firmware.elf") if s.kind == "code")
    assert short == ("c" in core[4:])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_wrong_vector_is_reported(compiler: str, tmp_path: Path) -> None:
    message, result = failed(built(tmp_path, compiler, fake_model.vectors(STEPS, wrong_step=7)))
    assert "step 7 differs from the oracle" in message and "exit code" not in message
    assert result["exit"] == 1 and result["mismatch"]["step"] == 7


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    "bad, says",
    [
        ("*(volatile uint32_t *)0x80000000u = 1u;", "cause=7"),  # the program may not be written
        ('__asm__ volatile(".word 0");', "cause=2"),
        ('__asm__ volatile("mv sp, zero\\n\\tsw zero, -4(sp)");', "cause=7 (stack overflow) sp=00000000"),
        ('__asm__ volatile("la sp, __tl_stack_limit\\n\\tsw zero, -4(sp)");', "cause=7"),  # one word too deep
    ],
)
def test_a_fault_is_reported(bad: str, says: str, compiler: str, tmp_path: Path) -> None:
    folder = built(tmp_path, compiler, fake_model.vectors(9), "s->steps++;", f"{bad} s->steps++;")
    message, result = failed(folder)
    assert message.startswith("qemu_riscv32 in qemu ") and says in message, message
    assert result["exit"] == 1 and result["fault"].endswith(says)
    code = {s.name: (s.address, s.address + s.size) for s in elf.symbols(folder / "firmware.elf") if s.kind == "code"}
    pc = int(result["fault"].split("pc=")[1].split()[0], 16)
    assert any(start <= pc < end for name, (start, end) in code.items() if name.startswith(("fake_", "step")))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_network_passes_and_is_profiled(compiler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two layers with one kernel; instructions are shared out without a rest."""
    needs(COMPILERS[compiler], "qemu-riscv32", "host-cc")
    shutil.copy(GOLDEN / "ring.q.safetensors", tmp_path / "model.q.safetensors")
    how = [str(tmp_path), "--board", HERE.name]
    built_by = [*how, "--steps", "30", "--toolchain", compiler]
    assert main(["generate-c", *how]) == 0 and main(["run", *built_by]) == 0
    ran = json.loads((tmp_path / f"build/{HERE.name}/run.json").read_text())
    assert ran["passed"] and ran["steps"] == 30
    capsys.readouterr()
    assert main(["profile", *built_by, "--json"]) == 0
    p = json.loads(capsys.readouterr().out)
    assert p["cycles_per_step"] is None
    assert all(p["instructions_per_step"][k] == ran["instructions_per_step"][k] for k in ("mean", "min", "max"))
    assert sum(x["instructions_total"] for x in p["layers"]) == ran["instructions_per_step"]["mean"] * 30
    assert all(x["calls"] >= 1 for x in p["layers"] if x["layer"])


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = built(tmp_path, "zig", fake_model.vectors(9))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolkitError, match=r"install qemu-system-riscv32 \(apt-get install qemu-system-misc\)"):
        replay(folder, HERE, emulator="auto", say=quiet)
