"""What is shown of training."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from quantize.network import Network
from toolkit.cli import main
from toolkit.train import judge
from toolkit.train.checkpoint import Epoch
from toolkit.train.progress import Shown, line, progress

VOLTS = Shown("RMSE of u", 4.0, "V")
NETWORK = Network("n", (), (), (), "stateful", 0, 1, 1, 0.0, "hold", 0)


def test_progress_is_one_plain_line_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    epoch = Epoch(3, 0.01, 0.5, 0.25, True, 1.5, 10)
    with progress(10, VOLTS, plain=False) as watcher:
        watcher.epoch(epoch, NETWORK)
    out, err = capsys.readouterr()
    assert out == "" and err == "epoch   3/10  train 2  validation 1 V  1.5 s  best\n" == line(epoch, 10, VOLTS) + "\n"


def test_progress_on_a_terminal_shows_the_best_epoch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress(10, VOLTS, plain=False) as watcher:
        watcher.epoch(Epoch(1, 0.01, 0.5, 0.25, True, 1.5, 10), NETWORK)
        watcher.epoch(Epoch(2, 0.01, 0.5, 0.5, False, 2.5, 10), NETWORK)
    out, err = capsys.readouterr()
    assert out == "" and "best" in err and "epoch   2/10" in err


def test_plain_is_a_line_an_epoch_on_a_terminal_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(judge, "cycles_on", lambda *_: "7 estimated cycles a forecast")
    few = ["--set", "train.epochs=2", "--set", "model.hidden=3", "--out", str(tmp_path / "run")]
    assert main(["train", "docs/examples/room.toml", "--plain", "--board", "microbit", *few]) == 0
    err = capsys.readouterr().err
    assert "\x1b" not in err and "loss: RMSE of temperature [°C]\nepoch   1/2" in err
    assert "microbit: the model's flash" in err and "of 16 KB; 7 estimated cycles a forecast" in err


def test_a_board_that_is_none_is_said_before_the_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "docs/examples/room.toml", "--board", "microbot", "--out", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err
    assert "microbit" in err and err.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_board_is_of_one_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    many = ["train", "docs/examples/room.toml", "--seeds", "2", "--board", "microbit", "--out", str(tmp_path / "run")]
    assert main(many) == 1
    assert "--board shows the figures of one training" in capsys.readouterr().err and not (tmp_path / "run").exists()
