"""The stages `build` and `run`: generated C + test vectors -> image -> emulated board; the same C here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantize import oracle
from quantize.errors import QuantizeError
from quantize.graph import layered
from quantize.network import Network
from quantize.qnetwork import QNetwork
from toolkit import emulate
from toolkit.boards import Board
from toolkit.build import build_firmware, build_host, build_host_firmware
from toolkit.data.prepared import check_series, load_prepared, runs
from toolkit.divergence import name_divergence
from toolkit.errors import CheckFailed, ToolkitError, write_whole
from toolkit.host import HostModel
from toolkit.lock import locked
from toolkit.stages.generate import folder_for, kernels_of, load_current
from toolkit.toolchain import host_toolchain
from toolkit.vectors import MISSING, PREDICT, RESET, Vectors, expect, expect_steps, header, model_header, walk

STEPS = 1024  # replayed on a board unless asked otherwise


@dataclass(frozen=True, slots=True)
class Job:
    """One board of one run: test steps first .. first + steps, from a saved `state` or from a reset."""

    run: Path
    board: Board
    steps: int = STEPS
    first: int = 0
    state: Path | None = None
    save_state: Path | None = None  # where the state after the last step goes
    toolchain: str = "auto"  # auto, gcc or zig
    emulator: str = "auto"  # auto, qemu or unicorn
    rebuild: bool = True  # False: run the image as it lies there
    slice: int | None = None  # steps in slices of this many hidden units, instead of predict
    under: str = "build"  # the folder of the run where the build lands, in one of its own for the board
    scheme: str | None = None  # f32: the float model, by stages/firmware_f32.py
    serve: bool = False  # build alone: an image that serves docs/protocol.md
    replay: bool = True  # and replays the vectors before, which every other image does

    @property
    def folder(self) -> Path:
        """Where the build lands."""
        if self.slice:
            return self.run / "slices" / f"{self.board.name}-{self.slice}"
        if self.serve:
            return self.run / "serve" / self.board.name
        return self.run / (self.scheme or self.under) / self.board.name


def build(job: Job, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Vectors from the oracle, then the image; for the board `host`, the shared library.

    Raises: ToolkitError or QuantizeError; CheckFailed when the image does not fit the board."""
    q = load_current(job.run)
    folder_for(job.run, q, job.board)  # refused here, nothing is left behind
    if job.serve and not job.replay:
        with locked(job.folder):
            return _build_serving(job, q, say=say)
    vectors = vectors_of(job, q)
    with locked(job.folder):
        return _build(job, q, vectors, say=say)


def _build_serving(job: Job, q: QNetwork, *, say: Callable[[str], None]) -> dict[str, Any]:
    """An image without vectors; for the board `host`, a program that serves on its standard input and output."""
    c_dir = folder_for(job.run, q, job.board)
    write_whole(job.folder / "model.h", model_header(q))
    if job.board.memory is None:
        program = build_host_firmware(c_dir, job.board, job.folder)
        return {"board": job.board.name, "program": str(program), "compiler": host_toolchain("auto").version}
    return build_firmware(c_dir, job.board, job.folder, toolchain=job.toolchain, say=say, purpose="serve")


def _build(job: Job, q: QNetwork, vectors: Vectors, *, say: Callable[[str], None]) -> dict[str, Any]:
    c_dir = folder_for(job.run, q, job.board)
    summary: dict[str, Any] = {"steps": len(vectors.ops), "hash": f"{vectors.run_hash:08x}", "digest": q.digest}
    summary["kernels"] = kernels_of(c_dir, q)
    write_whole(job.folder / "vectors.h", header(vectors, in_slices=job.slice is not None))
    write_whole(job.folder / "model.h", model_header(q, job.slice))
    write_whole(job.folder / "vectors.json", json.dumps(summary) + "\n")
    if job.board.memory is None:
        library = build_host(c_dir, job.folder)
        return {"board": job.board.name, "library": str(library), "compiler": host_toolchain("auto").version}
    purpose = "replay_serve" if job.serve else "replay"
    return build_firmware(c_dir, job.board, job.folder, toolchain=job.toolchain, say=say, purpose=purpose)


def run(job: Job, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Builds, replays the vectors through the same C on this computer, then on the emulated board, and compares.

    Raises: CheckFailed when anything differs from the oracle, naming the first divergence."""
    q = load_current(job.run)
    folder_for(job.run, q, job.board)
    vectors = vectors_of(job, q)
    if len(vectors.ops) < job.steps:
        say(f"the test rows have {len(vectors.ops)} steps from step {job.first} on; {job.steps} were asked for")
    with locked(job.folder):
        return _run(job, q, vectors, say=say)


def replay(job: Job, q: QNetwork, ops: np.ndarray, raw: np.ndarray, *, say: Callable[[str], None]) -> dict[str, Any]:
    """The same for samples of one's own: ops [steps] of toolkit.vectors, raw [steps, raws] fixed point."""
    with locked(job.folder):
        return _run(job, q, expect(q, ops, raw), say=say)


def _run(job: Job, q: QNetwork, vectors: Vectors, *, say: Callable[[str], None]) -> dict[str, Any]:
    built = _build(job, q, vectors, say=say) if job.rebuild else {}
    host = _on_host(job, q, vectors)
    if not host["equal"]:
        where = f"{job.board.name}: the generated C, on this computer,"
        raise CheckFailed(f"{where} differs from the oracle at {host['divergence']}")
    if job.board.memory is None:
        _passed(job, host, say)
        return {**built, **host, "emulator": "none", "passed": True}
    result = emulate.replay(job.folder, job.board, emulator=job.emulator, say=say)
    result["digest"] = q.digest
    if result["mismatch"]:
        kernels = kernels_of(folder_for(job.run, q, job.board), q)
        image = job.folder / "firmware.elf"
        result["divergence"] = name_divergence(q, result["mismatch"], image, kernels, in_slices=bool(job.slice))
        result["problems"].append(result["divergence"])
    elif result["passed"] and result["hash"] != host["hash"]:
        result["problems"].append(f"run hash {result['hash']}; the oracle has {host['hash']}")
    result["passed"] = not result["problems"]
    write_whole(job.folder / "run.json", json.dumps(result, indent=1) + "\n")
    if not result["passed"]:
        raise CheckFailed(f"{job.board.name} in {result['emulator']}: {'; '.join(result['problems'])}")
    _passed(job, result, say)
    return result


def _passed(job: Job, result: dict[str, Any], say: Callable[[str], None]) -> None:
    say(f"{job.board.name}: {result['steps']} steps equal to the oracle, hash {result['hash']}")
    if job.save_state is not None:
        write_whole(job.save_state, bytes.fromhex(result["state"]))


def vectors_of(job: Job, q: QNetwork) -> Vectors:
    """Test vectors: from the test rows of the run's series; from a seeded walk when a model came without one."""
    start = b""
    if job.slice and layered(q):
        raise ToolkitError(f"--slice: {q.name} has two directions, so no single steps; run it without --slice")
    if job.state is not None:
        try:
            start = job.state.read_bytes()
        except OSError as e:
            raise ToolkitError(f"{job.state}: cannot read: {e.strerror}; expected a saved state") from None
    reach, centre = np.full(len(q.raws), 600.0), np.full(len(q.raws), 2000.0)  # features have no range
    if q.front is None:
        reach = np.array([(c.high - c.low) / 10.0**c.decimals for c in q.inputs]) * 0.6
        centre = np.array([c.offset / 10.0**c.decimals for c in q.inputs])
    ops, values = samples(job, q, centre, reach)
    raw = oracle.to_raw(q.raws, values)
    if start:
        ops[0] = PREDICT if ops[0] == RESET else ops[0]  # continue, do not reset
    try:
        return expect_steps(q, raw, start) if job.slice else expect(q, ops, raw, start)
    except QuantizeError as e:
        raise ToolkitError(f"{job.state}: {e}") from None


def samples(
    job: Job, network: Network | QNetwork, centre: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """ops and real values [step, inputs] of a job: from the run's series, else a walk within centre +- reach.

    Raises: ToolkitError when the series is another model's, or has no such steps."""
    if (job.run / "data.safetensors").is_file():
        prepared = load_prepared(job.run / "data.safetensors")
        check_series(prepared, network, job.run)
        series = prepared.values[:, : prepared.raws]
        parts = [series[a:b] for a, b in runs(prepared, "test")]
    else:
        turns = np.random.default_rng(0).normal(0, 0.3, (job.first + job.steps, len(centre)))
        parts = [centre + reach * np.sin(np.cumsum(turns, axis=0))]
    ops, values = (v[job.first :] for v in walk(parts, job.first + job.steps))
    if not len(ops):
        raise ToolkitError(f"--first {job.first}: the test rows have no such step; use a smaller one")
    return ops, values


def _on_host(job: Job, q: QNetwork, vectors: Vectors) -> dict[str, Any]:
    """The board's own folder of C, compiled for this computer, through the same vectors. Writes host.json."""
    library = build_host(folder_for(job.run, q, job.board), job.folder / "host")
    model = HostModel(q, library)
    if vectors.start:
        model.restore(vectors.start)
    hashes: list[int] = []
    divergence = ""
    for i, op in enumerate(vectors.ops):
        if op == RESET:
            model.reset()
        if job.slice:
            forecast = model.step_in_slices(vectors.raw[i], job.slice)
        else:
            forecast = model.predict_missing() if op == MISSING else model.predict(vectors.raw[i])
        hashes.append(oracle.state_hash(model.state()))
        if hashes[-1] != vectors.hashes[i] or list(forecast) != list(vectors.forecast[i]):
            divergence = f"step {i}"
            break
    result = {
        "board": job.board.name,
        "steps": len(hashes),
        "hash": f"{oracle.run_hash(hashes):08x}",
        "equal": not divergence,
        "divergence": divergence,
        "compiler": host_toolchain("auto").version,
        "state": model.state().hex(),
        "digest": q.digest,
    }
    write_whole(job.folder / "host.json", json.dumps(result) + "\n")
    return result
