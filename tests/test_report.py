"""report.json, report.html and the summary: documented keys, parity only of what was compared, everything escaped."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.network import load_network, save_network
from quantize.ptq import Options
from quantize.qnetwork import QNetwork, load_qnetwork
from toolkit.codegen.lower import Destination, facts
from toolkit.config import load_config
from toolkit.data.prepared import load_prepared
from toolkit.errors import ToolkitError
from toolkit.report import charts, summary, write_report
from toolkit.report.gather import _model_memory
from toolkit.report.svg import Frame, line, ticks
from toolkit.report.verdict import verdict
from toolkit.stages.quantize import quantize
from toolkit.train import train

HOSTILE = '</script><script>alert("1")</script>&amp;\''
VOID = {"meta", "link", "br", "img", "hr", "input"}
SIZES = {
    "weights": 1884,
    "tables": 1028,
    "code": 1600,
    "vectors": 3000,
    "firmware": 2300,
    "flash": 9812,
    "data": 0,
    "bss": 500,
    "ram": 500,
}


def quiet(_: str) -> None:
    """No progress lines."""


def make_run(out: Path, *overrides: str) -> Path:
    """A trained and quantized run, as small as can be."""
    tiny = ["model.hidden=4", "train.epochs=3", *overrides]
    train(load_config("docs/examples/room.toml", sets=tiny, env={}), out, say=quiet)
    quantize(out, Options(refit=True, deep_wx_bits=8), say=quiet)
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("window"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """The tiny run with one board and the host, equal."""
    out = tmp_path / "run"
    shutil.copytree(made, out)
    for board in ("mps2_an386", "host"):
        fabricate(out, board)
    return out


def fabricate(run: Path, board: str) -> None:
    """The files that build and run leave for a board."""
    digest = load_qnetwork(run / "model.q.safetensors").digest
    base = {"steps": 100, "hash": "0badcafe", "digest": digest}
    put(run, board, "vectors", base)
    put(run, board, "host", base | {"board": board, "equal": True, "divergence": "", "compiler": "cc 12"})
    if board == "host":
        return
    limits = {"flash": 4194304, "ram": 4194304, "stack": 8192}
    put(
        run,
        board,
        "build",
        {"board": board, "title": "A board", "compiler": "gcc 12", "sizes": SIZES, "limits": limits},
    )
    measured = {
        "emulator": "qemu 7",
        "stack": 148,
        "stack_total": 228,
        "steps_asked": 100,
        "passed": True,
        "problems": [],
    }
    per_step = {"mean": 81000.5, "min": 80000, "max": 82000, "calls": 100}
    put(run, board, "run", base | measured | {"instructions_per_step": per_step})


def put(run: Path, board: str, name: str, values: dict[str, Any]) -> None:
    path = run / "build" / board / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def change(run: Path, board: str, name: str, **values: Any) -> None:
    put(run, board, name, json.loads((run / "build" / board / f"{name}.json").read_text()) | values)


class Page(HTMLParser):
    """Refuses tags that do not match, and gathers what is there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.values: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [v or "" for k, v in attrs if k in ("src", "href", "data", "action")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Paths of the leaves, as docs/report.md writes them."""
    if isinstance(value, dict):
        for k, v in value.items():
            name = {"boards": "<name>", "quantization.saturation": "<value>"}.get(path, k)
            yield from keys(v, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for v in value:
            yield from keys(v, f"{path}[]")
    else:
        yield path


def documented() -> dict[str, str]:
    """Key -> type."""
    return dict(re.findall(r"^\| `([^`]+)` \| (\w+) \|", Path("docs/report.md").read_text(), re.M))


def test_keys_are_the_documented_ones(run: Path, tmp_path: Path) -> None:
    stateful = make_run(tmp_path / "stateful", "model.mode=stateful", "model.layers=2")
    fabricate(stateful, "mps2_an386")
    change(stateful, "mps2_an386", "run", passed=False, problems=["step 3 differs from the oracle"])
    put(stateful, "microbit", "run", {"digest": "of another"})
    found = {*keys(write_report(run)), *keys(write_report(stateful))}
    missing = {k for k in documented() if k not in found}
    assert missing == set()
    lists = (
        "parity.not_run",
        "stale",
        "parity.compared",
        "boards.<name>.problems",
        "versions.compilers",
        "versions.emulators",
    )
    undocumented = {k for k in found if k not in documented() and k.removesuffix("[]") not in lists}
    assert undocumented - {"quantization.drift"} == set()


def test_types_are_the_documented_ones(run: Path) -> None:
    types = {"string": str, "int": int, "number": (int, float), "bool": bool}
    report = write_report(run)
    assert report == json.loads((run / "report.json").read_text())

    def look(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for k, v in value.items():
                name = {"boards": "<name>", "quantization.saturation": "<value>"}.get(path, k)
                look(v, f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            for v in value:
                look(v, f"{path}[]")
        elif value is not None:
            kind = documented()[path]
            assert isinstance(value, types[kind]), path  # type: ignore[arg-type]
            assert kind == "bool" or not isinstance(value, bool), path

    look(report, "")


def test_parity_of_what_was_compared(run: Path) -> None:
    report = write_report(run)
    assert report["parity"] == {
        "oracle": "0badcafe",
        "host": "0badcafe",
        "steps": 100,
        "equal": True,
        "compared": ["host", "mps2_an386"],
        "not_run": [],
    }
    board = report["boards"]["mps2_an386"]
    assert board["parity"] is True and report["boards"]["host"]["parity"] is True
    assert board["instructions_per_step"] == 81000.5
    assert report["memory"]["flash"] == 6812 and report["memory"]["flash_image"] == 9812
    assert report["memory"]["stack"] == 148 and report["memory"]["board"] == "mps2_an386"
    assert "Bit for bit equal" in summary(report)


@pytest.mark.parametrize(
    ("board", "name", "values"),
    [
        ("mps2_an386", "run", {"hash": "00000000"}),
        ("mps2_an386", "run", {"hash": ""}),
        ("mps2_an386", "run", {"steps": 99}),
        ("mps2_an386", "run", {"steps": 99, "steps_asked": 99}),
        ("mps2_an386", "run", {"steps_asked": 200}),
        ("mps2_an386", "run", {"passed": False}),
        ("mps2_an386", "run", {"digest": "f" * 64}),
        ("mps2_an386", "run", {"digest": None}),
        ("mps2_an386", "vectors", {"digest": None}),
        ("mps2_an386", "vectors", {"hash": "00000000"}),
        ("host", "host", {"equal": False}),
        ("host", "host", {"hash": "00000000"}),
        ("host", "host", {"steps": 99}),
        ("host", "host", {"digest": "f" * 64}),
        ("host", "vectors", {"steps": 0}),
    ],
)
def test_parity_is_false_otherwise(run: Path, board: str, name: str, values: dict[str, Any]) -> None:
    change(run, board, name, **values)
    report = write_report(run)
    assert report["parity"]["equal"] is False
    assert report["boards"][board]["parity"] is False
    assert board not in report["parity"]["compared"]
    assert "Bit for bit" not in summary(report)
    assert "bit for bit" not in (run / "report.html").read_text()


def test_parity_needs_the_host(run: Path) -> None:
    shutil.rmtree(run / "build" / "host")
    assert write_report(run)["parity"]["equal"] is True  # the board's own C on this computer
    (run / "build" / "mps2_an386" / "host.json").unlink()
    report = write_report(run)
    assert report["parity"]["equal"] is False and report["parity"]["host"] is None


def test_boards_of_different_vectors_are_not_equal(run: Path) -> None:
    fabricate(run, "microbit")
    assert write_report(run)["parity"]["equal"] is True
    for name in ("vectors", "run", "host"):
        change(run, "microbit", name, hash="12345678")
    report = write_report(run)
    assert report["boards"]["microbit"]["parity"] is True and report["parity"]["equal"] is False


def test_a_board_that_was_only_built(run: Path) -> None:
    fabricate(run, "microbit")
    (run / "build" / "microbit" / "run.json").unlink()
    (run / "build" / "microbit" / "host.json").unlink()
    report = write_report(run)
    assert report["boards"]["microbit"]["parity"] is False and report["boards"]["microbit"]["memory"]["stack"] is None
    assert report["parity"]["not_run"] == ["microbit"] and report["parity"]["equal"] is True


def test_only_trained(made: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "train.json", "metrics.jsonl", "config.toml", "data.safetensors"):
        shutil.copy(made / name, tmp_path)
    report = write_report(tmp_path)
    assert report["accuracy"]["quantized"] is None and report["accuracy"]["float"] > 0
    assert report["accuracy"]["skill"] is not None
    assert report["memory"]["weights"] is None and report["boards"] == {}
    assert report["parity"]["equal"] is False and report["model"]["params"] > 0
    assert "not compared" in summary(report)
    Page((tmp_path / "report.html").read_text())


def test_another_model_makes_the_old_results_stale(run: Path) -> None:
    network = load_network(run / "model.safetensors")
    save_network(replace(network, max_gap=3), run / "model.safetensors")
    report = write_report(run)
    assert {"train.json", "quantize.json", "model.q.safetensors", "forecast.safetensors"} <= set(report["stale"])
    assert "build/mps2_an386/run.json" in report["stale"]
    assert report["accuracy"]["float"] is None and report["parity"]["equal"] is False
    assert report["memory"]["flash"] is None
    assert "model.q.safetensors" in (run / "report.html").read_text()
    assert "build/mps2_an386 (4 files)" in " ".join(summary(report).split())


def test_forecasts_that_are_not_those_of_quantize_json(run: Path) -> None:
    path = run / "quantize.json"
    found = json.loads(path.read_text())
    found["accuracy"]["quantized"] *= 1.001
    path.write_text(json.dumps(found))
    assert write_report(run)["stale"] == ["forecast.safetensors"]


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
        with pytest.raises(ToolkitError, match="run `toolkit train` first"):
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
