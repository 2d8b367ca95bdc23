"""The board aarch64_user: the firmware as a Linux program, with the kernels of neon and neon_dotprod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.qnetwork import save_qnetwork
from tests import fake_model
from tests.conftest import needs
from tests.nets import random_qnetwork, random_shape
from toolkit import elf
from toolkit.boards import BOARDS, Board, load_board
from toolkit.build import build_firmware
from toolkit.emulate import replay, run_firmware
from toolkit.errors import CheckFailed, ToolkitError
from toolkit.stages import firmware
from toolkit.stages.generate import generate_c

STEPS = 50


def quiet(_: str) -> None:
    pass


def board(tmp_path: Path, target: str) -> Board:
    """The board, or the same with a Cortex-A53, which has no dot products."""
    if target == "neon_dotprod":
        return load_board("aarch64_user")
    text = (BOARDS / "aarch64_user.toml").read_text("utf-8")
    text = text.replace("neon_dotprod", target).replace('"neoverse-n1"', '"cortex-a53"')
    path = tmp_path / "aarch64_user.toml"
    path.write_text(text.replace(" && defined(__ARM_FEATURE_DOTPROD)", ""), "utf-8")
    return load_board(str(path))


def built(tmp_path: Path, compiler: str, vectors: str, old: str = "", new: str = "") -> Path:
    """The fake model's build folder, with `old` in its C replaced."""
    needs("aarch64-gcc" if compiler == "gcc" else "zig", "qemu-aarch64")
    c_dir = fake_model.write(tmp_path, vectors)
    source = (c_dir / "fake.c").read_text()
    assert old in source
    (c_dir / "fake.c").write_text(source.replace(old, new))
    out = tmp_path / "build"
    build_firmware(c_dir, load_board("aarch64_user"), out, toolchain=compiler, say=quiet)
    return out


def failed(folder: Path) -> tuple[str, dict[str, Any]]:
    with pytest.raises(CheckFailed) as caught:
        run_firmware(folder, load_board("aarch64_user"), emulator="qemu", say=quiet)
    return str(caught.value), replay(folder, load_board("aarch64_user"), emulator="qemu", say=quiet)


@pytest.mark.parametrize("compiler", ["gcc", "zig"])
def test_the_firmware_passes(compiler: str, tmp_path: Path) -> None:
    folder = built(tmp_path, compiler, fake_model.vectors(STEPS))
    result = run_firmware(folder, load_board("aarch64_user"), emulator="auto", say=quiet)
    assert result["passed"] and result["hash"] == fake_model.run_hash(STEPS)
    assert result["emulator"].startswith("qemu ") and "(" not in result["emulator"]
    assert 0 <= result["stack"] < result["stack_total"] <= 8192
    assert elf.section_bytes(folder / "firmware.elf", ".bss") == result["ram"]


def test_a_wrong_vector_and_a_fault_are_reported(tmp_path: Path) -> None:
    message, result = failed(built(tmp_path / "a", "gcc", fake_model.vectors(STEPS, wrong_step=7)))
    assert "step 7 differs from the oracle" in message and result["exit"] == 1
    bad = "*(volatile uint32_t *)0x90000000u = 1u; s->steps++;"
    message, result = failed(built(tmp_path / "b", "gcc", fake_model.vectors(9), "s->steps++;", bad))
    assert "ended without an EXIT line" in message and "Segmentation fault" in message and result["exit"] is None


@pytest.mark.parametrize("compiler", ["gcc", "zig"])
@pytest.mark.parametrize("target", ["neon", "neon_dotprod"])
def test_random_networks_are_the_oracle(target: str, compiler: str, tmp_path: Path) -> None:
    """LSTM and GRU, as the board's own kernels compute them."""
    needs("host-cc", "aarch64-gcc" if compiler == "gcc" else "zig", "qemu-aarch64")
    here, passed = board(tmp_path, target), 0
    for seed in range(4):
        rng = np.random.default_rng([seed, len(target)])
        run = tmp_path / f"run{seed}"
        run.mkdir()
        save_qnetwork(random_qnetwork(rng, random_shape(rng), f"any{seed}"), run / "model.q.safetensors")
        made = generate_c(run, here, None, float_api=False, say=quiet)
        assert {k["target"] for k in made["kernels"].values()} == {target}
        job = firmware.Job(run, here, steps=STEPS, toolchain=compiler, emulator="qemu")
        try:
            result = firmware.run(job, say=quiet)
        except CheckFailed as e:  # a network drawn at the edges may stand still, which the firmware refuses
            assert "differs" not in str(e) and "stayed zero, saturated" in str(e)
            continue
        assert result["passed"] and result["steps"] == STEPS
        passed += 1
    assert passed >= 2


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = built(tmp_path, "gcc", fake_model.vectors(9))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolkitError, match=r"install qemu-aarch64 \(apt-get install qemu-user\)"):
        replay(folder, load_board("aarch64_user"), emulator="auto", say=quiet)
