"""What an ONNX file can have wrong, or ask for that has no form: one line, with the operator and its node."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import needs
from tests.onnx_models import imported, model
from tests.test_import_onnx import PER_FEATURE, F, operator
from toolkit.errors import ToolkitError
from toolkit.importers import Options
from toolkit.importers.onnx_ import read, refusals


@pytest.fixture(autouse=True)
def onnx_is_here() -> None:
    needs("onnx")


REFUSED = [
    (lambda: operator("ReduceSum", np.array([1])), 'ReduceSum "it": not supported; the nearest supported form'),
    (lambda: operator("ReduceMean", np.array([2])), 'ReduceMean "it": over another axis than the time'),
    (lambda: operator("PRelu", PER_FEATURE), 'PRelu "it": a slope for each feature; expected one slope for all'),
    (lambda: operator("Add", np.ones((4, 3), F) * [[1], [2], [3], [4]]), 'Add "it": its constant differs from step to'),
    (lambda: operator("Softmax", axis=1), 'Softmax "it": mixes steps and features'),
    (lambda: operator("Cast", to=10), 'Cast "it": to another type than float or double'),
    (lambda: operator("Slice", np.array([1]), np.array([3]), np.array([1])), 'takes a part of the 4 steps of "cell"'),
    (lambda: operator("QuantizeLinear", F(0.1), np.uint8(3)), "quantizes a tensor between layers, which would change"),
    (lambda: operator("MatMul", np.ones((2, 3, 2), F)), 'MatMul "it": [2, 4, 3] times'),
    (lambda: operator("Relu", shape=(2, "time", 3)), 'input "x": its number of steps is open; give --steps N'),
    (lambda: operator("Relu", shape=(2, 4, "width")), 'input "x": its number of features is open'),
    (lambda: operator("Relu", opset=6), "opset 6; expected 7 to"),
    (lambda: operator("Mul", np.full(3, np.nan, F)), 'tensor "c0": a weight is NaN'),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[m[:24] for _, m in REFUSED])
def test_what_has_no_form_is_refused_by_name(make: Callable[[], Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=re.escape(message)) as e:
        imported(make(), tmp_path)
    assert str(e.value).startswith(str(tmp_path / "m.onnx")) and "\n" not in str(e.value)


def edited(change: Callable[[Any], None], tmp_path: Path) -> str:
    """What is said of a good model after a change."""
    made = operator("Add", PER_FEATURE)
    change(made)
    with pytest.raises(ToolkitError) as e:
        imported(made, tmp_path)
    return str(e.value)


def test_damaged_graphs(tmp_path: Path) -> None:
    def cut(m: Any) -> None:
        del m.graph.initializer[:]

    def cycle(m: Any) -> None:
        m.graph.node[1].input[0] = "z"

    def terabytes(m: Any) -> None:
        m.graph.initializer[0].dims[:] = [2**20, 2**20]

    def foreign(m: Any) -> None:
        m.graph.node[-1].domain = "com.microsoft"
        m.opset_import.add(domain="com.microsoft", version=1)

    def rank(m: Any) -> None:
        m.graph.initializer[1].dims[:] = [12, 3]

    assert 'LSTM "cell" reads "w", which is nowhere in the file' in edited(cut, tmp_path)
    assert 'LSTM "cell" reads "z", made after it: the graph has a cycle' in edited(cycle, tmp_path)
    assert 'tensor "c0": claims 1099511627776 values and holds' in edited(terabytes, tmp_path)
    assert "com.microsoft.Add" in edited(foreign, tmp_path)
    assert 'LSTM "cell"' in edited(rank, tmp_path)


def test_external_data_stay_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 12)
    folder = tmp_path / "folder"
    folder.mkdir()

    def outside(location: str) -> Any:
        made = operator("Add", PER_FEATURE)
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        tensor.external_data.add(key="location", value=location)
        return made

    for location in ("../secret", str(tmp_path / "secret"), "", "nothing"):
        with pytest.raises(ToolkitError, match=f'"c0" is kept in "{re.escape(location)}": expected a file beside'):
            imported(outside(location), folder)
    (folder / "weights").write_bytes(b"\0" * 8)
    with pytest.raises(ToolkitError, match=r'tensor "c0": not a tensor that onnx can read'):
        imported(outside("weights"), folder)
    (folder / "weights").write_bytes(PER_FEATURE.tobytes())
    assert len(imported(outside("weights"), folder).network.layers) == 2


def test_a_stream_needs_no_steps_and_batch_may_be_fixed(tmp_path: Path) -> None:
    made = operator("Relu", shape=("batch", "time", 3))
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    assert read(path, Options("m", None, 3, True, None)).network.window == 16
    assert imported(made, tmp_path, steps=5, batch=4).network.window == 5
    with pytest.raises(ToolkitError, match='input "x": 4 steps in the file; expected 5 as --steps says'):
        imported(operator("Relu"), tmp_path, steps=5)


def test_unsupported_operators_are_listed_for_analyze(tmp_path: Path) -> None:
    from onnx import helper

    path = tmp_path / "m.onnx"
    nodes = [helper.make_node("Erf", ["x"], ["a"], name="first"), helper.make_node("Sin", ["a"], ["z"], name="second")]
    path.write_bytes(model(nodes, {"x": (1, 2, 3)}, {"z": 3}, {}, 17).SerializeToString())
    lines = refusals(path)
    assert [line.split(":")[0] for line in lines] == ['Erf "first"', 'Sin "second"']
    assert "the nearest supported form: Gelu" in lines[0]
    path.write_bytes(operator("Relu").SerializeToString())
    assert refusals(path) == ()
