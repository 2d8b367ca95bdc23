"""export --to onnx-qdq and safetensors, and the verb."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import oracle, ptq
from quantize.float_graph import evaluate
from quantize.network import Network, layer, save_network
from quantize.qnetwork import QNetwork, offset_remainder, save_qnetwork
from tests.conftest import needs
from tests.nets import Shape, random_network, series
from toolkit.cli import main
from toolkit.errors import ToolkitError
from toolkit.exporters.onnx_ import to_onnx
from toolkit.exporters.onnx_qdq import dequantized
from toolkit.exporters.pytorch import export_safetensors, state_dict
from toolkit.importers import Options, network_of, torch_
from toolkit.importers.onnx_ import read


def quantized(folder: Path, cells: tuple[str, ...]) -> tuple[Network, QNetwork, np.ndarray]:
    """A run with a network, what it was quantized to, and raw windows of its inputs."""
    rng = np.random.default_rng(3)
    shape = Shape(3, (8,) * len(cells), 2, (16, *(8,) * (len(cells) - 1)), "window", 6, "hold", 1, cells)
    n = random_network(rng, shape, "net")
    digest = save_network(n, folder / "model.safetensors")
    raw = series(rng, n, 16, 6)
    q = ptq.quantize(n, [raw], ptq.Options(refit=False), digest)
    return n, save_qnetwork(q, folder / "model.q.safetensors"), raw


def in_onnxruntime(model: Any, x: np.ndarray) -> np.ndarray:
    """y of a model of ours."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x.astype(np.float32)})[0])


@pytest.mark.parametrize("cells", [("lstm",), ("gru",), ("lstm", "gru")])
def test_quantized_onnx_holds_the_integers_and_comes_near_the_oracle(cells: tuple[str, ...], tmp_path: Path) -> None:
    needs("onnx", "onnxruntime")
    from onnx import numpy_helper

    n, q, raw = quantized(tmp_path, cells)
    model = to_onnx(*dequantized(q, n))
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for x in q.layers[:-1]:
        for key, name in (("wh", "R"), ("wx", "W")):
            integers = found[f"{x.name}.{name}_int"]
            assert integers.dtype == x.arrays[key].dtype
            assert (np.sort(integers[0], axis=0) == np.sort(x.arrays[key], axis=0)).all()
    assert (found["dense0.w_int"] == q.layers[-1].arrays["w"].T).all()
    x = ptq.normalised(n.inputs, raw)
    y, exact = in_onnxruntime(model, x)[:, 0], evaluate(n, x)[""][:, 0]
    made, _, _ = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, raw)))
    integer = made[:, -1] * np.array([o.step / c.std for o, c in zip(q.outputs, n.outputs, strict=True)])
    integer += np.array([offset_remainder(c) for c in n.outputs])
    assert np.abs(y - integer).max() < np.abs(exact - integer).max() / 2


def stacked(op: str) -> Network:
    """Two directions, then one, a normalisation and a head."""
    rng = np.random.default_rng(1)
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[op]

    def cell(name: str, width: int, sources: tuple[str, ...], reverse: bool) -> Any:
        shapes = {"w_ih": (rows * 3, width), "w_hh": (rows * 3, 3), "b": ((4 if op == "gru" else rows) * 3,)}
        weights = {k: rng.normal(size=s) for k, s in shapes.items()}
        return layer(name, op, weights, sources=sources, reverse=reverse)

    layers = (
        cell("cell", 2, (), False),
        cell("cell_back", 2, ("",), True),
        cell("upper", 6, ("cell", "cell_back"), False),
        layer("norm", "norm", {"gain": rng.normal(size=3), "offset": rng.normal(size=3)}, options={"epsilon": 1e-5}),
        layer("head", "dense", {"w": rng.normal(size=(2, 3)), "b": rng.normal(size=2)}, activations=("tanh",)),
    )
    return replace(network_of("net", layers, inputs=2, outputs=2, steps=5), head="last")


@pytest.mark.parametrize("op", ["lstm", "gru", "rnn"])
def test_pytorch_loads_the_safetensors_and_computes_the_same(op: str) -> None:
    needs("torch")
    import torch

    n = stacked(op)
    arrays, structure = state_dict(n)
    assert structure.startswith("steps = 5\n[[layer]]") and structure.count('"last"') == 1
    kind = getattr(torch.nn, op.upper())
    cell, upper = kind(2, 3, bidirectional=True, batch_first=True), kind(6, 3, batch_first=True)
    parts = {"cell": cell, "upper": upper, "norm": torch.nn.LayerNorm(3), "head": torch.nn.Linear(3, 2)}
    for name, module in parts.items():
        mine = {k.removeprefix(f"{name}."): torch.tensor(v) for k, v in arrays.items() if k.startswith(f"{name}.")}
        module.load_state_dict(mine)
    x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    with torch.no_grad():
        y = torch.tanh(parts["head"](parts["norm"](upper(cell(torch.tensor(x))[0])[0][:, -1:]))).numpy()
    assert np.abs(y - evaluate(n, x)[""]).max() < 1e-5


@pytest.mark.parametrize("op", ["lstm", "gru", "rnn"])
def test_importing_the_safetensors_gives_the_same_network(op: str, tmp_path: Path) -> None:
    n = stacked(op)
    export_safetensors(n, tmp_path / "m.safetensors")
    again = torch_.read(tmp_path / "m.safetensors", Options("net", None, None, False, None)).network
    x = np.random.default_rng(0).normal(size=(3, 5, 2))
    assert (evaluate(again, x)[""] == evaluate(n, x)[""]).all()
    mine = {v.tobytes() for y in n.layers for v in y.weights.values()}
    assert {v.tobytes() for y in again.layers for v in y.weights.values()} == mine


@pytest.mark.parametrize("kind", ["onnx", "onnx-qdq", "safetensors"])
def test_the_verb_writes_the_model_of_a_run(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("onnx", "onnxruntime")
    n, _, _ = quantized(tmp_path, ("lstm",))
    assert main(["export", str(tmp_path), "--to", kind, "--json"]) == 0
    assert "values are normalised: (raw - mean) / std" in capsys.readouterr().err
    (made,) = (tmp_path / "export").iterdir()
    if kind == "onnx":
        found = read(made, Options("net", None, None, False, None)).network
        assert found.inputs[2].std == n.inputs[2].std and found.layers[0].name == n.layers[0].name
    assert main(["export", str(tmp_path), "--to", kind, "--board", "microbit"]) == 1
    assert "holds no C; expected neither --board nor --target" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "model.safetensors"), "--to", kind, "-o", str(tmp_path / "m")]) == 0
    assert (tmp_path / "m").read_bytes() == made.read_bytes()


def test_a_network_in_raw_values_is_not_called_normalised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(stacked("lstm"), tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path), "--to", "safetensors", "--json"]) == 0
    said = capsys.readouterr().err
    assert "written" in said and "normalised" not in said


def test_what_the_outside_form_has_no_place_for_is_refused(tmp_path: Path) -> None:
    needs("onnx")
    rng = np.random.default_rng(0)
    weights = {"w_ih": rng.normal(size=(4, 1)), "w_hh": rng.normal(size=(4, 1)), "b": np.zeros(4)}

    def one(options: dict[str, float], activations: tuple[str, ...] = ()) -> Network:
        cell = layer("cell", "lstm", weights, options=options, activations=activations)
        return network_of("net", (cell,), inputs=1, outputs=1, steps=2)

    with pytest.raises(ToolkitError, match=r"cell: its cell is clipped .cell_clip., which neither ONNX's"):
        to_onnx(one({"cell_clip": 1.0}))
    with pytest.raises(ToolkitError, match="cell: PyTorch's LSTM has no cell_clip; nor has ONNX's: only the C"):
        state_dict(one({"cell_clip": 1.0}))
    with pytest.raises(ToolkitError, match="cell: ONNX has no lstm with gelu; expected one of relu"):
        to_onnx(one({}, ("gelu", "tanh", "tanh")))
    with pytest.raises(ToolkitError, match="cell: PyTorch's LSTM has no preact_clip; export it as onnx"):
        state_dict(one({"preact_clip": 1.0}))
    n, q, _ = quantized(tmp_path, ("lstm",))
    save_network(replace(n, name="other"), tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path), "--to", "onnx-qdq"]) == 1
    wrong = replace(q, layers=(replace(q.layers[0], op="lstm_w8a8"), *q.layers[1:]))
    with pytest.raises(ToolkitError, match="lstm_w8a8 has no form in onnx-qdq; expected lstm, gru and dense of w8a16"):
        dequantized(wrong, n)
