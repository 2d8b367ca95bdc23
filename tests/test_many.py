"""Several runs at once: seeds, a model for each series, folds of walk-forward."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from quantize.network import network_digest
from toolkit.cli import main
from toolkit.config import load_config
from toolkit.data.prepared import load_prepared
from toolkit.errors import ToolkitError
from toolkit.targets import ROOT
from toolkit.train import train
from toolkit.train.many import Plan, jobs_of, split_of
from toolkit.train.processes import Board, _shown
from toolkit.train.skill import pooled

ROOM = "docs/examples/room.toml"
QUICK = ["train.epochs=2", "model.hidden=3", "model.window=12"]
SETS = [part for text in QUICK for part in ("--set", text)]


def single(out: Path, *sets: str) -> dict[str, Any]:
    return train(load_config(ROOM, sets=[*QUICK, *sets], env={}), out, say=lambda text: None)


def shops(path: Path, sizes: dict[str, int]) -> Path:
    """A file of several series, and the run.toml that reads it."""
    rng = np.random.default_rng(0)
    rows = [f"{name},{v:.3f}" for name, n in sizes.items() for v in np.sin(np.arange(n) / 5) + rng.normal(size=n) / 9]
    (path / "shops.csv").write_text("shop,sales\n" + "\n".join(rows))
    text = '[data]\npath = "shops.csv"\nseries_column = "shop"\n[model]\nmode = "window"\nwindow = 8\nhidden = 2\n'
    (path / "run.toml").write_text(text + "[train]\nepochs = 1\n")
    return path / "run.toml"


def test_seeds_are_the_single_runs_and_resume_does_only_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "many"
    command = ["train", ROOM, *SETS, "--seeds", "2", "--jobs", "2", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert (
        "seed1: epoch   2/2" in said.err
        and "2 runs, 2 at a time, 0 done" in said.err
        and "mean ± standard deviation: validation" in said.out
    )
    result = json.loads((out / "summary.json").read_text())
    for seed in (0, 1):
        alone, row = single(tmp_path / str(seed), f"train.seed={seed}"), result["runs"][seed]
        digests = (network_digest(f / "model.safetensors") for f in (out / f"seed{seed}", tmp_path / str(seed)))
        assert len(set(digests)) == 1
        assert (row["test"], row["skill"]) == (alone["accuracy"]["float"], alone["skill"])
        assert row["skill"]["persistence"]["skill"] == pytest.approx(alone["accuracy"]["skill"])
    errors = [r["validation"] for r in result["runs"]]
    assert result["best"] == f"seed{int(np.argmin(errors))}" and result["mean"]["validation"] == np.mean(errors)
    assert result["spread"]["validation"] == pytest.approx(np.std(errors, ddof=1))
    (out / "seed1" / "train.json").unlink()
    before = (out / "seed0" / "train.json").stat().st_mtime_ns
    assert main([*command, "--resume"]) == 0
    assert "1 runs, 1 at a time, 1 done" in capsys.readouterr().err
    assert (out / "seed0" / "train.json").stat().st_mtime_ns == before
    again = json.loads((out / "summary.json").read_text())["runs"][1]
    assert {**again, "seconds": 0} == {**result["runs"][1], "seconds": 0}
    assert main([*command[:-1], str(tmp_path / "none"), "--resume"]) == 1
    assert "no run here to go on with" in capsys.readouterr().err


def test_ctrl_c_stops_every_training_and_each_can_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [*SETS, "--set", "train.epochs=5000", "--set", "train.patience=5000"]
    command = [sys.executable, "-m", "toolkit", "train", ROOM, *sets, "--seeds", "2", "--jobs", "2"]
    with subprocess.Popen([*command, "--out", str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True) as parent:
        checkpoints = [tmp_path / f"seed{k}" / "checkpoint.safetensors" for k in (0, 1)]
        end = time.monotonic() + 60
        while not all(f.is_file() for f in checkpoints) and time.monotonic() < end:
            time.sleep(0.05)
        assert main([*command[3:], "--out", str(tmp_path)]) == 1
        assert f"process {parent.pid} trains here; wait until it ends" in capsys.readouterr().err
        parent.send_signal(signal.SIGINT)
        _, said = parent.communicate(timeout=60)
    assert parent.returncode == 1 and "Traceback" not in said
    assert f"training interrupted; every run can go on: --resume --out {tmp_path}" in said
    left = [f.name for k in (0, 1) for f in (tmp_path / f"seed{k}").iterdir()]
    kept = ["checkpoint.safetensors", "config.toml", "data.safetensors", "metrics.jsonl"]
    assert sorted(set(left)) == kept, "no lock, no half-written file"
    assert main([*command[3:], "--out", str(tmp_path), "--resume", "--set", "train.patience=1"]) == 0
    assert (tmp_path / "summary.json").is_file()


def test_each_series_has_a_model_and_a_short_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shops(tmp_path, {"North/1": 200, "south": 200, "tiny": 40})
    assert main(["train", str(path), "--each", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "tiny: failed: " in said.err and "too few rows" in said.err and "1 runs failed, the others are" in said.err
    result = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [(r["run"], r["series"]) for r in result["runs"]] == [("North_1", "North/1"), ("south", "south")]
    assert list(result["mean"]) == ["skill"], "no mean of errors of different series"
    assert list(result["failed"]) == ["tiny"] and "south" in said.out
    alone = load_config(path, sets=['data.only=["south"]'], env={})
    assert train(alone, tmp_path / "alone", say=lambda text: None)["accuracy"]["float"] == result["runs"][1]["test"]
    assert "run_north_1" in (tmp_path / "out" / "North_1" / "config.toml").read_text()
    assert main(["train", str(path), "--out", str(tmp_path / "joined")]) == 0
    assert 'series "tiny": no forecast in its 6 val, 6 test rows: expected at least 9' in capsys.readouterr().err
    assert main(["train", ROOM, "--each", "--out", str(tmp_path / "one")]) == 1
    assert "--each: one series" in capsys.readouterr().err
    twins = load_config(shops(tmp_path, {"a b": 9, "a_b": 9}), sets=[], env={})
    with pytest.raises(ToolkitError, match='series "a b" and another would both be in a_b'):
        jobs_of(twins, Plan(each=True))


@pytest.mark.parametrize("rows", [97, 1488, 52281])
@pytest.mark.parametrize("folds", [1, 3, 7])
def test_the_folds_are_the_test_rows_in_order(rows: int, folds: int) -> None:
    split = (0.7, 0.15, 0.15)

    def edges(shares: list[float]) -> list[int]:  # as prepare cuts
        return [round(round(rows * float(e), 6)) for e in np.cumsum([0.0, *shares])]

    before = edges(list(split))[2]
    for fold in range(1, folds + 1):
        _, train_end, val_end, test_end, *_ = edges(split_of(split, fold, folds))
        assert val_end == before and abs((val_end - train_end) - rows * 0.15) <= 1, "validation just before the test"
        before = test_end
    assert before == rows


def test_walk_forward_sees_nothing_of_the_time_after_a_fold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "walk"
    assert main(["train", ROOM, *SETS, "--walk-forward", "2", "--out", str(out)]) == 0
    assert "all folds" in capsys.readouterr().out
    result = json.loads((out / "summary.json").read_text())
    series = [load_prepared(out / f"fold{k}" / "data.safetensors") for k in (1, 2)]
    (first,), (second,) = series[0].spans["test"], series[1].spans["test"]
    assert first[1] == second[0] and second[1] == len(series[1].values)
    assert series[0].inputs[0].std != series[1].inputs[0].std, "scalers of each fold's own training rows"
    lines = Path("tests/data/room.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "past.csv").write_text("\n".join(lines[: 1 + first[1]]), encoding="utf-8")
    ends = [b for name in ("train", "val", "test") for _, b in series[0].spans[name]]
    shares = np.diff([0, *ends]) / ends[-1]
    past = single(tmp_path / "past", f"data.path={tmp_path / 'past.csv'}", f"data.split={shares.tolist()}")
    assert past["accuracy"]["float"] == result["runs"][0]["test"]
    error, skill, count = pooled([out / "fold1", out / "fold2"])
    assert result["pooled"] == [{"run": "all folds", "error": error, "skill": skill, "forecasts": count}]
    squares = sum(r["test"] ** 2 * r["forecasts"] for r in result["runs"])
    assert error["float"] == pytest.approx(np.sqrt(squares / count)) and set(error) == {"float", *skill}
    assert skill["persistence"]["low"] < skill["persistence"]["skill"] < skill["persistence"]["high"]


def test_two_trainings_in_one_folder(tmp_path: Path) -> None:
    from toolkit.lock import locked

    config = replace(load_config(ROOM, sets=QUICK, env={}))
    hold = "import sys; from pathlib import Path; from toolkit.lock import locked\n"
    hold += "with locked(Path(sys.argv[1]), 'trains', leave=False): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(ToolkitError, match=f"process {other.pid} trains here; wait until it ends"):
            train(config, tmp_path, say=lambda text: None)
        other.communicate("")
    assert not tmp_path.exists(), "the lock and an empty folder are gone"
    with locked(tmp_path, leave=False):
        pass


@pytest.mark.parametrize("plain", [False, True])
def test_on_a_terminal_each_training_has_its_line(monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    screen, said = io.StringIO(), list[str]()
    monkeypatch.setattr(
        "toolkit.train.processes.Console", lambda stderr: Console(file=screen, force_terminal=True, width=80)
    )
    board = Board({"seed0": "waits", "north/seed1": "waits"})
    with _shown(board, plain, said.append) as tell:
        board.lines["seed0"] = "epoch 1/2"
        tell("seed0", "epoch 1/2")
        tell("seed0", "a remark")
    if plain:
        assert said == ["seed0: epoch 1/2", "seed0: a remark"] and not screen.getvalue()
    else:
        drawn = screen.getvalue()
        assert "seed0        epoch 1/2" in drawn and "north/seed1  waits" in drawn and "seed0: a remark" in drawn
        assert "seed0: epoch" not in drawn and not said
