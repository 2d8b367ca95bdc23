"""Batches, backend, trainer and the stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.network import Column, Network, load_network, network_digest
from quantize.ptq import Options
from tests.conftest import needs
from tests.series import plain_series
from toolkit.config import Config, Model, Train, load_config
from toolkit.data.baselines import baseline_predictions, rmse
from toolkit.data.prepared import Prepared, forecast_rows, load_prepared, runs, truth
from toolkit.errors import ToolkitError
from toolkit.nn.layers import init_network
from toolkit.nn.network import forward, parameters
from toolkit.stages.quantize import quantize
from toolkit.train import evaluate_rows, train
from toolkit.train.backends import Batch
from toolkit.train.backends.native import NativeBackend
from toolkit.train.backends.reference import NumpyBackend
from toolkit.train.batches import (
    PIECE,
    shuffled_windows,
    split_rows,
    stream_count,
    streams,
    validation_pieces,
    validation_windows,
)

ROOM = Path("docs/examples/room.toml")


def prepared(rows: int, starts: list[int], horizon: int, edges: tuple[int, int]) -> Prepared:
    """Column a counts the rows, so that a batch tells where each number came from."""
    values = np.stack([np.arange(rows, dtype=float), np.random.default_rng(rows).normal(size=rows)], axis=1)
    scalers = (Column("a", "", 0, 0.0, 1.0), Column("b", "", 3, 0.0, 1.0))
    return plain_series(values, scalers, starts=starts, horizons=(horizon,), edges=edges)


def network(p: Prepared, *, mode: str, need: int, hidden: int = 4, layers: int = 2) -> Network:
    template = Network(
        "n", (), p.inputs, p.outputs, mode,
        need if mode == "window" else 0, need, p.horizon, 0.0, "hold", 6,
    )  # fmt: skip
    return init_network(template, Model(hidden=hidden, layers=layers), rng=np.random.default_rng(1))


def quick(*sets: str) -> Config:
    """The two-column example, small and fast."""
    return load_config(ROOM, sets=["train.epochs=4", "model.hidden=6", "model.window=12", *sets], env={})


@st.composite
def cut_series(draw: st.DrawFn) -> tuple[Prepared, int]:
    rows = draw(st.integers(20, 120))
    starts = sorted(draw(st.sets(st.integers(1, rows - 1), max_size=6)))
    first = draw(st.integers(10, rows - 6))
    return prepared(rows, starts, draw(st.integers(1, 4)), (first, draw(st.integers(first + 1, rows - 1)))), draw(
        st.integers(1, 6)
    )


@settings(max_examples=150, deadline=None)
@given(cut_series(), st.integers(1, 5), st.integers(2, 20), st.integers(0, 99))
def test_streams_cross_no_gap_and_leak_no_target(case: tuple[Prepared, int], count: int, steps: int, seed: int) -> None:
    p, warmup = case
    r = split_rows(p, "train", need=warmup)
    ranges = runs(p, "train")
    age, last = np.zeros(count, int), np.full(count, -1.0)
    for number, batch in enumerate(
        streams(r, warmup=warmup, count=count, steps=steps, rng=np.random.default_rng(seed))
    ):
        assert batch.carry == (number > 0)
        for t in range(batch.x.shape[1]):
            row = batch.x[:, t, 0]
            age = np.where(batch.reset[:, t], 1, age + 1)
            assert ((row == last + 1) | batch.reset[:, t]).all(), "rows follow each other, or the state is reset"
            for k in range(count):
                a, b = next(run for run in ranges if run[0] <= row[k] < run[1])
                assert row[k] - age[k] + 1 >= a, "all that the state has seen lies in one run"
                good = age[k] >= warmup and row[k] + p.horizon < b
                assert batch.weight[k, t] == good
                assert not good or batch.target[k, t, 0] == row[k] + p.horizon
            last = row


@settings(max_examples=150, deadline=None)
@given(cut_series(), st.integers(1, 50), st.integers(0, 99))
def test_windows_are_those_of_the_split_once_each(case: tuple[Prepared, int], size: int, seed: int) -> None:
    p, need = case
    for split in ("train", "val"):
        rows = forecast_rows(p, split, need=need).tolist()
        seen = []
        r = split_rows(p, split, need=need)
        for batch in shuffled_windows(r, window=need, batch=size, rng=np.random.default_rng(seed)):
            assert (np.diff(batch.x[:, :, 0], axis=1) == 1).all() and batch.weight.all() and not batch.reset.any()
            assert (batch.target[:, 0, 0] == batch.x[:, -1, 0] + p.horizon).all()
            seen += batch.x[:, -1, 0].astype(int).tolist()
        assert sorted(seen) == rows
        assert [int(v) for b in validation_windows(r, need) for v in b.x[:, -1, 0]] == rows


@settings(max_examples=100, deadline=None)
@given(cut_series())
def test_validation_pieces_hold_every_forecast_once(case: tuple[Prepared, int]) -> None:
    p, warmup = case
    seen: list[int] = []
    for batch in validation_pieces(split_rows(p, "val", need=warmup), warmup=warmup):
        k, t = np.nonzero(batch.weight)
        seen += batch.x[k, t, 0].astype(int).tolist()
        assert (batch.target[k, t, 0] == batch.x[k, t, 0] + p.horizon).all() and (t >= warmup - 1).all()
    assert sorted(seen) == forecast_rows(p, "val", need=warmup).tolist()


def test_a_long_validation_run_is_cut_into_pieces_with_their_own_warm_up() -> None:
    p = prepared(4 * PIECE, [], 3, (10, 3 * PIECE))
    (batch,) = validation_pieces(split_rows(p, "val", need=24), warmup=24)
    assert batch.x.shape[1] == PIECE + 23 and len(batch.x) == 3
    assert int(batch.weight.sum()) == len(forecast_rows(p, "val", need=24))


def test_few_rows_make_few_streams() -> None:
    r = split_rows(prepared(400, [], 1, (300, 350)), "train", need=10)
    assert stream_count(r, warmup=10, batch=32, steps=20) == 7 and stream_count(r, warmup=10, batch=4, steps=20) == 4
    assert stream_count(r, warmup=200, batch=32, steps=20) == 1


def random_batch(*, carry: bool) -> Batch:
    rng = np.random.default_rng(5)
    reset = np.zeros((3, 6), bool)
    reset[1, 2] = True
    return Batch(
        rng.normal(size=(3, 6, 2)).astype(np.float32), rng.normal(size=(3, 6, 1)).astype(np.float32),
        np.ones((3, 6), np.float32), reset, carry,
    )  # fmt: skip


def test_the_backend_carries_states_and_evaluate_changes_nothing() -> None:
    net = network(prepared(60, [], 1, (30, 45)), mode="stateful", need=3)
    first, then = random_batch(carry=False), random_batch(carry=True)
    backend = NumpyBackend(Train(clip=1e9), Model(), 1, np.float64)
    backend.load(net)
    backend.step(first, 0.0)  # no learning: only the states move
    before = parameters(backend.network(), np.float32).flat.copy()
    squared, count = backend.evaluate(first)
    assert count == 18 and np.array_equal(parameters(backend.network(), np.float32).flat, before)
    carried = backend.step(then, 0.0)
    x = np.concatenate([first.x, then.x], axis=1).astype(float)
    whole = forward(net, x[[0, 2]])[0][:, 6:] - then.target[[0, 2]]
    middle = forward(net, then.x[[1], 2:].astype(float))[0] - then.target[[1], 2:]
    carry = forward(net, first.x[[1], 2:].astype(float))[1]
    start = forward(net, then.x[[1], :2].astype(float), carry)[0] - then.target[[1], :2]
    total = sum(float(np.square(e).sum()) for e in (whole, middle, start))
    assert carried == pytest.approx(total / 18, rel=1e-9)
    assert squared / count != pytest.approx(carried, rel=1e-3)


def test_a_step_without_a_counting_target_learns_nothing() -> None:
    net = network(prepared(60, [], 1, (30, 45)), mode="stateful", need=3)
    backend = NumpyBackend(Train(), Model(), 1)
    backend.load(net)
    batch = random_batch(carry=False)
    assert backend.step(replace(batch, weight=np.zeros_like(batch.weight)), 0.1) == 0
    assert np.array_equal(parameters(backend.network(), np.float32).flat, parameters(net, np.float32).flat)


@pytest.mark.parametrize("mode", ["window", "stateful"])
def test_evaluate_rows_is_one_forward_per_run_or_window(mode: str) -> None:
    p = prepared(900, [20, 640, 650, 700, 710], 2, (300, 500))
    p = replace(p, values=np.random.default_rng(0).normal(size=p.values.shape))
    net = network(p, mode=mode, need=5)
    rows, true, y = evaluate_rows(p, net)
    assert np.array_equal(rows, forecast_rows(p, "test", need=5)) and np.array_equal(true, truth(p, rows))
    x = p.normalised()
    for row, forecast in zip(rows, y, strict=True):
        start = row - 4 if mode == "window" else next(a for a, b in runs(p, "test") if a <= row < b)
        np.testing.assert_allclose(forward(net, x[None, start : row + 1])[0][0, -1], forecast, atol=1e-12)


@pytest.mark.parametrize("mode", ["window", "stateful"])
def test_the_stage_writes_the_run_and_repeats_bit_for_bit(tmp_path: Path, mode: str) -> None:
    config = quick(f"model.mode={mode}", "model.warmup=10", "train.patience=3")
    said: list[str] = []
    result = train(config, tmp_path / "one", say=said.append)
    train(config, tmp_path / "two", say=said.append)
    names = [
        "checkpoint.safetensors",
        "config.toml",
        "data.safetensors",
        "metrics.jsonl",
        "model.safetensors",
        "train.json",
    ]
    assert sorted(f.name for f in (tmp_path / "one").iterdir()) == names
    for name in ("data.safetensors", "model.safetensors"):
        assert network_digest(tmp_path / "one" / name) == network_digest(tmp_path / "two" / name), name
    other = train(quick(f"model.mode={mode}", "train.seed=2"), tmp_path / "three", say=said.append)
    assert other["model"]["sha256"] != result["model"]["sha256"]

    assert json.loads((tmp_path / "one" / "train.json").read_text()) == result
    net, p = load_network(tmp_path / "one" / "model.safetensors"), load_prepared(tmp_path / "one" / "data.safetensors")
    assert (net.mode, net.name, net.horizon, net.period, net.window) == (
        mode,
        "room",
        6,
        600,
        12 if mode == "window" else 0,
    )
    assert [c.name for c in net.inputs] == ["temperature", "heater"] and net.outputs[0].unit == "°C"
    rows, true, y = evaluate_rows(p, net)
    scores = result["accuracy"]
    assert scores["float"] == rmse(y - true) and scores["forecasts"] == len(rows)
    for name, forecast in baseline_predictions(p, need=net.warmup, split="test").items():
        assert scores[name] == rmse(forecast - true)
    assert scores["skill"] == 1 - scores["float"] / scores["persistence"] and scores["unit"] == "°C"
    sizes = sum(v.size for x in net.layers for v in x.weights.values())
    assert result["model"]["params"] == sizes and result["model"]["macs_per_step"] == 4 * 6 * (2 + 6) + 6
    best = result["training"]["best_epoch"]
    epochs = [json.loads(text) for text in (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()]
    assert min(epochs, key=lambda e: e["val"])["epoch"] == best and len(epochs) == result["training"]["epochs"]
    if (
        mode == "window"
    ):  # validation windows are the same function as the final forecasts: the best weights were restored
        error = result["accuracy"]["validation"]["float"] / p.columns[0].std
        assert error == pytest.approx(epochs[best - 1]["val"], rel=1e-4)


def test_early_stopping_counts_from_the_best_epoch(tmp_path: Path) -> None:
    result = train(
        quick("train.epochs=30", "train.lr=0.3", "train.patience=2", "train.schedule=constant"),
        tmp_path,
        say=lambda s: None,
    )
    assert result["training"]["epochs"] == result["training"]["best_epoch"] + 2 < 30


def test_several_targets_are_told_apart(tmp_path: Path) -> None:
    result = train(quick('data.targets=["temperature", "heater"]', "train.epochs=1"), tmp_path, say=lambda s: None)
    scores = result["accuracy"]
    assert scores["unit"] == "" and scores["targets"]["heater"]["unit"] == "%"
    parts = [scores["targets"][k]["float"] for k in ("temperature", "heater")]
    assert scores["float"] == pytest.approx(np.sqrt(np.mean(np.square(parts))))


def test_no_skill_is_said_plainly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    walk = rng.normal(size=700).cumsum()
    (tmp_path / "walk.csv").write_text("price\n" + "\n".join(f"{v:.2f}" for v in walk))
    (tmp_path / "run.toml").write_text(
        'name = "walk"\n[data]\npath = "walk.csv"\n[model]\nhidden = 2\n[train]\nepochs = 1\n'
    )
    said: list[str] = []
    train(load_config(tmp_path / "run.toml", sets=[], env={}), tmp_path / "out", say=said.append)
    for baseline in ("the last value (persistence)", "a linear autoregression"):
        assert [s for s in said if f"+1: no skill over {baseline}: -" in s]
    assert [s for s in said if "streams side by side, not train.batch = 16" in s]


def test_the_demo_beats_both_baselines_after_a_few_epochs(tmp_path: Path) -> None:
    needs("demo-data")
    said: list[str] = []
    config = load_config("toolkit/presets/glucose.toml", sets=["train.epochs=6"], env={})
    scores = train(config, tmp_path, say=said.append)["accuracy"]
    assert scores["skill"] >= 0.16 and scores["float"] < scores["linear_ar"] and scores["unit"] == "mg/dL"
    assert not [s for s in said if "no skill over the last value" in s]


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NativeBackend, "evaluate", interrupt)
    with pytest.raises(ToolkitError, match="training interrupted; nothing was written"):
        train(quick(), tmp_path / "run", say=lambda s: None)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolkitError, match="file: Not a directory; choose another with --out"):
        train(quick(), tmp_path / "file" / "run", say=lambda s: pytest.fail("it began"))


def test_an_unknown_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match='no such backend; did you mean "numpy"'):
        train(quick("train.backend=numpi"), tmp_path / "run", say=lambda s: None)


def test_a_loss_that_is_no_number_stops_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NativeBackend, "evaluate", lambda self, batch: (float("nan"), 1))
    with pytest.raises(ToolkitError, match="epoch 1, validation: the loss is no longer a number; lower train"):
        train(quick(), tmp_path / "run", say=lambda s: None)


def test_a_label_that_the_input_knows_and_a_missing_policy_without_integer_form(tmp_path: Path) -> None:
    rows = "".join(f"{k},{k % 3},{np.sin(k / 9):.2f}\n" for k in range(300))
    (tmp_path / "phase.csv").write_text("t,phase,v\n" + rows)
    path = f"data.path={tmp_path / 'phase.csv'}"
    data = [path, "data.date=t", 'data.inputs=["phase","v"]', 'data.targets=["phase"]', "data.units={}"]
    sets = [*data, "data.target=class", "data.horizon=0", "model.output=class", "model.hidden=8"]
    result = train(quick(*sets, "train.epochs=12"), tmp_path / "run", say=lambda s: None)
    assert result["accuracy"]["persistence"] == result["accuracy"]["skill"] == 0  # the label itself
    assert result["accuracy"]["float"] == 0
    judged = quantize(tmp_path / "run", Options(), say=lambda s: None)["accuracy"]
    assert judged["quantized"] == 0 and judged["ner"] == 0 and judged["rmse_ratio"] == 1
    with pytest.raises(ToolkitError, match=r'deploy\.missing = "interpolate" fills a gap of inputs'):
        train(quick("data.target=difference", "deploy.missing=interpolate"), tmp_path / "b", say=lambda s: None)
