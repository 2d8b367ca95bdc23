"""The lock of a build folder: a second process is refused in one line, and one that was killed holds nobody up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.errors import ToolkitError
from toolkit.lock import locked
from toolkit.targets import ROOT

HOLD = "import sys; from pathlib import Path; from toolkit.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_two_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "build")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(ToolkitError) as caught, locked(tmp_path / "build"):
            pass
        assert str(caught.value) == f"{tmp_path / 'build'}: process {other.pid} builds or runs here; wait until it ends"
        other.kill()
        other.wait()
        with locked(tmp_path / "build"):
            assert (tmp_path / "build" / "lock").read_text().split() != [str(other.pid)]


def test_one_after_the_other(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            pass
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolkitError, match="cannot write"), locked(tmp_path / "file" / "build"):
        pass
