"""ONNX -> network: every attribute of the recurrent operators and every operator beside onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import needs
from tests.onnx_models import differences, imported, model
from toolkit.errors import ToolkitError

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


def operator(op: str, *constants: Any, shape: tuple[int | str, ...] = (2, 4, 3), opset: int = 20, **attrs: Any) -> Any:
    """A graph of one operator over x and constants, and an LSTM before it, so that its axes are told."""
    from onnx import helper

    values = {f"c{k}": np.asarray(c) for k, c in enumerate(constants) if c is not None}
    names = [f"c{k}" if c is not None else "" for k, c in enumerate(constants)]
    rng = np.random.default_rng(5)
    values |= {k: rng.normal(size=(1, 12, 3)).astype(np.float32) for k in ("w", "r")}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r"], ["y"], name="cell", hidden_size=3),
        helper.make_node("Squeeze", ["y"], ["s"], axes=[1]) if opset < 13 else _squeeze(values),
        helper.make_node("Transpose", ["s"], ["u"], perm=[1, 0, 2]),
        helper.make_node(op, ["u", *names], ["z"], name="it", **attrs),
    ]
    return model(nodes, {"x": shape}, {"z": 3}, values, opset)


def _squeeze(values: dict[str, np.ndarray]) -> Any:
    from onnx import helper

    values["one"] = np.array([1])
    return helper.make_node("Squeeze", ["y", "one"], ["s"])


F = np.float32
PER_FEATURE = np.array([0.5, -1.25, 2], F)
OPERATORS: list[tuple[str, list[Any], dict[str, Any]]] = [
    *((op, [], {}) for op in ("Relu", "Tanh", "Sigmoid", "Selu", "Softsign", "Softplus", "Exp", "HardSwish", "Neg")),
    *((op, [], {"alpha": 0.3}) for op in ("LeakyRelu", "ThresholdedRelu", "Elu", "Celu")),
    ("HardSigmoid", [], {"alpha": 0.3, "beta": 0.4}),
    ("Selu", [], {"alpha": 1.1, "gamma": 0.7}),
    ("Gelu", [], {}),
    ("Gelu", [], {"approximate": "tanh"}),
    ("Mish", [], {}),
    ("PRelu", [F(0.2)], {}),
    ("Clip", [F(-0.1), F(0.2)], {}),
    ("Clip", [F(-0.1)], {}),
    ("Clip", [None, F(0.1)], {}),
    ("Clip", [F(0), F(6)], {}),
    *((op, [PER_FEATURE], {}) for op in ("Add", "Sub", "Mul", "Div")),
    ("Softmax", [], {}),
    ("LogSoftmax", [], {"axis": -1}),
    ("LayerNormalization", [PER_FEATURE, PER_FEATURE[::-1]], {"epsilon": 0.01}),
    ("LayerNormalization", [PER_FEATURE], {}),
    ("MatMul", [np.arange(6, dtype=F).reshape(3, 2)], {}),
    ("Cast", [], {"to": 1}),
    ("Dropout", [], {}),
    ("Identity", [], {}),
    ("ReduceMean", [np.array([1])], {}),
    ("ReduceMax", [np.array([-2])], {}),
    ("Gather", [np.array([3])], {"axis": 1}),
    ("Gather", [np.array([2, 0])], {"axis": 2}),
    ("Slice", [np.array([1]), np.array([3]), np.array([2])], {}),
]


@pytest.mark.parametrize(("op", "constants", "attrs"), OPERATORS, ids=lambda v: v if isinstance(v, str) else "")
def test_operators_around_a_recurrent_layer(op: str, constants: list[Any], attrs: Any, tmp_path: Path) -> None:
    opset = 20 if op != "ReduceMax" else 18
    for name, d in differences(imported(operator(op, *constants, opset=opset, **attrs), tmp_path)).items():
        assert d < 1e-5, name


def test_a_first_state_from_outside_and_a_second_output(tmp_path: Path) -> None:
    """A streaming export: h comes in, before x, and goes out; zeros are what the generated C begins with."""
    from onnx import helper

    rng = np.random.default_rng(0)
    constants = {k: rng.normal(size=(1, 6, 2)).astype(F) for k in ("w", "r")}
    gru = helper.make_node("GRU", ["x", "w", "r", "", "", "h0"], ["y", "h1"], name="gru", hidden_size=2)
    squeeze = helper.make_node("Squeeze", ["y", "one"], ["z"])
    inputs = {"h0": (1, 1, 2), "x": ("time", 1, 2)}
    made = model([gru, squeeze], inputs, {"z": 3, "h1": 3}, {**constants, "one": np.array([1])}, 17)
    found = imported(made, tmp_path, steps=5)
    assert max(differences(found).values()) < 1e-5
    assert [n.split('"')[1] for n in found.notes] == ["h0", "h1"]


def two(op: str, *more: Any, shape: tuple[int, int, int] = (2, 4, 3)) -> Any:
    """A graph whose last node `op` has two inputs, "x" and what the nodes `more` make of it, "y"."""
    from onnx import helper

    constants = {"minus": np.array([-1]), "end": np.array([-(2**31)]), "one": np.array([1]), "two": np.array([2])}
    nodes = [*more, helper.make_node(op, ["x", "y"], ["z"], name="it")]
    return model(nodes, {"x": shape}, {"z": 3}, constants, 17)


def test_values_of_other_places_are_never_combined_as_if_they_were_of_the_same(tmp_path: Path) -> None:
    """x times the sigmoid of x backwards is no silu, and an outer sum no sum."""
    from onnx import helper

    silu = two("Mul", helper.make_node("Sigmoid", ["x"], ["y"]))
    assert [x.activations for x in imported(silu, tmp_path).network.layers] == [("silu",)]
    for axis in ("one", "two"):
        back = helper.make_node("Slice", ["x", "minus", "end", axis, "minus"], ["b"])
        found = imported(two("Mul", back, helper.make_node("Sigmoid", ["b"], ["y"])), tmp_path)
        assert max(differences(found).values()) < 1e-6  # what is turned around are the features then
    turned = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])
    for shape in ((2, 3, 1), (2, 1, 3)):
        with pytest.raises(ToolkitError, match='Add "it": repeats one of its inputs over steps or features'):
            imported(two("Add", turned, shape=shape), tmp_path)


@pytest.mark.parametrize(("backwards", "odd"), [(False, False), (True, False), (False, True)])
def test_an_unrolled_rnn_becomes_one_layer_again(backwards: bool, odd: bool, tmp_path: Path) -> None:
    """Five steps written out; where one of them has another bias (`odd`) it is no cell and stays as it is."""
    from onnx import helper as h

    rng, steps = np.random.default_rng(2), 5
    shapes = {"w": (3, 4), "b": (4,), "r": (4, 4), "rb": (4,), "head": (4, 2)}
    c = {k: rng.normal(size=s).astype(F) / 2 for k, s in shapes.items()}
    c |= {"h": np.zeros((2, 4), F), "odd": c["rb"] + F(odd), **{f"i{t}": np.array(t) for t in range(steps)}}
    nodes, before = [h.make_node("MatMul", ["x", "w"], ["p"]), h.make_node("Add", ["p", "b"], ["l"])], "h"
    for t in reversed(range(steps)) if backwards else range(steps):
        nodes += [
            h.make_node("Gather", ["l", f"i{t}"], [f"x{t}"], axis=0),
            h.make_node("MatMul", [before, "r"], [f"m{t}"]),
            h.make_node("Add", [f"m{t}", "odd" if t == 2 else "rb"], [f"a{t}"]),
            h.make_node("Add", [f"a{t}", f"x{t}"], [f"s{t}"]),
            h.make_node("Tanh", [f"s{t}"], [f"h{t}"], name=f"tanh{t}"),
        ]
        before = f"h{t}"
    made = model(
        [*nodes, h.make_node("MatMul", [before, "head"], ["z"], name="head")], {"x": (5, 2, 3)}, {"z": 2}, c, 17
    )
    found = imported(made, tmp_path)
    assert max(differences(found).values()) < 1e-6
    cells = [x for x in found.network.layers if x.op == "rnn"]
    assert [x.reverse for x in cells] == ([] if odd else [backwards])
    assert odd or [x.op for x in found.network.layers] == ["rnn", "take", "dense"]
