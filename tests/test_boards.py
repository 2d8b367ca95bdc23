"""Boards: every TOML loads, its flags match the core, its image links and fits; mistakes are named."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests import fake_model
from tests.conftest import needs
from toolkit.boards import BOARDS, Board, board_names, load_board
from toolkit.build import build_firmware
from toolkit.emulate import run_firmware
from toolkit.errors import ToolkitError
from toolkit.toolchain import Toolchain, board_flags, cross_toolchain

NAMES = board_names()
CHIPS = [name for name in NAMES if load_board(name).memory is not None]
COMPILERS = ("gcc", "zig")
GCC = {
    "arm-none-eabi": "arm-gcc",
    "aarch64-linux": "aarch64-gcc",
    "aarch64": "aarch64-gcc",
    "riscv32": "riscv-gcc",
    "x86_64-uefi": "x86_64-gcc",
}


def compiler_for(board: Board, kind: str) -> Toolchain:
    """The compiler, or a skip that names it."""
    needs(GCC[board.toolchain] if kind == "gcc" else kind)
    return cross_toolchain(kind, board.toolchain)


def test_every_core_of_a_target_has_a_board() -> None:
    cores = {load_board(name).core for name in NAMES}
    arm = {"cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"}
    assert {"host", *arm} <= cores and {"aarch64_user", "qemu_riscv32"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_board_loads(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert board.title and board.chip
    assert (
        (board.memory is None) == (board.toolchain == "host") == (board.requires == "") == (board.requires_text == "")
    )


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", CHIPS)
def test_compiler_flags_meet_what_the_board_requires(name: str, compiler: str, tmp_path: Path) -> None:
    board = load_board(name)
    toolchain = compiler_for(board, compiler)
    source = tmp_path / "check.c"
    source.write_text(
        f'#if !({board.requires})\n#error "{board.requires_text}"\n#endif\nextern int used;\nint used = 1;\n'
    )
    command = [*toolchain.cc, *board_flags(board, toolchain), "-c", str(source), "-o", str(tmp_path / "check.o")]
    path = os.environ["PATH"] if board.toolchain == "x86_64-uefi" else ""  # there gcc looks for its assembler
    subprocess.run(command, check=True, env={"PATH": path, **toolchain.env})


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", CHIPS)
def test_every_board_links_and_fits(name: str, compiler: str, tmp_path: Path) -> None:
    board = load_board(name)
    compiler_for(board, compiler)
    c_dir = fake_model.write(tmp_path, fake_model.vectors(100))
    result = build_firmware(
        c_dir, board, tmp_path / "build", toolchain=compiler, say=lambda _: None, purpose="replay_serve"
    )
    assert result["toolchain"] == compiler
    assert 1000 < result["sizes"]["flash"] <= result["limits"]["flash"]
    assert 0 < result["sizes"]["ram"] + result["limits"]["stack"] <= result["limits"]["ram"]


EMULATORS = ("qemu", "unicorn", "rp2040js")
EMULATED = [(n, e) for n in CHIPS if (run := load_board(n).run) for e in EMULATORS if getattr(run, e)]
PINS = '["-DTL_UART_TX_PIN=24u", "-DTL_UART_RX_PIN=25u"]'  # in microbit.toml
QEMU = {"arm-none-eabi": "qemu", "aarch64-linux": "qemu-aarch64", "aarch64": "qemu-aarch64-system"}
QEMU |= {"riscv32": "qemu-riscv32", "x86_64-uefi": "qemu-uefi"}


@pytest.mark.parametrize("name, emulator", EMULATED)
def test_every_board_runs_with_parity(name: str, emulator: str, tmp_path: Path) -> None:
    """The same vectors, the same hash, in every emulator that knows the board."""
    board = load_board(name)
    compiler = "gcc" if board.target == "avx2" else "zig"  # QEMU 7.2 does not run all that zig makes of AVX2
    compiler_for(board, compiler)
    needs(QEMU[board.toolchain] if emulator == "qemu" else emulator)
    c_dir = fake_model.write(tmp_path, fake_model.vectors(100))
    build_firmware(c_dir, board, tmp_path / "build", toolchain=compiler, say=lambda _: None)
    result = run_firmware(tmp_path / "build", board, emulator=emulator, say=lambda _: None)
    assert result["passed"] and result["hash"] == fake_model.run_hash(100)


def test_a_board_like_another_costs_three_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nlike = "netduinoplus2"\nclock_hz = 8_000_000\n')
    mine, other = load_board(str(path)), load_board("netduinoplus2")
    text = other.requires_text.replace("netduinoplus2", "mine")
    assert mine == replace(other, name="mine", clock_hz=8_000_000, requires_text=text)
    path.write_text('name = "mine"\nlike = "netduinoplus2"\nmemory.flash.length = 65_536\n')
    memory, whole = load_board(str(path)).memory, other.memory
    assert memory is not None and whole is not None
    assert memory == replace(whole, flash=replace(whole.flash, length=65_536))


@pytest.mark.parametrize(
    "like, says",
    [
        ("netduinoplus3", 'mine.toml: like: board "netduinoplus3" is not known; did you mean "netduinoplus2"?'),
        ("{path}", 'mine.toml: like = "{path}": expected another board'),
        ("mine", 'mine.toml: like = "mine": expected another board'),
    ],
)
def test_a_board_that_is_like_none(like: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\nlike = "{like.format(path=path)}"\n')
    assert says.format(path=path) in refusal(str(path))


def edited(tmp_path: Path, old: str, new: str) -> str:
    """The micro:bit's file with one change; its path."""
    text = (BOARDS / "microbit.toml").read_text()
    assert old in text
    path = tmp_path / "microbit.toml"
    path.write_text(text.replace(old, new))
    return str(path)


def refusal(path: str) -> str:
    with pytest.raises(ToolkitError) as caught:
        load_board(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("length = 16_384", 'length = "16k"', 'memory.ram.length = "16k": expected bytes, e.g. 131072'),
        ("length = 16_384", "length = -1", "memory.ram.length = -1: expected bytes"),
        ("length = 16_384", "length = true", "memory.ram.length = true: expected bytes"),
        ("length = 16_384", "size = 16_384", "memory.ram.length is missing: expected bytes"),
        ("length = 16_384", "length = 16_384, lenght = 3", 'unknown key memory.ram.lenght; did you mean "length"?'),
        ("stack = 2048", "stack = 32768", "memory.stack = 32768: expected a multiple of 8 between 256"),
        ("clock_hz", "clock_mhz", 'unknown key clock_mhz; did you mean "clock_hz"?'),
        ("[memory]", 'zzz = "red"\n[memory]', "unknown key zzz; there is: "),
        ('core = "cortex-m0"', 'core = "cortex-m00"', 'core = "cortex-m00": not known; did you mean "cortex-m0"?'),
        ('hal = "nrf51"', 'hal = "nrf52"', 'hal = "nrf52": not known; did you mean "nrf51"?'),
        ('target = "v6m"', 'target = "v6n"', 'target = "v6n": not known; did you mean "v6m"?'),
        (
            'unicorn = "cortex-m0"',
            'unicorn = "cortex-0"',
            'run.unicorn = "cortex-0": not known; did you mean "cortex-m0"?',
        ),
        ("value = 1 }", 'value = "one" }', 'run.reads[0].value = "one": expected a number'),
        ("semihosting = false", 'semihosting = "no"', 'semihosting = "no": expected true or false'),
        (f"cflags = {PINS}", 'cflags = "-O3"', 'cflags = "-O3": expected e.g. ["-DX=1"]'),
        (
            'target = "v6m"',
            'target = "dsp"',
            'target = "dsp": expected one of ref, v6m for a cortex-m0: dsp needs the DSP extension and Armv7-M',
        ),
        ('target = "v6m"', 'target = "avx2"', "avx2 needs AVX2"),
        ('core = "cortex-m0"', 'core = "neoverse-n1"', 'fpu = "none": expected one that a neoverse-n1 can have: neon'),
        ('fpu = "none"', 'fpu = "fpv4-sp-d16"', 'fpu = "fpv4-sp-d16": expected one that a cortex-m0 can have: none'),
        (PINS, '["-mcpu=cortex-m4"]', 'cflags has "-mcpu=cortex-m4": take it out: core and fpu'),
        (PINS, '["-mfloat-abi=hard"]', 'cflags has "-mfloat-abi=hard": take it out'),
        ("[memory]", "[memry]", 'unknown key memry; did you mean "memory"?'),
        ('name = "microbit"', 'name = "macrobit"', 'name = "macrobit": expected "microbit", as the file is called'),
        ('name = "microbit"', "name = microbit", "not TOML: "),
    ],
)
def test_a_mistake_is_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    path = edited(tmp_path, old, new)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert says in message


def test_a_target_that_the_core_lacks(tmp_path: Path) -> None:
    text = (BOARDS / "mps2_an385.toml").read_text().replace('target = "v7m"', 'target = "dsp"')
    path = tmp_path / "mps2_an385.toml"
    path.write_text(text)
    assert 'target = "dsp": expected one of ref, v6m, v7m for a cortex-m3: dsp needs the DSP' in refusal(str(path))


def test_unknown_board_offers_the_nearest() -> None:
    assert refusal("microbitt").startswith('board "microbitt" is not known; did you mean "microbit"?')
    assert "netduinoplus2" in refusal("arduino")


def test_a_users_own_file(tmp_path: Path) -> None:
    board: Board = load_board(edited(tmp_path, "[run]", "[budget]\nflash = 20_000\n\n[run]"))
    assert board.budget.flash == 20_000 and board.budget.ram is None
    assert "cannot read" in refusal(str(tmp_path / "none.toml"))


def test_a_missing_tool_skips_unless_tools_are_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TEALIGHT_REQUIRE_TOOLS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="SKIPPED: no qemu-system-arm on PATH"):
        needs("qemu")
    monkeypatch.setenv("TEALIGHT_REQUIRE_TOOLS", "1")
    with pytest.raises(pytest.fail.Exception, match="SKIPPED: no qemu-system-arm on PATH"):
        needs("qemu")
