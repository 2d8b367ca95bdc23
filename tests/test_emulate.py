"""Emulators: the same image passes with the same hash in each, faults are found, and instruction counts are exact."""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests import fake_model
from tests.conftest import needs
from toolkit import elf
from toolkit.boards import BOARDS, load_board
from toolkit.build import build_firmware
from toolkit.emulate import count_instructions, replay, run_firmware, unicorn_
from toolkit.errors import CheckFailed, ToolkitError

CHIPS = ("mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "netduinoplus2", "microbit")
EMULATORS = ("qemu", "unicorn")
STEPS = 300
_FOLDER = tempfile.TemporaryDirectory(prefix="tealight-test-")


def quiet(_: str) -> None:
    pass


def build(out: Path, board: str, text: str, *, compiler: str = "auto", old: str = "", new: str = "") -> Path:
    """The fake model built for a board, with `old` in its C replaced; a build folder of the test's own."""
    shutil.copytree(_built(board, text, compiler, old, new), out, dirs_exist_ok=True)
    return out / "build"


@functools.cache
def _built(board: str, text: str, compiler: str, old: str, new: str) -> Path:
    """Each image is built once for all tests of a process."""
    out = Path(_FOLDER.name) / str(len(os.listdir(_FOLDER.name)))
    c_dir = fake_model.write(out, text)
    source = (c_dir / "fake.c").read_text()
    assert old in source
    (c_dir / "fake.c").write_text(source.replace(old, new))
    build_firmware(c_dir, load_board(board), out / "build", toolchain=compiler, say=quiet)
    return out


def run(folder: Path, board: str, emulator: str) -> dict[str, Any]:
    needs(emulator)
    return run_firmware(folder, load_board(board), emulator=emulator, say=quiet)


def failure(folder: Path, board: str, emulator: str) -> tuple[str, dict[str, Any]]:
    """The message of the run that must fail, and what `replay` tells of it."""
    needs(emulator)
    with pytest.raises(CheckFailed) as caught:
        run_firmware(folder, load_board(board), emulator=emulator, say=quiet)
    return str(caught.value), replay(folder, load_board(board), emulator=emulator, say=quiet)


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("compiler, tool", [("gcc", "arm-gcc"), ("zig", "zig")])
@pytest.mark.parametrize("board", CHIPS)
def test_every_board_passes(board: str, compiler: str, tool: str, emulator: str, tmp_path: Path) -> None:
    needs(tool, emulator)
    folder = build(tmp_path, board, fake_model.vectors(STEPS), compiler=compiler)
    result = run(folder, board, emulator)
    assert result["passed"] and result["steps"] == result["steps_asked"] == STEPS
    assert result["hash"] == fake_model.run_hash(STEPS)
    assert result["emulator"].startswith(emulator) and result["board"] == board and result["model"] == "fake"
    assert 0 < result["stack"] < result["stack_total"] <= 2048
    assert result["state_bytes"] == 28 and result["mismatch"] is None
    assert elf.section_bytes(folder / "firmware.elf", ".bss") == result["ram"]


@pytest.mark.parametrize("emulator", EMULATORS)
def test_a_state_saved_on_the_host_continues_on_the_board(emulator: str, tmp_path: Path) -> None:
    needs(emulator)
    folder = build(tmp_path, "mps2_an386", fake_model.vectors(STEPS, restore=True))
    assert run(folder, "mps2_an386", emulator)["passed"]


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("board", CHIPS)
def test_a_wrong_vector_stops_at_its_step(board: str, emulator: str, tmp_path: Path) -> None:
    needs(emulator)
    folder = build(tmp_path, board, fake_model.vectors(STEPS, wrong_step=77))
    message, result = failure(folder, board, emulator)
    assert "step 77 differs from the oracle" in message
    assert result["exit"] == 1 and not result["passed"]
    mismatch = result["mismatch"]
    assert mismatch["step"] == 77 and mismatch["expected"][0] == mismatch["output"][0] + 1
    assert mismatch["got_hash"] == mismatch["expected_hash"] and len(mismatch["previous"]) == len(mismatch["got"]) == 96
    assert len(mismatch["input"]) == 2 and mismatch["op"] in (0, 1, 2)


@pytest.mark.parametrize("emulator", EMULATORS)
def test_a_flipped_bit_in_the_image_is_found(emulator: str, tmp_path: Path) -> None:
    needs("arm-gcc", emulator)
    folder = build(tmp_path, "netduinoplus2", fake_model.vectors(STEPS), compiler="gcc")
    image = folder / "firmware.elf"
    elf.patch_symbol(image, "dense0_w", 0, 0x01, image)
    message, result = failure(folder, "netduinoplus2", emulator)
    assert "differs from the oracle" in message and result["mismatch"]["step"] == 0


@pytest.mark.parametrize("emulator", EMULATORS)
def test_degenerate_states_fail(emulator: str, tmp_path: Path) -> None:
    needs(emulator)
    message, result = failure(build(tmp_path, "microbit", fake_model.vectors(50, flat=True)), "microbit", emulator)
    assert result["hash_changes"] == 50  # the step counter is part of the hash: it cannot tell
    assert "stayed zero, saturated or unmoved" in message and result["degenerate"] == 1 and result["exit"] == 1


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("board", CHIPS)
def test_a_fault_is_reported(board: str, emulator: str, tmp_path: Path) -> None:
    needs(emulator)
    bad = "*(volatile uint32_t *)0x90000000u = 1u; s->steps++;"
    message, result = failure(
        build(tmp_path, board, fake_model.vectors(9), old="s->steps++;", new=bad), board, emulator
    )
    assert "the image faulted: FAULT" in message
    assert result["fault"].startswith("FAULT ") and "pc=" in result["fault"]


@pytest.mark.parametrize("compiler, tool", [("gcc", "arm-gcc"), ("zig", "zig")])
@pytest.mark.parametrize("board", CHIPS)
def test_a_stack_overflow_faults_and_overwrites_nothing(board: str, compiler: str, tool: str, tmp_path: Path) -> None:
    needs(tool, "qemu")
    deep = "volatile uint8_t big[20000]; for (int i = 19999; i >= 0; i -= 8) { big[i] = 1u; } s->steps += big[9];"
    folder = build(tmp_path, board, fake_model.vectors(9), compiler=compiler, old="s->steps++;", new=deep)
    message, result = failure(folder, board, "qemu")
    memory = load_board(board).memory
    assert memory is not None
    if board in ("mps2_an385", "mps2_an386", "mps2_an500"):  # QEMU lets these write below their RAM: the paint tells
        assert re.search("(8188|8192) bytes of stack used, 8160 allowed", message)
    else:
        assert result["fault"].startswith(f"FAULT pc=unknown (stack overflow) sp={(memory.ram.origin - 1) >> 16:04x}")


@pytest.mark.parametrize("emulator", EMULATORS)
def test_a_hanging_image_times_out(emulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(emulator)
    monkeypatch.setattr("toolkit.emulate.TIMEOUT_S", 1.5)
    hang = "for (volatile int i = 1; i != 0;) { } s->steps++;"
    message, _ = failure(
        build(tmp_path, "microbit", fake_model.vectors(9), old="s->steps++;", new=hang), "microbit", emulator
    )
    assert "no EXIT line within 1.5 s" in message


def test_a_stack_budget_fails_the_run(tmp_path: Path) -> None:
    path = tmp_path / "microbit.toml"
    path.write_text((BOARDS / "microbit.toml").read_text() + "\n[budget]\nstack = 64\n")
    folder = build(tmp_path, "microbit", fake_model.vectors(9))
    with pytest.raises(CheckFailed, match=r"[0-9]+ bytes of stack used, 64 allowed"):
        run_firmware(folder, load_board(str(path)), emulator="auto", say=quiet)


def test_without_a_compiler_for_the_hook_parity_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("unicorn")
    folder = build(tmp_path, "microbit", fake_model.vectors(9))

    def refuse() -> Path:
        raise ToolkitError("no C compiler")

    monkeypatch.setattr("toolkit.emulate.native_hook", refuse)
    said: list[str] = []
    result = replay(folder, load_board("microbit"), emulator="unicorn", say=said.append)
    assert result["passed"] and result["instructions_per_step"] is None
    assert "instructions are not counted: no C compiler" in said


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = load_board("microbit")
    with pytest.raises(ToolkitError, match=r"run `python3 run\.py build --board microbit` first"):
        replay(tmp_path, board, emulator="auto", say=quiet)
    with pytest.raises(ToolkitError, match="takes no image"):
        replay(tmp_path, load_board("host"), emulator="auto", say=quiet)
    folder = build(tmp_path, "microbit", fake_model.vectors(9))
    with pytest.raises(ToolkitError, match='emulator "qemo" is not known; did you mean "qemu"'):
        replay(folder, board, emulator="qemo", say=quiet)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolkitError, match="install qemu-system-arm"):
        replay(folder, board, emulator="qemu", say=quiet)
    needs("unicorn")
    assert replay(folder, board, emulator="auto", say=quiet)["emulator"].startswith("unicorn")


def loop(times: int) -> str:
    """A loop before a statement: `times` rounds of a 16-bit and a 32-bit instruction, a decrement and a branch."""
    body = "1: nop; nop.w; subs r3, #1; bne 1b"
    return f'__asm__ volatile("ldr r3, ={times}; {body}" ::: "r3", "cc"); s->steps++;'


def test_counts_are_exact_for_a_loop_counted_by_hand(tmp_path: Path) -> None:
    needs("unicorn")
    counts = {}
    for times in (1, 11, 1000):
        folder = build(tmp_path / str(times), "mps2_an386", fake_model.vectors(20), old="s->steps++;", new=loop(times))
        counts[times] = count_instructions(folder, load_board("mps2_an386"))
    for times in (11, 1000):
        for key in ("mean", "min", "max"):
            assert round(counts[times][key] - counts[1][key], 6) == 4 * (times - 1)  # type: ignore[index]
    assert counts[1]["calls"] == 20  # type: ignore[index]


@pytest.mark.parametrize("board", CHIPS)
def test_counts_are_those_of_single_steps(board: str, tmp_path: Path) -> None:
    needs("unicorn")
    import unicorn

    folder = build(tmp_path, board, fake_model.vectors(30))
    image = folder / "firmware.elf"
    counted = unicorn_.run(image, load_board(board), 60.0, count=True).counts
    machine = unicorn_.Machine(image, load_board(board))
    probes = {s.address: s.name for s in elf.symbols(image) if s.name.startswith("tl_probe_")}
    seen = {"total": 0, "inside": 0, "sum": 0, "return": 0}

    def step(_uc: Any, address: int, _size: int, _user: Any) -> None:
        seen["total"] += 1
        name = probes.get(address)
        seen["inside"] = 1 if name == "tl_probe_begin" else 0 if name == "tl_probe_end" else seen["inside"]
        seen["return"] += name == "tl_probe_begin"
        seen["sum"] += seen["inside"]

    machine.uc.hook_add(unicorn.UC_HOOK_CODE, step)
    assert machine.run(60.0)
    assert counted is not None and counted.calls == 30 == seen["return"]
    assert counted.sum == seen["sum"] - seen["return"]  # the `bx lr` of tl_probe_begin is not counted
    if board == "microbit":  # no IT blocks there; in them unicorn steps over what is not done, and the hook does not
        # The stop at the last byte of the EXIT line cuts the last block short: the hook has counted it whole.
        assert 0 <= counted.total - seen["total"] < 16


def test_a_long_loop_is_counted_whole(tmp_path: Path) -> None:
    """Forty million instructions; the speed is printed, not judged: machines are shared."""
    needs("unicorn")
    folder = build(tmp_path, "mps2_an386", fake_model.vectors(100), old="s->steps++;", new=loop(100_000))
    began = time.perf_counter()
    counts = unicorn_.run(folder / "firmware.elf", load_board("mps2_an386"), 60.0, count=True).counts
    assert counts is not None
    print(f"{counts.total / (time.perf_counter() - began) / 1e6:.0f} M instructions a second, blocks of four")
    assert counts.calls == 100 and 400_000 <= counts.min <= counts.max < 400_200
