"""Verbs that make networks: train, watch, sweep, forecast."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.presets import PRESETS
from toolkit.verbs.shared import Verb, config_of, count, run_folder, say, sets

TRAIN = """docs/examples/room.toml --set train.epochs=20
docs/examples/room.toml --seeds 5 --jobs 2
--preset harbinger --each --set data.split=[0.6,0.2,0.2]
docs/examples/room.toml --walk-forward 4"""


def _train(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.boards import load_board
    from toolkit.train.stage import train

    if not (a.config or a.preset):
        a.usage("the following arguments are required: config, or --preset NAME")
    if a.config and (a.preset or a.print):
        a.usage("expected a run.toml or --preset NAME, one of the two; --print goes with a preset")
    if a.print:
        print(PRESETS[a.preset].read_text("utf-8"), end="")
        return {}
    sets = [*a.set, *([f"data.missing={a.missing}"] if a.missing else [])]
    config = config_of(a.config or PRESETS[a.preset], sets)
    out = a.out or Path("runs") / config.name
    if a.seeds or a.each or a.walk_forward:
        return _train_many(a, config, out, sets)
    if a.jobs:
        a.usage("--jobs goes with --seeds, --each or --walk-forward; train.threads is for one training")
    if a.board:
        load_board(a.board)  # before the work, not in the midst of it
    result = train(config, out, say=say, resume=a.resume, board=a.board, plain=a.plain)
    say(f"{out}: trained; next: python3 run.py quantize {out}")
    return result


def _train_many(a: argparse.Namespace, config: Any, out: Path, sets: Sequence[str]) -> dict[str, Any]:
    from toolkit.train.many import Plan, table, train_many

    if a.board:
        raise ToolkitError("--board shows the figures of one training: leave --seeds, --each and --walk-forward out")
    plan, how = Plan(a.seeds, a.each, a.walk_forward), {"at_once": a.jobs or os.cpu_count() or 1, "resume": a.resume}
    path = a.config or PRESETS[a.preset]
    result = train_many(path, config, plan, out, sets=sets, plain=a.plain, say=say, **how)
    if not a.json:
        print(table(result))
    for name, why in result["failed"].items():
        raise ToolkitError(f"{len(result['failed'])} runs failed, the others are done; {name}: {why}")
    say(f"{out / 'summary.json'}: written")
    return result


def _watch(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.train.dashboard import watch

    return watch(run_folder(a.run))


def _sweep(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.train.sweep import read_space, sweep, table

    if a.trials < 1 or a.jobs < 1:
        raise ToolkitError(f"--trials {a.trials} --jobs {a.jobs}: expected 1 or more")
    config = config_of(a.config, [*a.set, *([f"deploy.boards={json.dumps([a.board])}"] if a.board else [])])
    out = a.out or Path("runs") / config.name / "sweep"
    how = {"trials": a.trials, "jobs": a.jobs, "dask": a.dask, "resume": a.resume}
    result = sweep(config, read_space(a.space), out, say=say, **how)
    if not a.json:
        print(table(result))
    return result


def _forecast(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages import forecast as stage

    if a.steps < 0:
        raise ToolkitError(f"--steps {a.steps}: expected 1 or more")
    run = run_folder(a.run)
    stage.check_series(run)
    stage.check_quantized(run, a.target)
    if a.follow:
        if sys.stdin is None:
            raise ToolkitError("--follow: standard input is closed; expected a sample a line, e.g. from a pipe")
        if a.series or a.steps or a.png:
            raise ToolkitError("--follow reads its samples from standard input: expected no --series, --steps or --png")
        result = stage.follow(run, sys.stdin, target=a.target, answer=lambda text: print(text, flush=True))
        median, largest = (f"{result[k]:.0f} us" for k in ("median_us", "largest_us"))
        say(f"{result['lines']} lines answered; median {median}, largest {largest}")
        return result
    result = stage.forecast(run, steps=a.steps, target=a.target, series=a.series, say=say)
    if a.png:
        from toolkit.data.prepared import load_prepared

        stage.draw(result, load_prepared(run / "data.safetensors"), a.png)
    if not a.json:
        print(stage.summary(result))
    return result


def _train_arguments(verb: Verb) -> None:
    p = verb("train", _train, "Train a network on a series.", TRAIN)
    p.add_argument("config", type=Path, nargs="?", help="run.toml")
    p.set_defaults(usage=p.error)
    p.add_argument("--preset", choices=PRESETS, help="a run that comes along, in place of a run.toml")
    p.add_argument("--print", action="store_true", help="print the preset's run.toml, to copy it, and stop")
    p.add_argument("--out", type=Path, help="the run's folder; runs/<name> unless given")
    p.add_argument("--missing", choices=("drop", "interpolate"), help="go on over values that are not numbers")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in the run's folder")
    p.add_argument("--seeds", type=count, default=0, metavar="K", help="K runs, seeds 0 to K-1: RUN/seed0 ...")
    p.add_argument("--each", action="store_true", help="a model for each of several series: RUN/<series>")
    text = "cut the test rows into K folds, each tested by a training on all before it: RUN/fold1 ..."
    p.add_argument("--walk-forward", type=count, default=0, metavar="K", help=text)
    p.add_argument("--jobs", type=count, metavar="N", help="of these runs so many at once; as there are processors")
    p.add_argument("--board", default="", help="show what the model takes on this board; the first of deploy.boards")
    p.add_argument("--plain", action="store_true", help="a line an epoch, no dashboard")
    sets(p)


def _watch_arguments(verb: Verb) -> None:
    p = verb("watch", _watch, "Follow a training from another terminal, or replay it.", "runs/room")
    p.add_argument("run", type=Path, help="a run's folder")


def _sweep_arguments(verb: Verb) -> None:
    text = "Search a space of keys: validation error, flash and cycles of a forecast; prints the Pareto front."
    examples = "docs/examples/room.toml --space docs/examples/sweep/space.toml --trials 20 --jobs 2"
    p = verb("sweep", _sweep, text, f"{examples}\n{examples.replace('--jobs 2', '--dask tcp://10.0.0.1:8786')}")
    p.add_argument("config", type=Path, help="run.toml")
    p.add_argument("--space", type=Path, required=True, help="a TOML with [space]")
    p.add_argument("--out", type=Path, help="the sweep's folder; runs/<name>/sweep unless given")
    p.add_argument("--trials", type=int, default=20, help="in all, resumed ones too (20)")
    p.add_argument("--jobs", type=int, default=1, help="trials side by side (1: then a sweep is repeatable)")
    p.add_argument("--board", help="whose flash and cycles; the first of deploy.boards unless given")
    p.add_argument("--resume", action="store_true", help="go on with the sweep in the folder")
    p.add_argument("--dask", metavar="ADDRESS", help="send the trials to this Dask cluster")
    sets(p)


def _forecast_arguments(verb: Verb) -> None:
    text = "What comes next after a run's series, or after each line of standard input."
    p = verb("forecast", _forecast, text, "runs/room --steps 6 --target host")
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--steps", type=int, default=0, help="values; all that the network gives at once unless given")
    text = "float, or the quantized network: oracle, host (its C, here) or an emulated board's name"
    p.add_argument("--target", default="float", help=text)
    p.add_argument("--series", default="", metavar="NAME", help="of several series, after which one; the last")
    p.add_argument("--follow", action="store_true", help="a sample a line in, a forecast a line out, until the end")
    p.add_argument("--png", type=Path, help="draw it into this file")


def add(verb: Verb) -> None:
    """Adds them to the parser."""
    _train_arguments(verb)
    _watch_arguments(verb)
    _sweep_arguments(verb)
    _forecast_arguments(verb)
