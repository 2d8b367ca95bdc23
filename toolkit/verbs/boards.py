"""Verbs of boards: boards, tune, build, run, validate, flash, profile, fit."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolkit.errors import CheckFailed, ToolkitError
from toolkit.verbs.shared import Verb, run_folder, say, scheme, toolchain, tools


def _tune(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.boards import load_board
    from toolkit.stages.firmware import Job
    from toolkit.stages.tune import summary, tune

    result = tune(Job(run_folder(a.run), load_board(a.board), toolchain=a.toolchain), say=say)
    if not a.json:
        print(summary(result))
    return result


def _job(a: argparse.Namespace) -> Any:
    from toolkit.boards import load_board
    from toolkit.stages.firmware import Job

    if a.steps < 1 or a.first < 0:
        raise ToolkitError(f"--first {a.first} --steps {a.steps}: expected 0 or more, and 1 or more")
    if a.slice is not None and a.slice < 1:
        raise ToolkitError(f"--slice {a.slice}: expected hidden units, 1 or more")
    if getattr(a, "replay", False) and not a.serve:
        raise ToolkitError("--replay goes with --serve: every other image replays")
    if getattr(a, "serve", False) and (getattr(a, "scheme", None) or a.slice):
        raise ToolkitError("--serve: w8a16 and w8a8 whole steps alone; leave --scheme and --slice out")
    own = ("serve", "replay") if getattr(a, "serve", False) else ()
    run_only = {
        k: getattr(a, k) for k in (*own, "emulator", "save_state", "rebuild", "slice", "scheme") if hasattr(a, k)
    }
    return Job(run_folder(a.run), load_board(a.board), a.steps, a.first, a.state, toolchain=a.toolchain, **run_only)


def _build(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.firmware import build
    from toolkit.stages.firmware_f32 import build_f32

    result = (build_f32 if a.scheme else build)(_job(a), say=say)
    for name, image in result.get("images", {}).items():
        say(f"{name}: {image['bytes']} bytes, SHA-256 {image['sha256']}")
    return result


def _run(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.report import summary, write_report
    from toolkit.stages.firmware import run
    from toolkit.stages.firmware_f32 import run_f32

    job = _job(a)
    try:
        result = (run_f32 if a.scheme else run)(job, say=say)
    except CheckFailed:
        if not job.slice:
            write_report(a.run)  # which says so
        raise
    if job.slice:
        return result  # another test of the same model: the report is about predict
    report = write_report(a.run)
    if not a.json:
        print(summary(report))
    say(f"report: {a.run / 'report.html'}")
    return result


def _validate(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.validate import Options, summary, validate

    if a.steps is not None and a.steps < 1:
        raise ToolkitError(f"--steps {a.steps}: expected 1 or more")
    options = Options(run_folder(a.run), a.on, a.board, a.data, a.steps, a.toolchain)
    result = validate(options, say=say)
    if not a.json:
        print(summary(result))
    return result


def _profile(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.profile import profile, summary

    result = profile(_job(a), core=a.core, say=say)
    if not a.json:
        print(summary(result))
    return result


def _fit(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.boards import board_names, load_board
    from toolkit.stages.fit import Limits, boards_with_memory, check, default_jobs, fit, summary

    boards = boards_with_memory(a.board or board_names(), load_board)
    limits = Limits(a.max_flash, a.max_ram, a.max_ms)
    result = fit(a.model, boards, limits, jobs=a.jobs or default_jobs(), say=say)
    if not a.json:
        print(summary(result))
    try:
        check(result, a.board)
    except CheckFailed:
        if a.json:
            print(json.dumps(result, indent=2))
        raise
    return result


def _boards(a: argparse.Namespace) -> dict[str, Any]:

    from toolkit.boards import board_names, load_board
    from toolkit.stages.boards import aligned, one, start_file, table

    if a.name == "new":
        if not a.chip:
            a.usage("boards new: the following arguments are required: --chip")
        made = start_file(a.chip, a.out)
        if not a.json:
            print(f"{made['file']}: [memory] is that of {made['like']}: check it against the data sheet of {a.chip}")
        say(f"{made['file']}: like {made['like']}; next: python3 run.py boards {made['file']}")
        return made
    boards = [load_board(name) for name in ([a.name] if a.name else board_names())]
    if not a.json:
        print(one(boards[0]) if a.name else aligned(table(boards)))
    return {b.name: asdict(b) for b in boards}


def _flash(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.flash import Options, flash
    from toolkit.stages.firmware import build
    from toolkit.stages.uefi import build_stick

    job = _job(a)
    if job.rebuild:
        (build_stick if job.board.tools.boot else build)(job, say=say)
    options = Options(a.tool, a.port, a.drive, a.device, a.dry_run)
    return flash(job.board, job.folder, options, say=say, ask=_typed)


def _typed(question: str) -> str:
    """What is typed after a question; nothing where nobody can."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline() if sys.stdin is not None else ""


def _job_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--board", required=True, help="a name from `boards`, or the path of a .toml")
    p.add_argument("--steps", type=int, default=1024, help="test vectors to replay (1024)")
    p.add_argument("--first", type=int, default=0, help="the first of them (0)")
    p.add_argument("--state", type=Path, help="a saved state to continue from")
    text = "not predict: steps in slices (step_begin, step_poll) of at most this many hidden units"
    p.add_argument("--slice", type=int, metavar="UNITS", help=text)


def _boards_arguments(verb: Verb) -> None:
    p = verb("boards", _boards, "List the boards, or show one.", "microbit --json")
    p.add_argument("name", nargs="?", help="one board, or `new`: a starting file for one of your own")
    p.add_argument("--chip", help="with new: its chip, e.g. stm32f401re")
    p.add_argument("--out", type=Path, default=Path("mine.toml"), help="with new: the file (mine.toml)")
    p.set_defaults(usage=p.error)


def _tune_arguments(verb: Verb) -> None:
    text = "Measure every kernel that a board can run on this model, and write the choice that generate-c follows."
    p = verb("tune", _tune, text, "runs/room --board mps2_an386")
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--board", required=True, help="a name from `boards`, or the path of a .toml")
    toolchain(p)


def _serve_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("--serve", action="store_true", help="an image that serves docs/protocol.md, for `validate`")
    p.add_argument("--replay", action="store_true", help="with --serve: replay the test vectors at boot, too")


def _build_arguments(verb: Verb) -> None:
    p = verb("build", _build, "Build the image for a board.", "runs/room --board microbit")
    _job_arguments(p)
    scheme(p)
    _serve_arguments(p)
    toolchain(p)


def _run_arguments(verb: Verb) -> None:
    text = "Build, run on the emulated board, and compare every bit with the oracle."
    p = verb("run", _run, text, "runs/room --board mps2_an386")
    _job_arguments(p)
    scheme(p)
    p.add_argument("--save-state", type=Path, help="write the state after the last step to this file")
    p.add_argument("--no-build", dest="rebuild", action="store_false", help="run the image as it lies there")
    tools(p)


def _validate_arguments(verb: Verb) -> None:
    text = "Stream a whole test set through the oracle, this computer, emulators and boards; compare every bit."
    p = verb("validate", _validate, text, "runs/room --on host,mps2_an386,/dev/ttyACM0")
    p.add_argument("run", type=Path, help="a run's folder")
    text = "with commas: oracle, host, emulator, a board's name (emulated), a serial port, tcp:HOST:PORT"
    p.add_argument("--on", required=True, metavar="WHERE", help=text)
    p.add_argument("--board", help="what `emulator` stands for, and what is at the port; else the device tells")
    p.add_argument("--data", type=Path, metavar="CSV", help="every row of this file, in place of the test rows")
    p.add_argument("--steps", type=int, help="at most; all unless given")
    toolchain(p)


def _flash_arguments(verb: Verb) -> None:
    text = "Build, write the image to a board by a tool that is installed, and verify it."
    p = verb("flash", _flash, text, "runs/room --board pico --dry-run")
    _job_arguments(p)
    _serve_arguments(p)
    p.add_argument("--no-build", dest="rebuild", action="store_false", help="write the image as it lies there")
    p.add_argument("--tool", default="", help="picotool, pyocd, openocd, ...; the first that is here unless given")
    p.add_argument("--port", default="", help="the board's serial port, where several boards are plugged in")
    p.add_argument("--drive", type=Path, help="the drive that a UF2 boot loader shows")
    p.add_argument("--device", type=Path, help="a USB disk to write for a PC, after its name is typed again")
    p.add_argument("--dry-run", action="store_true", help="show the commands, write nothing")
    toolchain(p)


def _profile_arguments(verb: Verb) -> None:
    text = "Count what a step costs on a board: by function, by layer, in time and in memory."
    p = verb("profile", _profile, text, "runs/room --board mps2_an386")
    _job_arguments(p)
    scheme(p)
    p.add_argument("--no-build", dest="rebuild", action="store_false", help="profile the image as it lies there")
    p.add_argument("--core", help="estimate cycles for this core, e.g. cortex-m0plus; the board's own unless given")
    toolchain(p)


def _fit_arguments(verb: Verb) -> None:
    text = "One model against every board, without hardware: flash, RAM, stack, cycles, the largest sample rate."
    p = verb("fit", _fit, text, "runs/room --max-ms 2")
    p.add_argument("model", type=Path, help="a run's folder, or a model.q.safetensors")
    p.add_argument("--board", action="append", default=[], help="only this board, or these; all unless given")
    p.add_argument("--max-flash", type=int, metavar="BYTES", help="of the image without test vectors")
    p.add_argument("--max-ram", type=int, metavar="BYTES", help="static, without the stack")
    p.add_argument("--max-ms", type=float, metavar="MS", help="of the longest step")
    p.add_argument("--jobs", type=int, default=0, help="boards side by side; one a core unless given")


def add(verb: Verb) -> None:
    """Adds them to the parser."""
    _boards_arguments(verb)
    _tune_arguments(verb)
    _build_arguments(verb)
    _run_arguments(verb)
    _validate_arguments(verb)
    _flash_arguments(verb)
    _profile_arguments(verb)
    _fit_arguments(verb)
