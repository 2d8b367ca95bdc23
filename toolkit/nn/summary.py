"""A network in a table: shapes, parameters and multiply-accumulates, and what it takes on a board."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.errors import QuantizeError
from quantize.network import Layer, Network
from toolkit.boards import load_board
from toolkit.errors import ToolkitError

MATRICES = ("w", "w_ih", "w_hh", "p")
SAMPLES = 64  # of noise: enough for the ranges of a size


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of the generated C's data: weights and tables in flash, state and scratch in RAM, of one stream.

    `flash_of`, `ram_of`: what the board has; None: a host."""

    flash: int
    ram: int
    flash_of: int | None
    ram_of: int | None


def parameters_of(layer: Layer) -> int:
    """How many numbers are trained."""
    return sum(w.size for w in layer.weights.values())


def macs_of(layer: Layer) -> int:
    """Multiply-accumulates of one step: the products with matrices and peepholes."""
    return sum(w.size for k, w in layer.weights.items() if k in MATRICES)


def footprint(network: Network, board_name: str) -> Footprint:
    """What the network would take, quantized with ranges from noise: sizes do not depend on them.

    Raises: QuantizeError or ToolkitError when it cannot be deployed, or there is no such board."""
    from quantize import ptq  # here, for training alone needs no code generator
    from toolkit.codegen.choose import choose
    from toolkit.codegen.lower import destination, facts

    board = load_board(board_name)
    steps = network.window or SAMPLES
    noise = np.random.default_rng(0).normal(size=(8, steps, len(network.inputs)))
    raw = noise * [c.std for c in network.inputs] + [c.mean for c in network.inputs]
    q = ptq.quantize(network, [raw], ptq.Options(refit=False), "0" * 64)
    choices = choose(q, board, optimize="speed", wanted=None, tune=None)
    rows = facts(q, destination(board, choices, False))["constants"]
    size = {name: int(value) for name, value, _ in rows if name.endswith("_BYTES")}
    flash, ram = size["WEIGHT_BYTES"] + size["TABLE_BYTES"], size["STATE_BYTES"] + size["SCRATCH_BYTES"]
    memory = board.memory
    return Footprint(flash, ram, *((memory.flash.length, memory.ram.length) if memory else (None, None)))


def summary(network: Network, board: str) -> str:
    """The table; `board` "" leaves the board out."""
    rows = [("layer", "reads", "gives", "parameters", "MACs per step")]
    widths: dict[str, int] = {"": len(network.inputs)}
    before = ""
    for x in network.layers:
        sources = x.sources or (before,)
        widths[x.name] = _width(x, widths, sources)
        reads = " + ".join(s or "input" for s in sources)
        rows.append((x.name, f"{reads} [{_taken(x, widths, sources)}]", f"[{widths[x.name]}]", *_counts([x])))
        before = x.name
    rows.append(("total", "", "", *_counts(network.layers)))
    wide = [max(len(r[k]) for r in rows) for k in range(5)]
    lines = ["  ".join(v.ljust(w) if k < 3 else v.rjust(w) for k, (v, w) in enumerate(zip(r, wide, strict=True)))
             for r in rows]  # fmt: skip
    return "\n".join([*(line.rstrip() for line in lines), *([_on_board(network, board)] if board else [])])


def _width(x: Layer, widths: dict[str, int], sources: tuple[str, ...]) -> int:
    if x.op == "add":
        return widths[sources[0]]
    return len(x.weights["w"]) if x.op == "dense" else x.weights["w_hh"].shape[1]


def _taken(x: Layer, widths: dict[str, int], sources: tuple[str, ...]) -> int:
    return widths[sources[0]] if x.op == "add" else sum(widths[s] for s in sources)


def _counts(layers: tuple[Layer, ...] | list[Layer]) -> tuple[str, str]:
    return str(sum(map(parameters_of, layers))), str(sum(map(macs_of, layers)))


def _on_board(network: Network, board: str) -> str:
    try:
        f = footprint(network, board)
    except (QuantizeError, ToolkitError) as e:
        return f"{board}: {e}"
    flash = f"{f.flash}" + (f" of {f.flash_of}" if f.flash_of else "")
    ram = f"{f.ram}" + (f" of {f.ram_of}" if f.ram_of else "")
    text = f"{board}: flash {flash} bytes (weights and tables, without code), RAM {ram} bytes (state and scratch)"
    return f"{text}, {cycles_on(network, board)}".removesuffix(", ")


def cycles_on(network: Network, board_name: str) -> str:
    """What a forecast costs there, as the sweep counts it; "" where nothing can be counted, or why it was not."""
    from toolkit.stages.cost import cost, why_not

    board = load_board(board_name)
    if why_not(board):
        return ""
    try:
        return str(cost(network, board))
    except (QuantizeError, ToolkitError) as e:
        return f"cycles not counted: {e}"
