"""What is shown of training."""

from __future__ import annotations

import pytest

from quantize.network import Network
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
