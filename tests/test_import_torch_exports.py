"""What PyTorch's two ONNX exporters write, imported; docs/onnx_cases.py runs the whole grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import needs
from tests.onnx_models import differences, imported
from tests.torch_exports import STEPS, Case, exported, grid

SLICE = [c for c in grid() if (c.layers, c.both) == (2, True) and c.batch_first == (c.output != "last")]
SLICE = [c for c in SLICE if c.exporter == "legacy" or (c.cell, c.output) in (("LSTM", "states"), ("RNN", "sequence"))]


@pytest.mark.parametrize("case", SLICE, ids=lambda c: f"{c.exporter}-{c.cell}-{c.output}")
def test_two_layers_in_two_directions(case: Case, tmp_path: Path) -> None:
    needs("torch", "onnx", "onnxruntime", "onnxscript")
    found = imported(exported(case), tmp_path, steps=STEPS)
    for name, d in differences(found).items():
        assert d < 1e-6, name
    cells = [x for x in found.network.layers if x.op == case.cell.lower()]
    assert len(cells) == 4 and sum(x.reverse for x in cells) == 2
    assert {x.op for x in found.network.layers} - {case.cell.lower()} <= {"take", "dense"}
