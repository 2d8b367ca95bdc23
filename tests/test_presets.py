"""The presets: the loss falls, each quantizes, and the modern LSTM gives the same bits on a board."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import needs
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.config import load_config
from toolkit.data.made import MADE
from toolkit.presets import FOLDER, PRESETS
from toolkit.stages.demo import options
from toolkit.stages.firmware import Job, run
from toolkit.stages.generate import generate_c
from toolkit.stages.quantize import quantize
from toolkit.train.stage import train

FEW = ("train.epochs=3",)


def quiet(_: str) -> None:
    """A `say` that says nothing."""


def test_the_names_are_those_of_the_files() -> None:
    assert {p.stem for p in FOLDER.glob("*.toml")} == set(PRESETS)
    for name, path in PRESETS.items():
        assert load_config(path, sets=[], env={}).name == name


@pytest.mark.parametrize("name", PRESETS)
def test_the_loss_falls_and_it_quantizes(name: str, tmp_path: Path) -> None:
    small = ["model.hidden=8"] if name in ("glucose", "harbinger") else []
    config = load_config(PRESETS[name], sets=[*FEW, *small], env={})
    if config.data.series not in MADE:
        needs("demo-data")
    train(config, tmp_path, say=quiet)
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["train"] < lines[0]["train"]
    assert quantize(tmp_path, options(config), say=quiet)["accuracy"]["rmse_ratio"] < 1.05


def test_the_modern_lstm_on_a_board(tmp_path: Path) -> None:
    needs("qemu")
    config = load_config(PRESETS["modern_lstm"], sets=[*FEW, "model.hidden=8"], env={})
    train(config, tmp_path, say=quiet)
    quantize(tmp_path, options(config), say=quiet)
    board = load_board("mps2_an386")
    generate_c(tmp_path, board, None, float_api=False, say=quiet)
    assert run(Job(tmp_path, board, 64), say=quiet)["passed"]


def test_fibonacci_as_it_comes_along_loses_little_to_its_integers(tmp_path: Path) -> None:
    """Without noise in the series the float error was below int16's steps, and NER 80 %."""
    config = load_config(PRESETS["fibonacci"], sets=[], env={})
    train(config, tmp_path, say=quiet)
    accuracy = quantize(tmp_path, options(config), say=quiet)["accuracy"]
    assert accuracy["ner"] < 0.05 and accuracy["quantized"] < 0.6 * accuracy["linear_ar"]


def test_harbinger_on_the_level_is_warned_and_quantizes(tmp_path: Path) -> None:
    """Prices have six decimals, of which int32 has no room for all."""
    needs("demo-data")
    small = ["train.epochs=1", "model.hidden=8", "data.target=level"]
    said = list[str]()
    train(load_config(PRESETS["harbinger"], sets=small, env={}), tmp_path / "blind", say=said.append)
    assert any("AAPL 100%" in s and "leaves its range" in s for s in said)
    assert any("gives the network only log_return of Adj Close" in s for s in said)
    config = load_config(PRESETS["harbinger"], sets=[*small, "data.features=[]"], env={})
    said.clear()
    train(config, tmp_path, say=said.append)
    assert not any("gives the network only" in s for s in said)
    assert quantize(tmp_path, options(config), say=quiet)["accuracy"]["ner"] < 0.05


def test_a_preset_is_printed_to_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--preset", "sine", "--print"]) == 0
    assert capsys.readouterr().out == PRESETS["sine"].read_text("utf-8")


def test_a_preset_or_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["run.toml", "--preset", "sine"], ["run.toml", "--print"]):
        with pytest.raises(SystemExit) as caught:
            main(["train", *wrong])
        assert caught.value.code == 2
        assert "expected a run.toml or --preset NAME" in capsys.readouterr().err
