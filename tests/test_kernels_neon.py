"""The kernels of AArch64 as real instructions, in QEMU's user mode: each leaves the memory as the oracle says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import steps
from tests.conftest import needs
from tests.machines import CORES
from tests.parity import Bench


@pytest.mark.parametrize("kind", ["gcc", "zig"])
@pytest.mark.parametrize(("target", "core"), [("neon", "cortex-a53"), ("neon_dotprod", "neoverse-n1")])
def test_instructions(target: str, core: str, kind: str, tmp_path: Path) -> None:
    needs({"gcc": "aarch64-gcc", "zig": "zig"}[kind], *CORES[core].needs)
    steps.check(Bench(CORES[core], tmp_path, kind), target)


def test_dot_products_are_those_of_armv8_2(tmp_path: Path) -> None:
    """A core without them refuses."""
    needs("aarch64-gcc", "qemu-aarch64")
    n1 = CORES["neoverse-n1"]
    assert n1.board is not None and n1.board.run is not None
    older = replace(n1.board, run=replace(n1.board.run, qemu="cortex-a53"))
    with pytest.raises(AssertionError, match="Illegal instruction"):
        steps.check(Bench(replace(n1, board=older), tmp_path, "gcc"), "neon_dotprod")


def test_a_difference_is_found(tmp_path: Path) -> None:
    """The weights of one target make the other one wrong."""
    needs("aarch64-gcc", "qemu-aarch64")
    with pytest.raises(AssertionError, match="lstm"):
        steps.check(Bench(CORES["neoverse-n1"], tmp_path, "gcc"), "neon", "neon_dotprod")
