"""Writes tests/data/keras*: models as Keras writes them, and what they make of an input. By hand:
`KERAS_BACKEND=torch python tests/data/make_keras.py keras` (3.15), and with TensorFlow `... make_keras.py tf_keras`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def models(k: Any) -> dict[str, Any]:
    """File -> model of this version."""
    c, start = k.layers, k.layers.Input((7, 3))
    both = c.Bidirectional(c.GRU(3, return_sequences=True), merge_mode="sum")(start)
    branches = c.Concatenate()([both, c.LSTM(2, return_sequences=True)(start)])
    functional = k.Model(start, c.Dense(2, activation="softmax")(c.LSTM(3)(branches)))
    hard = [c.GRU(4, reset_after=False, recurrent_activation="hard_sigmoid"), c.Dense(2, activation="leaky_relu")]
    if k.__name__ == "keras":
        return {"keras3.keras": functional, "keras3_hard.h5": k.Sequential([c.Input((7, 3)), *hard])}
    return {"keras2.h5": functional, "keras2_hard.h5": k.Sequential([c.InputLayer((7, 3)), *hard[:1], c.Dense(2)])}


if __name__ == "__main__":
    keras = importlib.import_module(sys.argv[1])
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)
    made = models(keras)
    for name, model in made.items():
        model.save(HERE / name)
    np.savez(HERE / f"{sys.argv[1]}.npz", x=x, **{n: m.predict(x, verbose=0) for n, m in made.items()})
