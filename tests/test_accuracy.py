"""docs/accuracy.md is made of docs/accuracy.json, and every gate passes or is named as missed, with the reason."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from quantize.fixedpoint import ARITHMETIC

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("accuracy", DOCS / "accuracy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["accuracy"] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


NUMBERS = json.loads((DOCS / "accuracy.json").read_text("utf-8"))


def test_the_page_is_made_of_the_numbers(script: ModuleType) -> None:
    assert (DOCS / "accuracy.md").read_text("utf-8") == script.page(NUMBERS), "run `python docs/accuracy.py --page`"


def test_the_numbers_are_of_this_arithmetic_and_complete(script: ModuleType) -> None:
    assert NUMBERS["arithmetic"] == ARITHMETIC, "run `python docs/accuracy.py`"
    found = [(m["series"], m["cell"], m["seed"]) for m in NUMBERS["models"]]
    assert found == [(s, c, k) for s in script.SERIES for c in script.CELLS for k in script.SEEDS]
    assert all(m["steps"] >= 10_000 and m["settled"] >= 20 and m["forecasts"] > 400 for m in NUMBERS["models"])


def test_every_gate_passes_or_says_why_not(script: ModuleType) -> None:
    page = (DOCS / "accuracy.md").read_text("utf-8")
    for gate, _, missing in script.judged(NUMBERS["models"]):
        assert bool(missing) == bool(gate.missed), f"{gate.what}: missed by {missing}"
    assert page.count("**missed**") == sum(bool(missing) for _, _, missing in script.judged(NUMBERS["models"]))


def test_a_missed_gate_shows(script: ModuleType) -> None:
    models = [dict(m) for m in NUMBERS["models"]]
    models[4]["refit_ner"] = 0.051
    gate, worst, missing = script.judged(models)[0]
    assert gate.limit == 0.05 and worst is models[4] and missing == [models[4]]
    assert "0.051 (glucose, GRU, reset after, seed 2) | **missed** by 1" in script.page({**NUMBERS, "models": models})
