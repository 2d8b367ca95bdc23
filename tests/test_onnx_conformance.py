"""The onnx package's own cases for single operators: equal, or refused by name. docs/onnx_cases.py also runs the C."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.conftest import needs
from tests.onnx_conformance import cases, floats, outcomes

PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx.md"


def test_every_case_is_equal_or_refused_and_the_page_says_so() -> None:
    needs("onnx")
    found = [o for case in cases() if "_expanded" not in case.name for o in outcomes(case, floats)]
    assert [o for o in found if o.result == "failed"] == []
    assert all(re.match(r"\w+|input", o.text) and "\n" not in o.text for o in found if o.result == "refused")
    counts = Counter(o.result for o in found)
    assert f"| of one operator | {counts['passed']} | {counts['refused']} | 0 |" in PAGE.read_text("utf-8")
    for name in ("lstm_with_peepholes", "gru_bidirectional", "simple_rnn_reverse", "gru_batchwise", "softmax_axis_1"):
        assert [o.result for o in found if o.case == f"test_{name}"].count("passed") > 0
