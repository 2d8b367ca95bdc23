"""Calls single functions of csrc/ on a board in QEMU, many calls a run, with exact counts of their instructions."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np

from tests.kernels import SHIMS
from toolkit import elf
from toolkit.boards import Board
from toolkit.build import FIRMWARE, linker_script
from toolkit.codegen.pack import Packed
from toolkit.emulate import qemu, qemu_count
from toolkit.emulate.counter import Profile
from toolkit.emulate.outcome import Counts
from toolkit.targets import CSRC, TARGETS, W8A8
from toolkit.toolchain import Toolchain, board_flags, core_flags, no_loop_calls

_ARENA, _ARRAYS, _END = 0x3100_0000, 0x3110_0000, 0x3140_0000  # SRAM 2 of mps3-an547: calls, arrays, nothing
_CALL = 7  # words


def build(board: Board, folder: Path, toolchain: Toolchain) -> Path:
    """The kernels of the board's target as an image that can be called into; everything in them is kept."""
    assert board.memory is not None
    image, script, target = folder / "call.elf", folder / "call.ld", TARGETS[board.target]
    script.write_text(linker_script(board.memory).replace("*(.text .text.*)", "KEEP(*(.text .text.*))"))
    own = [FIRMWARE / f"{stem}.c" for stem in ("startup", "probe", "exit", "print", "libmem", f"hal_{board.hal}")]
    kernels = [target.source, *([W8A8[target.name][0]] if target.name in W8A8 else [])]
    sources = [*(CSRC / name for name in kernels), SHIMS / "caller.c", *own]
    flags = [*board_flags(board, toolchain), *no_loop_calls(toolchain), *target.flags, "-g", f"-DTL_ARENA={_ARENA:#x}u"]
    flags += [f"-DTL_CLOCK_HZ={board.clock_hz}u", f'-DTL_BOARD_NAME="{board.name}"', "-DTL_SEMIHOSTING=1"]
    flags += [f"-I{folder}" for folder in (CSRC, FIRMWARE, FIRMWARE / "libc")]
    link = [*core_flags(board, toolchain), "-nostdlib", "-Wl,--entry=tl_reset", "-T", str(script)]
    command = [*toolchain.cc, *flags, *map(str, sources), "-o", str(image), *link]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **toolchain.env})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return image


class Caller:
    """Memory of a board with arrays in it, and calls to make; what lies around an array is filled with a pattern."""

    def __init__(self, image: Path, board: Board) -> None:
        assert board.run is not None
        self.image, self.board, self.machine = image, board, board.run.qemu
        self.symbols = {s.name: s.address for s in elf.symbols(image) if s.kind == "code"}
        self.arrays, self.calls = bytearray(), []
        self.stack: list[int] = []
        self.last = b""

    def put(self, data: bytes, skew: int = 0) -> int:
        """Places an array; `skew`: its address modulo 16."""
        self.arrays += b"\xa5" * (16 + -len(self.arrays) % 16 + skew)
        at = _ARRAYS + len(self.arrays)
        self.arrays += data + b"\xa5" * 16
        return at

    def array(self, a: np.ndarray, skew: int = 0) -> int:
        """Places a numpy array."""
        return self.put(np.ascontiguousarray(a).tobytes(), skew)

    def put_last(self, a: np.ndarray) -> int:
        """Places one array such that memory ends behind it: reading on faults."""
        self.last = np.ascontiguousarray(a).tobytes()
        return _END - len(self.last)

    def layer(self, packed: Packed) -> int:
        """Places a packed layer's arrays and the parameter struct that points to them; returns its address."""
        arrays = {a.suffix: self.array(a.array) for a in packed.arrays}
        values = {k: arrays[v[1:]] if v.startswith("@") else int(v) for k, v in packed.fields}
        text = "".join(path.read_text("utf-8") for path in sorted(CSRC.glob("*.h")))
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        body = re.search(rf"typedef struct {packed.struct} {{([^}}]*)}}", text)
        assert body is not None
        data = b""
        for declaration in filter(None, map(str.strip, body[1].split(";"))):
            kind, _, names = declaration.removeprefix("const ").partition(" ")
            for name in names.split(","):
                size = 4 if "*" in name else np.dtype(kind.removesuffix("_t")).itemsize
                value = values.get(name.strip(" *"), 0) % 2 ** (8 * size)
                data += bytes(-len(data) % size) + value.to_bytes(size, "little")
        return self.put(data + bytes(-len(data) % 4))

    def get(self, at: int, like: np.ndarray) -> np.ndarray:
        """The array at an address, after `run`. Raises: AssertionError when what lies around it has changed."""
        offset = at - _ARRAYS
        raw = bytes(self.arrays[offset - 16 : offset + like.nbytes + 16])
        assert raw[:16] == raw[-16:] == b"\xa5" * 16, "written outside the array"
        return np.frombuffer(raw[16:-16], like.dtype).reshape(like.shape)

    def call(self, name: str, *arguments: int) -> None:
        """A call that `run` makes."""
        self.calls.append([self.symbols[name] | 1, *arguments, *[0] * (_CALL - 1 - len(arguments))])

    def run(self, folder: Path) -> tuple[Counts, Profile]:
        """Makes all calls; the bytes of stack that each used are in `stack`."""
        table = np.array([word for call in self.calls for word in call], np.uint32)
        size = _ARRAYS - _ARENA
        assert 8 + table.nbytes <= size and len(self.arrays) + len(self.last) <= _END - _ARRAYS
        head = np.array([len(self.calls), size + len(self.arrays)], np.uint32).tobytes() + table.tobytes()
        (folder / "memory.in").write_bytes(head.ljust(size, b"\0") + self.arrays)
        (folder / "last.in").write_bytes(self.last)
        counter = qemu_count.Counter(self.image, folder, {}, qemu.version(self.board))
        command = [qemu.PROGRAMS["arm-none-eabi"], "-M", self.machine]
        command += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
        command += ["-kernel", str(self.image), "-semihosting-config", "enable=on,target=native", *counter.arguments()]
        for name, at in (("memory", _ARENA), *([("last", _END - len(self.last))] if self.last else [])):
            command += ["-device", f"loader,file={name}.in,addr={at:#x},force-raw=on"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        memory = (folder / "memory.out").read_bytes()
        calls = np.frombuffer(memory[8 : 8 + table.nbytes], np.uint32).reshape(-1, _CALL)
        self.stack = [int(v) for v in calls[:, -1]]
        self.arrays[:] = memory[size:]
        return counter.read()
