"""A training that can go on: `checkpoint.safetensors`, written after each epoch, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantize.errors import QuantizeError
from quantize.network import Network, layer, read_file, write_file
from toolkit.config import Config, as_dict
from toolkit.errors import ToolkitError

NAME = "checkpoint.safetensors"
KIND = "tealight-checkpoint"
FREE = ("epochs", "patience", "threads")  # keys of [train] that may be others when a training goes on


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of metrics.jsonl. `train` and `val` are losses; of the squared error their roots, in units of the
    target's standard deviation. `samples`: windows, or steps of streams, that were learnt from."""

    epoch: int
    lr: float
    train: float
    val: float
    best: bool
    seconds: float
    samples: int


@dataclass(slots=True, eq=False)
class Position:
    """Where a training stands after its last whole epoch. `backend`: the arrays of its state."""

    history: list[Epoch]
    best: Network
    backend: dict[str, np.ndarray] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)  # of the batches' generator

    @property
    def lowest(self) -> float:
        """The best validation loss so far."""
        return min((e.val for e in self.history), default=float("inf"))

    @property
    def best_epoch(self) -> int:
        """Its number, 0 before the first."""
        return max((e.epoch for e in self.history if e.best), default=0)


def question(config: Config) -> dict[str, Any]:
    """What a checkpoint must have in common with the training that goes on from it."""
    sections = {k: dict(v) for k, v in as_dict(config).items() if k in ("data", "model", "train")}
    sections["train"] = {k: v for k, v in sections["train"].items() if k not in FREE}
    return sections


def save_checkpoint(path: Path, position: Position, config: Config) -> None:
    """Raises: ToolkitError when the file cannot be written; the one before then stays as it is."""
    layers = [{"name": x.name, "weights": sorted(x.weights)} for x in position.best.layers]
    arrays = {f"best.{x.name}.{k}": v for x in position.best.layers for k, v in x.weights.items()}
    arrays |= {f"backend.{k}": np.asarray(v) for k, v in position.backend.items()}
    description = {
        "config": question(config),
        "columns": _columns(position.best),
        "history": [asdict(e) for e in position.history],
        "layers": layers,
        "random": position.random,
    }
    try:
        write_file(path, KIND, description, arrays)
    except QuantizeError as e:
        raise ToolkitError(str(e)) from None
    except OSError as e:
        raise ToolkitError(f"{path}: cannot write: {e.strerror}; the checkpoint before it is as it was") from None


def load_checkpoint(path: Path, network: Network, config: Config) -> Position:
    """`network`: of the same configuration, for all but the weights.

    Raises: ToolkitError when there is none, when it is damaged, or of another series, model or training."""
    if not path.is_file():
        raise ToolkitError(f"{path}: no checkpoint to go on from; train without --resume")
    try:
        d, arrays, _ = read_file(path, KIND)
    except QuantizeError as e:
        raise ToolkitError(str(e)) from None
    _check_same(path, d["config"], json.loads(json.dumps(question(config))))
    if d.get("columns") != _columns(network):
        raise ToolkitError(
            f"{path}: a checkpoint of another series (other columns or training rows than now); put the series back, "
            f"or train anew without --resume"
        )
    weights = {x["name"]: {k: arrays[f"best.{x['name']}.{k}"] for k in x["weights"]} for x in d["layers"]}
    layers = tuple(
        layer(x.name, x.op, weights[x.name], options=x.options, sources=x.sources, reverse=x.reverse)
        for x in network.layers
    )
    prefix = "backend."
    state = {k.removeprefix(prefix): np.array(v) for k, v in arrays.items() if k.startswith(prefix)}
    history = [Epoch(**e) for e in d["history"]]
    return Position(history, replace(network, layers=layers), state, d["random"])


def _columns(network: Network) -> list[dict[str, Any]]:
    """Names and scalers, which tell one series from another."""
    return [asdict(c) for c in (*network.inputs, *network.outputs)]


def _check_same(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for section, keys in wanted.items():
        for key, value in keys.items():
            if found.get(section, {}).get(key) != value:
                raise ToolkitError(
                    f"{path}: a checkpoint of {section}.{key} = {found.get(section, {}).get(key)!r}; now it is "
                    f"{value!r}; set it back, or train anew without --resume"
                )
