"""report.html and the summary: escaped, self-contained, the same bytes; what the charts and sentences say."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize.network import load_network, save_network
from quantize.ptq import Options
from quantize.qnetwork import QNetwork, load_qnetwork
from tests.report_run import HOSTILE, Page, change, fabricate, make_run, quiet, with_boards
from toolkit.codegen.lower import Destination, facts
from toolkit.config import load_config
from toolkit.data.prepared import load_prepared, save_prepared
from toolkit.errors import ToolkitError
from toolkit.report import charts, summary, write_report
from toolkit.report.gather import _model_memory
from toolkit.report.svg import Frame, line, ticks
from toolkit.report.verdict import verdict
from toolkit.stages.quantize import quantize
from toolkit.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return with_boards(made, tmp_path / "run")


def test_page_is_whole_and_fetches_nothing(run: Path) -> None:
    write_report(run)
    text = (run / "report.html").read_text()
    page = Page(text)
    assert page.values == ["data:,"]
    assert not re.search(r"https?://|url\(|@import|<iframe|<object|src=", text)
    assert {"svg", "table", "title"} <= set(page.tags)
    assert "Forecast of temperature" in page.words and "Memory" not in page.words


def test_names_and_units_are_escaped(run: Path) -> None:
    shutil.rmtree(run)
    make_run(run)
    network = load_network(run / "model.safetensors")
    columns = {
        s: tuple(replace(c, name=HOSTILE, unit=HOSTILE) for c in getattr(network, s)) for s in ("inputs", "outputs")
    }
    digest = save_network(replace(network, **columns), run / "model.safetensors")  # type: ignore[arg-type]
    series = load_prepared(run / "data.safetensors")
    save_prepared(
        replace(series, columns=tuple(replace(c, name=HOSTILE) for c in series.columns), inputs=columns["inputs"]),
        run / "data.safetensors",
    )
    found = json.loads((run / "train.json").read_text())
    found["model"]["sha256"] = digest
    (run / "train.json").write_text(json.dumps(found))
    quantize(run, Options(refit=True, deep_wx_bits=8), say=quiet)
    fabricate(run, "mps2_an386")
    change(run, "mps2_an386", "build", title=HOSTILE, compiler=HOSTILE)
    change(run, "mps2_an386", "run", emulator=HOSTILE, problems=[HOSTILE], passed=False, hash=HOSTILE)
    report = write_report(run)
    text = (run / "report.html").read_text()
    page = Page(text)
    assert report["accuracy"]["unit"] == HOSTILE and HOSTILE in "".join(page.words)
    assert page.tags.count("script") == 1 and "<script>alert" not in text
    assert HOSTILE in summary(report).replace("\n", "")


def test_same_files_same_bytes_and_no_path(run: Path, tmp_path: Path) -> None:
    change(run, "mps2_an386", "run", problems=[f"{run.resolve()}/build/x: broken"])
    other = tmp_path / "elsewhere"
    shutil.copytree(run, other)
    change(other, "mps2_an386", "run", problems=[f"{other.resolve()}/build/x: broken"])
    for folder in (run, other):
        write_report(folder)
    for name in ("report.json", "report.html"):
        assert (run / name).read_bytes() == (other / name).read_bytes()
        assert str(tmp_path) not in (run / name).read_text()


def test_a_loss_is_printed_as_a_loss(run: Path) -> None:
    accuracy = {"persistence": 3.0, "linear_ar": 1.0, "float": 1.9, "quantized": 2.0, "unit": "K"}
    found = verdict(accuracy)
    assert found["loss"] is True and found["skill"] == pytest.approx(1 / 3) and found["skill_linear_ar"] == -1.0
    assert found["verdict"][1] == "Loss: the network is worse than linear autoregression: test RMSE 2 K against 1 K."
    report = write_report(run)
    report["accuracy"] |= accuracy | found
    assert found["verdict"][1] in " ".join(summary(report).split())
    assert verdict(accuracy | {"quantized": 3.0})["verdict"][0].startswith("No skill: ")
    assert verdict(dict.fromkeys(accuracy))["loss"] is None


@pytest.mark.parametrize(
    "name", ["train.json", "quantize.json", "metrics.jsonl", "build/host/host.json", "config.toml"]
)
def test_damaged_files_are_named(run: Path, name: str) -> None:
    (run / name).write_text("{ not")
    with pytest.raises(ToolkitError, match=re.escape(name)) as e:
        write_report(run)
    assert "\n" not in str(e.value)


def test_no_run_here(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ToolkitError, match=r"run `python3 run\.py train` first"):
            write_report(path)


@pytest.mark.parametrize("mode", ["window", "stateful"])
def test_state_bytes_are_those_of_the_header(made: Path, mode: str) -> None:
    q: QNetwork = load_qnetwork(made / "model.q.safetensors")
    layers = tuple(replace(x, name=f"layer{k}") for k, x in enumerate(q.layers))
    q = replace(q, mode=mode, window=q.window if mode == "window" else 0, layers=layers)
    header = {k: v for k, v, _ in facts(q, Destination("host", "ref", "", "", False))["constants"]}
    memory = _model_memory(q)
    assert memory["state"] == int(header["STATE_BYTES"]) and memory["scratch"] == int(header["SCRATCH_BYTES"])
    assert memory["weights"] == int(header["WEIGHT_BYTES"]) and memory["tables"] == int(header["TABLE_BYTES"])


def test_forecasts_stand_at_their_time_and_lines_break_at_gaps(made: Path) -> None:
    prepared = load_prepared(made / "data.safetensors")
    rows = np.array([10, 11, 12, 20, 21])
    values = {k: np.arange(5.0)[:, None] for k in ("truth", "persistence", "linear_ar", "float", "quantized")}
    shown = charts.stretch({"rows": rows, "times": prepared.times[rows], **values}, prepared, 0)
    assert shown.times.tolist() == prepared.times[rows + prepared.horizon].tolist()
    assert shown.breaks.tolist() == [3]
    path = line(Frame(100, 100, (0.0, 4.0), (0.0, 4.0)), np.arange(5.0), np.arange(5.0), shown.breaks, "x")
    assert path.count("M") == 2


def test_ticks_are_round() -> None:
    assert ticks(0.0, 10.0, 5) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert ticks(3.0, 3.0, 5) == [3.0]


def test_two_targets_without_times(tmp_path: Path) -> None:
    run = make_run(tmp_path, 'data.targets=["temperature","heater"]', "data.date=")
    report = write_report(run)
    assert [t["name"] for t in report["accuracy"]["targets"]] == ["temperature", "heater"]
    assert report["accuracy"]["unit"] == "" and report["model"]["period"] == 0
    words = Page((run / "report.html").read_text()).words
    assert "Forecast of heater" in words and any(w.startswith("row ") for w in words)


def test_metrics_of_every_horizon_beside_every_baseline(tmp_path: Path) -> None:
    sets = ("data.horizon=[1, 6]", "data.season=48", "model.output=quantile", "model.levels=[0.1, 0.5, 0.9]")
    run = make_run(tmp_path, *sets)
    report = write_report(run)
    methods = ["persistence", "seasonal", "linear_ar", "float", "quantized"]
    assert [(r["horizon"], r["method"]) for r in report["metrics"]] == [(h, m) for h in (1, 6) for m in methods]
    told = {r["method"]: r for r in report["metrics"] if r["horizon"] == 6}
    assert [s["over"] for s in told["quantized"]["skill"]] == methods[:3] and told["seasonal"]["skill"] == []
    assert [q["level"] for q in told["float"]["quantiles"]] == [0.1, 0.5, 0.9]
    text = (run / "report.html").read_text("utf-8")
    cells = [re.findall(r"<t[dh][^>]*>([^<]*)", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    nine = [c for c in cells if len(c) == 9]
    assert [c[0] for c in nine] == ["Ahead", *["1", "", "", "", ""], *["6", "", "", "", ""]]
    last, ours = (next(c for c in nine if c[1] == x) for x in ("Value a season ago", "Network, float"))
    one = {r["method"]: r for r in report["metrics"] if r["horizon"] == 1}
    assert last[6:] == [f"{one['seasonal']['r2']:.3f}", f"{100 * one['seasonal']['direction']:.1f}", "–"]
    assert ours[2] == f"{one['float']['mae']:.4g}" and " to " in ours[8]
    assert one["persistence"]["direction"] is None  # it tells no change
    coverage = [c for c in cells if len(c) == 5 and c[1].startswith("Network")]
    assert [c[2] for c in coverage] == ["0.1", "0.5", "0.9"] * 4
    assert coverage[-1][4] == f"{100 * told['quantized']['quantiles'][-1]['coverage']:.1f}"


def test_classes_have_accuracy_and_are_not_taken_for_stale(tmp_path: Path) -> None:
    text = "x,label\n" + "".join(f"{k % 7},{int(k % 7 > 3)}\n" for k in range(300))
    (tmp_path / "c.csv").write_text(text)
    toml = '[data]\npath = "c.csv"\ninputs = ["x"]\ntargets = ["label"]\ntarget = "class"\nhorizon = 0\n[model]\n'
    (tmp_path / "c.toml").write_text(toml + 'output = "class"\nhidden = 4\nwarmup = 3\n[train]\nepochs = 2\n')
    config = load_config(tmp_path / "c.toml", sets=[], env={})
    train(config, tmp_path / "run", say=quiet)
    quantize(tmp_path / "run", Options(), say=quiet)
    report = write_report(tmp_path / "run")
    assert report["stale"] == []
    last = report["metrics"][-1]
    assert last["method"] == "quantized" and last["rmse"] is None and 0 <= last["accuracy"] <= 1
    assert "Accuracy, %" in (tmp_path / "run" / "report.html").read_text("utf-8")
