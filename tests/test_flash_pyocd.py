"""pyOCD's own flash algorithm, in QEMU: an unmodified pyOCD writes an emulated board, which then runs with parity."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fake_model
from tests.conftest import needs
from toolkit.boards import load_board
from toolkit.build import build_firmware
from toolkit.emulate.outcome import parse
from toolkit.errors import CheckFailed
from toolkit.flash import Options, flash, steps_of

flash_module = importlib.import_module("toolkit.flash")
STEPS = 40
PYOCD = Options("pyocd", "", None, None, False)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def microbit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    needs("qemu", "pyocd")
    with emulated(tmp_path, monkeypatch) as serial:
        yield serial


@contextlib.contextmanager
def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """QEMU's micro:bit with an empty flash, pyOCD's plugin for it, and the file that gets its serial line."""
    site = tmp_path / "site"
    (site / "tealight_probe-1.dist-info").mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "pyocd_qemu" / "tealight_probe.py", site)
    (site / "tealight_probe-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tealight-probe\nVersion: 1\n"
    )
    (site / "tealight_probe-1.dist-info" / "entry_points.txt").write_text(
        "[pyocd.probe]\ntealight_qemu = tealight_probe:QemuProbePlugin\n"
    )
    port, serial = free_port(), tmp_path / "serial"
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("TEALIGHT_QEMU_GDB", str(port))
    monkeypatch.setattr(flash_module, "serial_ports", lambda: [])
    command = ["qemu-system-arm", "-M", "microbit", "-display", "none", "-monitor", "none", "-S"]
    command += ["-serial", f"file:{serial}", "-gdb", f"tcp:127.0.0.1:{port}"]
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as s:
                if serial.exists() and s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield serial
    finally:
        machine.kill()
        machine.wait()


def test_pyocd_writes_the_emulated_flash(microbit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unmodified: its algorithm for the nRF51 runs on the emulated core and drives the emulated controller. Then what
    was written is compared, the board is reset, and the vectors are replayed with parity; a flipped byte is caught."""
    needs("zig")
    board, folder = load_board("microbit"), tmp_path / "build"
    c_dir = fake_model.write(tmp_path, fake_model.vectors(STEPS))
    build_firmware(c_dir, board, folder, toolchain="zig", say=lambda _: None)
    flash(board, folder, PYOCD, say=lambda _: None, ask=lambda _: "")
    shown = capsys.readouterr().err
    size = (folder / "firmware.bin").stat().st_size
    assert "programmed " in shown and f"All {size} bytes match." in shown
    until = time.monotonic() + 60
    while not microbit.read_text().endswith("EXIT:0\n") and time.monotonic() < until:
        time.sleep(0.05)
    seen = parse(tuple(microbit.read_text().splitlines()))
    assert seen["exit"] == 0 and seen["hash"] == fake_model.run_hash(STEPS)

    [_, verify, _] = steps_of(board, folder, PYOCD)
    good = (folder / "firmware.bin").read_bytes()
    (folder / "firmware.bin").write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    with pytest.raises(CheckFailed, match="Mismatched byte at 0x00000064"):
        flash_module._run(verify)
