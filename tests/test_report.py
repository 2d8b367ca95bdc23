"""report.json: documented keys, parity only of what was compared, nothing of an earlier model."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantize.network import load_network, network_digest, save_network
from quantize.qnetwork import load_qnetwork
from tests.report_run import Page, change, fabricate, make_run, put, with_boards
from toolkit.errors import write_whole
from toolkit.report import summary, write_report


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return with_boards(made, tmp_path / "run")


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Paths of the leaves, as docs/report.md writes them."""
    if isinstance(value, dict):
        for k, v in value.items():
            name = {
                "boards": "<name>",
                "f32": "<name>",
                "quantization.saturation": "<value>",
                "boards.<name>.kernels": "<layer>",
            }.get(path, k)
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
    quantiles = ("model.output=quantile", "model.levels=[0.1, 0.5, 0.9]")
    stateful = make_run(tmp_path / "stateful", "model.mode=stateful", "model.layers=2", *quantiles)
    fabricate(stateful, "mps2_an386")
    change(stateful, "mps2_an386", "run", passed=False, problems=["step 3 differs from the oracle"])
    put(stateful, "microbit", "run", {"digest": "of another"})
    float_run(stateful, "mps2_an386", error=7.8e-8, passed=True)
    imported(stateful)
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
        "metrics[].skill",
        "metrics[].quantiles",
    )
    undocumented = {k for k in found - {"import"} if k not in documented() and k.removesuffix("[]") not in lists}
    assert undocumented - {"quantization.drift"} == set()


def imported(run: Path, **more: Any) -> None:
    """What `import` leaves beside the model."""
    proof = {"format": "onnx", "runtime": "onnxruntime 1", "structure": "proven", "proven": True, "inputs": 64}
    proof["quantized_sha256"] = load_qnetwork(run / "model.q.safetensors").digest
    proof |= {"differences": {"C float32": {"largest": 6e-8}}, "sha256": network_digest(run / "model.safetensors")}
    write_whole(run / "model.import.json", json.dumps(proof | more))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "Imported from onnx: equal to onnxruntime 1 within 6e-08 on 64 inputs."),
        ({"structure": "assumed"}, "on 64 inputs; the structure is assumed."),
        ({"proven": False, "runtime": "onnxruntime is not installed"}, "from onnx, not proven: onnxruntime is not"),
        ({"equal": 1.0, "differences": {}}, "Imported from onnx: 100.00% of the bytes of onnxruntime 1."),
        ({"equal": 1.0, "differences": {}, "quantized_sha256": "x"}, "int8; the quantized model that is here is not"),
    ],
)
def test_the_report_says_what_the_import_proved(run: Path, more: dict[str, Any], text: str) -> None:
    imported(run, **more)
    report = write_report(run)
    assert text in " ".join(summary(report).split()) and text in (run / "report.html").read_text("utf-8")
    imported(run, sha256="of another")
    assert write_report(run)["import"] is None


def float_run(run: Path, board: str, **more: Any) -> None:
    """What `run --scheme f32` leaves."""
    ran = {"steps": 9, "tolerance": 1e-5, "emulator": "qemu", "digest": network_digest(run / "model.safetensors")}
    write_whole(run / "f32" / board / "run.json", json.dumps(ran | more))


def test_a_float32_run_is_within_a_tolerance(run: Path) -> None:
    float_run(run, "mps2_an386", error=7.8e-8, passed=True)
    float_run(run, "mps2_an500", error=2e-5, passed=False)
    float_run(run, "aarch64_user", error=1e-7, passed=True, digest="of another")
    report = write_report(run)
    assert list(report["f32"]) == ["mps2_an386", "mps2_an500"]
    for text in (summary(report), (run / "report.html").read_text("utf-8")):
        assert "float32, mps2_an386: 9 steps within 1e-5 of float64, at most 7.8e-08." in text
        assert "float32, mps2_an500: not within 1e-5 of float64." in text


def test_types_are_the_documented_ones(run: Path) -> None:
    types = {"string": str, "int": int, "number": (int, float), "bool": bool}
    report = write_report(run)
    assert report == json.loads((run / "report.json").read_text())

    def look(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for k, v in value.items():
                name = {
                    "boards": "<name>",
                    "quantization.saturation": "<value>",
                    "boards.<name>.kernels": "<layer>",
                }.get(path, k)
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
