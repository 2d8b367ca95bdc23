"""Kernel selection: the profiles, what tune measures and writes, and the C that follows it; load_model; slices."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize import oracle
from quantize.qnetwork import load_qnetwork, save_qnetwork
from tests.conftest import needs
from tests.golden.make import model_file
from tests.nets import Shape, random_qnetwork, random_x
from toolkit import cpu
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.codegen.choose import PROFILES, candidates, choose
from toolkit.errors import ToolkitError
from toolkit.host import load_model
from toolkit.importers import Options
from toolkit.importers.tflite_ import read
from toolkit.stages.generate import kernels_of
from toolkit.stages.tuned import read_tune, tune_file

BOARD = "mps2_an386"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a series, tuned for an emulated Cortex-M4."""
    needs("unicorn")
    run = tmp_path_factory.mktemp("tuned")
    shape = Shape(3, (12, 8), 2, (16, 8), "stateful", 0, "hold", 3, ("lstm", "gru"))
    save_qnetwork(random_qnetwork(np.random.default_rng(1), shape, "net"), run / "model.q.safetensors")
    assert main(["tune", str(run), "--board", BOARD]) == 0
    return run


def test_the_choices_follow_the_numbers(tuned: Path) -> None:
    found = json.loads((tuned / f"tune.{BOARD}.json").read_text())
    rows = found["candidates"]
    assert found["unit"] == "cycles" and len(rows) >= 2 and all(r["cost"] > 0 and r["stack"] > 0 for r in rows)
    for r in rows:
        assert set(r["kernels"]) == set(r["layers"]) == {"lstm0", "gru1", "dense0"}
        assert sum(r["layers"].values()) < r["cost"]

    def row(profile: str) -> dict[str, float]:
        return next(dict(r) for r in rows if r["kernels"] == found["choice"][profile]["kernels"])

    quick, small = min(r["cost"] for r in rows), min(r["flash"] for r in rows)
    assert row("speed")["cost"] == quick and row("size")["flash"] == small
    assert row("balanced")["cost"] <= 1.25 * quick
    assert row("balanced")["flash"] == min(r["flash"] for r in rows if r["cost"] <= 1.25 * quick)
    fastest = {n: min(r["layers"][n] for r in rows) for n in rows[0]["layers"]}
    assert {n: row("speed")["layers"][n] for n in fastest} == fastest


@pytest.mark.parametrize("profile", PROFILES)
def test_generate_c_follows_it_and_says_why(tuned: Path, profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads((tuned / f"tune.{BOARD}.json").read_text())["choice"][profile]
    assert main(["generate-c", str(tuned), "--board", BOARD, "--optimize", profile]) == 0
    said = capsys.readouterr().err
    q = load_qnetwork(tuned / "model.q.safetensors")
    assert kernels_of(tuned / "c" / BOARD, q) == found["kernels"]
    for layer, target in found["kernels"].items():
        assert f"{layer}: {target} kernel: " in said
    assert main(["run", str(tuned), "--board", BOARD, "--steps", "40"]) == 0  # the same bits


def test_two_tunes_write_the_same(tuned: Path) -> None:
    before = (tuned / f"tune.{BOARD}.json").read_bytes()
    assert main(["tune", str(tuned), "--board", BOARD]) == 0
    assert (tuned / f"tune.{BOARD}.json").read_bytes() == before


def test_a_retrained_model_keeps_its_choice(tuned: Path) -> None:
    q = load_qnetwork(tuned / "model.q.safetensors")
    head = q.layers[-1]
    other = replace(q, layers=(*q.layers[:-1], replace(head, arrays={**head.arrays, "b": head.arrays["b"] * 0})))
    assert read_tune(tuned / f"tune.{BOARD}.json", other, load_board(BOARD)) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {**t, "board": "microbit"}, "tuned for board microbit"),
        (lambda t: {**t, "model": ["lstm0: lstm 1 -> 5"]}, "tuned for another model"),
        (lambda t: {**t, "tune": 9}, "version 9"),
        (lambda t: {**t, "choice": {**t["choice"], "speed": {"kernels": {"lstm0": "avx2"}, "why": "x"}}}, "do not fit"),
        (lambda t: {k: v for k, v in t.items() if k != "choice"}, "not a file that `tune` wrote"),
        (lambda t: [], "not a file that `tune` wrote"),
    ],
)
def test_a_tune_file_that_does_not_fit(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change, message: str
) -> None:
    shutil.copy(tuned / "model.q.safetensors", tmp_path)
    path = tune_file(tmp_path, load_board(BOARD))
    path.write_text(json.dumps(change(json.loads((tuned / path.name).read_text()))))
    capsys.readouterr()
    assert main(["generate-c", str(tmp_path), "--board", BOARD]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (tmp_path / "c").exists()


def test_without_tune() -> None:
    q, board = load_qnetwork(model_file("demo")), load_board(BOARD)
    taken = {}
    for profile in PROFILES:
        choices = choose(q, board, optimize=profile, wanted=None, tune=None)
        assert [c.layer for c in choices] == [x.name for x in q.layers]
        assert all(c.target in candidates(board) and c.why for c in choices)
        taken[profile] = {c.target for c in choices}
    assert taken == {"speed": {"dsp"}, "size": {"dsp_size", "ref"}, "balanced": {"dsp"}}


def test_a_layer_that_no_kernel_takes_falls_to_ref_and_says_so() -> None:
    """More columns than the offsets of csrc/tl_dsp_layer.h reach."""
    wide = Shape(2001, (1,), 1, (16,), "stateful", 0, "hold", 3, ("gru",))
    q = random_qnetwork(np.random.default_rng(0), wide, "net")
    first = choose(q, load_board(BOARD), optimize="speed", wanted=None, tune=None)[0]
    assert first.target == "ref" and first.why == "dsp has none for gru 2001 -> 1"


def test_a_kernel_of_the_table_activations_alone_is_the_reason() -> None:
    q = read(Path("tests/data/tflite/fused_int8.tflite"), Options("net", None, None, False, None)).q
    assert q is not None
    first = choose(q, load_board(BOARD), optimize="speed", wanted=None, tune=None)[0]
    assert first.target == "ref"
    assert first.why == "dsp has lstm_w8a8 for the table activations (tflm) alone; these are gemmlowp's (tflite)"


@pytest.mark.parametrize("target", ["best", *cpu.host_targets()])
def test_load_model(tmp_path: Path, target: str) -> None:
    needs("host-cc")
    model, stream = load_model(model_file("demo"), target=target), oracle.Stream(load_qnetwork(model_file("demo")))
    for x in random_x(np.random.default_rng(1), (30, 2)):
        assert model.step(x).tolist() == stream.step(x).tolist()
        assert model.state() == stream.save()


def test_load_model_refuses_what_cannot_run() -> None:
    with pytest.raises(ToolkitError, match="--target v6n: no such kernels; did you mean"):
        load_model(model_file("demo"), target="v6n")
    with pytest.raises(ToolkitError, match="--target v6m: host cannot run them"):
        load_model(model_file("demo"), target="v6m")


# --- slices ---


@pytest.mark.parametrize("budget", ["1", "3", "64"])
def test_slices_on_a_board(tuned: Path, budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate-c", str(tuned), "--board", BOARD, "--target", "ref"]) == 0
    job = [str(tuned), "--board", BOARD, "--slice", budget, "--steps", "30"]
    assert main(["run", *job]) == 0
    capsys.readouterr()
    assert main(["profile", *job, "--json"]) == 0
    p = json.loads(capsys.readouterr().out)
    slices = {"1": 12 + 8 + 1, "3": 4 + 3 + 1, "64": 1 + 1 + 1}[budget]  # of 12 units, of 8, and the head
    assert p["slice"] == int(budget) and p["steps"] == 30 * slices


def test_a_smaller_budget_holds_for_less(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worst = []
    for budget in ("1", "4", "12"):
        capsys.readouterr()
        job = [str(tuned), "--board", BOARD, "--slice", budget, "--steps", "5"]
        assert main(["profile", *job, "--json"]) == 0
        worst.append(json.loads(capsys.readouterr().out)["instructions_per_step"]["max"])
    assert worst[0] < worst[1] < worst[2]


def test_a_bad_budget(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tuned), "--board", BOARD, "--slice", "0"]) == 1
    assert "--slice 0: expected hidden units, 1 or more" in capsys.readouterr().err


def test_poll_without_begin_does_nothing() -> None:
    needs("host-cc")
    model = load_model(model_file("demo"), target="ref")
    model.step(np.array([100, -200]))
    before, y = model.state(), model._ffi.new("int32_t[]", 1)
    assert model._call("step_poll", 1, y) and model.state() == before
