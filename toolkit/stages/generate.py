"""The stage `generate-c`: model.q.safetensors -> a folder of C for one board."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantize.network import Network, load_network, network_digest
from quantize.qnetwork import QNetwork, load_qnetwork
from toolkit.boards import Board
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination
from toolkit.codegen.pack_f32 import able
from toolkit.codegen.render import generate, write_folder
from toolkit.codegen.render_f32 import generate_f32, require_fpu
from toolkit.errors import ToolkitError
from toolkit.stages.tuned import read_tune, tune_file


def model_file(path: Path) -> Path:
    """A run's folder or the path of a model.q.safetensors -> the file."""
    return path / "model.q.safetensors" if path.is_dir() else path


def load_current(path: Path) -> QNetwork:
    """The quantized model of a run's folder, or of a model.q.safetensors.

    Raises: QuantizeError when the file is bad; ToolkitError when a newer float model lies beside it."""
    file = model_file(path)
    q, source = load_qnetwork(file), file.with_name("model.safetensors")
    if file.name == "model.q.safetensors" and source.is_file() and network_digest(source) != q.source:
        raise ToolkitError(f"{file}: not made from the {source.name} beside it; run `quantize` again")
    return q


def generate_c(
    path: Path,
    board: Board,
    out: Path | None,
    *,
    float_api: bool,
    target: str | None = None,
    optimize: str = "speed",
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Writes the C of a quantized model for a board; the folder appears whole or not at all.

    target: kernels that are asked for, whatever tune found. optimize: `speed`, `size` or `balanced`.
    Raises: QuantizeError or ToolkitError, one line."""
    q = load_current(path)
    folder = out if out is not None else model_file(path).parent / "c" / board.name
    tune = read_tune(tune_file(path, board), q, board) if target is None else None
    choices = choose(q, board, optimize=optimize, wanted=target, tune=tune)
    files = generate(q, destination(board, choices, float_api))
    write_folder(files, folder)
    for c in choices:
        say(f"{c.layer}: {c.target} kernel: {c.why}")
    say(f"{folder}: {len(files)} files for {board.name}")
    return {
        "name": q.name,
        "board": board.name,
        "optimize": optimize,
        "kernels": {c.layer: {"target": c.target, "why": c.why} for c in choices},
        "folder": str(folder),
        "files": sorted(files),
        "model": q.digest,
    }


def generate_c_f32(
    run: Path, board: Board, out: Path | None, *, target: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Writes the float32 C of a run's float model; on the host with the fastest kernels unless others are asked for.

    Raises: QuantizeError or ToolkitError, one line."""
    file = run / "model.safetensors" if run.is_dir() else run
    network = load_network(file)
    require_fpu(board)
    has = able(board)
    kernels = has[0] if target in (None, "best") else str(target)
    if kernels not in has:
        raise ToolkitError(f"--target {kernels}: no f32 kernels of {board.name}; it has {', '.join(has)}")
    folder = out if out is not None else file.parent / "c" / f"{board.name}_f32"
    files = generate_f32(network, network_digest(file), board, kernels)
    write_folder(files, folder)
    say(f"{folder}: {len(files)} files for {board.name}, float32, {kernels} kernels")
    names = sorted(files)
    return {"name": network.name, "board": board.name, "scheme": "f32", "folder": str(folder), "files": names}


def kernels_of(folder: Path, q: QNetwork | Network) -> dict[str, str]:
    """Layer -> target of a generated folder, as its banner says."""
    text = (folder / f"{q.name}.h").read_text(encoding="utf-8")
    found = re.search(r"; kernels: (.*)\.\n", text)
    return dict(pair.split(" ") for pair in found[1].split(", ")) if found else {}


def folder_for(run: Path, q: QNetwork, board: Board) -> Path:
    """The generated folder of a run for a board.

    Raises: ToolkitError when it is not there, or was made from another model."""
    return _folder(run / "model.q.safetensors", q.name, q.digest, board, "", "")


def folder_for_f32(run: Path, network: Network, digest: str, board: Board) -> Path:
    """`folder_for` of the float model, which `digest` is of."""
    return _folder(run / "model.safetensors", network.name, digest, board, "_f32", " --scheme f32")


def _folder(model: Path, name: str, digest: str, board: Board, suffix: str, option: str) -> Path:
    run = model.parent
    folder = run / "c" / f"{board.name}{suffix}"
    header = folder / f"{name}.h"
    command = f"run `python3 run.py generate-c {run} --board {board.name}{option}`"
    if not header.is_file():
        raise ToolkitError(f"{folder}: no C; {command} first")
    if f" * Model {digest} " not in header.read_text(encoding="utf-8"):
        raise ToolkitError(f"{folder}: generated from another model than {model}; {command} again")
    return folder
