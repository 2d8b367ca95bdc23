"""ONNX -> network: every attribute of the recurrent operators and every operator beside onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import needs
from tests.onnx_models import differences, imported, model

ACTIVATIONS = {
    "Relu": 0, "Tanh": 0, "Sigmoid": 0, "Affine": 2, "LeakyRelu": 1, "ThresholdedRelu": 1, "ScaledTanh": 2,
    "HardSigmoid": 2, "Elu": 1, "Softsign": 0, "Softplus": 0,
}  # fmt: skip
GATES = {"LSTM": (4, 3), "GRU": (3, 2), "RNN": (1, 1)}  # gates, activations


@pytest.fixture(autouse=True)
def onnx_is_here() -> None:
    needs("onnx", "onnxruntime")


def recurrent_model(op: str, rng: np.random.Generator) -> Any:
    """One recurrent operator with attributes and inputs as the dice fall: 4 steps, 3 features."""
    from onnx import helper

    gates, functions = GATES[op]
    direction = ("forward", "reverse", "bidirectional")[rng.integers(3)]
    d, h, f = (2 if direction == "bidirectional" else 1), int(rng.integers(1, 5)), 3
    attrs: dict[str, Any] = {"hidden_size": h, "direction": direction}
    if rng.random() < 0.5:
        names = [str(n) for n in rng.choice(list(ACTIVATIONS), d * functions)]
        attrs["activations"] = names
        attrs["activation_alpha"] = [float(v) for n in names if ACTIVATIONS[n] for v in rng.uniform(0.2, 0.9, 1)]
        attrs["activation_beta"] = [float(v) for n in names if ACTIVATIONS[n] > 1 for v in rng.uniform(0.2, 0.9, 1)]
    if rng.random() < 0.5:
        attrs["clip"] = float(rng.uniform(0.3, 1))
    if op == "GRU":
        attrs["linear_before_reset"] = int(rng.integers(2))
    if op == "LSTM":
        attrs["input_forget"] = int(rng.integers(2))
    c = {"w": rng.normal(size=(d, gates * h, f)) / 2, "r": rng.normal(size=(d, gates * h, h)) / (2 * h)}
    optional = {"b": (d, 2 * gates * h), "lens": (2,), "h0": (d, 1, h)}
    if op == "LSTM":
        optional |= {"c0": (d, 1, h), "p": (d, 3 * h)}
    for name, shape in optional.items():
        if rng.random() < 0.5:
            c[name] = np.repeat(rng.normal(size=shape), 2, 1) if name in ("h0", "c0") else rng.normal(size=shape)
    constants = {k: v.astype(np.float32) for k, v in c.items()}
    if "lens" in constants:
        constants["lens"] = np.array([4, 4], np.int32)
    names = ["x", "w", "r", *(k if k in c else "" for k in optional)]
    node = helper.make_node(op, names, ["y", "y_h"], name="cell", **{k: v for k, v in attrs.items() if v != []})
    move = helper.make_node("Transpose", ["y"], ["z"], perm=[2, 0, 1, 3])
    return model([node, move], {"x": (4, 2, f)}, {"z": 4}, constants, int(rng.integers(7, 21)))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("seed", range(12))
def test_recurrent_operators_with_all_their_attributes(op: str, seed: int, tmp_path: Path) -> None:
    found = imported(recurrent_model(op, np.random.default_rng(seed)), tmp_path)
    for name, d in differences(found).items():
        assert d < 1e-5, name
