"""The stream replay and the kernels under UBSan and ASan, each in its own process; and both stop what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs
from toolkit.toolchain import host_toolchain

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = {"address": "libasan.so", "undefined": "libubsan.so"}


def runtime(sanitize: str) -> str:
    """The run-time library of the host's compiler; skips the test by name when there is none."""
    needs("gcc")
    compiler = host_toolchain("auto")
    name = RUNTIME[sanitize]
    if compiler.kind == "clang":
        name = f"libclang_rt.{'asan' if sanitize == 'address' else 'ubsan_standalone'}-{os.uname().machine}.so"
    found = subprocess.run([*compiler.cc, f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
    if not Path(found).is_file():
        if os.environ.get("TEALIGHT_REQUIRE_TOOLS") == "1":
            pytest.fail(f"no {name} for {compiler.version}")
        pytest.skip(f"SKIPPED: no {name} for {compiler.version}")
    return found


def replay(tmp_path: Path, sanitize: str, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0", "PYTHONMALLOC": "malloc"}
    environment |= {"LD_PRELOAD": runtime(sanitize), "UBSAN_OPTIONS": "halt_on_error=1"}
    command = [sys.executable, "-m", "tests.sanitized", str(tmp_path), sanitize, *more]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("sanitize", sorted(RUNTIME))
def test_replay(tmp_path: Path, sanitize: str) -> None:
    done = replay(tmp_path, sanitize)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sanitized: equal" in done.stdout and "runtime error" not in done.stderr


@pytest.mark.parametrize(
    ("sanitize", "says"), [("address", "heap-buffer-overflow"), ("undefined", "signed integer overflow")]
)
def test_a_fault_is_stopped(tmp_path: Path, sanitize: str, says: str) -> None:
    done = replay(tmp_path, sanitize, "bad")
    assert done.returncode != 0 and says in done.stderr, done.stderr[-3000:]
