"""Float32 C from a float network: within 1e-5 of a float64 stream, in every mode; refused where there is no FPU."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unicorn import arm_const

from quantize.float_stream import FloatStream
from quantize.network import Network, save_network
from tests.arm_call import Arm
from tests.conftest import needs
from tests.kernels_f32 import random_layer
from tests.nets import Shape, random_network
from toolkit import cli
from toolkit.boards import load_board
from toolkit.build import build_host
from toolkit.codegen.pack_f32 import host_target
from toolkit.codegen.render import write_folder
from toolkit.codegen.render_f32 import generate_f32
from toolkit.errors import ToolkitError
from toolkit.host import load_model
from toolkit.host_f32 import FloatModel
from toolkit.targets import ROOT

DIGEST = "0" * 64


def network(seed: int, cells: str, mode: str, missing: str, sizes: tuple[int, ...] = (18, 7)) -> Network:
    """Two inputs, a layer per letter of `cells` (l LSTM, a GRU reset after, b GRU reset before), two outputs."""
    rng, sizes = np.random.default_rng(seed), sizes[: len(cells)]
    shape = Shape(2, sizes, 2, (16,) * len(cells), mode, 5 if mode == "window" else 0, missing, 2)
    made = random_network(rng, shape, f"net{seed}")
    layers, width = [], 2
    for k, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        x = random_layer(rng, "lstm" if cell == "l" else "gru", width, size, reset_after=cell != "b")
        layers.append(replace(x, name=f"cell{k}"))
        width = size
    return replace(made, layers=(*layers, made.layers[-1]))


def load(n: Network, folder: Path, target: str) -> FloatModel:
    write_folder(generate_f32(n, DIGEST, load_board("host"), target), folder / "c")
    return FloatModel(folder / "c", build_host(folder / "c", folder / "out"))


def close(n: Network, got: np.ndarray, wanted: np.ndarray) -> bool:
    unit = np.array([c.std for c in n.outputs])
    scale = np.maximum(1, np.abs(wanted) / unit)  # in normalised units, as the kernels' bound is
    return bool((np.abs(got - wanted) / unit / scale <= 1e-5).all())


@pytest.mark.parametrize("mode", ["stateful", "window"])
@pytest.mark.parametrize(("cells", "missing"), [("l", "hold"), ("la", "interpolate"), ("bl", "reset"), ("a", "hold")])
def test_model_follows_float64(tmp_path: Path, mode: str, cells: str, missing: str) -> None:
    needs("host-cc")
    n = network(len(cells), cells, mode, missing)
    rng = np.random.default_rng(9)
    reach, centre = np.array([c.std for c in n.inputs]), np.array([c.mean for c in n.inputs])
    for target in {host_target(), "ref"}:
        model, oracle = load(n, tmp_path / target, target), FloatStream(n)
        for i in range(200):
            raw = (centre + reach * rng.normal(0, 1, 2)).astype(np.float32)
            lost = rng.random() < 0.2
            if lost and i % 2:
                got, wanted = model.predict(np.array([raw[0], np.nan])), oracle.predict_missing()
            elif lost:
                got, wanted = model.predict_missing(), oracle.predict_missing()
            else:
                got, wanted = model.predict(raw), oracle.predict(raw.astype(np.float64))
            assert close(n, got, wanted), (target, i, got, wanted)
            assert model.warmed_up == (oracle.steps >= n.warmup)


def test_run_is_step_and_a_copied_state_goes_on(tmp_path: Path) -> None:
    needs("host-cc")
    n = network(3, "l", "stateful", "hold")
    model = load(n, tmp_path, host_target())
    x = np.random.default_rng(0).normal(0, 1, (7, 2)).astype(np.float32)
    whole = model.run(x)
    model.reset()
    for row in x[:3]:
        model.step(row)
    kept = model.state()
    model.reset()
    model.restore(kept)
    assert np.array_equal([model.step(row) for row in x[3:]][-1], whole)


def test_the_same_window_gives_the_same_bits(tmp_path: Path) -> None:
    """Though a step sums up or down, by the buffer that it starts from."""
    needs("host-cc")
    model = load(network(8, "la", "window", "hold", (40, 70)), tmp_path, host_target())
    raw = np.array([30.0, -4.0], np.float32)
    made = [model.predict(raw) for _ in range(9)][4:]  # windows of 5
    assert all(np.array_equal(forecast, made[0]) for forecast in made)


def test_load_model_takes_the_folder(tmp_path: Path) -> None:
    needs("host-cc")
    n = network(6, "la", "stateful", "hold")
    save_network(n, tmp_path / "model.safetensors")
    assert cli.main(["generate-c", str(tmp_path), "--scheme", "f32", "--board", "host"]) == 0
    model, oracle = load_model(tmp_path / "c" / "host_f32"), FloatStream(n)
    assert isinstance(model, FloatModel)
    for _ in range(3):
        raw = np.array([c.mean + c.std for c in n.inputs], np.float32)
        assert close(n, model.predict(raw), oracle.predict(raw.astype(np.float64)))
    with pytest.raises(ToolkitError, match=r"net6: an array of shape \[3\]; expected \[2\]"):
        model.predict(np.zeros(3))


def test_generate_c_scheme_f32(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(network(4, "l", "stateful", "hold"), tmp_path / "model.safetensors")
    arguments = ["generate-c", str(tmp_path), "--scheme", "f32", "--board"]
    assert cli.main([*arguments, "mps2_an386"]) == 0
    made = tmp_path / "c" / "mps2_an386_f32"
    assert {p.name for p in made.iterdir()} == {
        "net4.c", "net4.h", "net4_weights.h", "tl_f32.h", "tl_kernels.h", "tl_math.h", "tl_ref_f32.c",
        "tl_fpv4_f32.c", "tl_tiles_f32.h", "tl_dot_f32.h", "tl_inline.h",
    }  # fmt: skip
    capsys.readouterr()
    assert cli.main([*arguments, "microbit"]) == 1
    error = capsys.readouterr().err
    assert "microbit: its core has no FPU" in error and "--scheme f32" in error and error.count("\n") == 1
    assert cli.main([*arguments, "mps2_an386", "--target", "avx2"]) == 1
    assert "no f32 kernels of mps2_an386" in capsys.readouterr().err


@pytest.mark.parametrize(("target", "cells"), [("ref", "lb"), ("fpv4", "la"), ("fpv4", "al")])
def test_the_same_c_on_a_cortex_m4f(tmp_path: Path, target: str, cells: str) -> None:
    """Real instructions in unicorn, linked with nothing but our own mem*."""
    needs("arm-gcc")
    n = network(5, cells, "window", "interpolate")
    write_folder(generate_f32(n, DIGEST, load_board("mps2_an386"), target), tmp_path / "c")
    flags = [
        "-mcpu=cortex-m4",
        "-mthumb",
        "-mfpu=fpv4-sp-d16",
        "-mfloat-abi=hard",
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
    ]
    flags += [
        "-Werror",
        "-Wconversion",
        "-Wshadow",
        "-Wdouble-promotion",
        "-pedantic",
        "-ffp-contract=off",
        "-nostdlib",
    ]
    flags += [f"-I{ROOT / 'firmware' / 'libc'}", "-fno-tree-loop-distribute-patterns", "-Wl,--entry=0"]
    script, image = tmp_path / "call.ld", tmp_path / "model.elf"
    script.write_text("SECTIONS { . = 0x10000; .text : { *(.text*) *(.rodata*) } /DISCARD/ : { *(.ARM*) } }\n")
    sources = [*map(str, sorted((tmp_path / "c").glob("*.c"))), str(ROOT / "firmware" / "libmem.c")]
    subprocess.run(["arm-none-eabi-gcc", *flags, "-T", str(script), "-o", str(image), *sources], check=True)
    machine, oracle, rng = Arm(image), FloatStream(n), np.random.default_rng(2)
    access = machine.uc.reg_read(arm_const.UC_ARM_REG_C1_C0_2)
    machine.uc.reg_write(arm_const.UC_ARM_REG_C1_C0_2, access | 0xF << 20)
    machine.uc.reg_write(arm_const.UC_ARM_REG_FPEXC, 1 << 30)
    state, out = machine.put(bytes(4096)), machine.array(np.zeros(2, np.float32))
    machine.call("net5_reset", state)
    sample = machine.array(np.zeros(2, np.float32))
    for i in range(40):
        raw = np.array([c.mean + c.std * rng.normal() for c in n.inputs], np.float32)
        if i % 7 == 5:
            machine.call("net5_predict_missing", state, out)
            wanted = oracle.predict_missing()
        else:
            machine.uc.mem_write(sample, raw.tobytes())
            machine.call("net5_predict", state, sample, out)
            wanted = oracle.predict(raw.astype(np.float64))
        assert close(n, machine.get(out, np.zeros(2, np.float32)), wanted), i
