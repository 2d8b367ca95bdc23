"""A GRU all the way: both reset modes from CSV to boards, a fault in one found and named, saturation in the oracle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quantize.ops import gru
from tests.conftest import needs
from tests.nets import random_gru, random_x
from toolkit import elf
from toolkit.cli import main

ROOM = Path(__file__).resolve().parents[1] / "docs/examples/room.toml"


@pytest.fixture(scope="module", params=["after, window", "before, stateful"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers: the second has int8 input weights."""
    reset, mode = request.param.split(", ")
    run = tmp_path_factory.mktemp("run") / reset
    sets = ("model.cell=gru", f"model.reset={reset}", f"model.mode={mode}", "model.hidden=9", "model.layers=2")
    quick = [word for s in (*sets, "train.epochs=3") for word in ("--set", s)]
    assert main(["train", str(ROOM), "--out", str(run), *quick]) == 0
    assert main(["quantize", str(run)]) == 0
    return run


@pytest.mark.parametrize("emulator", ("qemu", "unicorn"))
@pytest.mark.parametrize("board", ("mps2_an386", "microbit"))
def test_from_csv_to_board(made: Path, board: str, emulator: str) -> None:
    needs(emulator)
    assert main(["generate-c", str(made), "--board", board]) == 0
    assert main(["run", str(made), "--board", board, "--steps", "150", "--emulator", emulator]) == 0
    seen, host = (json.loads((made / "build" / board / f"{k}.json").read_text()) for k in ("run", "host"))
    assert seen["passed"] and host["equal"] and seen["hash"] == host["hash"] and seen["hash_changes"] > 100
    assert "GRU 9 → GRU 9" in (made / "report.html").read_text("utf-8")


def test_a_flipped_weight_bit_is_found_and_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate-c", str(made), "--board", "mps2_an386", "--target", "ref"]) == 0
    assert main(["build", str(made), "--board", "mps2_an386", "--steps", "60"]) == 0
    image = made / "build" / "mps2_an386" / "firmware.elf"
    row, column, size = 2 * 9 + 5, 3, 9  # gate n, unit 5
    elf.patch_symbol(image, "gru0_wh", row * size + column, 0x40, image)
    assert main(["run", str(made), "--board", "mps2_an386", "--steps", "60", "--no-build"]) == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert "layer gru0, unit 5" in message and f"gru0_wh[{row}][{column}] (gate n, unit 5)" in message


@pytest.mark.parametrize("after", (False, True))
def test_the_random_layers_reach_every_limit(after: bool) -> None:
    """What test_ops compares with the naive integers: every gate input at both ends of int16, z and n at their ends."""
    rng = np.random.default_rng(11)
    low = {k: np.inf for k in ("z_r", "z_z", "z_n", "r", "z", "n")}
    high = {k: -np.inf for k in low}
    for _ in range(60):
        q = random_gru(rng, "gru0", 3, 8, 16, after=after)
        h = random_x(rng, (2, 8))
        for _ in range(3):
            trace: dict[str, np.ndarray] = {}
            h, _ = gru.int_step(q, random_x(rng, (2, 3)), {"h": h}, trace)
            for k in low:
                low[k], high[k] = min(low[k], trace[f"gru0.{k}"].min()), max(high[k], trace[f"gru0.{k}"].max())
    assert all(low[k] == -32768 and high[k] == 32767 for k in ("z_r", "z_z", "z_n"))
    assert all(low[k] == 11 and high[k] == 32757 for k in ("r", "z"))
    assert low["n"] == -32640 and high["n"] == 32640
