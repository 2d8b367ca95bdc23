"""Machines that call functions of an image on a memory: this computer, and every emulated core that a board names.

The image of a core has all kernels that the core runs, and shims/stream.c, which runs networks as data."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.images import Code, code_in, compile_image, functions, sources, target_flags
from tests.kernels import HERE, library, runnable
from tests.memory import Memory
from toolkit import elf
from toolkit.boards import BOARDS, Board, load_board
from toolkit.build import FIRMWARE, linker_script
from toolkit.codegen.choose import candidates
from toolkit.emulate import qemu
from toolkit.targets import SHIMS, TARGETS
from toolkit.toolchain import Toolchain, board_flags, common_flags, core_flags, cross_toolchain

Calls = Sequence[tuple[int, Sequence[int]]]
"""Functions and their arguments, at most five."""
ROOM = 0x80_0000
RISCV_GCC = "riscv64-unknown-elf-gcc"


@dataclass(frozen=True, slots=True)
class Machine:
    """An image on a core. call(calls, data): the memory at `base` as the functions leave it, one after the other.

    pointer: bytes of an address; functions: how `call` knows them; made: the addresses of the steps of Code;
    uc: where it is unicorn."""

    base: int
    pointer: int
    functions: dict[str, int]
    made: dict[tuple[str, ...], int]
    call: Callable[[Calls, bytes], bytes]
    uc: Any = None

    def memory(self) -> Memory:
        """An empty one."""
        return Memory(self.base, self.pointer, self.made)


@dataclass(frozen=True, slots=True)
class Core:
    """A processor. needs: tools, in the words of conftest.needs; room: bytes of its memory that networks may fill.

    build(core, folder, code, compiler): `auto`, `gcc` or `zig`."""

    name: str
    targets: tuple[str, ...]
    needs: tuple[str, ...]
    room: int
    build: Callable[[Core, Path, Code, str], Machine]
    board: Board | None = None


# --- this computer ---


def _host(core: Core, folder: Path, code: Code, compiler: str) -> Machine:
    """Its library has every target, the foreign ones by their twins, which need no code made for layers."""
    host = ctypes.CDLL(str(library()))
    memory = ctypes.create_string_buffer(ROOM + 64)
    base = -(-ctypes.addressof(memory) // 64) * 64
    names = functions(core.targets)

    def call(calls: Calls, data: bytes) -> bytes:
        assert len(data) <= ROOM
        ctypes.memmove(base, data, len(data))
        for function, arguments in calls:
            host[names[function]](*(ctypes.c_void_p(a) for a in arguments))
        _ = memory  # lives as long as this function
        return ctypes.string_at(base, len(data))

    return Machine(base, ctypes.sizeof(ctypes.c_void_p), {name: k for k, name in enumerate(names)}, {}, call)


# --- a core in unicorn ---

_CODE, _RAM, _STACK, _STACK_BYTES, _END = 0x0001_0000, 0x2000_0000, 0x3000_0000, 0x1_0000, 0x0000_F000
_SCRIPT = (
    f"SECTIONS {{ . = {_CODE:#x}; .text : {{ *(.text*) *(.rodata*) *(.srodata*) }} /DISCARD/ : {{ *(.ARM*) }} }}\n"
)


def _link(folder: Path, tool: Toolchain) -> list[str]:
    (folder / "image.ld").write_text(_SCRIPT)
    link = ["-T", str(folder / "image.ld"), "-Wl,--entry=shim_run", "-Wl,--build-id=none"]
    return [*link, "-rtlib=compiler-rt", "-fno-sanitize=undefined"] if tool.kind == "zig" else link


def _calls(
    uc: Any, image: Path, given: Sequence[int], kept: Sequence[int], sp: int, link: int, pc: int
) -> Callable[[Calls, bytes], bytes]:
    """Loads an image. given, kept, ..: ids of registers: those that hold arguments, those a function restores, .."""
    for origin, size in ((0, ROOM), (_RAM, ROOM), (_STACK, _STACK_BYTES)):
        uc.mem_map(origin, size)
    for segment in elf.segments(image):
        uc.mem_write(segment.address, bytes(segment.data))
    top = _STACK + _STACK_BYTES - 64
    before = {sp: top, **{r: 0x5EED_0000 + r for r in kept}}

    def call(calls: Calls, data: bytes) -> bytes:
        uc.mem_write(_RAM, data)
        for function, arguments in calls:
            for register, v in {
                **before,
                link: _END | function & 1,
                **dict(zip(given, arguments, strict=False)),
            }.items():
                uc.reg_write(register, v)
            uc.mem_write(top, b"".join(v.to_bytes(4, "little") for v in arguments[len(given) :]))
            uc.emu_start(function, _END)
            assert uc.reg_read(pc) == _END
            assert all(uc.reg_read(r) == v for r, v in before.items()), "a register was not restored"
        return bytes(uc.mem_read(_RAM, len(data)))

    return call


def _cortex_m(core: Core, folder: Path, code: Code, compiler: str) -> Machine:
    import unicorn
    from unicorn import arm_const as arm

    board = core.board
    assert board is not None and board.run is not None
    tool = cross_toolchain(compiler, board.toolchain)
    flags = [*board_flags(board, tool), *target_flags(core.targets)]
    files = sources(folder, core.targets, code)
    image = compile_image(tool, flags, files, folder / "image.elf", _link(folder, tool))
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    uc.ctl_set_cpu_model(getattr(arm, f"UC_CPU_ARM_{board.run.unicorn.upper().replace('-', '_')}"))
    given, kept = (range(r, r + n) for r, n in ((arm.UC_ARM_REG_R0, 4), (arm.UC_ARM_REG_R4, 8)))
    call = _calls(uc, image, given, kept, arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_PC)
    return Machine(_RAM, 4, *code_in(image, code, 1), call, uc)


def _rv32im(core: Core, folder: Path, code: Code, compiler: str) -> Machine:
    """With zig unless told: the usual gcc for RISC-V comes without a C library's headers."""
    import unicorn
    from unicorn import riscv_const as riscv

    if compiler == "gcc":
        tool = Toolchain("gcc", (RISCV_GCC,), RISCV_GCC, {})
        (folder / "stdint.h").write_text("#include <stdint-gcc.h>\n")
        flags = ["-march=rv32im", "-mabi=ilp32", "-O2", f"-isystem{folder}", *common_flags(tool)]
    else:
        tool = cross_toolchain("zig")
        flags = ["-target", "riscv32-freestanding", "-mcpu=generic_rv32+m", "-fhosted", "-Os", *common_flags(tool)]
    files = sources(folder, core.targets, code)
    image = compile_image(tool, [*flags, *target_flags(core.targets)], files, folder / "image.elf", _link(folder, tool))
    uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
    given = range(riscv.UC_RISCV_REG_X10, riscv.UC_RISCV_REG_X10 + 8)
    kept = [getattr(riscv, f"UC_RISCV_REG_S{k}") for k in range(12)]
    call = _calls(uc, image, given, kept, riscv.UC_RISCV_REG_SP, riscv.UC_RISCV_REG_RA, riscv.UC_RISCV_REG_PC)
    return Machine(_RAM, 4, *code_in(image, code, 0), call, uc)


# --- a board in QEMU ---

ARENA, ARRAYS, ARENA_END = 0x3100_0000, 0x3110_0000, 0x3140_0000  # SRAM 2 of mps3-an547: calls, then their memory


def qemu_image(board: Board, targets: Sequence[str], folder: Path, code: Code, tool: Toolchain) -> Path:
    """shims/caller.c makes the calls."""
    assert board.memory is not None
    script = folder / "image.ld"
    script.write_text(linker_script(board.memory))
    start = [FIRMWARE / f"{stem}.c" for stem in ("startup", "probe", "exit", "print", f"hal_{board.hal}")]
    flags = [*board_flags(board, tool), *target_flags(targets), f"-DTL_ARENA={ARENA:#x}u", "-DTL_SEMIHOSTING=1"]
    flags += [f"-DTL_CLOCK_HZ={board.clock_hz}u", f'-DTL_BOARD_NAME="{board.name}"']
    link = [*core_flags(board, tool), "-Wl,--entry=tl_reset", "-T", str(script)]
    files = [*sources(folder, targets, code), SHIMS / "caller.c", *start]
    return compile_image(tool, flags, files, folder / "image.elf", link)


def qemu_command(board: Board, image: Path) -> list[str]:
    """Runs it with memory.in; it writes memory.out."""
    assert board.run is not None
    command = [qemu.PROGRAMS[board.toolchain], "-M", board.run.qemu, "-display", "none", "-monitor", "none"]
    command += ["-serial", "stdio", "-kernel", str(image), "-semihosting-config", "enable=on,target=native"]
    return [*command, "-device", f"loader,file=memory.in,addr={ARENA:#x},force-raw=on"]


def call_table(calls: Calls, data: bytes) -> bytes:
    """memory.in, as shims/caller.c reads it."""
    words = [len(calls), ARRAYS - ARENA + len(data)]
    words += [v for function, given in calls for v in (function, *given, *[0] * (6 - len(given)))]
    table = struct.pack(f"<{len(words)}I", *words)
    assert len(table) <= ARRAYS - ARENA
    return table.ljust(ARRAYS - ARENA, b"\0") + data


def _qemu(core: Core, folder: Path, code: Code, compiler: str) -> Machine:
    board = core.board
    assert board is not None
    image = qemu_image(board, core.targets, folder, code, cross_toolchain(compiler, board.toolchain))

    def call(calls: Calls, data: bytes) -> bytes:
        (folder / "memory.in").write_bytes(call_table(calls, data))
        command = qemu_command(board, image)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return (folder / "memory.out").read_bytes()[ARRAYS - ARENA :]

    return Machine(ARRAYS, 4, *code_in(image, code, 1), call)


# --- a program that reads its calls from standard input ---


def _program(command: Sequence[str]) -> Callable[[Calls, bytes], bytes]:
    """shims/calls.c or shims/calls.mjs: the bytes of memory, the memory, then calls; it writes the memory back."""

    def call(calls: Calls, data: bytes) -> bytes:
        table = [struct.pack("<6Q", function, *given, *[0] * (5 - len(given))) for function, given in calls]
        stdin = struct.pack("<Q", len(data)) + data + b"".join(table)
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=600)
        assert done.returncode == 0 and len(done.stdout) == len(data), (done.returncode, done.stderr[-2000:])
        return done.stdout

    return call


def _linux(core: Core, folder: Path, code: Code, compiler: str) -> Machine:
    """A program for AArch64, in QEMU's user mode."""
    assert core.board is not None and core.board.run is not None
    tool = cross_toolchain(compiler, core.board.toolchain)
    flags = [*board_flags(core.board, tool), *target_flags(core.targets)]
    files = [*sources(folder, core.targets, code), SHIMS / "calls.c"]
    image = compile_image(tool, flags, files, folder / "image.elf", ["-static"])
    command = [qemu.PROGRAMS[core.board.toolchain], "-cpu", core.board.run.qemu, str(image)]
    return Machine(0x1000_0000, 8, *code_in(image, code, 0), _program(command))


def _node(core: Core, folder: Path, code: Code, compiler: str) -> Machine:
    """WebAssembly: functions are called by their place in the list of names that calls.mjs is given."""
    tool, names = cross_toolchain("zig"), functions(core.targets)
    flags = ["-target", "wasm32-freestanding", "-fhosted", *common_flags(tool), "-O2", "-DTL_KERNEL="]
    files = sources(folder, core.targets, code)
    link = ["-Wl,--no-entry", *(f"-Wl,--export={name}" for name in names)]
    module = compile_image(tool, [*flags, *target_flags(core.targets)], files, folder / "image.wasm", link)
    command = ["node", str(SHIMS / "calls.mjs"), str(module), *names]
    return Machine(0x20_0000, 4, {name: k for k, name in enumerate(names)}, {}, _program(command))


def _emulated(board: Board) -> Core | None:
    targets = candidates(board)
    if board.run is None:
        return None
    if board.run.unicorn:
        return Core(board.core, targets, ("unicorn",), ROOM, _cortex_m, board)
    if board.toolchain == "aarch64-linux":
        return Core(board.core, targets, ("qemu-aarch64",), ROOM, _linux, board)
    if board.core == "cortex-m55":
        return Core(board.core, targets, ("qemu",), ARENA_END - ARRAYS, _qemu, board)
    return None


def _all() -> Iterable[Core]:
    yield Core("host", tuple(t.name for t in HERE if runnable(t.name)), ("host-cc",), ROOM, _host)
    for path in sorted(BOARDS.glob("*.toml")):
        core = _emulated(load_board(path.stem))
        if core is not None:
            yield core
    n1 = load_board("aarch64_user")
    assert n1.run is not None
    a53 = replace(n1, core="cortex-a53", target="neon", run=replace(n1.run, qemu="cortex-a53"))
    yield Core("cortex-a53", ("neon", "ref"), ("qemu-aarch64",), ROOM, _linux, a53)
    yield Core("rv32im", (*(t for t in ("rv32",) if t in TARGETS), "ref"), ("unicorn", "zig"), ROOM, _rv32im)
    yield Core("wasm", ("wasm_simd128", "ref"), ("node", "zig"), ROOM, _node)


CORES: dict[str, Core] = {core.name: core for core in _all()}
