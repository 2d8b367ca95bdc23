"""The file that `tune` leaves beside the model and `generate-c` follows: the measured kernels, and the choices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quantize.ops import OPS
from quantize.qnetwork import QNetwork
from toolkit.boards import Board
from toolkit.codegen.choose import PROFILES, candidates
from toolkit.errors import ToolkitError

VERSION = 1


def tune_file(path: Path, board: Board) -> Path:
    """Where it lies: `tune.<board>.json` in the folder of the model."""
    return (path if path.is_dir() else path.parent) / f"tune.{board.name}.json"


def shapes(q: QNetwork) -> list[str]:
    """What the choice rests on: each layer's op, sizes and widths. A model that was trained again keeps its choice."""
    rows = []
    for x in q.layers:
        widths = ", ".join(f"{k} {a.dtype.name}" for k, a in sorted(x.arrays.items()))
        rows.append(f"{x.name}: {x.op} {OPS[x.op].input_size(x)} -> {OPS[x.op].output_size(x)}, {widths}")
    return rows


def read_tune(path: Path, q: QNetwork, board: Board) -> dict[str, Any] | None:
    """The file's contents; None where there is none.

    Raises: ToolkitError when it is not such a file, or was written for another model or board."""
    again = f"run `tune` again with --board {board.name}, or delete the file"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version, where, model, choice = (found[k] for k in ("tune", "board", "model", "choice"))
        kernels = {name: dict(choice[name]["kernels"]) for name in PROFILES}
        reasons = [str(choice[name]["why"]) for name in PROFILES]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ToolkitError(f"{path}: not a file that `tune` wrote ({type(e).__name__}: {e}); {again}") from None
    if version != VERSION or not all(reasons):
        raise ToolkitError(f"{path}: tune file of version {version}; this one reads {VERSION}; {again}")
    if where != board.name:
        raise ToolkitError(f"{path}: tuned for board {where}; expected {board.name}; {again}")
    if model != shapes(q):
        other = next((a for a in model if a not in shapes(q)), "fewer layers")
        raise ToolkitError(f"{path}: tuned for another model ({other}; this one has {shapes(q)[0]}); {again}")
    able, names = candidates(board), {x.name for x in q.layers}
    for profile, layers in kernels.items():
        wrong = [t for t in layers.values() if t not in able]
        if wrong or set(layers) != names:
            raise ToolkitError(f"{path}: {profile}: {wrong[0] if wrong else 'layers'} do not fit the board; {again}")
    return dict(found)
