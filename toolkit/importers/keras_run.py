"""A Keras file in Keras itself: what our network is compared with. Keras 3 runs on torch; a file of Keras 2 in tf_keras
where that is installed, else in Keras 3 where it still takes it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.importers import Original
from toolkit.importers.keras_file import Saved


def original(path: Path, shown: Mapping[str, str], saved: Saved) -> tuple[Original | None, str]:
    """The file's own run, with each layer that `shown` names, or None; and the runtime, or why there is none.

    The file was read before: nothing in it names code."""
    keras, runtime = _runtime(saved.version)
    if keras is None:
        return None, runtime
    if saved.version == 2 and keras.__name__ == "keras" and "'hard_sigmoid'" in str(saved.model):
        return None, f"{runtime} has another hard_sigmoid than the Keras 2 that wrote the file (pip install tf_keras)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = keras.models.load_model(path, compile=False, custom_objects=_older(keras))
            layers = {ours: model.get_layer(name) for ours, name in shown.items()}
            outputs = [model.outputs[0], *(x.output for x in layers.values())]
            probe = keras.Model(model.inputs, outputs if layers else outputs[0])
    except Exception as e:  # whatever Keras raises for a file of another version
        return None, f"{runtime} does not load it: {str(e).strip().splitlines()[0][:120]}"

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        """In batches of the model's own size, each from zero states."""
        size = model.inputs[0].shape[0] or len(x)
        parts = []
        for k in range(0, len(x), size):
            _reset(model)
            piece = np.resize(x[k : k + size], (size, *x.shape[1:])).astype(np.float32)
            with warnings.catch_warnings():  # of Keras 2's names of inputs
                warnings.simplefilter("ignore")
                made = probe.predict_on_batch(piece)
            parts.append(made if layers else [made])
        found = [np.concatenate(p)[: len(x)] for p in zip(*parts, strict=True)]
        return dict(zip(("", *layers), (y if y.ndim == 3 else y[:, None] for y in found), strict=True))

    return run, runtime


def _runtime(version: int) -> tuple[Any, str]:
    """The module that runs a file of this version of Keras, or None, and its name or why there is none."""
    if version == 2 and importlib.util.find_spec("tf_keras"):
        keras = importlib.import_module("tf_keras")
        return keras, f"tf_keras {keras.__version__}"
    if not all(map(importlib.util.find_spec, ("keras", "torch"))):
        return None, "keras and torch are not installed (pip install keras torch)"
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = importlib.import_module("keras")
    return keras, f"Keras {keras.__version__} on {keras.backend.backend()}"


def _older(keras: Any) -> dict[str, Any]:
    """Keras 3's recurrent layers, which refuse `time_major`, with that option of Keras 2 left out: it is false."""
    if keras.__name__ != "keras":
        return {}

    def without(cls: Any) -> Any:
        def init(self: Any, *values: Any, time_major: bool = False, **more: Any) -> None:
            cls.__init__(self, *values, **more)

        return type(cls.__name__, (cls,), {"__init__": init})

    return {name: without(getattr(keras.layers, name)) for name in ("LSTM", "GRU", "SimpleRNN")}


def _reset(model: Any) -> None:
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            (layer.reset_states if hasattr(layer, "reset_states") else layer.reset_state)()
