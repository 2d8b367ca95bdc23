"""The plugin that counts in QEMU counts what unicorn's hook counts, and says when it cannot."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from quantize.qnetwork import load_qnetwork
from tests.conftest import needs
from toolkit import emulate
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.codegen.packers import functions
from toolkit.emulate import qemu, qemu_count
from toolkit.errors import ToolkitError
from toolkit.stages.generate import folder_for, kernels_of

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("board", ["mps2_an386", "microbit"])
def test_it_counts_what_unicorn_counts(board: str, tmp_path: Path) -> None:
    """By function and by layer: two layers with one kernel, each called many times a step. The micro:bit has no
    semihosting: QEMU is asked to end."""
    needs("qemu", "unicorn", "arm-gcc", "host-cc")
    shutil.copy(GOLDEN / "ring.q.safetensors", tmp_path / "model.q.safetensors")
    assert main(["generate-c", str(tmp_path), "--board", board]) == 0
    assert main(["build", str(tmp_path), "--board", board, "--steps", "30"]) == 0
    q, b = load_qnetwork(tmp_path / "model.q.safetensors"), load_board(board)
    layers = functions(q, kernels_of(folder_for(tmp_path, q, b), q))
    assert b.run is not None
    in_qemu = replace(b, run=replace(b.run, unicorn=""))
    image = tmp_path / "build" / board / "firmware.elf"
    fields, want, spent = emulate.profile(image, b, core=None, layers=layers)
    again, counts, cells = emulate.profile(image, in_qemu, core=None, layers=layers)
    assert (counts.calls, counts.sum, counts.min, counts.max) == (want.calls, want.sum, want.min, want.max)
    assert cells == replace(spent, calls={}) and fields == again  # the plugin does not tell calls apart
    assert len({f for f, _ in cells.cells}) > 3 and sum(n for n, _ in cells.cells.values()) == counts.sum


def test_a_board_that_only_qemu_knows_is_profiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("qemu", "arm-gcc", "host-cc")
    shutil.copy(GOLDEN / "demo.q.safetensors", tmp_path / "model.q.safetensors")
    assert main(["generate-c", str(tmp_path), "--board", "mps3_an547"]) == 0
    assert main(["run", str(tmp_path), "--board", "mps3_an547", "--steps", "30"]) == 0
    ran = json.loads((tmp_path / "build/mps3_an547/run.json").read_text())["instructions_per_step"]
    capsys.readouterr()
    assert main(["profile", str(tmp_path), "--board", "mps3_an547", "--steps", "30", "--json"]) == 0
    p = json.loads(capsys.readouterr().out)
    assert {k: p["instructions_per_step"][k] for k in ("mean", "min", "max")} == {
        k: ran[k] for k in ("mean", "min", "max")
    }
    assert p["cycles_per_step"] is None and sum(x["instructions_total"] for x in p["layers"]) == ran["mean"] * 30
    assert all(x["calls"] >= 1 for x in p["layers"] if x["layer"])


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("qemu", "arm-gcc", "host-cc")
    shutil.copy(GOLDEN / "demo.q.safetensors", tmp_path / "model.q.safetensors")
    assert main(["generate-c", str(tmp_path), "--board", "mps3_an547"]) == 0
    assert main(["build", str(tmp_path), "--board", "mps3_an547", "--steps", "9"]) == 0
    image, board = tmp_path / "build/mps3_an547/firmware.elf", load_board("mps3_an547")
    counter = qemu_count.Counter(image, tmp_path, {}, qemu.version(board))
    with pytest.raises(ToolkitError, match="QEMU counted nothing"):
        counter.read()
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(qemu_count.Counter, "arguments", lambda _: ["-plugin", "/nothing.so"])
        seen = emulate.replay(image.parent, board, emulator="qemu", say=said.append)
    assert seen["passed"] and seen["instructions_per_step"] is None
    assert "instructions are not counted: QEMU counted nothing: it refused the plugin, or it was killed" in said
    monkeypatch.setattr(qemu, "counts", lambda _: False)
    with pytest.raises(ToolkitError, match="install a qemu-system-arm with plugins"):
        emulate.profile(image, board, core=None, layers={})
    seen = emulate.replay(image.parent, board, emulator="qemu", say=said.append)
    assert seen["passed"] and seen["instructions_per_step"] is None
    assert any("instructions are not counted: install a qemu-system-arm with plugins" in line for line in said)
