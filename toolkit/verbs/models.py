"""Verbs between a model and its code: import, analyze, quantize, generate-c, export."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.verbs.shared import Verb, config_of, run_folder, say, scheme, sets

MODELS = ("onnx", "onnx-qdq", "safetensors")
EXPORTS = ("arduino", "platformio", "zephyr", "esp-idf", "cmake", "web", *MODELS)


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
    run = run_folder(a.run)
    if not (run / "config.toml").is_file():
        return _quantize_imported(run, a.samples, sets)
    if a.samples:
        raise ToolkitError(f"{run}: a trained run has its series; expected --samples only with an imported model")
    result = quantize(run, options(config_of(run / "config.toml", sets)), say=say)
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
        run_folder(a.run)
    board = load_board(a.board)
    if a.scheme == "f32":
        return generate_c_f32(a.run, board, a.out, target=a.target, say=say)
    options = {"float_api": a.float_api, "target": a.target, "optimize": a.optimize}
    return generate_c(a.run, board, a.out, **options, say=say)


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


def _import_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("file", type=Path, help=".onnx, .tflite, .pt, .pth, .safetensors, .keras or .h5")
    p.add_argument("--name", help="the model's name in C; the file's name unless given")
    p.add_argument("--steps", type=int, help="steps of a window, where the file leaves them open")
    p.add_argument("--batch", type=int, help="the batch, where the file leaves it open and its graph needs one")
    p.add_argument("--stream", action="store_true", help="deploy as one endless stream, a forecast after each sample")
    p.add_argument("--structure", type=Path, metavar="TOML", help="what a bare state_dict is; else inferred")


def _import_parser(verb: Verb) -> None:
    text = "Import a trained model: ONNX, TFLite, PyTorch or Keras; proven against its own runtime."
    p = verb("import", _import, text, "model.onnx --steps 30 -o runs/mine/model.safetensors")
    _import_arguments(p)
    p.add_argument("-o", "--out", type=Path, help="the model; runs/<name>/model.safetensors unless given")
    p.add_argument("--samples", type=Path, help="more inputs for the proof: .npy or .csv, as for quantize")


def _analyze_arguments(verb: Verb) -> None:
    text = "What a model file of another framework holds, and where it would fit; writes nothing."
    p = verb("analyze", _analyze, text, "model.tflite --json")
    _import_arguments(p)


def _quantize_arguments(verb: Verb) -> None:
    p = verb("quantize", _quantize, "Quantize a trained network to integers.", "runs/room")
    p.add_argument("run", type=Path, help="a run's folder")
    p.add_argument("--no-refit", action="store_true", help="leave the head as it was trained")
    p.add_argument("--samples", type=Path, help="of an imported model: inputs as it will see them, .csv or .npy")
    sets(p)


def _generate_c_arguments(verb: Verb) -> None:
    p = verb("generate-c", _generate, "Generate C for a board.", "runs/room --board microbit --out firmware/model")
    p.add_argument("run", type=Path, help="a run's folder, or a model.q.safetensors")
    p.add_argument("--board", required=True, help="a name from `boards`, or the path of a .toml")
    p.add_argument("--out", type=Path, help="folder for the C; <run>/c/<board> unless given")
    p.add_argument("--target", help="other kernels than the board's: a name, or `best` on the host")
    text = "what counts: time, flash, or flash at no more than a quarter more time (speed)"
    p.add_argument("--optimize", choices=("speed", "size", "balanced"), default="speed", help=text)
    scheme(p)
    p.add_argument("--float-api", action="store_true", help="predict_f32 also where the core has no FPU")


def _export_arguments(verb: Verb) -> None:
    text = "Write the model in an outside form: Arduino, PlatformIO, Zephyr, ESP-IDF, CMake, a web page, ONNX, PyTorch."
    p = verb("export", _export, text, "runs/room --to arduino")
    p.add_argument("model", type=Path, help="a run's folder, or a model file")
    p.add_argument("--to", required=True, choices=EXPORTS, help="the form")
    p.add_argument("-o", "--out", type=Path, help="a folder, a .zip or a model file; in <run>/export/ unless given")
    p.add_argument("--board", help="kernels for this board only; portable C for any core unless given")
    p.add_argument("--target", help="other kernels than the board's")


def add(verb: Verb) -> None:
    """Adds them to the parser."""
    _import_parser(verb)
    _analyze_arguments(verb)
    _quantize_arguments(verb)
    _generate_c_arguments(verb)
    _export_arguments(verb)
