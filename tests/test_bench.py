"""`toolkit bench`: the shape of its result; no speed is judged."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantize.ops import lstm, lstm_w8a8
from tests.conftest import needs
from toolkit import bench_peers, cli
from toolkit.bench_ours import RANGE, quantized
from toolkit.errors import ToolkitError
from toolkit.stages import bench_training
from toolkit.stages.bench import SCHEMES, parse_shapes, random_lstm, summary


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    needs("host-cc")
    file = tmp_path_factory.mktemp("bench") / "out.json"
    with pytest.MonkeyPatch.context() as patch, file.open("w", encoding="utf-8") as out:
        patch.setattr("sys.stdout", out)
        assert cli.main(["bench", "--shapes", "1,4", "3,20", "--seconds", "0.01", "--json"]) == 0
    return dict(json.loads(file.read_text("utf-8")))


def test_every_candidate_is_timed(result: dict[str, Any]) -> None:
    peers, _ = bench_peers.installed()
    assert [(r["inputs"], r["hidden"]) for r in result["layers"]] == [(1, 4), (3, 20)]
    for row in result["layers"]:
        assert set(row["load"]) == set(SCHEMES)
        for kind in ("step", "sequence"):
            assert set(row[kind]) == {*SCHEMES, *peers}
            assert all(v["median"] >= v["best"] > 0 for v in row[kind].values())
            assert all("overhead" in row[kind][p] for p in peers)
            assert set(row["ratios"][kind]) == {f"{p} / {s}" for p in peers for s in SCHEMES}
    assert set(result["versions"]) == {"ai_edge_litert", "onnx", "onnxruntime", "torch"}


def test_summary_has_a_row_per_layer(result: dict[str, Any]) -> None:
    lines = summary(result).splitlines()
    tables = 5 if bench_peers.installed()[0] else 3
    assert sum(line.startswith("| 3,20 |") for line in lines) == tables


def test_peers_compute_the_same_lstm() -> None:
    """What is timed is the layer that we run, not another."""
    layer = random_lstm(3, 8)
    x = np.random.default_rng(0).normal(0, 1, (5, 3)).astype(np.float32)
    state = {k: np.zeros((1, 8)) for k in ("h", "c")}
    for row in x:
        _, state = lstm.float_step(layer, row[None].astype(np.float64), state)
    names, _ = bench_peers.installed()
    found = {
        "onnxruntime f32": lambda y: y[0].ravel(),
        "torch f32": lambda y: y[1][0].numpy().ravel(),
    }
    checked = [name for name in names if name in found]
    if not checked:
        pytest.skip("SKIPPED: neither onnxruntime nor torch is installed")
    for name in checked:
        call, _ = bench_peers.PEERS[name][1](layer, x)["sequence"]
        assert np.abs(found[name](call()) - state["h"][0]).max() < 1e-5, name


@pytest.mark.parametrize("name", ["litert f32", "litert int8"])
def test_litert_computes_the_same_lstm(name: str) -> None:
    """Its outputs stay inside: the float ones are the float LSTM's, the int8 ones those of our w8a8."""
    needs("litert")
    layer, x = random_lstm(3, 8), np.random.default_rng(0).uniform(-2, 2, (5, 3)).astype(np.float32)
    call, empty = bench_peers.PEERS[name][1](layer, x)["sequence"]
    for run in (call, empty):
        run()
    interpreter = inspect.signature(call).parameters["keep"].default
    seen = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    if name == "litert f32":
        state = {k: np.zeros((1, 8)) for k in ("h", "c")}
        for row, h in zip(x, seen, strict=True):
            _, state = lstm.float_step(layer, row[None].astype(np.float64), state)
            assert np.abs(h - state["h"][0]).max() < 1e-5
        return
    q = quantized(layer, "w8a8")
    q = replace(q, params={**q.params, "table": 0})
    integers = {k: np.zeros((1, 8), np.int64) for k in lstm_w8a8.STATE}
    for row, h in zip(np.rint(x * 127 / RANGE).astype(np.int64), seen, strict=True):
        _, integers = lstm_w8a8.int_step(q, row[None], integers, None)
        assert h.tolist() == integers["h"][0].tolist()


@pytest.mark.parametrize("text", ["1", "0,4", "a,b", "1,32,4", "-1,3", "1,99999"])
def test_a_shape_that_is_none(text: str) -> None:
    with pytest.raises(ToolkitError, match="expected inputs,hidden"):
        parse_shapes([text])


def test_seconds_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--seconds", "0"]) == 1
    assert "expected more than 0" in capsys.readouterr().err


def test_without_peers_ours_are_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    needs("host-cc")
    monkeypatch.setattr(bench_peers, "find_spec", lambda name: None)
    assert cli.main(["bench", "--shapes", "1,4", "--seconds", "0.01"]) == 0
    out = capsys.readouterr()
    assert "torch f32: not installed" in out.err and "torch not installed" in out.out and "| 1,4 |" in out.out


def test_training_beside_torch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every case is measured, its gradients are right, and the table has a row of each; no speed is judged."""
    needs("host-cc", "torch")
    small = [replace(c, model=replace(c.model, hidden=9, window=5), windows=2 * c.batch) for c in bench_training.CASES]
    monkeypatch.setattr(bench_training, "CASES", tuple(small))
    assert cli.main(["bench", "--training", "--seconds", "0.01", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [r["case"] for r in result["cases"]] == ["a", "b", "c"] and result["peak_gflops"] > 1
    for r in result["cases"]:
        assert r["rounds"] >= 5 and r["native"] > 0 and r["torch"] > 0 and r["ratio"] > 0
        assert r["gradient_error"]["native"] < 1e-6 and r["gradient_error"]["torch"] < 1e-5
    assert sum(line.startswith("| (") for line in bench_training.summary(result).splitlines()) == 3


def test_training_takes_no_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--training", "--shapes", "1,4"]) == 1
    assert "bench --training measures its own three networks" in capsys.readouterr().err
