"""The configuration and weights of a .keras file (zip: config.json, metadata.json, model.weights.h5) or of a whole
model in .h5. No class or function that a file names is looked up."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers.keras_h5 import Contents, Damaged, read
from toolkit.importers.zipped import ZIP, Members

HDF5 = b"\x89HDF\r\n\x1a\n"
_OWN = {"Bidirectional": ("forward_layer", "backward_layer"), "TimeDistributed": ("layer",)}
"""Layers that have their weights in these groups of theirs."""
_IN_CELL = ("LSTM", "GRU", "SimpleRNN")
_ADVICE = "save it again with model.save"


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """`model`: class_name and config. `version`: of the Keras that wrote it, 2 or 3. `weights`: of a layer by its
    name, in Keras' order."""

    model: Mapping[str, Any]
    version: int
    weights: Mapping[str, list[np.ndarray]]


def read_saved(path: Path) -> Saved:
    """What a file says, its sizes checked against its length.

    Raises: ToolkitError, one line, when it is damaged or holds no whole model."""
    with path.open("rb") as f:
        zipped = f.read(4) == ZIP
    return _keras(path) if zipped else _h5(path)


def layers_of(model: Mapping[str, Any], where: object) -> list[Mapping[str, Any]]:
    """The layers in a model's configuration.

    Raises: ToolkitError when it has none."""
    config = model.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config  # a list in Keras 2.0
    named = isinstance(layers, list) and all(
        isinstance(x, dict) and isinstance(x.get("class_name"), str) and isinstance(x.get("config"), dict)
        for x in layers
    )
    if not named or not layers or not isinstance(layers, list):
        raise ToolkitError(f"{where}: its configuration has no list of layers; {_ADVICE}")
    return layers


def _keras(path: Path) -> Saved:
    with Members(path) as members:
        model = _json(members.read("config.json"), f"{path}: config.json")
        metadata = _json(members.read("metadata.json"), f"{path}: metadata.json")
        blob = members.read("model.weights.h5")
    version = _version(metadata.get("keras_version"), path)
    file = _opened(blob, f"{path}: model.weights.h5")
    old = any(n.startswith("_layer_checkpoint_dependencies/") for n in file.arrays)  # Keras 2.12 to 2.15
    root = "_layer_checkpoint_dependencies" if old else "layers"
    weights = {
        str(layer["config"].get("name", "")): [
            array for place in _places(layer) for array in _numbered(file, f"{root}/{group}{place}/vars")
        ]
        for layer, group in _groups(layers_of(model, path))
    }
    return Saved(model, version, weights)


def _groups(layers: list[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each layer with its group: the class's name in snake case, counted."""
    used: dict[str, int] = {}
    for layer in layers:
        name = snake_case(layer["class_name"])
        count = used[name] = used.get(name, -1) + 1
        yield layer, f"{name}_{count}" if count else name


def snake_case(name: str) -> str:
    """`LayerNormalization` -> `layer_normalization`, as keras.src.utils.naming.to_snake_case."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _places(layer: Mapping[str, Any]) -> list[str]:
    """Where in its group a layer's variables lie."""
    inner = layer["config"].get("layer")
    held = inner.get("class_name") if isinstance(inner, dict) else layer["class_name"]
    cell = "/cell" if held in _IN_CELL else ""
    return [f"/{k}{cell}" for k in _OWN.get(layer["class_name"], ())] or [cell]


def _h5(path: Path) -> Saved:
    file = _opened(path.read_bytes(), str(path))
    text = file.attributes[""].get("model_config")
    if not isinstance(text, str):
        raise ToolkitError(f"{path}: weights without a model (no model_config); save the model, not its weights")
    model = _json(text, f"{path}: model_config")
    version = _version(file.attributes[""].get("keras_version"), path)
    names = [str(x["config"].get("name", "")) for x in layers_of(model, path)]
    weights = {n: _listed(file, f"model_weights/{n}", path) for n in names}
    return Saved(model, version, weights)


def _json(text: bytes | str, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise ToolkitError(f"{where}: not JSON ({e}); {_ADVICE}") from None
    if not isinstance(value, dict):
        raise ToolkitError(f"{where}: expected a JSON object; {_ADVICE}")
    return value


def _version(found: object, path: Path) -> int:
    text = str(found)
    if text[:2] not in ("2.", "3."):
        raise ToolkitError(f"{path}: written by Keras {text}; expected version 2 or 3")
    return int(text[0])


def _opened(blob: bytes, where: str) -> Contents:
    try:
        return read(blob)
    except ImportError:
        raise ToolkitError(f"{where}: h5py is not installed, which reads it (pip install h5py)") from None
    except Damaged as e:
        raise ToolkitError(f"{where}: damaged ({e}); save or copy it again") from None


def _numbered(file: Contents, group: str) -> list[np.ndarray]:
    """The arrays 0, 1, ... of a group; none where there is no group."""
    names = itertools.takewhile(file.arrays.__contains__, (f"{group}/{k}" for k in itertools.count()))
    return [file.arrays[n] for n in names]


def _listed(file: Contents, group: str, where: object) -> list[np.ndarray]:
    """The arrays that a group's attribute weight_names lists, without the states of random generators.

    Raises: ToolkitError when one is missing."""
    names = file.attributes.get(group, {}).get("weight_names", [])
    found = [f"{group}/{n}" for n in (names if isinstance(names, list) else []) if "seed_generator" not in str(n)]
    for name in found:
        if name not in file.arrays:
            raise ToolkitError(f"{where}: has no array {name}; {_ADVICE}")
    return [file.arrays[n] for n in found]
