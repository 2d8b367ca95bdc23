"""The configuration and weights of a .keras file (zip: config.json, metadata.json, model.weights.h5) or of a whole
model in .h5, with h5py. No class or function that a file names is looked up."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers.zipped import ZIP, Members

HDF5 = b"\x89HDF\r\n\x1a\n"
_OWN = {"Bidirectional": ("forward_layer", "backward_layer"), "TimeDistributed": ("layer",)}
"""Layers that have their weights in these groups of theirs."""
_IN_CELL = ("LSTM", "GRU", "SimpleRNN")
_ADVICE = "save it again with model.save"


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """`model`: class_name and config. `version`: of the Keras that wrote it, 2 or 3. `weights`: of a layer by the name
    that the file has for it: (path in .keras, name), in Keras' order."""

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
    with _opened(io.BytesIO(blob), len(blob), f"{path}: model.weights.h5") as read:
        root = "layers" if read.has("layers") else "_layer_checkpoint_dependencies"  # Keras 2.12 to 2.15
        weights = {}
        for layer, group in _groups(layers_of(model, path)):
            weights[layer["config"].get("name", "")] = [
                array for place in _places(layer) for array in read.numbered(f"{root}/{group}{place}/vars")
            ]
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
    import re

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
    with _opened(path, path.stat().st_size, str(path)) as read:
        text = read.attribute("/", "model_config")
        if text is None:
            raise ToolkitError(f"{path}: weights without a model (no model_config); save the model, not its weights")
        model = _json(text, f"{path}: model_config")
        version = _version(
            read.attribute("/", "keras_version") or read.attribute("/model_weights", "keras_version"), path
        )
        names = [x["config"].get("name", "") for x in layers_of(model, path)]
        weights = {n: read.listed(f"/model_weights/{n}") for n in names if isinstance(n, str)}
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
    text = found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)
    if text[:2] not in ("2.", "3."):
        raise ToolkitError(f"{path}: written by Keras {text}; expected version 2 or 3")
    return int(text[0])


class Reader:
    """An open HDF5 file of `size` bytes. Only what lies in it as it is is read: no links to other files, no
    compression, no virtual or external data."""

    def __init__(self, file: Any, size: int, where: str) -> None:
        self.file, self.size, self.where = file, size, where

    def has(self, name: str) -> bool:
        """Whether there is such a group or array."""
        return self._at(name) is not None

    def attribute(self, name: str, key: str) -> Any:
        """An attribute, or None."""
        node = self._at(name)
        return node.attrs.get(key) if node is not None else None

    def numbered(self, name: str) -> list[np.ndarray]:
        """The arrays 0, 1, ... of a group; none where there is no group."""
        group = self._at(name)
        return [] if group is None else [self._array(f"{name}/{k}") for k in range(len(group))]

    def listed(self, name: str) -> list[np.ndarray]:
        """The arrays that a group's attribute weight_names lists, without the states of random generators."""
        listed = self.attribute(name, "weight_names")
        texts = [n.decode() if isinstance(n, bytes) else str(n) for n in (() if listed is None else listed)]
        return [self._array(f"{name}/{n}") for n in texts if "seed_generator" not in n]

    def _at(self, name: str) -> Any:
        import h5py

        node = self.file
        for part in filter(None, name.split("/")):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) and part != "." else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise ToolkitError(f"{self.where}: {name} is a link to elsewhere; expected the array itself")
            node = node[part]
        return node

    def _array(self, name: str) -> np.ndarray:
        import h5py

        d = self._at(name)
        if not isinstance(d, h5py.Dataset):
            raise ToolkitError(f"{self.where}: has no array {name}; {_ADVICE}")
        plain = d.dtype.kind in "fiu" and d.chunks is None and not d.external and not d.is_virtual
        if not plain:
            raise ToolkitError(f"{self.where}: {name} is {d.dtype}, packed or outside the file; expected plain numbers")
        if d.size * d.dtype.itemsize > min(self.size, d.id.get_storage_size()):
            raise ToolkitError(f"{self.where}: {name} claims {list(d.shape)} and the file has {self.size} bytes")
        return np.asarray(d[()])


@contextmanager
def _opened(file: Path | io.BytesIO, size: int, where: str) -> Iterator[Reader]:
    """Raises: ToolkitError when it is damaged, or h5py is not installed."""
    try:
        import h5py
    except ImportError:
        raise ToolkitError(f"{where}: h5py is not installed, which reads it (pip install h5py)") from None
    try:
        with h5py.File(file, "r") as opened:
            yield Reader(opened, size, where)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, UnicodeError) as e:
        raise ToolkitError(
            f"{where}: damaged ({str(e).splitlines()[0] if str(e) else type(e).__name__}); {_ADVICE}"
        ) from None
