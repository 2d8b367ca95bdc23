"""The verb `analyze`: what a model file holds, what has no form here, and which boards it fits. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quantize import ptq
from quantize.deployable import deployable
from quantize.errors import QuantizeError
from quantize.float_graph import shapes
from quantize.float_ops import STATES
from quantize.graph import sources
from quantize.network import Layer, Network
from quantize.qnetwork import QNetwork
from toolkit.boards import Board, board_names, load_board
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination, facts
from toolkit.codegen.plan_f32 import plan, with_explicit_head
from toolkit.errors import ToolkitError
from toolkit.importers import Options, format_of, importer
from toolkit.stages.import_ import read_model

MATRICES = ("w", "w_ih", "w_hh", "p")
SAMPLES = 64


def analyze(path: Path, options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Raises: ToolkitError when the file is damaged or of no known format; what is not supported is in the result."""
    kind = format_of(path)
    every = getattr(importer(kind), "refusals", lambda path: ())
    unsupported = list(every(path))
    result: dict[str, Any] = {"file": str(path), "format": kind, "unsupported": unsupported}
    if unsupported:
        return {**result, "layers": [], "schemes": {}, "boards": {}}
    _, imported, network = read_model(path, options, say=say)
    schemes, own = {"f32": _f32(network)}, imported.q  # an int8 file is deployed as it is
    schemes |= {scheme: _integer(network, scheme, own) for scheme in (("w8a8",) if own else ("w8a16", "w8a8"))}
    return {
        **result,
        "inputs": len(network.inputs),
        "steps": network.window or None,
        "outputs": len(network.outputs),
        "layers": _layers(network),
        "schemes": schemes,
        "boards": _boards(network, own),
        "boards_scheme": "w8a8" if own else "w8a16",
        "int8": own is not None,
    }


def _layers(n: Network) -> list[dict[str, Any]]:
    made, rows = shapes(n, n.window or 1), []
    for k, x in enumerate(n.layers):
        fed = [made[s] for s in sources(n.layers, k)]
        time, width = made[x.name]
        rows.append(
            {
                "name": x.name,
                "op": x.op + (" reverse" if x.reverse else ""),
                "in": [fed[0][0], sum(w for _, w in fed)],
                "out": [time, width],
                "parameters": parameters(x),
                "macs": macs(x) * (fed[0][0] if x.op in STATES else time),
            }
        )
    return rows


def parameters(x: Layer) -> int:
    """How many numbers a layer was trained with."""
    return sum(w.size for w in x.weights.values())


def macs(x: Layer) -> int:
    """Multiply-accumulates of one of its steps."""
    return sum(w.size for k, w in x.weights.items() if k in MATRICES)


def _f32(n: Network) -> dict[str, Any]:
    """Of the generated float32 C; a window is kept whole."""
    state = sum(len(STATES[x.op]) * x.weights["w_hh"].shape[1] for x in n.layers if x.op in STATES)
    room = plan(with_explicit_head(n), n.window or 1).room + (n.window or 1) * len(n.inputs)
    return {"weight_bytes": 4 * sum(map(parameters, n.layers)), "state_bytes": 4 * (state + room)}


def _quantized(n: Network, scheme: str) -> QNetwork:
    """With ranges from noise: sizes do not depend on them."""
    ready, _ = deployable(n)
    noise = np.random.default_rng(0).normal(size=(8, n.window or SAMPLES, len(n.inputs)))
    return ptq.quantize(replace(ready, name="analyzed"), [noise], ptq.Options(refit=False, scheme=scheme), "0" * 64)


def _sizes(q: QNetwork, board: Board) -> dict[str, int]:
    rows = facts(q, destination(board, choose(q, board, optimize="speed", wanted=None, tune=None), False))["constants"]
    return {name.lower(): int(value) for name, value, _ in rows if name.endswith("_BYTES")}


def _integer(n: Network, scheme: str, own: QNetwork | None) -> dict[str, Any]:
    try:
        sizes = _sizes(own or _quantized(n, scheme), load_board("host"))
    except (QuantizeError, ToolkitError) as e:
        return {"refused": str(e)}
    return {"weight_bytes": sizes["weight_bytes"], "state_bytes": sizes["state_bytes"] + sizes["scratch_bytes"]}


def _boards(n: Network, own: QNetwork | None) -> dict[str, Any]:
    """Weights, tables, state and scratch against what each board has; its code and stack come on top."""
    try:
        q = own or _quantized(n, "w8a16")
    except (QuantizeError, ToolkitError):
        return {}
    found = {}
    for name in board_names():
        board = load_board(name)
        if board.memory is None:
            continue
        sizes = _sizes(q, board)
        flash, ram = sizes["weight_bytes"] + sizes["table_bytes"], sizes["state_bytes"] + sizes["scratch_bytes"]
        room = board.memory
        fits = flash <= room.flash.length and ram + room.stack <= room.ram.length
        found[name] = {"flash": flash, "of": room.flash.length, "ram": ram, "of_ram": room.ram.length, "fits": fits}
    return found


def summary(r: dict[str, Any]) -> str:
    """The analysis as text."""
    lines = [f"{r['file']}: {r['format']}"]
    if r["unsupported"]:
        return "\n".join([*lines, "not supported:", *(f"  {line}" for line in r["unsupported"])])
    window = f"windows of {r['steps']} steps" if r["steps"] else "one endless stream"
    lines.append(f"{r['inputs']} inputs, {r['outputs']} outputs, {window}" + (", int8" if r["int8"] else ""))
    rows = [("layer", "op", "in [time, n]", "out [time, n]", "parameters", "MACs")]
    rows += [
        (x["name"], x["op"], str(x["in"]), str(x["out"]), str(x["parameters"]), str(x["macs"])) for x in r["layers"]
    ]
    lines += _table(rows)
    for scheme, s in r["schemes"].items():
        text = s.get("refused") or f"weights {s['weight_bytes']} bytes, state {s['state_bytes']} bytes"
        lines.append(f"{scheme}: {text}")
    fits = [name for name, b in r["boards"].items() if b["fits"]]
    if r["boards"]:
        lines.append(f"fits ({r['boards_scheme']}, without its code): {', '.join(fits) or 'none'}")
    for name, b in r["boards"].items():
        if not b["fits"]:
            lines.append(f"  {name}: flash {b['flash']} of {b['of']}, RAM {b['ram']} of {b['of_ram']}")
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    wide = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
    return ["  ".join(v.ljust(w) for v, w in zip(r, wide, strict=True)).rstrip() for r in rows]
