"""Reads the files of a run, and tells those of the current model from those of an earlier one."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantize.network import Network, load_network, network_digest, read_file
from quantize.qnetwork import QNetwork, load_qnetwork
from toolkit.data.prepared import Prepared, load_prepared
from toolkit.errors import ToolkitError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

METHODS = ("persistence", "linear_ar", "float", "quantized")


@dataclass(frozen=True, slots=True, eq=False)
class BoardFiles:
    """What lies in build/<board>/. None: not there, or of another model; the latter are named in `stale`."""

    vectors: dict[str, Any] | None
    built: dict[str, Any] | None
    ran: dict[str, Any] | None
    host: dict[str, Any] | None
    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RunFiles:
    """What lies in a run's folder. None: not there, or of an earlier model; the latter are named in `stale`."""

    network: Network | None
    digest: str | None  # of the float network
    q: QNetwork | None
    train: dict[str, Any] | None
    quantize: dict[str, Any] | None
    prepared: Prepared | None
    forecast: dict[str, np.ndarray] | None
    epochs: tuple[dict[str, Any], ...]
    boards: dict[str, BoardFiles]  # in the order of deploy.boards, then by name
    floats: dict[str, dict[str, Any]]  # what `run --scheme f32` wrote, by board
    wanted: tuple[str, ...]  # deploy.boards
    stale: tuple[str, ...]


def read_run(run: Path) -> RunFiles:
    """Reads everything that is there.

    Raises: ToolkitError or QuantizeError, one line, when there is no run or a file is damaged."""
    stale: list[str] = []
    there = {name: (run / f"{name}.safetensors").is_file() for name in ("model", "model.q", "data", "forecast")}
    if not run.is_dir() or not (there["model"] or there["model.q"]):
        raise ToolkitError(f"{run}: no run here: expected model.safetensors; run `python3 run.py train` first")
    network = load_network(run / "model.safetensors") if there["model"] else None
    digest = network_digest(run / "model.safetensors") if there["model"] else None
    train = _current(run / "train.json", {("model", "sha256"): digest}, stale)
    q = load_qnetwork(run / "model.q.safetensors") if there["model.q"] else None
    if q is not None and digest is not None and q.source != digest:
        stale.append("model.q.safetensors")
        q = None
    expected = {("model", "sha256"): q.digest if q else None, ("model", "source"): q.source if q else None}
    quantize = _current(run / "quantize.json", expected, stale)
    prepared = load_prepared(run / "data.safetensors") if there["data"] else None
    forecast = None
    if there["forecast"]:
        _, arrays, _ = read_file(run / "forecast.safetensors", "tealight-forecast")
        forecast = arrays if quantize is not None and _same_errors(arrays, quantize["accuracy"], prepared) else None
        if forecast is None:
            stale.append("forecast.safetensors")
    wanted = _wanted(run / "config.toml")
    boards = _boards(run / "build", wanted, q.digest if q else None)
    return RunFiles(
        network=network,
        digest=digest,
        q=q,
        train=train,
        quantize=quantize,
        prepared=prepared,
        forecast=forecast,
        epochs=_epochs(run / "metrics.jsonl") if train is not None else (),
        boards=boards,
        floats=_floats(run / "f32", digest),
        wanted=wanted,
        stale=(*stale, *(f"build/{name}/{f}" for name, b in boards.items() for f in b.stale)),
    )


def error(y: np.ndarray, true: np.ndarray, prepared: Prepared | None) -> float:
    """Root mean square over everything; of classes the share of wrong labels."""
    if prepared is not None and prepared.classes:
        return float(np.mean(y != true))
    return float(np.sqrt(np.mean(np.square(y - true))))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is no file. Raises: ToolkitError when it is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as e:
        raise ToolkitError(f"{path}: not readable as JSON ({e}); run its stage again") from None
    if not isinstance(found, dict):
        raise ToolkitError(f"{path}: expected a JSON object; run its stage again")
    return found


def _current(path: Path, expected: dict[tuple[str, str], str | None], stale: list[str]) -> dict[str, Any] | None:
    """The object, unless one of its digests is another than that of the model that is there now."""
    found = read_json(path)
    if found is None:
        return None
    if any(found.get(table, {}).get(key) != value for (table, key), value in expected.items()):
        stale.append(path.name)
        return None
    return found


def _same_errors(forecast: dict[str, np.ndarray], accuracy: dict[str, Any], prepared: Prepared | None) -> bool:
    """Whether these arrays give the numbers of quantize.json."""
    true = forecast["truth"]
    return all(bool(np.isclose(error(forecast[k], true, prepared), accuracy[k], rtol=1e-9)) for k in METHODS)


def _epochs(path: Path) -> tuple[dict[str, Any], ...]:
    if not path.is_file():
        return ()
    try:
        return tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as e:
        raise ToolkitError(f"{path}: not readable as JSON lines ({e}); run `python3 run.py train` again") from None


def _wanted(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ToolkitError(f"{path}: not TOML: {e}") from None
    return tuple(config.get("deploy", {}).get("boards", ()))


def _boards(build: Path, wanted: tuple[str, ...], digest: str | None) -> dict[str, BoardFiles]:
    found = sorted(p.name for p in build.iterdir() if p.is_dir()) if build.is_dir() else []
    order = [*(n for n in wanted if n in found), *(n for n in found if n not in wanted)]
    return {name: _board(build / name, digest) for name in order}


def _floats(folder: Path, digest: str | None) -> dict[str, dict[str, Any]]:
    """The float32 runs of the current float model."""
    found = {path.parent.name: read_json(path) for path in sorted(folder.glob("*/run.json"))}
    return {name: ran for name, ran in found.items() if ran is not None and digest and ran.get("digest") == digest}


def _board(folder: Path, digest: str | None) -> BoardFiles:
    """A file counts only when it names the digest of the current model; an image has that of its vectors."""
    raw = {name: read_json(folder / f"{name}.json") for name in ("vectors", "build", "run", "host")}
    ours = {k: v if v is not None and digest and v.get("digest") == digest else None for k, v in raw.items()}
    if raw["build"] is not None and "digest" not in raw["build"] and ours["vectors"] is not None:
        ours["build"] = raw["build"]
    stale = tuple(f"{k}.json" for k in raw if raw[k] is not None and ours[k] is None)
    return BoardFiles(ours["vectors"], ours["build"], ours["run"], ours["host"], stale)
