"""The verb `sweep`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import needs
from toolkit.cli import main


def test_a_sweep_goes_on_and_a_bad_key_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("optuna")
    space, out = tmp_path / "space.toml", tmp_path / "sweep"
    command = ["sweep", "docs/examples/room.toml", "--space", str(space), "--out", str(out), "--set", "train.epochs=1"]
    space.write_text('[space]\n"model.hiden" = [2, 4]\n')
    assert main(command) == 1 and 'did you mean "hidden"?' in capsys.readouterr().err
    space.write_text('[space]\n"model.hidden" = [2, 4]\n')
    assert main([*command, "--trials", "1"]) == 0
    assert main([*command, "--trials", "2"]) == 1 and "--resume" in capsys.readouterr().err
    assert main([*command, "--trials", "2", "--resume"]) == 0
    result = json.loads((out / "sweep.json").read_text())
    assert result["trials"] == 2 and all(2 <= r["set"]["model.hidden"] <= 4 for r in result["front"])


def test_trials_that_explode_do_not_end_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("optuna")
    space = tmp_path / "space.toml"
    space.write_text('[space]\n"train.lr" = {low = 1e28, high = 1e30, log = true}\n')
    command = ["sweep", "docs/examples/room.toml", "--space", str(space), "--out", str(tmp_path / "sweep")]
    sets = ["--set", "train.clip=1e30", "--set", "train.epochs=2", "--set", "model.hidden=3"]
    assert main([*command, "--trials", "2", *sets]) == 0
    assert "the loss is no longer a number" in capsys.readouterr().err
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text()) == {"trials": 2, "front": []}
