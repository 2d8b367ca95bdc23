"""The verbs demo and bench."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.presets import PRESETS
from toolkit.verbs.shared import Verb, config_of, run_folder, say, sets, tools


def _bench(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.bench import SHAPES, Options, bench, parse_shapes, summary

    if a.seconds <= 0:
        raise ToolkitError(f"--seconds {a.seconds:g}: expected more than 0")
    if a.training:
        return _bench_training(a)
    run = run_folder(a.run) if a.run else None
    result = bench(Options(parse_shapes(a.shapes) if a.shapes else SHAPES, a.seconds, run), say=say)
    if not a.json:
        print(summary(result))
    return result


def _bench_training(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.bench_training import bench_training, summary

    if a.run or a.shapes:
        raise ToolkitError("bench --training measures its own three networks: expected neither a run nor --shapes")
    result = bench_training(a.seconds, say=say)
    if not a.json:
        print(summary(result))
    return result


def _demo(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.report import summary
    from toolkit.stages.demo import demo

    report = demo(config_of(PRESETS["glucose"], a.set), a.out, toolchain=a.toolchain, emulator=a.emulator, say=say)
    if not a.json:
        print(summary(report))
    say(f"report: {a.out / 'report.html'}")
    return report


def _demo_arguments(verb: Verb) -> None:
    p = verb("demo", _demo, "Everything in a row on the glucose series.", "")
    p.add_argument("--out", type=Path, default=Path("runs/demo"), help="the run's folder")
    tools(p)
    sets(p)


def _bench_arguments(verb: Verb) -> None:
    text = "Time our kernels on this computer beside the libraries that are installed."
    p = verb("bench", _bench, text, "--shapes 1,32 16,64 --seconds 10")
    p.add_argument("run", type=Path, nargs="?", help="a run's folder: its LSTM layers are measured, too")
    p.add_argument("--shapes", nargs="+", metavar="I,H", help="inputs,hidden of each layer; six of them unless given")
    p.add_argument("--seconds", type=float, default=60.0, help="measuring time in all (60)")
    p.add_argument("--training", action="store_true", help="time training instead, beside PyTorch")


def add(verb: Verb) -> None:
    """Adds them to the parser."""
    _demo_arguments(verb)
    _bench_arguments(verb)
