"""Forecasts after a series and after each line of standard input, by every engine."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quantize import oracle
from quantize.network import load_network
from quantize.ptq import Options
from quantize.qnetwork import load_qnetwork
from tests.conftest import needs
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.config import load_config
from toolkit.data.prepared import load_prepared
from toolkit.errors import ToolkitError
from toolkit.nn.network import forward
from toolkit.stages.forecast import follow, forecast
from toolkit.stages.generate import generate_c
from toolkit.stages.quantize import quantize
from toolkit.train import train

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
