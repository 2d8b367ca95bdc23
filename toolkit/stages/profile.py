"""The stage `profile`: what a step costs on a board, by function and by layer, in time and in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from quantize.float_graph import shapes
from quantize.float_stream import chain
from quantize.network import Network, load_network, network_digest
from quantize.qnetwork import QLayer, QNetwork
from toolkit import elf, emulate
from toolkit.boards import Board
from toolkit.codegen.graph_f32 import functions as functions_f32
from toolkit.codegen.packers import functions
from toolkit.emulate.cores import CODE_LEVEL, CORES, Core
from toolkit.emulate.counter import NO_LAYER, Profile
from toolkit.emulate.outcome import Counts
from toolkit.errors import ToolkitError, nearest, write_whole
from toolkit.report.terminal import size
from toolkit.stages.firmware import Job, build
from toolkit.stages.firmware_f32 import build_f32
from toolkit.stages.generate import folder_for, folder_for_f32, kernels_of, load_current

_WIDTH = 110


def profile(job: Job, *, core: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Builds the image unless told not to, runs it in unicorn, and writes profile.json.

    core: whose table estimates the cycles; None: the board's own core, where it has one.
    Raises: ToolkitError; CheckFailed when the image does not pass its own test."""
    board = job.board
    costs = choose_core(board, core)
    if job.rebuild and board.memory is not None:
        (build_f32 if job.scheme else build)(job, say=say)
    q, digest, used = _model(job)
    image = job.folder / "firmware.elf"
    _check_model(job, digest)
    say(f"profile {board.name}" + (f" with the cycles of {costs.name}" if costs else ", instructions only"))
    layers = {} if job.slice else used  # a slice has parameters of its own
    fields, counts, spent = emulate.profile(image, board, core=costs, layers=layers)
    for name in layers:
        if not spent.entries.get(name):
            say(f"{name}: no call with its parameters was seen; its cost stands outside the layers")
    result = {
        "board": board.name,
        "title": board.title,
        "slice": job.slice,
        "digest": digest,
        "clock_hz": board.clock_hz,
        "core": board.core if costs is None else costs.name,
        "manual": "" if costs is None else costs.manual,
        "note": "" if costs is None else f"estimated, zero wait states; {costs.note}",
        **_step(board, costs, counts, spent, q),
        "functions": _functions(counts, spent, costs),
        "layers": _layers(counts, spent, costs, q),
        "constant": _constant(spent, len(layers)),
        "stack": {key: fields.get(key) for key in ("stack", "stack_save", "stack_total")},
        "state_bytes": fields.get("state_bytes"),
        "sections": _sections(job),
        "sizes": json.loads((job.folder / "build.json").read_text(encoding="utf-8"))["sizes"],
    }
    write_whole(job.folder / "profile.json", json.dumps(result, indent=1) + "\n")
    return result


def _constant(spent: Profile, layers: int) -> bool | None:
    """Whether every call of each layer took as many instructions; None where that was not seen of all of them."""
    if not layers or len(spent.calls) != layers:
        return None
    return all(low == high for low, high in spent.calls.values())


def choose_core(board: Board, wanted: str | None) -> Core | None:
    """The table that fits a board, or the wanted one when that core can run the board's code.

    Raises: ToolkitError when it is not known or cannot."""
    if wanted is None:
        return CORES.get(board.core)
    if wanted not in CORES:
        raise ToolkitError(f'no table of cycles for the core "{wanted}"{nearest(wanted, CORES)}')
    if board.core not in CODE_LEVEL or CORES[wanted].level < CODE_LEVEL[board.core]:
        raise ToolkitError(f"{wanted} cannot run the code of {board.name}, a {board.core}; choose another board")
    return CORES[wanted]


def _model(job: Job) -> tuple[QNetwork | Network, str, dict[str, str]]:
    """The job's model, its digest, and the functions of its layers by name, in the order of a step."""
    if not job.scheme:
        q = load_current(job.run)
        used = {} if job.board.memory is None else functions(q, kernels_of(folder_for(job.run, q, job.board), q))
        return q, q.digest, used
    file = job.run / "model.safetensors"
    network, digest = load_network(file), network_digest(file)
    used = functions_f32(network, kernels_of(folder_for_f32(job.run, network, digest, job.board), network))
    if job.board.run is not None and not job.board.run.unicorn and not chain(network):
        called = list(used.values())  # QEMU tells layers with one function apart by their order in a step alone
        used = {name: function for name, function in used.items() if called.count(function) == 1}
    return network, digest, used


def _check_model(job: Job, digest: str) -> None:
    path = job.folder / "vectors.json"
    again = f"run `toolkit build {job.run} --board {job.board.name}` first"
    if job.board.memory is not None and not (path.is_file() and (job.folder / "build.json").is_file()):
        raise ToolkitError(f"{job.folder}: no finished build here; {again}")
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["digest"] != digest:
        model = job.run / ("model.safetensors" if job.scheme else "model.q.safetensors")
        raise ToolkitError(f"{job.folder}: built from another model than {model}; {again}")


def macs(q: QNetwork | Network) -> dict[str, int]:
    """Multiply-accumulates of one call of each layer: every weight of its matrices once, of a convolution each step."""
    arrays = {x.name: x.arrays if isinstance(x, QLayer) else x.weights for x in q.layers}
    steps = shapes(q, q.window or 1) if isinstance(q, Network) else {}
    return {
        name: sum(int(v.size) * (steps[name][0] if v.ndim == 3 else 1) for v in own.values() if v.ndim > 1)
        for name, own in arrays.items()
    }


def _step(board: Board, core: Core | None, counts: Counts, spent: Profile, q: QNetwork | Network) -> dict[str, Any]:
    work = sum(each * spent.entries.get(name, 0) for name, each in macs(q).items()) / counts.calls
    total, low, high = spent.cycles
    mean = counts.sum / counts.calls
    step: dict[str, Any] = {
        "steps": counts.calls,
        "macs_per_step": work,
        "instructions_per_step": {"total": counts.sum, "mean": mean, "min": counts.min, "max": counts.max},
        "instructions_per_mac": mean / work if work else None,
    }
    if core is None:
        none = ("cycles_per_step", "cycles_per_mac", "milliseconds", "largest_rate_hz")
        return step | dict.fromkeys(none)
    cycles = total / counts.calls
    return step | {
        "cycles_per_step": {"total": total, "mean": cycles, "min": low, "max": high},
        "cycles_per_mac": cycles / work if work else None,
        "milliseconds": {"mean": cycles / board.clock_hz * 1e3, "max": high / board.clock_hz * 1e3},
        "largest_rate_hz": board.clock_hz / high,  # of the longest step, with nothing else to do
    }


def _cost(cells: Sequence[tuple[int, int]], counts: Counts, spent: Profile, core: Core | None) -> dict[str, Any]:
    """Sums of (instructions, cycles), exact as totals, and what that is of a step."""
    instructions, cycles = sum(c[0] for c in cells), sum(c[1] for c in cells)
    return {
        "instructions_total": instructions,
        "instructions": instructions / counts.calls,
        "cycles_total": None if core is None else cycles,
        "cycles": None if core is None else cycles / counts.calls,
        "share": instructions / counts.sum if core is None else cycles / spent.cycles[0],
    }


def _functions(counts: Counts, spent: Profile, core: Core | None) -> list[dict[str, Any]]:
    rows = [
        {"function": function, "layer": layer, **_cost([cell], counts, spent, core)}
        for (function, layer), cell in spent.cells.items()
    ]
    return sorted(rows, key=lambda r: (-r["share"], r["function"], r["layer"]))


def _layers(counts: Counts, spent: Profile, core: Core | None, q: QNetwork | Network) -> list[dict[str, Any]]:
    """In the order of the network; last, without a name, what ran outside every layer."""
    rows, each = [], macs(q)
    for name, layer in [*((x.name, x) for x in q.layers), (NO_LAYER, None)]:
        cells = [cell for (_, own), cell in spent.cells.items() if own == name]
        cost = _cost(cells, counts, spent, core)
        calls = spent.entries.get(name, 0)
        work = calls * each.get(name, 0)
        seen = spent.calls.get(name)
        rows.append(
            {
                "layer": name,
                "op": layer.op if layer is not None else "",
                "calls": calls / counts.calls,
                "macs": work / counts.calls,
                **cost,
                "instructions_per_mac": cost["instructions_total"] / work if work else None,
                "cycles_per_mac": cost["cycles_total"] / work if work and core is not None else None,
                "instructions_per_call": dict(zip(("min", "max"), seen, strict=True)) if seen else None,
                "constant": seen[0] == seen[1] if seen else None,
            }
        )
    return rows


def _sections(job: Job) -> list[dict[str, Any]]:
    assert job.board.memory is not None
    ram = job.board.memory.ram
    rows = []
    for s in elf.sections(job.folder / "firmware.elf"):
        in_ram = ram.origin <= s.address < ram.origin + ram.length
        rows.append(
            {"name": s.name, "address": s.address, "bytes": s.size, "flash": s.stored or not in_ram, "ram": in_ram}
        )
    return rows


def summary(result: dict[str, Any]) -> str:
    """Tables for a terminal, with colours where standard output is one."""
    console = Console(highlight=False)
    console.width = min(console.width, _WIDTH)
    with console.capture() as capture:
        tables = [_function_table(result)] if result["slice"] else [_function_table(result), _layer_table(result)]
        console.print(Group(Text(), *tables, *_step_lines(result)))
    return capture.get().rstrip("\n")


def _table(first: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_footer=True)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="left" if column == "Layer" else "right")
    return table


def _number(v: float | None, digits: int = 0) -> str:
    return "–" if v is None else f"{v:,.{digits}f}"


def _function_table(r: dict[str, Any]) -> Table:
    table = _table("Function", "Layer", "Instructions/step", "Cycles/step", "Share")
    for f in r["functions"]:
        numbers = (_number(f["instructions"], 1), _number(f["cycles"], 1), f"{f['share']:.1%}")
        table.add_row(Text(f["function"]), Text(f["layer"]), *numbers)
    cycles = r["cycles_per_step"]
    sums = (_number(r["instructions_per_step"]["mean"], 1), _number(cycles and cycles["mean"], 1), "100.0%")
    for column, footer in zip(table.columns, ("total", "", *sums), strict=True):
        column.footer = Text(footer, style="bold")
    return table


def _layer_table(r: dict[str, Any]) -> Table:
    table = _table("Layer", "Calls", "MACs", "Instructions", "Cycles", "Instr./MAC", "Cycles/MAC")
    for x in r["layers"]:
        name = Text(x["layer"]) if x["layer"] else Text("outside", "dim")
        work = (_number(x["calls"], 1), _number(x["macs"])) if x["layer"] else ("", "")
        ratios = (_number(x["instructions_per_mac"], 2), _number(x["cycles_per_mac"], 2)) if x["layer"] else ("", "")
        table.add_row(name, *work, _number(x["instructions"], 1), _number(x["cycles"], 1), *ratios)
    cycles = r["cycles_per_step"]
    sums = (_number(r["instructions_per_step"]["mean"], 1), _number(cycles and cycles["mean"], 1))
    ratios = (_number(r["instructions_per_mac"], 2), _number(r["cycles_per_mac"], 2))
    footers = ("step", "", _number(r["macs_per_step"]), *sums, *ratios)
    for column, footer in zip(table.columns, footers, strict=True):
        column.footer = Text(footer, style="bold")
    return table


def _step_lines(r: dict[str, Any]) -> list[RenderableType]:
    i, c, stack, sizes = r["instructions_per_step"], r["cycles_per_step"], r["stack"], r["sizes"]
    what = f"slice of at most {r['slice']} hidden units" if r["slice"] else "step"
    lines = [
        Text(f"Instructions of a {what}: {i['min']:,} to {i['max']:,}, exact, over {r['steps']:,} {what.split()[0]}s.")
    ]
    if r["constant"] is not None:
        vary = ", ".join(x["layer"] for x in r["layers"] if x["constant"] is False)
        lines.append(Text(f"Constant time: no: {vary}." if vary else "Constant time: yes, each layer in every call."))
    if c is None:
        lines.append(Text(f"Cycles: no table for a {r['core']}; instructions only."))
    else:
        ms, rate = r["milliseconds"], r["largest_rate_hz"]
        lines.append(
            Text(
                f"Cycles of a {what}: {c['min']:,} to {c['max']:,}: {ms['max']:.3f} ms at {r['clock_hz'] / 1e6:g} MHz, "
                f"at most {rate:,.4g} {'slices' if r['slice'] else 'samples'} a second.",
                "bold",
            )
        )
        lines.append(Text(f"{r['core']}: {r['note']}. {r['manual']}.", "dim"))
    lines.append(
        Text(
            f"Stack of a call {size(stack['stack'])}, of save {size(stack['stack_save'])}, "
            f"of the whole image {size(stack['stack_total'])}; state {size(r['state_bytes'])}."
        )
    )
    sections = (
        f"{s['name']} {size(s['bytes'])} in {' and '.join(k for k in ('flash', 'ram') if s[k])}" for s in r["sections"]
    )
    lines.append(Text(f"Sections: {', '.join(sections)}."))
    kinds = ", ".join(f"{k} {size(sizes[k])}" for k in ("weights", "tables", "code", "vectors", "firmware"))
    lines.append(Text(f"Flash {size(sizes['flash'])}: {kinds}."))
    return list(lines)
