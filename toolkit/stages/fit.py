"""The stage `fit`: one model against every board, without hardware: what it takes there, and whether that is there.

Each board's image is built and, where an emulator knows it, counted: the figures are those of `build` and `profile`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from toolkit import elf
from toolkit.boards import Board
from toolkit.errors import CheckFailed, ToolkitError, write_whole
from toolkit.report.terminal import size
from toolkit.stages.firmware import Job, build
from toolkit.stages.generate import generate_c, load_current, model_file
from toolkit.stages.profile import profile

STEPS = 24  # counted on each board: every path of a step, the first ones and the steady ones
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user allows: bytes of flash (without test vectors) and RAM (without stack), milliseconds a step."""

    flash: int | None
    ram: int | None
    ms: float | None


def fit(model: Path, boards: Sequence[Board], limits: Limits, *, jobs: int, say: Say) -> dict[str, Any]:
    """A run or a model.q.safetensors -> fit.json beside the model.

    Raises: ToolkitError or QuantizeError when the model is bad or a board's C does not build."""
    file = model_file(model)
    q = load_current(file)
    work = file.parent / "fit"
    work.mkdir(parents=True, exist_ok=True)
    for path in (file, file.parent / "data.safetensors", *file.parent.glob("tune.*.json")):
        if path.is_file():
            target = "model.q.safetensors" if path == file else path.name
            shutil.copyfile(path, work / target)
    rows = []
    with ProcessPoolExecutor(min(jobs, len(boards))) as pool:
        waiting = {pool.submit(_measure, work, board): board for board in boards}
        try:
            for n, done in enumerate(as_completed(waiting), 1):
                rows.append(_judged(done.result(), limits))
                say(f"[{n}/{len(boards)}] {rows[-1]['board']}: {'fits' if rows[-1]['fits'] else rows[-1]['why']}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    rows.sort(key=lambda r: (not r["fits"], r["milliseconds"] or float("inf"), r["board"]))
    result = {"model": q.name, "digest": q.digest, "limits": asdict(limits), "boards": rows}
    write_whole(file.parent / "fit.json", json.dumps(result, indent=1) + "\n")
    return result


def default_jobs() -> int:
    """One process a core."""
    return os.cpu_count() or 1


def check(result: dict[str, Any], named: Sequence[str]) -> None:
    """Raises: CheckFailed when a board that was asked for by name does not fit, or of all boards none does."""
    bad = [r for r in result["boards"] if not r["fits"]]
    if bad and (named or len(bad) == len(result["boards"])):
        raise CheckFailed("; ".join(f"{r['board']}: {r['why']}" for r in bad))


def _measure(work: Path, board: Board) -> dict[str, Any]:
    """In a process of its own."""
    row: dict[str, Any] = {
        "board": board.name,
        "title": board.title,
        "core": board.core,
        "clock_hz": board.clock_hz,
        **dict.fromkeys(("stack", "instructions", "cycles", "milliseconds", "largest_rate_hz")),
    }
    assert board.memory is not None
    row |= {"flash_of": board.memory.flash.length, "ram_of": board.memory.ram.length - board.memory.stack}
    row["budget"] = asdict(board.budget)
    job = Job(work, board, STEPS)
    try:
        generate_c(work, board, None, float_api=False, say=_quiet)
        row |= _sizes(build(job, say=_quiet)["sizes"])
    except CheckFailed:  # it was linked, but is too large
        return row | _sizes(elf.measure(job.folder / "firmware.elf", sorted((job.folder / "obj").glob("model_*.o"))))
    except ToolkitError as e:  # a compiler is missing
        return row | {"flash": None, "ram": None, "untried": str(e)}
    try:
        p = profile(replace(job, rebuild=False), core=None, say=_quiet)
    except ToolkitError as e:  # nothing here counts its steps
        return row | {"uncounted": str(e)}
    row["stack"], row["instructions"] = p["stack"]["stack"], p["instructions_per_step"]["max"]
    if p["cycles_per_step"]:
        row["cycles"] = p["cycles_per_step"]["max"]
        row["milliseconds"], row["largest_rate_hz"] = p["milliseconds"]["max"], p["largest_rate_hz"]
    return row


def _quiet(text: str) -> None:
    """Boards are built side by side: only the table speaks."""


def _sizes(sizes: dict[str, int]) -> dict[str, int]:
    return {"flash": sizes["flash"] - sizes["vectors"], "ram": sizes["ram"]}


def _judged(row: dict[str, Any], limits: Limits) -> dict[str, Any]:
    wants = (
        ("flash", row["flash"], row["flash_of"], "the chip has"),
        ("RAM", row["ram"], row["ram_of"], "the chip has, beside the stack,"),
        ("flash", row["flash"], row["budget"]["flash"], "the board's budget allows"),
        ("RAM", row["ram"], row["budget"]["ram"], "the board's budget allows"),
        ("flash", row["flash"], limits.flash, "--max-flash"),
        ("RAM", row["ram"], limits.ram, "--max-ram"),
    )
    why = [f"{what} {used} bytes, {whose} {most}: {used - most} too many" for what, used, most, whose in wants
           if most is not None and used is not None and used > most]  # fmt: skip
    if "untried" in row:
        why = [f"not tried: {row['untried']}"]
    elif limits.ms is not None and row["milliseconds"] is None:
        why.append(f"no table of cycles for {row['core']}: --max-ms cannot be held")
    elif limits.ms is not None and row["milliseconds"] > limits.ms:
        why.append(f"{row['milliseconds']:.3g} ms a step, --max-ms {limits.ms:g}")
    return row | {"fits": not why, "why": "; ".join(why)}


def summary(result: dict[str, Any]) -> str:
    """The table, fastest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in ("Board", "Core", "Flash", "of", "RAM", "of", "Stack", "Cycles", "ms / step", "steps / s", ""):
        table.add_column(name, justify="left" if name in ("Board", "Core", "") else "right", no_wrap=True)
    for r in result["boards"]:
        cells = [size(r["flash"]), size(r["flash_of"]), size(r["ram"]), size(r["ram_of"]), size(r["stack"])]
        time = [f"{r['cycles']:,}", f"{r['milliseconds']:.3g}", f"{r['largest_rate_hz']:,.0f}"] if r["cycles"] else (
            [f"{r['instructions']:,} instr." if r["instructions"] else "–", "–", "–"])  # fmt: skip
        table.add_row(r["board"], r["core"], *cells, *time, "fits" if r["fits"] else "no")
    console = Console(highlight=False, width=150)
    with console.capture() as capture:
        console.print(table)
    note = "Flash without test vectors; RAM without stack. Cycles: the longest step, estimated, zero wait states."
    over = [f"{r['board']}: {r['why']}" for r in result["boards"] if not r["fits"]]
    blind = [f"{r['board']}: not counted: {r['uncounted']}" for r in result["boards"] if "uncounted" in r]
    return "\n".join([capture.get().rstrip(), note, *over, *blind])


def boards_with_memory(names: Sequence[str], load: Callable[[str], Board]) -> list[Board]:
    """The boards of these names that take an image.

    Raises: ToolkitError when a board that is asked for takes none."""
    boards = [load(name) for name in names]
    found = [b for b in boards if b.memory is not None and b.toolchain != "aarch64-linux"]
    if not found:
        raise ToolkitError(f"{', '.join(names)}: takes no image; expected a board with [memory]")
    return found
