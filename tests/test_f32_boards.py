"""The float32 firmware of every kind of core with an FPU, real instructions in its emulator: within 1e-5 of float64."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize.network import layer, save_network
from tests import float_nets
from tests.conftest import needs
from tests.float_nets import one, recurrent
from tests.kernels_f32 import random_layer
from tests.test_f32_model import network
from toolkit import cli

SIZES = (1, 1, 2, 2, 3, 3, 5, 5, 7, 7, 8, 8, 9, 9, 17, 17, 33, 33)
BOARDS = {
    "mps2_an386": ("fpv4", "arm-gcc", "qemu"),
    "mps2_an500": ("fpv4", "arm-gcc", "unicorn"),
    "mps3_an547": ("mve", "arm-gcc", "qemu"),
    "aarch64_user": ("neon", "aarch64-gcc", "qemu-aarch64"),
}


def generated(folder: Path, board: str, cells: str) -> Path:
    """A run with the float32 C of a random network for a board: its layers have the first of SIZES.

    Large input weights, so that what comes in is still felt behind the last of many layers."""
    n = network(3, cells, "stateful", "hold", SIZES)
    layers = [layer(x.name, x.op, {k: v * (6 if k == "w_ih" else 1) for k, v in x.weights.items()}) for x in n.layers]
    save_network(replace(n, layers=tuple(layers)), folder / "model.safetensors")
    assert cli.main(["generate-c", str(folder), "--scheme", "f32", "--board", board]) == 0
    return folder / "c" / f"{board}_f32"


@pytest.mark.parametrize("board", BOARDS)
def test_every_size_of_a_block(tmp_path: Path, board: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An LSTM and a GRU of each."""
    target, compiler, emulator = BOARDS[board]
    needs(compiler, emulator, "host-cc")
    banner = (generated(tmp_path, board, "la" * (len(SIZES) // 2)) / "net3.h").read_text("utf-8")
    assert all(f"cell{k} {target}," in banner for k in range(len(SIZES)))
    run = ["run", str(tmp_path), "--scheme", "f32", "--board", board, "--steps", "120"]
    assert cli.main([*run, *(["--emulator", "unicorn"] if emulator == "unicorn" else [])]) == 0
    said = capsys.readouterr().err
    assert "120 steps within 1e-5 of float64" in said and "equal" not in said
    result = json.loads((tmp_path / "f32" / board / "run.json").read_text("utf-8"))
    assert 0 < result["error"] <= 1e-5 and not {"hash", "state"} & set(result)
    assert 0 < result["stack"] < result["stack_total"] and result["changes"] > 100


def layered(folder: Path, board: str) -> Path:
    """A run with the float32 C of a network that goes layer by layer: convolution, two directions, a GRU, a norm."""
    rng = np.random.default_rng(2)
    weights = {"w": rng.normal(0, 0.4, (6, 3, 3)), "b": rng.normal(0, 0.4, 6)}
    gains = {"gain": rng.normal(0, 1, 9), "offset": rng.normal(0, 1, 9)}
    layers = [
        layer("conv0", "conv", weights, options={"pad_before": 1, "pad_after": 1}),
        layer("gelu0", "activation", {}, activations=("gelu",)),
        replace(random_layer(rng, "lstm", 6, 9), name="way0", sources=("gelu0",)),
        replace(random_layer(rng, "lstm", 6, 9), name="way1", sources=("gelu0",), reverse=True),
        layer("sum0", "add", {}, sources=("way0", "way1")),
        layer("norm0", "norm", gains, options={"epsilon": 1e-5}),
        recurrent(np.random.default_rng(3), "gru0", "gru", 9, 8),
        one(rng, "dense0", "dense", 12, 8),
    ]
    save_network(float_nets.network(layers, inputs=3, steps=12, head="last"), folder / "model.safetensors")
    assert cli.main(["generate-c", str(folder), "--scheme", "f32", "--board", board]) == 0
    return folder / "c" / f"{board}_f32"


@pytest.mark.parametrize("board", ["mps2_an386", "mps3_an547"])
def test_layer_by_layer(tmp_path: Path, board: str, capsys: pytest.CaptureFixture[str]) -> None:
    target, compiler, emulator = BOARDS[board]
    needs(compiler, emulator, "host-cc")
    assert f"way1 {target}," in (layered(tmp_path, board) / "net.h").read_text("utf-8")
    assert cli.main(["run", str(tmp_path), "--scheme", "f32", "--board", board, "--steps", "60"]) == 0
    assert "60 steps within 1e-5 of float64" in capsys.readouterr().err


def test_the_cost_of_each_layer(tmp_path: Path) -> None:
    """Every step of a recurrent layer is its own, whatever other calls left on the stack."""
    needs("arm-gcc", "unicorn", "host-cc")
    layered(tmp_path, "mps2_an386")
    assert cli.main(["profile", str(tmp_path), "--scheme", "f32", "--board", "mps2_an386", "--steps", "3"]) == 0
    found = json.loads((tmp_path / "f32" / "mps2_an386" / "profile.json").read_text("utf-8"))["layers"]
    calls = {x["layer"]: (x["calls"], x["macs"]) for x in found}
    assert calls["way0"] == calls["way1"] == (12, 12 * 4 * 9 * (6 + 9)) and calls["conv0"] == (1, 12 * 6 * 9)
    assert calls["gru0"][0] == calls["norm0"][0] == 12 and calls["gelu0"] == (0, 0)


@pytest.mark.parametrize("board", ["mps3_an547", "mps2_an386"])
def test_with_zig(tmp_path: Path, board: str) -> None:
    needs("zig", BOARDS[board][2], "host-cc")
    generated(tmp_path, board, "lab")
    run = ["run", str(tmp_path), "--scheme", "f32", "--board", board, "--steps", "120"]
    assert cli.main([*run, "--toolchain", "zig"]) == 0


def test_a_wrong_weight_is_found_on_the_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The image alone is wrong; the C that this computer runs is as it was."""
    needs("arm-gcc", "qemu", "host-cc")
    folder = generated(tmp_path, "mps2_an386", "l")
    path = folder / "net3_weights.h"
    text = path.read_text("utf-8")
    wrong = text.replace("float dense0_b[2] = {\n    ", "float dense0_b[2] = {\n    1e-4f + ")
    assert wrong != text
    path.write_text(f"#ifdef TL_HOST\n{text}\n#else\n{wrong}\n#endif\n")
    assert cli.main(["run", str(tmp_path), "--scheme", "f32", "--board", "mps2_an386", "--steps", "60"]) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("failed: mps2_an386 in qemu") and "step 0 gave " in said and "; float64 " in said


def test_a_wrong_weight_is_found_on_this_computer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("host-cc")
    path = generated(tmp_path, "host", "l") / "net3_weights.h"
    path.write_text(
        path.read_text("utf-8").replace("float dense0_b[2] = {\n    ", "float dense0_b[2] = {\n    1e-4f + ")
    )
    assert cli.main(["run", str(tmp_path), "--scheme", "f32", "--board", "host", "--steps", "60"]) == 3
    said = capsys.readouterr().err
    assert "failed: host: the generated C, on this computer, is " in said and "from float64 at step " in said


def test_what_floats_cannot_do_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generated(tmp_path, "mps2_an386", "l")
    run = ["run", str(tmp_path), "--scheme", "f32", "--board"]
    refused = {
        ("microbit",): "microbit: its core has no FPU",
        ("mps2_an500",): "no C; run `python3 run.py generate-c",
        ("mps2_an386", "--slice", "4"): "--slice: only with a quantized model",
        ("mps2_an386", "--save-state", "x"): "--save-state: only with a quantized model",
    }
    for more, text in refused.items():
        capsys.readouterr()
        assert cli.main([*run, *more]) == 1
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1
    save_network(network(4, "l", "stateful", "hold", SIZES), tmp_path / "model.safetensors")
    (tmp_path / "c" / "mps2_an386_f32" / "net3.h").rename(tmp_path / "c" / "mps2_an386_f32" / "net4.h")
    assert cli.main([*run, "mps2_an386"]) == 1
    assert "generated from another model than" in capsys.readouterr().err
