"""The stage `tune`: builds a model with every kernel its board can run, measures, and writes the choices."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from quantize.qnetwork import QNetwork
from toolkit import emulate
from toolkit.boards import Board
from toolkit.build import build_firmware, build_host
from toolkit.codegen.choose import PROFILES, candidates, choose
from toolkit.codegen.lower import destination
from toolkit.codegen.packers import functions, owner
from toolkit.codegen.render import generate, write_folder
from toolkit.emulate.cores import CORES
from toolkit.errors import write_whole
from toolkit.host import HostModel
from toolkit.stages.firmware import Job, vectors_of
from toolkit.stages.generate import load_current
from toolkit.stages.tuned import VERSION, shapes, tune_file
from toolkit.vectors import Vectors, header, model_header

STEPS = 64  # a step's cost does not depend on the data
BALANCE = 1.25  # of the fastest: what `balanced` gives for less flash
HOST_SECONDS = 0.3  # per round and candidate
HOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """What one set of kernels costs. `cost`: cycles, instructions or nanoseconds of a step; `layers`: of it, by layer.

    `flash`: bytes of weights, tables and the model's code; `stack`: of a call, None where it was not measured."""

    kernels: dict[str, str]
    cost: float
    layers: dict[str, float]
    flash: int
    stack: int | None

    @property
    def title(self) -> str:
        """The targets, the one with the most layers first."""
        used = list(self.kernels.values())
        return " + ".join(sorted(set(used), key=lambda t: (-used.count(t), t)))


def tune(job: Job, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Measures every candidate and writes `tune.<board>.json` beside the model.

    Raises: ToolkitError when the board cannot be measured here; CheckFailed when a candidate is not the oracle."""
    q = load_current(job.run)
    measure, unit = (_on_host, "ns") if job.board.memory is None else (_on_board, _unit(job.board))
    vectors = vectors_of(replace(job, steps=STEPS), q)
    found: list[Measured] = []
    for target in candidates(job.board):
        kernels = {x.name: owner(x, target) for x in q.layers}
        if all(kernels != m.kernels for m in found):
            say(f"tune {job.board.name}: {target}")
            found.append(measure(job, q, vectors, kernels, say))
    if all(m.layers for m in found):
        fastest = {x.name: min(found, key=lambda m, n=x.name: m.layers[n]).kernels[x.name] for x in q.layers}  # type: ignore[misc]
        if all(fastest != m.kernels for m in found):
            say(f"tune {job.board.name}: the fastest for each layer")
            found.append(measure(job, q, vectors, fastest, say))
    result = {
        "tune": VERSION,
        "board": job.board.name,
        "model": shapes(q),
        "unit": unit,
        "candidates": [
            {"kernels": m.kernels, "cost": m.cost, "layers": m.layers, "flash": m.flash, "stack": m.stack}
            for m in found
        ],
        "choice": {name: _choice(name, found, unit) for name in PROFILES},
    }
    path = tune_file(job.run, job.board)
    write_whole(path, json.dumps(result, indent=1) + "\n")
    say(f"{path}: written; generate-c follows it")
    return result


def _unit(board: Board) -> str:
    return "cycles" if board.core in CORES else "instructions"


def _choice(profile: str, found: list[Measured], unit: str) -> dict[str, Any]:
    """The candidate that a profile takes, and the reason in numbers."""
    quick, small = min(m.cost for m in found), min(m.flash for m in found)
    if profile == "speed":
        best = min(found, key=lambda m: (m.cost, m.flash))
    elif profile == "size":
        best = min(found, key=lambda m: (m.flash, m.cost))
    else:
        best = min((m for m in found if m.cost <= BALANCE * quick), key=lambda m: (m.flash, m.cost))
    why = f"{PROFILES[profile]}: {best.title} takes {best.cost:,.0f} {unit} a step (fastest: {quick:,.0f}) and "
    return {"kernels": best.kernels, "why": f"{why}{best.flash:,} bytes (smallest: {small:,})"}


def _folder(job: Job, kernels: dict[str, str]) -> Path:
    return job.run / "tune" / job.board.name / "-".join(dict.fromkeys(kernels.values()))


def _generated(job: Job, q: QNetwork, kernels: dict[str, str]) -> Path:
    """The C with these kernels, in a folder of its own."""
    choices = choose(q, job.board, optimize="speed", wanted="ref", tune=None)
    choices = [replace(c, target=kernels[c.layer]) for c in choices]
    folder = _folder(job, kernels) / "c"
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_folder(generate(q, destination(job.board, choices, False)), folder)
    return folder


def _on_board(job: Job, q: QNetwork, vectors: Vectors, kernels: dict[str, str], say: Callable[[str], None]) -> Measured:
    """Instructions or cycles of a step in the emulator, and the image's sizes."""
    out = _folder(job, kernels)
    c_dir = _generated(job, q, kernels)
    write_whole(out / "vectors.h", header(vectors))
    write_whole(out / "model.h", model_header(q))
    built = build_firmware(c_dir, job.board, out, toolchain=job.toolchain, say=lambda _: None)
    core = CORES.get(job.board.core)
    fields, counts, spent = emulate.profile(out / "firmware.elf", job.board, core=core, layers=functions(q, kernels))
    at = 0 if core is None else 1
    layers = {
        x.name: sum(cell[at] for (_, layer), cell in spent.cells.items() if layer == x.name) / counts.calls
        for x in q.layers
    }
    cost = (counts.sum if core is None else spent.cycles[0]) / counts.calls
    flash = sum(built["sizes"][k] for k in ("weights", "tables", "code"))
    say(f"  {cost:,.0f} {_unit(job.board)} a step, {flash:,} bytes of flash, {fields['stack']} of stack")
    return Measured(kernels, cost, layers, flash, fields["stack"])


def _on_host(job: Job, q: QNetwork, vectors: Vectors, kernels: dict[str, str], say: Callable[[str], None]) -> Measured:
    """Nanoseconds of a step on this computer, the best of some rounds of `run`; flash: weights and tables."""
    c_dir = _generated(job, q, kernels)
    model = HostModel(q, build_host(c_dir, _folder(job, kernels)))
    x = np.tile(np.asarray(vectors.raw[:1] * 0, np.int16), (1000, 1))
    best = float("inf")
    for _ in range(HOST_ROUNDS):
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < HOST_SECONDS:
            model.run(x)
            steps += len(x)
        best = min(best, (time.perf_counter() - began) / steps * 1e9)
    text = (c_dir / f"{q.name}.h").read_text(encoding="utf-8").splitlines()
    sizes = [int(line.split()[2]) for line in text if "_WEIGHT_BYTES " in line or "_TABLE_BYTES " in line]
    say(f"  {best:,.0f} ns a step, {sum(sizes):,} bytes of weights and tables")
    return Measured(kernels, best, {}, sum(sizes), None)


def summary(result: dict[str, Any]) -> str:
    """The candidates and the choices, for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for column in ("Kernels", f"{result['unit']}/step", "Flash", "Stack"):
        table.add_column(column, justify="left" if column == "Kernels" else "right")
    for m in result["candidates"]:
        kernels = ", ".join(f"{k} {v}" for k, v in m["kernels"].items())
        stack = "–" if m["stack"] is None else f"{m['stack']:,}"
        table.add_row(kernels, f"{m['cost']:,.0f}", f"{m['flash']:,}", stack)
    console = Console(highlight=False)
    console.width = min(console.width, 110)
    with console.capture() as capture:
        console.print(table)
        for name, choice in result["choice"].items():
            console.print(f"{name}: {choice['why']}")
    return capture.get().rstrip("\n")
