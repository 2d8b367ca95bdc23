"""What is shown of training."""

from __future__ import annotations

import pytest

from toolkit.train.progress import line, progress
from toolkit.train.trainer import Epoch


def test_progress_is_one_plain_line_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    epoch = Epoch(3, 0.01, 0.5, 0.25, True, 1.5)
    with progress(10, 4.0, "V") as each:
        each(epoch)
    out, err = capsys.readouterr()
    assert (
        out == "" and err == "epoch   3/10  train 2  validation 1 V  1.5 s  best\n" == line(epoch, 10, 4.0, "V") + "\n"
    )


def test_progress_on_a_terminal_shows_the_best_epoch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress(10, 4.0, "V") as each:
        each(Epoch(1, 0.01, 0.5, 0.25, True, 1.5))
        each(Epoch(2, 0.01, 0.5, 0.5, False, 2.5))
    out, err = capsys.readouterr()
    assert out == "" and "best" in err and "epoch   2/10" in err
