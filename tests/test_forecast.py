"""Forecasts after a series and after each line of standard input, by every engine."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import IO
from unittest.mock import MagicMock

import numpy as np
import pytest

from quantize import oracle
from quantize.network import load_network
from quantize.ptq import Options
from quantize.qnetwork import load_qnetwork
from tests.conftest import needs
from tests.nets import generated
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.config import load_config
from toolkit.data.prepared import load_prepared
from toolkit.errors import ToolkitError
from toolkit.nn.network import forward
from toolkit.stages.engines import Floats, Integers
from toolkit.stages.forecast import follow, forecast
from toolkit.stages.generate import generate_c
from toolkit.stages.quantize import quantize
from toolkit.train import train


def test_an_imported_model_has_no_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["forecast", str(tmp_path)]) == 1
    assert f"{tmp_path}: an imported model has no series to forecast" in capsys.readouterr().err
    assert main(["forecast", str(tmp_path / "none")]) == 1
    assert "no such run folder; expected one that `train` or `import` made" in capsys.readouterr().err


SHAPES = {
    "horizons": ("data.horizon=[1,2,4]",),
    "one": ('data.inputs=["temperature"]', "data.targets=[]"),
    "window": ('data.inputs=["temperature"]', "data.targets=[]", "model.mode=window", "model.window=9"),
    "difference": ("data.target=difference", 'data.features=["temperature.difference(1)","heater","temperature"]'),
    "quantiles": ("model.output=quantile", "model.levels=[0.1,0.5,0.9]"),
}


@pytest.fixture(scope="module", params=sorted(SHAPES))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / request.param
    sets = ["train.epochs=2", "model.hidden=5", "data.horizon=1", "model.mode=stateful", *SHAPES[request.param]]
    train(load_config("docs/examples/room.toml", sets=sets, env={}), out, say=lambda s: None)
    quantize(out, Options(), say=lambda s: None)
    return out


def values(result: dict) -> list[list[float]]:
    return [list(row["values"].values()) for row in result["rows"]]


def test_the_oracle_the_c_and_the_float_network_agree(run: Path) -> None:
    needs("host-cc")
    by = {t: forecast(run, steps=0, target=t, say=lambda s: None) for t in ("float", "oracle", "host")}
    assert by["oracle"]["rows"] == by["host"]["rows"]
    near = np.abs(np.array(values(by["float"])) - values(by["oracle"])).max()
    assert near < 0.2 and not by["float"]["recursive"]
    assert [row["step"] for row in by["float"]["rows"]] == ([1, 2, 4] if run.name == "horizons" else [1])
    assert len(values(by["float"])[0]) == (3 if run.name == "quantiles" else 1)
    assert by["float"]["rows"][0]["time"] == "2024-01-18 10:00:00" and by["float"]["unit"] == "°C"


def test_a_recursive_forecast_feeds_itself(run: Path) -> None:
    if run.name not in ("one", "window"):
        with pytest.raises(ToolkitError, match=r"--steps 7: the network forecasts \[1.*\] steps ahead; more needs"):
            forecast(run, steps=7, target="oracle", say=lambda s: None)
        return
    result = forecast(run, steps=7, target="oracle", say=lambda s: None)
    q, p = load_qnetwork(run / "model.q.safetensors"), load_prepared(run / "data.safetensors")
    stream = oracle.Stream(q)
    for row in p.values[p.starts[-1] :][-2000:]:
        y = stream.predict(oracle.to_raw(q.raws, row[:1]))
    want = []
    for _ in range(7):
        want.append(float(oracle.from_raw(q.forecasts, y)[0]))
        y = stream.predict(oracle.to_raw(q.raws, np.array(want[-1:])))
    assert values(result) == [[v] for v in want] and result["recursive"]


@pytest.mark.parametrize("run", ["one", "difference"], indirect=True)
def test_a_board_gives_the_oracle_s_bits(run: Path) -> None:
    needs("unicorn", "zig")
    generate_c(run, load_board("microbit"), None, float_api=False, target=None, optimize="speed", say=lambda s: None)
    said: list[str] = []
    result = forecast(run, steps=0, target="microbit", say=said.append)
    assert result["rows"] == forecast(run, steps=0, target="oracle", say=lambda s: None)["rows"]
    assert result["by"] == "microbit" and any("steps equal to the oracle" in s for s in said)
    assert not (run / "build" / "microbit").exists()


def test_a_line_in_a_line_out(run: Path) -> None:
    network, p = load_network(run / "model.safetensors"), load_prepared(run / "data.safetensors")
    rows = p.values[:40, : p.raws]
    text = "\n".join(",".join(f"{v:.2f}" for v in row) for row in rows) + "\n\n"
    answers: list[str] = []
    result = follow(run, io.StringIO("\n" + text), target="float", answer=answers.append)
    assert len(answers) == 42 and answers[0] == "" and result["lines"] == 41  # a lost sample before the first is none
    assert answers[network.warmup - 1] == "" and all(answers[network.warmup :])
    assert 0 < result["median_us"] <= result["largest_us"]
    if run.name == "one":
        y, _ = forward(network, ((rows - p.inputs[0].mean) / p.inputs[0].std)[None])
        want = y[0, -1] * network.outputs[0].std + network.outputs[0].mean
        assert float(answers[40]) == pytest.approx(float(want[0]), rel=1e-6)


def test_bad_lines_and_targets(run: Path) -> None:
    with pytest.raises(ToolkitError, match='standard input, line 2: "abc": expected'):
        line = ",".join(["1"] * load_prepared(run / "data.safetensors").raws)
        follow(run, io.StringIO(f"{line}\nabc\n"), target="oracle", answer=lambda s: None)
    with pytest.raises(ToolkitError, match="--follow --target microbit: expected one of float, oracle, host"):
        follow(run, io.StringIO(""), target="microbit", answer=lambda s: None)


@pytest.mark.parametrize("run", ["one"], indirect=True)
def test_the_verb(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["forecast", str(run), "--steps", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][2]["step"] == 3
    assert main(["forecast", str(run), "--target", "host"]) == 0
    assert "direct; computed by host" in capsys.readouterr().out
    assert main(["forecast", str(run), "--steps", "-1"]) == 1
    (run / "model.q.safetensors").rename(tmp_path / "away")
    assert main(["forecast", str(run), "--target", "oracle"]) == 1
    (tmp_path / "away").rename(run / "model.q.safetensors")
    assert "not quantized yet; run `quantize" in capsys.readouterr().err


@pytest.mark.parametrize("run", ["one"], indirect=True)
def test_a_long_gap_begins_a_new_warm_up(run: Path) -> None:
    q = load_qnetwork(run / "model.q.safetensors")
    lines, answers = "20\n" * q.warmup + "\n" * (q.max_gap + 1) + "20\n", list[str]()
    follow(run, io.StringIO("\ufeff" + lines), target="oracle", answer=answers.append)
    assert all(answers[q.warmup - 1 : -2]) and not any(answers[: q.warmup - 1] + answers[-2:])


@pytest.mark.parametrize("missing", ["hold", "reset", "interpolate"])
@pytest.mark.parametrize("run", ["one", "window", "difference"], indirect=True)
def test_a_lost_sample_is_the_same_to_every_engine(run: Path, missing: str) -> None:
    """Gaps of 1 to max_gap + 1 samples: answers at the same lines, and the same ones but for quantization."""
    network, q = load_network(run / "model.safetensors"), load_qnetwork(run / "model.q.safetensors")
    if missing == "interpolate" and network.front:
        return  # refused by training
    prepared = load_prepared(run / "data.safetensors")
    floats = Floats(replace(network, missing=missing, max_gap=2), prepared)
    integers = Integers(oracle.Stream(replace(q, missing=missing, max_gap=2)), q)
    assert np.isnan(floats.feed(None)).all() and not floats.warmed_up
    at = 0
    for gap in (1, 2, 3, 5, 1):
        for k in range(q.warmup + 6):
            lost = q.warmup + 1 < k <= q.warmup + 1 + gap
            row = None if lost else prepared.values[at, : prepared.raws]
            at += not lost
            y, want = floats.feed(row), integers.feed(row)
            assert floats.warmed_up == integers.warmed_up
            if floats.warmed_up:
                assert y == pytest.approx(want, abs=0.05)
    assert (floats.fed, floats.lost) == (integers.stream.steps, integers.stream.lost)


@pytest.mark.parametrize("run", ["difference"], indirect=True)
def test_without_a_sample_a_difference_has_no_base(run: Path) -> None:
    """As model.h says: an offset from 0, while warmed_up is false."""
    q = load_qnetwork(run / "model.q.safetensors")
    stream = oracle.Stream(q)
    zero = stream.predict_missing()
    for _ in range(q.warmup):
        stream.predict(oracle.to_raw(q.raws, np.array([20.0, 0.0])))
    for _ in range(q.max_gap + 1):
        assert stream.warmed_up
        stream.predict_missing()
    assert not stream.warmed_up and list(stream.predict_missing()) == list(zero) and abs(zero[0]) < 500
    assert "an offset from 0" in generated(q)["room.h"]


@pytest.mark.parametrize("run", ["one"], indirect=True)
def test_numbers_are_in_plain_digits(run: Path) -> None:
    for odd in ("1_000", "\u0661\u0662", "0x10", "1,5", "inf", "nan"):
        with pytest.raises(ToolkitError, match="standard input, line 1: ") as caught:
            follow(run, io.StringIO(f"{odd}\n"), target="float", answer=lambda s: None)
        assert odd in str(caught.value) and "expected 1 numbers: temperature" in str(caught.value)


def test_of_several_series_the_last_or_the_one_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, first, rows in (("a", 10, 80), ("b", 50, 70)):
        lines = [f"{k},{first + k % 5}" for k in range(rows)]
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.csv").write_text("t,x\n" + "\n".join(lines) + "\n")
    toml = '[data]\npath = "in"\ndate = "t"\n[model]\nhidden = 3\nwarmup = 3\n[train]\nepochs = 1\n'
    (tmp_path / "run.toml").write_text(toml)
    run = tmp_path / "run"
    assert main(["train", str(tmp_path / "run.toml"), "--out", str(run)]) == 0
    capsys.readouterr()
    assert main(["forecast", str(run)]) == 0
    said = capsys.readouterr()
    assert said.err == "of 2 series this is b, the last; --series takes a, b\n" and said.out.startswith("b last sample")
    assert "x 54" in said.out
    assert main(["forecast", str(run), "--series", "a", "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert said.err == "" and result["series"] == "a" and result["last"]["values"] == {"x": 14.0}
    assert result["rows"][0]["time"].endswith("00:01:20")
    assert main(["forecast", str(run), "--series", "c"]) == 1
    assert capsys.readouterr().err.startswith('error: --series "c": expected one of a, b')
    assert main(["forecast", str(run), "--series", "a", "--follow"]) == 1
    assert "expected no --series" in capsys.readouterr().err


@pytest.mark.parametrize("run", ["one"], indirect=True)
def test_a_drawing_is_whole_or_not_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without matplotlib, which no other test needs: a figure that can only be saved."""

    class Figure(MagicMock):
        broken = False

        def savefig(self, file: IO[bytes], **_: object) -> None:
            file.write(b"PNG")
            if self.broken:
                raise OSError(28, "No space left on device")

    monkeypatch.setitem(sys.modules, "matplotlib", ModuleType("matplotlib"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", MagicMock(Figure=Figure))
    to = tmp_path / "f.png"
    assert main(["forecast", str(run), "--png", str(to)]) == 0 and to.read_bytes() == b"PNG"
    to.write_bytes(b"before")
    monkeypatch.setattr(Figure, "broken", True)
    assert main(["forecast", str(run), "--png", str(to)]) == 1
    assert to.read_bytes() == b"before" and list(tmp_path.iterdir()) == [to]
    assert main(["forecast", str(run), "--png", str(run / "config.toml" / "f.png")]) == 1
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("run", ["one"], indirect=True)
def test_streams_that_are_closed(run: Path) -> None:
    def closed(redirections: str) -> tuple[int, str]:
        python = f"{shlex.quote(sys.executable)} -m toolkit forecast {shlex.quote(str(run))}"
        done = subprocess.run(["bash", "-c", f"{python} {redirections}"], capture_output=True, text=True)
        return done.returncode, done.stderr

    assert closed("--follow <&-") == (
        1,
        "error: --follow: standard input is closed; expected a sample a line, e.g. from a pipe\n",
    )
    said = "error: standard output was closed before everything was written, e.g. by | head\n"
    assert closed("--json | true; exit ${PIPESTATUS[0]}") == (1, said)
