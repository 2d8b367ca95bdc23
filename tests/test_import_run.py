"""A run made by `import`: what is quantized already stays so, and no verb takes integers of another float model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import needs
from toolkit.cli import main

DATA = Path(__file__).parent / "data" / "tflite"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An int8 file, imported."""
    needs("litert", "host-cc")
    assert main(["import", str(DATA / "fused_int8.tflite"), "-o", str(tmp_path / "r" / "model.safetensors")]) == 0
    return tmp_path / "r"


def test_an_int8_file_is_not_quantized_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(run / "x.npy", np.zeros((20, 4, 3)))
    before = (run / "model.q.safetensors").read_bytes()
    assert main(["quantize", str(run), "--samples", str(run / "x.npy")]) == 1
    assert "an int8 file is quantized already" in capsys.readouterr().err
    assert (run / "model.q.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "verb",
    ["generate-c {} --board host", "fit {} --board microbit", "validate {} --on oracle", "export {} --to cmake"],
)
def test_integers_of_another_float_model_are_refused(
    run: Path, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "o" / "model.safetensors"
    assert main(["import", str(DATA / "loop_gru.tflite"), "-o", str(other)]) == 0
    shutil.copy(other, run / "model.safetensors")
    assert main(verb.format(run).split()) == 1
    assert "not made from the model.safetensors beside it; run `quantize` again" in capsys.readouterr().err
