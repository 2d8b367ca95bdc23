"""`analyze`: what a file holds, in numbers that the importers and the quantizer give."""

from __future__ import annotations

import json

import pytest

from tests.conftest import needs
from toolkit.cli import main


def test_an_onnx_file(capsys: pytest.CaptureFixture[str]) -> None:
    needs("onnx")
    assert main(["analyze", "docs/examples/pump.onnx", "--json"]) == 0
    r = json.loads(capsys.readouterr().out)
    lstm, *_, out = r["layers"]
    assert (r["format"], r["inputs"], r["steps"], r["outputs"], r["unsupported"]) == ("onnx", 2, 24, 1, [])
    assert lstm["parameters"] == 4 * 16 * (16 + 2 + 1) and lstm["macs"] == 24 * 4 * 16 * (16 + 2)
    assert out["out"] == [1, 1]
    assert r["schemes"]["f32"]["weight_bytes"] == 4 * sum(x["parameters"] for x in r["layers"])
    assert r["schemes"]["w8a16"]["weight_bytes"] < r["schemes"]["f32"]["weight_bytes"] / 2
    assert "w8a8 has no dense_hidden" in r["schemes"]["w8a8"]["refused"]
    assert r["boards"]["microbit"]["fits"] and r["boards"]["microbit"]["ram"] < 1024


def test_what_has_no_integer_form_is_told_and_the_rest_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "tests/data/tflite/fused_conv_lstm.tflite"]) == 0
    text = capsys.readouterr().out
    assert 'w8a16: conv0: op "conv" has no integer form' in text and "f32: weights" in text


def test_an_int8_file_is_measured_as_it_is_deployed(capsys: pytest.CaptureFixture[str]) -> None:
    path = "tests/data/tflite/fused_int8.tflite"
    assert main(["analyze", path]) == 0
    text = capsys.readouterr().out
    assert "fits (w8a8, without its code): " in text and "w8a16" not in text
    assert main(["analyze", path, "--json"]) == 0
    r = json.loads(capsys.readouterr().out)
    assert list(r["schemes"]) == ["f32", "w8a8"] and r["boards_scheme"] == "w8a8"
    assert r["boards"]["microbit"]["fits"]


def test_it_writes_nothing_and_names_a_bad_file(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{tmp_path}/x.bin"
    with open(path, "wb") as f:
        f.write(b"\x00garbage")
    assert main(["analyze", path]) == 1
    assert f"{path}: " in capsys.readouterr().err
