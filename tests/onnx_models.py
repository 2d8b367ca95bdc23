"""Small ONNX graphs for the tests of the importer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantize.canonical import canonical
from quantize.float_graph import evaluate, shapes
from toolkit.importers import Imported, Options
from toolkit.importers.onnx_ import read

Shape = Sequence[int | str]


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, int],
    constants: Mapping[str, np.ndarray],
    opset: int,
) -> Any:
    """A ModelProto of nodes; a name as a size leaves it open; outputs and how many dimensions they have."""
    from onnx import TensorProto, helper, numpy_helper

    made = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, list(s)) for k, s in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, [None] * rank) for k, rank in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=min(10, 3 + opset // 2))


def imported(made: Any, folder: Path, *, steps: int | None = None, batch: int | None = None) -> Imported:
    """The model through a file."""
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return read(path, Options("m", steps, batch, False, None))


def differences(found: Imported, count: int = 5) -> dict[str, float]:
    """Largest differences from onnxruntime: layer by layer, and of the output in the deployed form as "canonical"."""
    n = found.network
    shapes(n, n.window)
    x = np.random.default_rng(1).standard_normal((count, n.window, len(n.inputs))).astype(np.float32)
    assert found.original is not None
    original, mine = found.original(x), evaluate(n, x)
    mine["canonical"], original = evaluate(canonical(n), x)[""], {**original, "canonical": original[""]}
    assert original[""].shape == mine[""].shape and len(original) > 2
    return {k: float(np.abs(v - mine[k]).max() / max(1, np.abs(v).max())) for k, v in original.items()}
