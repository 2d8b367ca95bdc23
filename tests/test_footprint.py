"""What a model of 16 inputs and 64 hidden units takes on a Cortex-M4, by docs/footprint.py, is within its bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from docs.footprint import BOARD, SHAPE, measure
from tests.conftest import needs
from tests.nets import random_qnetwork
from toolkit.codegen.choose import untuned
from toolkit.codegen.lower import state_bytes


@pytest.mark.parametrize(("profile", "level", "most"), [("speed", "-O2", 4500), ("size", "-Os", 1600)])
def test_code_tables_and_memory(profile: str, level: str, most: int, tmp_path: Path) -> None:
    needs("arm-gcc", "unicorn")
    q = random_qnetwork(np.random.default_rng(0), SHAPE, "net")
    code, tables, stack, _ = measure(q, untuned(BOARD, profile), level, tmp_path)
    assert code + tables <= most
    assert stack <= 160
    assert state_bytes(q) <= 432
