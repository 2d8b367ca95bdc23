"""The stages `build` and `run` of a float32 model: generated C + test vectors -> image -> emulated board.

What float64 gives is met within a tolerance: there are no equal bits here, and no hash of a state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quantize.network import Network, load_network, network_digest
from toolkit import emulate
from toolkit.build import build_firmware, build_host
from toolkit.codegen.render_f32 import require_fpu
from toolkit.errors import CheckFailed, ToolkitError, write_whole
from toolkit.host_f32 import FloatModel
from toolkit.lock import locked
from toolkit.stages.firmware import Job, samples
from toolkit.stages.generate import folder_for_f32
from toolkit.toolchain import host_toolchain
from toolkit.vectors import MISSING, RESET
from toolkit.vectors_f32 import TEXT, TOLERANCE, FloatVectors, errors, expect, header, model_header


def build_f32(job: Job, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Vectors from float64, then the image; for the board `host`, the shared library.

    Raises: ToolkitError or QuantizeError; CheckFailed when the image does not fit the board."""
    network, vectors, c_dir = _prepare(job)
    with locked(job.folder):
        return _build(job, network, vectors, c_dir, say=say)


def run_f32(job: Job, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Builds, replays the vectors through the same C on this computer, then on the emulated board.

    Raises: CheckFailed when a forecast of either is further from float64's than TOLERANCE."""
    network, vectors, c_dir = _prepare(job)
    if len(vectors.ops) < job.steps:
        say(f"the test rows have {len(vectors.ops)} steps from step {job.first} on; {job.steps} were asked for")
    with locked(job.folder):
        if job.rebuild:
            _build(job, network, vectors, c_dir, say=say)
        return _run(job, vectors, c_dir, say=say)


def _prepare(job: Job) -> tuple[Network, FloatVectors, Path]:
    require_fpu(job.board)
    for option, given in (("--state", job.state), ("--save-state", job.save_state), ("--slice", job.slice)):
        if given:
            raise ToolkitError(f"{option}: only with a quantized model; leave out --scheme f32")
    file = job.run / "model.safetensors"
    network = load_network(file)
    c_dir = folder_for_f32(job.run, network, network_digest(file), job.board)
    centre, reach = (np.array([getattr(c, k) for c in network.inputs]) for k in ("mean", "std"))
    return network, expect(network, *samples(job, network, centre, 2 * reach)), c_dir


def _build(
    job: Job, network: Network, vectors: FloatVectors, c_dir: Path, *, say: Callable[[str], None]
) -> dict[str, Any]:
    folder = job.folder
    write_whole(folder / "vectors.h", header(vectors))
    write_whole(folder / "model.h", model_header(network))
    digest = network_digest(job.run / "model.safetensors")
    write_whole(folder / "vectors.json", json.dumps({"steps": len(vectors.ops), "digest": digest}) + "\n")
    if job.board.memory is None:
        library = build_host(c_dir, folder)
        return {"board": job.board.name, "library": str(library), "compiler": host_toolchain("auto").version}
    return build_firmware(c_dir, job.board, folder, toolchain=job.toolchain, say=say, purpose="replay_f32")


def _run(job: Job, vectors: FloatVectors, c_dir: Path, *, say: Callable[[str], None]) -> dict[str, Any]:
    worst, step = _on_host(job, vectors, c_dir)
    result = {"board": job.board.name, "scheme": "f32", "tolerance": TOLERANCE, "host_error": worst}
    result["digest"] = network_digest(job.run / "model.safetensors")
    if worst > TOLERANCE:
        where = f"{job.board.name}: the generated C, on this computer,"
        raise CheckFailed(f"{where} is {worst:.2g} from float64 at step {step}; {TEXT} allowed")
    if job.board.memory is None:
        result |= {"emulator": "none", "steps": len(vectors.ops), "error": worst, "passed": True}
    else:
        seen = emulate.replay(job.folder, job.board, emulator=job.emulator, say=say)
        result |= {k: v for k, v in seen.items() if k not in ("hash", "state", "worst_e9")}
        result["error"] = seen["worst_e9"] / 1e9 if "worst_e9" in seen else None
    write_whole(job.folder / "run.json", json.dumps(result, indent=1) + "\n")
    if not result["passed"]:
        raise CheckFailed(f"{job.board.name} in {result['emulator']}: {'; '.join(_problems(result))}")
    say(f"{job.board.name}: {result['steps']} steps within {TEXT} of float64, at most {result['error']:.2g}")
    return result


def _problems(result: dict[str, Any]) -> list[str]:
    found = result["mismatch"]
    if not found:
        return list(result["problems"])
    gave, wanted = (", ".join(f"{v:.9g}" for v in found[k]) for k in ("output_f32", "expected_f32"))
    return [f"step {found['step']} gave {gave}; float64 {wanted}, {TEXT} allowed"]


def _on_host(job: Job, vectors: FloatVectors, c_dir: Path) -> tuple[float, int]:
    """The board's own folder of C, compiled for this computer, on the same vectors: the largest error, its step."""
    model = FloatModel(c_dir, build_host(c_dir, job.folder / "host"))
    got = np.empty_like(vectors.forecast)
    for i, op in enumerate(vectors.ops):
        if op == RESET:
            model.reset()
        got[i] = model.predict_missing() if op == MISSING else model.predict(vectors.raw[i])
    found = errors(vectors, got).max(axis=1)
    return float(found.max()), int(found.argmax())
