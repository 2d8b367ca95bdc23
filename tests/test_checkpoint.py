"""A training that was interrupted goes on to the same bits; what cannot go on says why."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantize.network import network_digest, write_file
from toolkit.config import Config, load_config
from toolkit.data.prepared import prepare
from toolkit.errors import ToolkitError, write_whole
from toolkit.train import stage
from toolkit.train.backends.native import NativeBackend
from toolkit.train.checkpoint import NAME
from toolkit.train.trainer import Watcher, fit

ROOM = Path("docs/examples/room.toml")
SHAPES = {
    "stream": ("model.mode=stateful", "model.warmup=10", "model.dropout=0.2", "train.backend=numpy"),
    "window": ("model.mode=window", "model.cell=gru", "train.optimiser=rmsprop", "train.backend=numpy"),
    "native": ("model.mode=stateful", "model.warmup=10", "model.dropout=0.2"),
    "both ways": (
        "model.mode=window",
        "model.bidirectional=joined",
        "model.head=final_states",
        "train.schedule=plateau",
    ),
}


def quick(*sets: str) -> Config:
    return load_config(ROOM, sets=["train.epochs=6", "model.hidden=5", "model.window=12", *sets], env={})


def train(config: Config, out: Path, **keys: Any) -> dict[str, Any]:
    return stage.train(config, out, say=lambda s: None, **keys)


class Stopped(Exception):
    pass


def train_until(epoch: int, config: Config, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains, and stops dead after an epoch."""

    def watched(*a: Any, save: Any, **keys: Any) -> Any:
        def after(position: Any) -> None:
            save(position)
            if len(position.history) == epoch:
                raise Stopped

        return fit(*a, save=after, **keys)

    with monkeypatch.context() as m:
        m.setattr(stage, "fit", watched)
        with pytest.raises(Stopped):
            train(config, out)


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("epoch", [1, 4])
def test_going_on_gives_the_bits_of_going_through(
    shape: str, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick(*SHAPES[shape])
    whole = train(config, tmp_path / "whole")
    train_until(epoch, config, tmp_path / "cut", monkeypatch)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    assert train(config, tmp_path / "cut", resume=True)["accuracy"] == whole["accuracy"]
    digests = {network_digest(tmp_path / run / "model.safetensors") for run in ("whole", "cut")}
    assert len(digests) == 1
    lines = [(tmp_path / run / "metrics.jsonl").read_text().count("\n") for run in ("whole", "cut")]
    assert lines == [whole["training"]["epochs"]] * 2


def test_more_epochs_than_before(tmp_path: Path) -> None:
    config = quick("train.schedule=constant", "train.epochs=3")
    train(config, tmp_path)
    longer = replace(config, train=replace(config.train, epochs=5))
    assert train(longer, tmp_path, resume=True)["training"]["epochs"] == 5


def test_a_killed_process_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "toolkit",
        "train",
        str(ROOM),
        "--out",
        str(tmp_path),
        "--set",
        "train.epochs=5000",
    ]
    command += ["--set", "train.patience=5000", "--set", "model.hidden=4"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / NAME).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = (tmp_path / "metrics.jsonl").read_text().count("\n")
    sets = [f"train.epochs={done + 3}", "train.patience=5000", "model.hidden=4"]
    config = load_config(ROOM, sets=sets, env={})
    # the rate of a cosine depends on all epochs, but where training stands does not
    assert train(config, tmp_path, resume=True)["training"]["epochs"] == done + 3


def test_what_cannot_go_on_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = quick()
    with pytest.raises(ToolkitError, match="no checkpoint to go on from; train without --resume"):
        train(config, tmp_path, resume=True)
    train(config, tmp_path)
    blob = (tmp_path / NAME).read_bytes()
    with pytest.raises(ToolkitError, match=r"a checkpoint of model\.hidden = 5; now it is 6; set it back"):
        train(quick("model.hidden=6"), tmp_path, resume=True)
    changed = tmp_path / "room.csv"
    changed.write_text("".join(Path("tests/data/room.csv").read_text().splitlines(keepends=True)[:-200]))
    monkeypatch.setattr(stage, "prepare", lambda data, **keys: prepare(replace(data, path=str(changed)), **keys))
    with pytest.raises(ToolkitError, match="a checkpoint of another series"):
        train(config, tmp_path, resume=True)
    monkeypatch.undo()
    (tmp_path / NAME).write_bytes(blob[:-7])
    with pytest.raises(ToolkitError, match="not a complete safetensors file"):
        train(config, tmp_path, resume=True)
    (tmp_path / NAME).write_bytes(blob[:-1] + bytes([blob[-1] ^ 1]))
    with pytest.raises(ToolkitError, match="do not match their digest"):
        train(config, tmp_path, resume=True)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = quick("train.epochs=2")
    train(config, tmp_path)
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}

    def full(*a: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    longer = replace(config, train=replace(config.train, epochs=4))
    with pytest.raises(ToolkitError, match="No space left on device; the checkpoint before it is as it was"):
        train(longer, tmp_path, resume=True)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


def test_a_loss_that_explodes_says_where_and_what_is_kept(tmp_path: Path) -> None:
    sets = ["train.lr=1e6", "train.clip=1e9", "train.optimiser=sgd", "train.schedule=constant", "model.cell=rnn"]
    with pytest.raises(ToolkitError, match=r"epoch \d+, (step \d+|validation): the loss is no longer a number; lower"):
        train(quick("model.activation=relu", "model.mode=window", *sets), tmp_path)
    assert not list(tmp_path.glob("*.tmp")) and not (tmp_path / "model.safetensors").exists()


def test_a_watcher_can_stop_it_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watched(*a: Any, watcher: Watcher, **keys: Any) -> Any:
        def batch(done: int, of: int, loss: float) -> None:
            assert 1 <= done <= of
            watcher.stop = len(seen) == 2 and done == 2

        watcher.epoch, watcher.batch = lambda e, best: seen.append(e.epoch), batch
        return fit(*a, watcher=watcher, **keys)

    monkeypatch.setattr(stage, "fit", watched)
    result = train(quick("model.mode=stateful", "model.warmup=10"), tmp_path)
    assert seen == [1, 2] and result["training"]["epochs"] == 2 and (tmp_path / "model.safetensors").is_file()


def test_a_training_that_ends_before_its_first_epoch_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(quick("train.epochs=1"), tmp_path)
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    monkeypatch.setattr(NativeBackend, "evaluate", lambda self, batch: (float("nan"), 1))
    with pytest.raises(ToolkitError, match=r"lower train\.lr \(now 0\.01\) or train\.clip \(now 1\)$"):
        train(quick("train.seed=2"), tmp_path)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


@pytest.mark.parametrize("write", [lambda p: write_whole(p, "x"), lambda p: write_file(p, "kind", {}, {})])
def test_a_file_that_is_written_at_ctrl_c_or_on_a_full_disk(
    write: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: str, path: Path) -> None:
        Path(source).rename(path)
        raise KeyboardInterrupt

    def full(*a: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left") as e:
        write(tmp_path / "b")
    assert e.value.filename == str(tmp_path / "b") and [f.name for f in tmp_path.iterdir()] == ["a"]
