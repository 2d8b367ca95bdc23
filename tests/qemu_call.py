"""Calls single functions of csrc/ on a board in QEMU, many calls a run, with exact counts of their instructions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from tests.machines import ARENA, ARENA_END, ARRAYS, call_table, qemu_command, qemu_image
from tests.memory import GUARD, Memory
from toolkit import elf
from toolkit.boards import Board
from toolkit.codegen.choose import candidates
from toolkit.codegen.pack import Packed
from toolkit.emulate import qemu, qemu_count
from toolkit.emulate.counter import Profile
from toolkit.emulate.outcome import Counts
from toolkit.toolchain import Toolchain

_CALL = 7  # words


def build(board: Board, folder: Path, toolchain: Toolchain) -> Path:
    """The kernels of the board's core as an image that can be called into."""
    return qemu_image(board, candidates(board), folder, [], toolchain)


class Caller:
    """Memory of a board with arrays in it, and calls to make; what lies around an array is filled with a pattern."""

    def __init__(self, image: Path, board: Board) -> None:
        self.image, self.board = image, board
        self.symbols = {s.name: s.address for s in elf.symbols(image) if s.kind == "code"}
        self.memory = Memory(ARRAYS, 4)
        self.calls: list[tuple[int, list[int]]] = []
        self.stack: list[int] = []
        self.last = b""

    def array(self, a: np.ndarray, skew: int = 0) -> int:
        """Places a numpy array; `skew`: its address modulo 16."""
        return self.memory.put(a, 16, skew)

    def put_last(self, a: np.ndarray) -> int:
        """Places one array such that memory ends behind it: reading on faults."""
        self.last = np.ascontiguousarray(a).tobytes()
        return ARENA_END - len(self.last)

    def layer(self, packed: Packed) -> int:
        """Places a packed layer's arrays and the parameter struct that points to them; returns its address."""
        return self.memory.layer(packed)

    def get(self, at: int, like: np.ndarray) -> np.ndarray:
        """The array at an address, after `run`. Raises: AssertionError when what lies around it has changed."""
        around = self.memory.get(at - len(GUARD), np.uint8, like.nbytes + 2 * len(GUARD)).tobytes()
        assert around.startswith(GUARD) and around.endswith(GUARD), "written outside the array"
        return self.memory.get(at, like.dtype.type, like.size).reshape(like.shape)

    def call(self, name: str, *arguments: int) -> None:
        """A call that `run` makes."""
        self.calls.append((self.symbols[name] | 1, list(arguments)))

    def run(self, folder: Path) -> tuple[Counts, Profile]:
        """Makes all calls; the bytes of stack that each used are in `stack`."""
        self.memory.data += GUARD
        assert len(self.memory.data) + len(self.last) <= ARENA_END - ARRAYS
        (folder / "memory.in").write_bytes(call_table(self.calls, bytes(self.memory.data)))
        (folder / "last.in").write_bytes(self.last)
        counter = qemu_count.Counter(self.image, folder, {}, qemu.version(self.board))
        command = [*qemu_command(self.board, self.image), *counter.arguments()]
        if self.last:
            command += ["-device", f"loader,file=last.in,addr={ARENA_END - len(self.last):#x},force-raw=on"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        memory = (folder / "memory.out").read_bytes()
        calls = np.frombuffer(memory, np.uint32, len(self.calls) * _CALL, 8).reshape(-1, _CALL)
        self.stack = [int(v) for v in calls[:, -1]]
        self.memory.data[:] = memory[ARRAYS - ARENA :]
        return counter.read()
