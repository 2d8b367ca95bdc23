"""`fit`: the figures are those of the build and the profile, and what does not fit says by how much."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quantize.qnetwork import save_qnetwork
from tests.conftest import needs
from tests.nets import Shape, random_qnetwork
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.stages.firmware import Job
from toolkit.stages.generate import generate_c
from toolkit.stages.profile import profile

BOARDS = ("--board", "microbit", "--board", "mps2_an386")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("unicorn", "zig")
    shape = Shape(2, (9,), 1, (16,), "stateful", 0, "hold", 3, ("lstm",))
    folder = tmp_path_factory.mktemp("fit")
    save_qnetwork(random_qnetwork(np.random.default_rng(2), shape, "fitted"), folder / "model.q.safetensors")
    return folder


def test_the_figures_are_those_of_profile(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(model), *BOARDS, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [r["board"] for r in result["boards"]] == ["mps2_an386", "microbit"], "the fastest first"
    board = load_board("microbit")
    generate_c(model, board, None, float_api=False, say=lambda s: None)
    p = profile(Job(model, board, 24), core=None, say=lambda s: None)
    row = result["boards"][1]
    assert row["cycles"] == p["cycles_per_step"]["max"] and row["stack"] == p["stack"]["stack"]
    assert row["flash"] == p["sizes"]["flash"] - p["sizes"]["vectors"] and row["ram"] == p["sizes"]["ram"]


@pytest.mark.parametrize(
    ("limit", "code", "text"),
    [
        (("--max-flash", "20000", "--max-ram", "2000", "--max-ms", "9"), 0, ""),
        (("--max-flash", "100"), 3, "--max-flash 100:"),
        (("--max-ram", "4"), 3, "too many"),
        (("--max-ms", "0.0001"), 3, "ms a step, --max-ms 0.0001"),
    ],
)
def test_a_budget_that_breaks_is_exit_3(
    model: Path, limit: tuple[str, ...], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(model / "model.q.safetensors"), "--board", "mps2_an386", *limit]) == code
    assert text in capsys.readouterr().err


def test_a_model_too_large_for_a_chip_says_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("unicorn", "zig")
    shape = Shape(2, (160,), 1, (16,), "stateful", 0, "hold", 3, ("lstm",))
    save_qnetwork(random_qnetwork(np.random.default_rng(2), shape, "large"), tmp_path / "model.q.safetensors")
    own = Path("boards/microbit.toml").read_text("utf-8").replace("262_144", "65_536")
    (tmp_path / "tiny.toml").write_text(own.replace('"microbit"', '"tiny"'), "utf-8")
    assert main(["fit", str(tmp_path), "--board", str(tmp_path / "tiny.toml")]) == 3
    captured = capsys.readouterr()
    assert "the chip has 65536" in captured.err and "too many" in captured.out
