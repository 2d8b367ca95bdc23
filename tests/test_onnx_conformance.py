"""Cases of the onnx package for our operators: equal, or refused by name, as docs/onnx.md lists them.

docs/onnx_cases.py makes that page of all cases and also runs the C."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

from tests.conftest import needs
from tests.onnx_conformance import cases, floats, outcomes
from tests.torch_exports import grid

PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx.md"
MODULES = """
lstm gru rnn gemm matmul add mul softmax logsoftmax layernormalization averagepool maxpool reducemean reducemax clip
cast concat split slice reshape squeeze unsqueeze transpose gather dropout celu elu gelu hardsigmoid hardswish
leakyrelu selu softplus softsign thresholdedrelu quantizelinear dequantizelinear
""".split()


def test_every_case_is_equal_or_refused_and_the_page_says_so() -> None:
    needs("onnx")
    found = [o for case in cases(*MODULES) if "_expanded" not in case.name for o in outcomes(case, floats)]
    assert [o for o in found if o.result == "failed"] == []
    listed = PAGE.read_text("utf-8").split("### Passed cases")[1].split("### Refused cases")[0]
    passed = {name.strip() for name in listed.replace("\n", " ").split(",")}
    mine = {o.case.removeprefix("test_") for o in found if o.result == "passed"}
    assert len(mine) > 100 and mine <= passed
    refused = {o.case.removeprefix("test_") for o in found} - mine
    assert len(refused) > 100 and not refused & passed
    recurrent = {name for name in mine if name.startswith(("lstm", "gru", "simple_rnn", "rnn"))}
    assert len(recurrent) == 18


def test_the_page_shows_every_export_of_the_grid() -> None:
    rows = json.loads(PAGE.with_name("onnx_exports.json").read_text("utf-8"))["rows"]
    assert [tuple(r[:6]) for r in rows] == [astuple(c) for c in grid()]
    assert all(r[6] < 1e-5 for r in rows)
    assert PAGE.read_text("utf-8").count("| 8 of 8 |") == len(rows) / 8
