"""Runs an image in an emulator and decides whether it passed; counts the instructions of one prediction."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit import elf
from toolkit.boards import Board
from toolkit.build import native_hook
from toolkit.emulate import outcome, qemu, qemu_count, rp2040, unicorn_
from toolkit.emulate.cores import Core
from toolkit.emulate.counter import Profile
from toolkit.errors import CheckFailed, ToolkitError, nearest, write_whole

TIMEOUT_S = 300.0
GUARD_BYTES = 32  # of the stack stay untouched in a good run: an overflow can step over the lowest word
_PACKAGES = {"qemu-aarch64": "qemu-user", "qemu-system-riscv32": "qemu-system-misc"}
_PACKAGES |= {"qemu-system-aarch64": "qemu-system-arm", "qemu-system-x86_64": "qemu-system-x86 ovmf"}
EMULATORS = ("auto", "qemu", "unicorn", "rp2040js")


def choose_emulator(board: Board, wanted: str) -> str:
    """`qemu` where it is installed and knows the board, else `unicorn`.

    Raises: ToolkitError when the wanted one, or any, is missing."""
    if wanted not in EMULATORS:
        raise ToolkitError(f'emulator "{wanted}" is not known{nearest(wanted, EMULATORS)}')
    if wanted in ("auto", "qemu") and qemu.available(board):
        return "qemu"
    if wanted in ("auto", "unicorn") and unicorn_.available(board):
        return "unicorn"
    if wanted in ("auto", "rp2040js") and rp2040.available(board):
        return "rp2040js"
    if board.run is None:
        raise ToolkitError(f"board {board.name} has no [run]: no emulator knows it")
    program = qemu.PROGRAMS[board.toolchain]
    package = _PACKAGES.get(program, program)
    if wanted != "auto" and not getattr(board.run, wanted):
        raise ToolkitError(f"board {board.name}: {wanted} does not know it")
    if wanted == "rp2040js":
        what = "rp2040js (npm install --prefix build rp2040js, with node)"
    elif wanted == "qemu" or not board.run.unicorn:
        what = f"{program} (apt-get install {package})"
    else:
        what = "unicorn (pip install unicorn)"
    raise ToolkitError(f"board {board.name} cannot run: install {what}")


@dataclass(frozen=True, slots=True)
class Serving:
    """An emulator's name, and the command whose standard input and output are a board's serial line.

    counter: what it counted, once it has ended; None where it does not count."""

    emulator: str
    command: list[str]
    counter: qemu_count.Counter | None


def check_serves(board: Board) -> None:
    """Raises: ToolkitError when no emulator here can give a board's serial line, both ways: unicorn cannot."""
    if not (qemu.available(board) or rp2040.available(board)):
        if board.run and board.run.unicorn and not (board.run.qemu or board.run.rp2040js):
            raise ToolkitError(f"board {board.name}: QEMU does not know it; use `run`, which takes unicorn")
        choose_emulator(board, "rp2040js" if board.run and board.run.rp2040js else "qemu")  # which says what is missing


def serving(image: Path, board: Board, *, say: Callable[[str], None]) -> Serving:
    """How to run an image that serves its serial line; the counts go beside the image."""
    counter = None
    if not qemu.available(board):
        return Serving(rp2040.version(), rp2040.command(image), None)
    if not qemu.counts(board):
        say(f"instructions are not counted: install a {qemu.PROGRAMS[board.toolchain]} with plugins")
    else:
        try:
            counter = qemu_count.Counter(image, image.parent, {}, qemu.version(board))
        except ToolkitError as e:  # no compiler for the plugin
            say(f"instructions are not counted: {e}")
    more = counter.arguments() if counter else ()
    return Serving(qemu.version(board), qemu.command(image, board, more), counter)


def steps_asked(image: Path) -> int:
    """How many steps the vectors in an image have: one byte each in tl_vector_op."""
    return len(elf.read_symbol(image, "tl_vector_op"))


def _in_qemu(board: Board) -> bool:
    """Whether QEMU counts: unicorn does where it knows the board, since it estimates cycles as well."""
    return board.run is not None and not board.run.unicorn


def what_lacks(board: Board) -> str:
    """What counting lacks on this computer: an emulator, a C compiler for the native code; empty when nothing."""
    if _in_qemu(board) and not (qemu.available(board) and qemu.counts(board)):
        return f"install a {qemu.PROGRAMS[board.toolchain]} with plugins"
    if not _in_qemu(board) and not unicorn_.available(board):
        return "install unicorn (pip install unicorn)"
    try:
        native_hook()
    except ToolkitError as e:
        return str(e)
    return ""


def _can_count(board: Board, say: Callable[[str], None]) -> bool:
    """Parity does not need to count, so that what counting lacks is only said."""
    lacking = what_lacks(board)
    if lacking:
        say(f"instructions are not counted: {lacking}")
    return not lacking


def _counted_in_qemu(image: Path, board: Board, layers: Mapping[str, str]) -> tuple[outcome.Outcome, Profile]:
    with tempfile.TemporaryDirectory() as folder:
        counter = qemu_count.Counter(image, Path(folder), layers, qemu.version(board))
        seen = qemu.run(image, board, TIMEOUT_S, counter.arguments())
        if seen.expired:  # killed, and the counts with it
            return seen, Profile({}, {}, (0, 0, 0))
        counts, spent = counter.read()
    return replace(seen, counts=counts), spent


def count_instructions(build_dir: Path, board: Board) -> dict[str, float] | None:
    """Instructions of one prediction in unicorn, over all steps: mean, min, max, calls; None without unicorn.

    From the return of tl_probe_begin to the entry of tl_probe_end: the call with its arguments is included."""
    if not unicorn_.available(board):
        return None
    return _per_step(unicorn_.run(build_dir / "firmware.elf", board, TIMEOUT_S, count=True))


def _per_step(seen: outcome.Outcome) -> dict[str, float] | None:
    counts = seen.counts
    if counts is None or counts.calls == 0:
        return None
    return {"mean": counts.sum / counts.calls, "min": counts.min, "max": counts.max, "calls": counts.calls}


def replay(build_dir: Path, board: Board, *, emulator: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs firmware.elf of a build folder. Returns the lines parsed, and in `problems` why it did not pass.

    emulator: `auto`, `qemu` or `unicorn`. Raises: ToolkitError when nothing can run."""
    if board.memory is None:
        raise ToolkitError(f"board {board.name} takes no image; choose another board")
    image = build_dir / "firmware.elf"
    if not (build_dir / "build.json").is_file():
        raise ToolkitError(f"{build_dir}: no finished build; run `python3 run.py build --board {board.name}` first")
    chosen = choose_emulator(board, emulator)
    name = {"unicorn": unicorn_.version, "rp2040js": rp2040.version}.get(chosen, lambda: qemu.version(board))()
    say(f"run {board.name} in {name}")
    seen, per_step = _seen(build_dir, board, chosen, say)
    fields, found = _judge(seen, image, board)
    return {
        **fields,
        "board": board.name,
        "emulator": name,
        "steps_asked": steps_asked(image),
        "passed": not found,
        "problems": found,
        "instructions_per_step": per_step,
        "lines": list(seen.lines),
    }


def _seen(
    build_dir: Path, board: Board, chosen: str, say: Callable[[str], None]
) -> tuple[outcome.Outcome, dict[str, float] | None]:
    """A run, and the instructions of a step where they can be counted: in the same run, or in unicorn's beside it."""
    image, count = build_dir / "firmware.elf", _can_count(board, say)
    if chosen == "unicorn":
        seen = unicorn_.run(image, board, TIMEOUT_S, count=count)
        return seen, _per_step(seen)
    if chosen == "rp2040js":
        return rp2040.run(image, TIMEOUT_S), count_instructions(build_dir, board) if count else None
    if count and _in_qemu(board):
        try:
            seen, _ = _counted_in_qemu(image, board, {})
            return seen, _per_step(seen)
        except ToolkitError as e:
            say(f"instructions are not counted: {e}")
            count = False
    return qemu.run(image, board, TIMEOUT_S), count_instructions(build_dir, board) if count else None


def _judge(seen: outcome.Outcome, image: Path, board: Board) -> tuple[dict[str, Any], list[str]]:
    """The lines parsed, and why the run did not pass."""
    assert board.memory is not None
    fields = outcome.parse(seen.lines)
    stack = min(board.memory.stack - GUARD_BYTES, board.budget.stack or board.memory.stack)
    asked = steps_asked(image)
    return fields, outcome.problems(seen, fields, steps_asked=asked, timeout_s=TIMEOUT_S, stack=stack)


def profile(
    image: Path, board: Board, *, core: Core | None, layers: Mapping[str, str]
) -> tuple[dict[str, Any], outcome.Counts, Profile]:
    """Runs an image with the costs of a core (None: zero). Returns its lines parsed, the counts, and who spent them.

    layers: names of the constants that are the layers' parameters -> the functions that take them, in the order of a
    step. Raises: ToolkitError when nothing can count here; CheckFailed when the run did not pass, since what a wrong
    image costs says nothing."""
    if board.memory is None or board.run is None:
        raise ToolkitError(f"board {board.name} cannot be profiled: no emulator knows it")
    if board.toolchain == "x86_64-uefi":
        raise ToolkitError(f"board {board.name} cannot be profiled: its firmware puts the program wherever it likes")
    lacking = what_lacks(board)
    if lacking:
        raise ToolkitError(f"nothing here counts instructions: {lacking}")
    if _in_qemu(board):
        name = qemu.version(board)
        seen, spent = _counted_in_qemu(image, board, layers)
    else:
        name = unicorn_.version()
        seen, spent = unicorn_.profile(image, board, TIMEOUT_S, core=core, layers=layers)
    fields, found = _judge(seen, image, board)
    if found:
        raise CheckFailed(f"{board.name} in {name}: {'; '.join(found)}")
    assert seen.counts is not None
    if seen.counts.calls == 0:
        raise ToolkitError(f"{image}: no step between tl_probe_begin and tl_probe_end; build it again")
    return fields, seen.counts, spent


def run_firmware(build_dir: Path, board: Board, *, emulator: str, say: Callable[[str], None]) -> dict[str, Any]:
    """`replay`, written to run.json. Raises: CheckFailed when the run did not pass."""
    result = replay(build_dir, board, emulator=emulator, say=say)
    write_whole(build_dir / "run.json", json.dumps(result, indent=1) + "\n")
    if not result["passed"]:
        raise CheckFailed(f"{board.name} in {result['emulator']}: {'; '.join(result['problems'])}")
    return result
