"""A Keras file in Keras itself, on torch: what our network is compared with."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.importers import Original
from toolkit.importers.keras_file import Saved


def original(path: Path, shown: Mapping[str, str], saved: Saved) -> tuple[Original | None, str]:
    """The file's own run, with each layer that `shown` names, or None; and the runtime, or why there is none.

    The file was read before: nothing in it names code."""
    if not all(map(importlib.util.find_spec, ("keras", "torch"))):
        return None, "keras and torch are not installed (pip install keras torch)"
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    runtime = f"Keras {keras.__version__} on {keras.backend.backend()}"
    if saved.version == 2 and "'hard_sigmoid'" in str(saved.model):
        return None, f"{runtime} has another hard_sigmoid than the Keras 2 that wrote the file"
    try:
        model = keras.models.load_model(path, compile=False)
        layers = {ours: model.get_layer(name) for ours, name in shown.items()}
        probe = keras.Model(
            model.inputs, [model.outputs[0], *(x.output for x in layers.values())] if layers else model.outputs[0]
        )
    except Exception as e:  # whatever Keras raises for a file of another version
        return None, f"{runtime} does not load it: {str(e).strip().splitlines()[0][:160]}"

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        """In batches of the model's own size, each from zero states."""
        size = model.inputs[0].shape[0] or len(x)
        parts = []
        for k in range(0, len(x), size):
            _reset(model)
            piece = np.resize(x[k : k + size], (size, *x.shape[1:])).astype(np.float32)
            made = probe(piece, training=False)
            parts.append([np.asarray(keras.ops.convert_to_numpy(y)) for y in (made if layers else [made])])
        found = [np.concatenate(p)[: len(x)] for p in zip(*parts, strict=True)]
        return dict(zip(("", *layers), (y if y.ndim == 3 else y[:, None] for y in found), strict=True))

    return run, runtime


def _reset(model: Any) -> None:
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_states() if hasattr(layer, "reset_states") else layer.reset_state()
