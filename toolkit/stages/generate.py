"""The stage `generate-c`: model.q.safetensors -> a folder of C for one board."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantize.qnetwork import QNetwork, load_qnetwork
from toolkit import cpu
from toolkit.boards import Board
from toolkit.codegen.lower import Destination
from toolkit.codegen.render import generate, write_folder
from toolkit.errors import ToolkitError, nearest
from toolkit.targets import TARGETS


def model_file(path: Path) -> Path:
    """A run's folder or the path of a model.q.safetensors -> the file."""
    return path / "model.q.safetensors" if path.is_dir() else path


def destination(board: Board, target: str, float_api: bool) -> Destination:
    """What the generator is told of a board; predict_f32 comes where the core has an FPU, or when it is asked for."""
    return Destination(board.name, target, board.requires, board.requires_text, float_api or board.fpu != "none")


def choose_target(board: Board, wanted: str | None) -> str:
    """The kernels for a board: its own, those asked for, or with `best` the fastest that this computer can run.

    Raises: ToolkitError when there are no such kernels, or the board's core cannot run them."""
    if wanted is None:
        return board.target
    if wanted == "best" and board.toolchain == "host":
        return cpu.host_targets()[0]
    if wanted not in TARGETS:
        raise ToolkitError(f"--target {wanted}: no such kernels{nearest(wanted, [*TARGETS, 'best'])}")
    able = cpu.host_targets() if board.toolchain == "host" else ("ref", board.target)
    if wanted not in able:
        raise ToolkitError(
            f"--target {wanted}: {board.name} cannot run them; it can run {', '.join(sorted(set(able)))}"
        )
    return wanted


def generate_c(
    path: Path,
    board: Board,
    out: Path | None,
    *,
    float_api: bool,
    target: str | None = None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Writes the C of a quantized model for a board; the folder appears whole or not at all.

    Raises: QuantizeError or ToolkitError, one line."""
    q = load_qnetwork(model_file(path))
    folder = out if out is not None else model_file(path).parent / "c" / board.name
    kernels = choose_target(board, target)
    files = generate(q, destination(board, kernels, float_api))
    write_folder(files, folder)
    say(f"{folder}: {len(files)} files for {board.name}, {kernels} kernels")
    return {
        "name": q.name,
        "board": board.name,
        "target": kernels,
        "folder": str(folder),
        "files": sorted(files),
        "model": q.digest,
    }


def target_of(folder: Path, q: QNetwork) -> str:
    """The kernels that a generated folder calls, as its banner says."""
    found = re.search(r" with (\w+) kernels", (folder / f"{q.name}.h").read_text(encoding="utf-8"))
    return found[1] if found else "ref"


def folder_for(run: Path, q: QNetwork, board: Board) -> Path:
    """The generated folder of a run for a board.

    Raises: ToolkitError when it is not there, or was made from another model."""
    folder = run / "c" / board.name
    header = folder / f"{q.name}.h"
    if not header.is_file():
        raise ToolkitError(f"{folder}: no C; run `python3 run.py generate-c {run} --board {board.name}` first")
    if f" * Model {q.digest} " not in header.read_text(encoding="utf-8"):
        raise ToolkitError(
            f"{folder}: generated from another model than {run / 'model.q.safetensors'}; "
            f"run `python3 run.py generate-c {run} --board {board.name}` again"
        )
    return folder
