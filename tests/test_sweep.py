"""The verb `sweep`."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.network import load_network
from tests.conftest import needs
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.config import load_config, save_config
from toolkit.errors import ToolkitError
from toolkit.nn.layers import init_network
from toolkit.nn.summary import summary
from toolkit.stages.cost import cost
from toolkit.targets import ROOT
from toolkit.train.stage import train
from toolkit.train.sweep import ENOUGH, WARM, _executor, _medians, one_trial, sweep

ROOM = "docs/examples/room.toml"


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


TINY = ["model.hidden=3", "model.window=12", "train.epochs=4"]
SPACE: dict[str, Any] = {"model.hidden": [2, 6], "train.lr": {"low": 1e-4, "high": 0.1, "log": True}}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials in a thread: what is tested here is not the processes."""
    monkeypatch.setattr("toolkit.train.sweep._executor", lambda jobs, dask: ThreadPoolExecutor(jobs))


def run(out: Path, *sets: str, space: dict[str, Any] = SPACE, trials: int = 6, resume: bool = False) -> dict[str, Any]:
    config = load_config(ROOM, sets=[*TINY, 'deploy.boards=["host"]', *sets], env={})
    return sweep(config, space, out, trials=trials, jobs=1, dask=None, resume=resume, say=lambda text: None)


@pytest.mark.usefixtures("in_process")
def test_a_sweep_is_repeatable_and_one_in_two_halves_is_the_same(tmp_path: Path) -> None:
    needs("optuna")
    whole = run(tmp_path / "whole")
    assert run(tmp_path / "again") == whole and whole["trials"] == 6 and whole["front"]
    run(tmp_path / "halves", trials=3)
    assert run(tmp_path / "halves", resume=True) == whole


@pytest.mark.usefixtures("in_process")
def test_a_resumed_sweep_must_be_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("optuna")
    run(tmp_path, trials=1)
    before = (tmp_path / "sweep.json").read_text()
    for other, what in (
        (SPACE | {"model.hidden": [2, 8]}, r"model.hidden = \[2, 6\] in its space; now it is \[2, 8\]; set it back"),
        (SPACE | {"train.batch": [8, 16]}, r"train.batch = not there in its space; now it is \[8, 16\]"),
    ):
        with pytest.raises(ToolkitError, match=what):
            run(tmp_path, space=other, trials=2, resume=True)
    with pytest.raises(ToolkitError, match=r"asked.json: a sweep with train.epochs = 4; now it is 5; set it back"):
        run(tmp_path, "train.epochs=5", trials=2, resume=True)
    monkeypatch.setattr("toolkit.stages.cost.why_not", lambda board: "")
    monkeypatch.setattr("toolkit.stages.cost.unit_of", lambda board: "cycles")
    with pytest.raises(ToolkitError, match="objectives validation, flash, macs; here they are validation, flash, cyc"):
        run(tmp_path, trials=2, resume=True)
    assert (tmp_path / "sweep.json").read_text() == before


def test_what_is_worse_than_the_median_is_pruned(tmp_path: Path) -> None:
    config = load_config(ROOM, sets=[*TINY, 'deploy.boards=["host"]'], env={})
    save_config(config, tmp_path / "config.toml")
    path = str(tmp_path / "config.toml")
    good = one_trial(path, [], [], "macs")
    assert len(good["curve"]) == 4 and good["values"][0] == good["curve"][-1] == min(good["curve"])
    assert good["values"][2] == (4 * 3 * (2 + 3) + 3) * 12 and good["values"][1] > 4 * 3 * (2 + 3)
    assert _medians([good["curve"]] * ENOUGH) == good["curve"] and not _medians([good["curve"]] * (ENOUGH - 1))
    assert _medians([[4.0, 1.0], [2.0], [3.0, 2.0], [9.0, 9.0]]) == [3.5, 2.0]
    _, flash, macs = good["values"]
    others = [(flash, macs, good["curve"])] * ENOUGH
    bad = one_trial(path, ["train.lr=1e-9"], others, "macs")
    assert bad["values"] is None and bad["said"] == f"pruned after epoch {WARM}" and len(bad["curve"]) == WARM
    assert one_trial(path, [], others, "macs") == good, "the median itself is not worse"
    for dearer in ((flash + 1, macs, good["curve"]), (flash, macs + 1, good["curve"])):
        cheap = one_trial(path, ["train.lr=1e-9"], [dearer] * 9, "macs")
        assert cheap["values"][1:] == [flash, macs], "what costs more does not end it"


def test_ctrl_c_ends_the_trial_at_work_and_leaves_a_sweep_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("optuna")

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("toolkit.train.sweep.wait", interrupt)
        with pytest.raises(
            ToolkitError, match=f"sweep interrupted; {tmp_path} has the finished trials: go on with --r"
        ):
            run(tmp_path, "train.epochs=1000000", "train.patience=1000000", trials=1)
    assert not multiprocessing.active_children() and not (tmp_path / "lock").exists()
    with pytest.raises(ToolkitError, match=r"train\.epochs = 1000000; now it is 4"):
        run(tmp_path, trials=1, resume=True)


@pytest.mark.usefixtures("in_process")
def test_the_environment_counts_and_killed_in_a_trial_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("optuna")
    space, out = tmp_path / "space.toml", tmp_path / "out"
    space.write_text('[space]\n"model.hidden" = [2, 6]\n"train.lr" = {low = 1e-4, high = 0.1, log = true}\n')
    sets = [part for text in TINY[:2] for part in ("--set", text)]
    command = ["sweep", ROOM, "--space", str(space), "--board", "host", *sets, "--trials", "3", "--out", str(out)]
    monkeypatch.setenv("TEALIGHT_TRAIN__EPOCHS", "4")
    with subprocess.Popen(
        [sys.executable, "-m", "toolkit", *command], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stderr is not None
        assert next(line for line in parent.stderr if line.startswith("trial 0 (1/3): validation"))
        while '"op_code":4' not in (out / "journal.log").read_text().rpartition('"op_code":6')[2]:
            time.sleep(0.01)  # the next is asked for
        parent.kill()
    monkeypatch.setenv("TEALIGHT_TRAIN__EPOCHS", "3")
    assert main([*command, "--resume"]) == 1 and "train.epochs = 4; now it is 3" in capsys.readouterr().err
    monkeypatch.setenv("TEALIGHT_TRAIN__EPOCHS", "4")
    assert main([*command, "--resume"]) == 0
    assert "trial 2 (2/3): " in capsys.readouterr().err, "another takes the interrupted one's place"
    found, whole = json.loads((out / "sweep.json").read_text()), run(tmp_path / "whole", trials=3)
    plain = [[{k: v for k, v in r.items() if k != "trial"} for r in x["front"]] for x in (found, whole)]
    assert plain[0] == plain[1] and found["trials"] == 3


def test_a_dask_cluster_of_two_workers(tmp_path: Path) -> None:
    needs("optuna", "dask")
    from dask.distributed import LocalCluster

    config = load_config(ROOM, sets=[*TINY, 'deploy.boards=["host"]'], env={})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:  # type: ignore[no-untyped-call]
        said: list[str] = []
        result = sweep(
            config, SPACE, tmp_path, trials=4, jobs=2, dask=cluster.scheduler_address, resume=False, say=said.append
        )
    assert result["trials"] == 4 and result["front"] and sum("validation" in x for x in said) == 4
    with pytest.raises(ToolkitError, match="no cluster answers there"):
        _executor(1, "tcp://127.0.0.1:1")


def test_cycles_are_those_of_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counted of noise, before training, and of the trained model's image: within the conversion of a sample."""
    needs("unicorn", "host-cc")
    board = load_board("microbit")
    config = load_config(ROOM, sets=[*TINY, "train.epochs=1"], env={})
    train(config, tmp_path, say=lambda text: None)
    network = load_network(tmp_path / "model.safetensors")
    found = cost(network, board)
    assert str(found) == f"{found.each:,} estimated cycles a forecast"
    for verb in (
        ["quantize"],
        ["generate-c", "--board", "microbit"],
        ["profile", "--board", "microbit", "--steps", "24"],
    ):
        assert main([verb[0], str(tmp_path), *verb[1:]]) == 0, capsys.readouterr().err
    measured = json.loads((tmp_path / "build" / "microbit" / "profile.json").read_text())["cycles_per_step"]["max"]
    assert found.each == pytest.approx(measured, rel=0.01)
    assert cost(init_network(network, config.model, rng=np.random.default_rng(7)), board) == found
    more = load_config(ROOM, sets=[*TINY, "model.hidden=4"], env={})
    assert cost(init_network(network, more.model, rng=np.random.default_rng(7)), board).each > found.each
    assert "microbit: flash" in summary(network, "microbit") and str(found) in summary(network, "microbit")
    with pytest.raises(ToolkitError, match="host: nothing can be counted: no emulator knows host"):
        cost(network, load_board("host"))
    assert "cycles" not in summary(network, "host").splitlines()[-1]
