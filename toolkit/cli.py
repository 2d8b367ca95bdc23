"""The command line, one function a verb. Exit 0 done, 1 a mistake, 2 usage, 3 a failed budget or parity check."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: threads cost more than they bring on small matrices

from quantize.errors import QuantizeError
from toolkit import __version__
from toolkit.errors import CheckFailed, ToolkitError
from toolkit.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("onnx", "onnx-qdq", "safetensors")
EXPORTS = ("arduino", "platformio", "zephyr", "esp-idf", "cmake", "web", *MODELS)
Do = Callable[[argparse.Namespace], dict[str, Any]]
TRAIN = """docs/examples/room.toml --set train.epochs=20
docs/examples/room.toml --seeds 5 --jobs 2
--preset harbinger --each --set data.split=[0.6,0.2,0.2]
docs/examples/room.toml --walk-forward 4"""


def say(text: str) -> None:
    """Progress and remarks go to stderr, so that stdout stays a result."""
    print(text, file=sys.stderr, flush=True)


def _config(path: Path, sets: Sequence[str]) -> Any:
    from toolkit.config import environment, load_config

    return load_config(path, sets=sets, env=environment())


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
    config = _config(a.config or PRESETS[a.preset], sets)
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

    return watch(_run_folder(a.run))


def _sweep(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.train.sweep import read_space, sweep, table

    if a.trials < 1 or a.jobs < 1:
        raise ToolkitError(f"--trials {a.trials} --jobs {a.jobs}: expected 1 or more")
    config = _config(a.config, [*a.set, *([f"deploy.boards={json.dumps([a.board])}"] if a.board else [])])
    out = a.out or Path("runs") / config.name / "sweep"
    how = {"trials": a.trials, "jobs": a.jobs, "dask": a.dask, "resume": a.resume}
    result = sweep(config, read_space(a.space), out, say=say, **how)
    if not a.json:
        print(table(result))
    return result


def _import_options(a: argparse.Namespace) -> Any:
    from toolkit.importers import Options, identifier

    for key in ("steps", "batch"):
        if getattr(a, key) is not None and getattr(a, key) < 1:
            raise ToolkitError(f"--{key} {getattr(a, key)}: expected 1 or more")
    name = a.name or identifier(a.file.name.split(".")[0], "model")
    return Options(name, a.steps, a.batch, a.stream, a.structure)


def _import(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.samples import read_samples
    from toolkit.stages.import_ import import_model

    options = _import_options(a)
    out = a.out or Path("runs") / options.name / "model.safetensors"
    if out.suffix != ".safetensors":
        raise ToolkitError(f"--out {out}: expected a path that ends in .safetensors")
    samples = read_samples(a.samples) if a.samples else None
    result = import_model(a.file, out, options, samples=samples, say=say)
    if out.name == "model.safetensors":
        more = f"quantize {out.parent} --samples FILE"
        say(f"next: python3 run.py {f'generate-c {out.parent} --board NAME' if 'quantized' in result else more}")
    return result


def _analyze(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.analyze import analyze, summary

    result = analyze(a.file, _import_options(a), say=say)
    if not a.json:
        print(summary(result))
    return result


def _quantize(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.demo import options
    from toolkit.stages.quantize import quantize

    for text in a.set:
        if not text.startswith("quantize."):
            raise ToolkitError(f"--set {text}: the run is trained; expected a key of quantize: set others in `train`")
    sets = [*a.set, *(["quantize.refit=false"] if a.no_refit else [])]
    run = _run_folder(a.run)
    if not (run / "config.toml").is_file():
        return _quantize_imported(run, a.samples, sets)
    if a.samples:
        raise ToolkitError(f"{run}: a trained run has its series; expected --samples only with an imported model")
    result = quantize(run, options(_config(run / "config.toml", sets)), say=say)
    for row in result["overflow"]:
        say(
            f"{row['layer']}: {row['rows']} rows proven to fit int32; the largest can reach {row['of_int32']:.1%} of it"
        )
    r = result["accuracy"]
    say(f"test RMSE {r['quantized']:.5g}, float {r['float']:.5g} {r['unit']}".rstrip())
    say(f"NER {r['ner']:.4f}, RMSE ratio {r['rmse_ratio']:.5f}")
    say(f"next: python3 run.py generate-c {a.run} --board NAME (python3 run.py boards lists them)")
    return result


def _quantize_imported(run: Path, samples: Path | None, sets: Sequence[str]) -> dict[str, Any]:
    from toolkit.config import environment, quantize_options
    from toolkit.stages.demo import of_quantize
    from toolkit.stages.quantize_imported import quantize_imported

    if not (run / "model.safetensors").is_file():
        raise ToolkitError(f"{run}: no model.safetensors; expected a run of `train` or of `import`")
    if samples is None:
        raise ToolkitError(
            f"{run}: an imported model has no series; give inputs as it will see them: --samples FILE "
            f"(.csv, a row a step, or .npy [windows, time, inputs])"
        )
    result = quantize_imported(run, samples, of_quantize(quantize_options(sets=sets, env=environment())), say=say)
    r = result["accuracy"]
    say(f"quantized and float differ by {r['largest']:.3g} at most, NER {r['ner']:.4f} (of the outputs' deviation)")
    say(f"next: python3 run.py generate-c {run} --board NAME (python3 run.py boards lists them)")
    return result


def _generate(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.boards import load_board
    from toolkit.stages.generate import generate_c, generate_c_f32

    if not a.run.is_file():
        _run_folder(a.run)
    board = load_board(a.board)
    if a.scheme == "f32":
        return generate_c_f32(a.run, board, a.out, target=a.target, say=say)
    options = {"float_api": a.float_api, "target": a.target, "optimize": a.optimize}
    return generate_c(a.run, board, a.out, **options, say=say)


def _tune(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.boards import load_board
    from toolkit.stages.firmware import Job
    from toolkit.stages.tune import summary, tune

    result = tune(Job(_run_folder(a.run), load_board(a.board), toolchain=a.toolchain), say=say)
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
    if getattr(a, "serve", False) and (a.scheme or a.slice):
        raise ToolkitError("--serve: w8a16 and w8a8 whole steps alone; leave --scheme and --slice out")
    own = ("serve", "replay") if getattr(a, "serve", False) else ()
    run_only = {
        k: getattr(a, k) for k in (*own, "emulator", "save_state", "rebuild", "slice", "scheme") if hasattr(a, k)
    }
    return Job(_run_folder(a.run), load_board(a.board), a.steps, a.first, a.state, toolchain=a.toolchain, **run_only)


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
    options = Options(_run_folder(a.run), a.on, a.board, a.data, a.steps, a.toolchain)
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


def _export(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.boards import load_board
    from toolkit.exporters.libraries import export_library
    from toolkit.exporters.web import export_web

    if a.to in MODELS:
        from toolkit.exporters.models import export_model

        if a.board or a.target:
            raise ToolkitError(f"--to {a.to}: holds no C; expected neither --board nor --target")
        return export_model(a.model, a.out, kind=a.to, say=say)
    if a.to == "web":
        if a.board or a.target:
            raise ToolkitError("--to web: has kernels of its own; expected neither --board nor --target")
        return export_web(a.model, a.out, say=say)
    target = a.target or (None if a.board else "ref")
    return export_library(a.model, a.out, load_board(a.board or "host"), kind=a.to, target=target, say=say)


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


def _bench(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.bench import SHAPES, Options, bench, parse_shapes, summary

    if a.seconds <= 0:
        raise ToolkitError(f"--seconds {a.seconds:g}: expected more than 0")
    if a.training:
        return _bench_training(a)
    run = _run_folder(a.run) if a.run else None
    result = bench(Options(parse_shapes(a.shapes) if a.shapes else SHAPES, a.seconds, run), say=say)
    if not a.json:
        print(summary(result))
    return result


def _forecast(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages import forecast as stage

    if a.steps < 0:
        raise ToolkitError(f"--steps {a.steps}: expected 1 or more")
    run = _run_folder(a.run)
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


def _bench_training(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.stages.bench_training import bench_training, summary

    if a.run or a.shapes:
        raise ToolkitError("bench --training measures its own three networks: expected neither a run nor --shapes")
    result = bench_training(a.seconds, say=say)
    if not a.json:
        print(summary(result))
    return result


def _boards(a: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from toolkit.boards import board_names, load_board
    from toolkit.stages.boards import aligned, one, start_file, table

    if a.name == "new":
        if not a.chip:
            a.usage("boards new: the following arguments are required: --chip")
        made = start_file(a.chip, a.out)
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


def _demo(a: argparse.Namespace) -> dict[str, Any]:
    from toolkit.report import summary
    from toolkit.stages.demo import demo

    report = demo(_config(PRESETS["glucose"], a.set), a.out, toolchain=a.toolchain, emulator=a.emulator, say=say)
    if not a.json:
        print(summary(report))
    say(f"report: {a.out / 'report.html'}")
    return report


def _run_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ToolkitError(f"{path}: no such run folder; expected one that `train` made, e.g. runs/glucose")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Recurrent networks on microcontrollers: train, quantize, generate C, prove it on the board.",
    )
    parser.add_argument("--version", action="version", version=f"tealight {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, do: Do, text: str, example: str) -> argparse.ArgumentParser:
        lines = "; ".join(f"python3 run.py {name} {x}".strip() for x in example.split("\n"))
        p = verbs.add_parser(name, help=text, description=text, epilog=f"example: {lines}")
        p.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
        p.set_defaults(do=do)
        return p

    _model_verbs(verb)
    _board_verbs(verb)
    p = verb("boards", _boards, "List the boards, or show one.", "microbit --json")
    p.add_argument("name", nargs="?", help="one board, or `new`: a starting file for one of your own")
    p.add_argument("--chip", help="with new: its chip, e.g. stm32f401re")
    p.add_argument("--out", type=Path, default=Path("mine.toml"), help="with new: the file (mine.toml)")
    p.set_defaults(usage=p.error)
    p = verb("demo", _demo, "Everything in a row on the glucose series.", "")
    p.add_argument("--out", type=Path, default=Path("runs/demo"), help="the run's folder")
    _tools(p)
    _sets(p)
    return parser


def _model_verbs(verb: Callable[[str, Do, str, str], argparse.ArgumentParser]) -> None:
    p = verb("train", _train, "Train a network on a series.", TRAIN)
    p.add_argument("config", type=Path, nargs="?", help="run.toml")
    p.set_defaults(usage=p.error)
    p.add_argument("--preset", choices=PRESETS, help="a run that comes along, in place of a run.toml")
    p.add_argument("--print", action="store_true", help="print the preset's run.toml, to copy it, and stop")
    p.add_argument("--out", type=Path, help="the run's folder; runs/<name> unless given")
    p.add_argument("--missing", choices=("drop", "interpolate"), help="go on over values that are not numbers")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in the run's folder")
    p.add_argument("--seeds", type=_count, default=0, metavar="K", help="K runs, seeds 0 to K-1: RUN/seed0 ...")
    p.add_argument("--each", action="store_true", help="a model for each of several series: RUN/<series>")
    text = "cut the test rows into K folds, each tested by a training on all before it: RUN/fold1 ..."
    p.add_argument("--walk-forward", type=_count, default=0, metavar="K", help=text)
    p.add_argument("--jobs", type=_count, metavar="N", help="of these runs so many at once; as there are processors")
    p.add_argument("--board", default="", help="show what the model takes on this board; the first of deploy.boards")
    p.add_argument("--plain", action="store_true", help="a line an epoch, no dashboard")
    _sets(p)

    p = verb("watch", _watch, "Follow a training from another terminal, or replay it.", "runs/room")
    p.add_argument("run", type=Path, help="a run's folder")

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
    _sets(p)

    text = "Import a trained model: ONNX, TFLite, PyTorch or Keras; proven against its own runtime."
    p = verb("import", _import, text, "model.onnx --steps 30 -o runs/mine/model.safetensors")
    _import_arguments(p)
    p.add_argument("-o", "--out", type=Path, help="the model; runs/<name>/model.safetensors unless given")
    p.add_argument("--samples", type=Path, help="more inputs for the proof: .npy or .csv, as for quantize")

    text = "What a model file of another framework holds, and where it would fit; writes nothing."
    p = verb("analyze", _analyze, text, "model.tflite --json")
    _import_arguments(p)

    p = verb("quantize", _quantize, "Quantize a trained network to integers.", "runs/room")
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--no-refit", action="store_true", help="leave the head as it was trained")
    p.add_argument("--samples", type=Path, help="of an imported model: inputs as it will see them, .csv or .npy")
    _sets(p)

    p = verb("generate-c", _generate, "Generate C for a board.", "runs/room --board microbit --out firmware/model")
    p.add_argument("run", type=Path, help="a run's folder, or a model.q.safetensors")
    p.add_argument("--board", required=True, help="a name from `boards`, or the path of a .toml")
    p.add_argument("--out", type=Path, help="folder for the C; <run>/c/<board> unless given")
    p.add_argument("--target", help="other kernels than the board's: a name, or `best` on the host")
    text = "what counts: time, flash, or flash at no more than a quarter more time (speed)"
    p.add_argument("--optimize", choices=("speed", "size", "balanced"), default="speed", help=text)
    _scheme(p)
    p.add_argument("--float-api", action="store_true", help="predict_f32 also where the core has no FPU")


def _board_verbs(verb: Callable[[str, Do, str, str], argparse.ArgumentParser]) -> None:
    text = "Measure every kernel that a board can run on this model, and write the choice that generate-c follows."
    p = verb("tune", _tune, text, "runs/room --board mps2_an386")
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--board", required=True, help="a name from `boards`, or the path of a .toml")
    _toolchain(p)

    p = verb("build", _build, "Build the image for a board.", "runs/room --board microbit")
    _job_arguments(p)
    _scheme(p)
    p.add_argument("--serve", action="store_true", help="an image that serves docs/protocol.md, for `validate`")
    p.add_argument("--replay", action="store_true", help="with --serve: replay the test vectors at boot, too")
    _toolchain(p)

    text = "Build, run on the emulated board, and compare every bit with the oracle."
    p = verb("run", _run, text, "runs/room --board mps2_an386")
    _job_arguments(p)
    _scheme(p)
    p.add_argument("--save-state", type=Path, help="write the state after the last step to this file")
    p.add_argument("--no-build", dest="rebuild", action="store_false", help="run the image as it lies there")
    _tools(p)

    text = "Stream a whole test set through the oracle, this computer, emulators and boards; compare every bit."
    p = verb("validate", _validate, text, "runs/room --on host,mps2_an386,/dev/ttyACM0")
    p.add_argument("run", type=Path, help="a run's folder")
    text = "with commas: oracle, host, emulator, a board's name (emulated), a serial port, tcp:HOST:PORT"
    p.add_argument("--on", required=True, metavar="WHERE", help=text)
    p.add_argument("--board", help="what `emulator` stands for, and what is at the port; else the device tells")
    p.add_argument("--data", type=Path, metavar="CSV", help="every row of this file, in place of the test rows")
    p.add_argument("--steps", type=int, help="at most; all unless given")
    _toolchain(p)

    text = "Build, write the image to a board by a tool that is installed, and verify it."
    p = verb("flash", _flash, text, "runs/room --board pico --dry-run")
    _job_arguments(p)
    p.add_argument("--serve", action="store_true", help="an image that serves docs/protocol.md, for `validate`")
    p.add_argument("--replay", action="store_true", help="with --serve: replay the test vectors at boot, too")
    p.add_argument("--no-build", dest="rebuild", action="store_false", help="write the image as it lies there")
    p.add_argument("--tool", default="", help="picotool, pyocd, openocd, ...; the first that is here unless given")
    p.add_argument("--port", default="", help="the board's serial port, where several boards are plugged in")
    p.add_argument("--drive", type=Path, help="the drive that a UF2 boot loader shows")
    p.add_argument("--device", type=Path, help="a USB disk to write for a PC, after its name is typed again")
    p.add_argument("--dry-run", action="store_true", help="show the commands, write nothing")
    _toolchain(p)

    text = "Count what a step costs on a board: by function, by layer, in time and in memory."
    p = verb("profile", _profile, text, "runs/room --board mps2_an386")
    _job_arguments(p)
    _scheme(p)
    p.add_argument("--no-build", dest="rebuild", action="store_false", help="profile the image as it lies there")
    p.add_argument("--core", help="estimate cycles for this core, e.g. cortex-m0plus; the board's own unless given")
    _toolchain(p)

    text = "Write the model in an outside form: Arduino, PlatformIO, Zephyr, ESP-IDF, CMake, a web page, ONNX, PyTorch."
    p = verb("export", _export, text, "runs/room --to arduino")
    p.add_argument("model", type=Path, help="a run's folder, or a model file")
    p.add_argument("--to", required=True, choices=EXPORTS, help="the form")
    p.add_argument("-o", "--out", type=Path, help="a folder, a .zip or a model file; in <run>/export/ unless given")
    p.add_argument("--board", help="kernels for this board only; portable C for any core unless given")
    p.add_argument("--target", help="other kernels than the board's")

    text = "One model against every board, without hardware: flash, RAM, stack, cycles, the largest sample rate."
    p = verb("fit", _fit, text, "runs/room --max-ms 2")
    p.add_argument("model", type=Path, help="a run's folder, or a model.q.safetensors")
    p.add_argument("--board", action="append", default=[], help="only this board, or these; all unless given")
    p.add_argument("--max-flash", type=int, metavar="BYTES", help="of the image without test vectors")
    p.add_argument("--max-ram", type=int, metavar="BYTES", help="static, without the stack")
    p.add_argument("--max-ms", type=float, metavar="MS", help="of the longest step")
    p.add_argument("--jobs", type=int, default=0, help="boards side by side; one a core unless given")

    text = "What comes next after a run's series, or after each line of standard input."
    p = verb("forecast", _forecast, text, "runs/room --steps 6 --target host")
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--steps", type=int, default=0, help="values; all that the network gives at once unless given")
    text = "float, or the quantized network: oracle, host (its C, here) or an emulated board's name"
    p.add_argument("--target", default="float", help=text)
    p.add_argument("--series", default="", metavar="NAME", help="of several series, after which one; the last")
    p.add_argument("--follow", action="store_true", help="a sample a line in, a forecast a line out, until the end")
    p.add_argument("--png", type=Path, help="draw it into this file")

    text = "Time our kernels on this computer beside the libraries that are installed."
    p = verb("bench", _bench, text, "--shapes 1,32 16,64 --seconds 10")
    p.add_argument("run", type=Path, nargs="?", help="a run's folder: its LSTM layers are measured, too")
    p.add_argument("--shapes", nargs="+", metavar="I,H", help="inputs,hidden of each layer; six of them unless given")
    p.add_argument("--seconds", type=float, default=60.0, help="measuring time in all (60)")
    p.add_argument("--training", action="store_true", help="time training instead, beside PyTorch")


def _import_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("file", type=Path, help=".onnx, .tflite, .pt, .pth, .safetensors, .keras or .h5")
    p.add_argument("--name", help="the model's name in C; the file's name unless given")
    p.add_argument("--steps", type=int, help="steps of a window, where the file leaves them open")
    p.add_argument("--batch", type=int, help="the batch, where the file leaves it open and its graph needs one")
    p.add_argument("--stream", action="store_true", help="deploy as one endless stream, a forecast after each sample")
    p.add_argument("--structure", type=Path, metavar="TOML", help="what a bare state_dict is; else inferred")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, 1 or more")
    return int(text)


def _sets(p: argparse.ArgumentParser) -> None:
    p.add_argument("--set", action="append", default=[], metavar="A.B=V", help="override a key of the configuration")


def _job_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--board", required=True, help="a name from `boards`, or the path of a .toml")
    p.add_argument("--steps", type=int, default=1024, help="test vectors to replay (1024)")
    p.add_argument("--first", type=int, default=0, help="the first of them (0)")
    p.add_argument("--state", type=Path, help="a saved state to continue from")
    text = "not predict: steps in slices (step_begin, step_poll) of at most this many hidden units"
    p.add_argument("--slice", type=int, metavar="UNITS", help=text)


def _scheme(p: argparse.ArgumentParser) -> None:
    text = "float32 from the float model, within 1e-5 of float64; the quantized model's own scheme unless given"
    p.add_argument("--scheme", choices=("f32",), help=text)


def _toolchain(p: argparse.ArgumentParser) -> None:
    p.add_argument("--toolchain", default="auto", choices=("auto", "gcc", "zig"), help="the cross compiler")


def _tools(p: argparse.ArgumentParser) -> None:
    _toolchain(p)
    text = "which emulator runs the image"
    p.add_argument("--emulator", default="auto", choices=("auto", "qemu", "unicorn", "rp2040js"), help=text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console or a pipe that has no bars and no umlauts shows ?
    a = _parser().parse_args(arguments)
    try:
        result = a.do(a)
        if a.json:
            print(json.dumps(result, indent=2), flush=True)
    except CheckFailed as e:
        say(f"failed: {e}")
        return 3
    except (ToolkitError, QuantizeError) as e:
        say(f"error: {e}")
        return 1
    except KeyboardInterrupt:
        say("error: interrupted; files that were not finished were not written")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it closes
        say("error: standard output was closed before everything was written, e.g. by | head")
        return 1
    except OSError as e:
        say(f"error: {e.filename or a.verb}: {e.strerror or e}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
