"""The kernels of AArch64 as real instructions, in QEMU's user mode: each leaves the memory as the oracle says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import foreign
from tests.conftest import needs
from toolkit.targets import CSRC, ROOT, SHIMS, TARGETS
from toolkit.toolchain import common_flags, cross_toolchain, no_loop_calls

BASE = 0x1000_0000  # as tests/shims/calls.c has it
CPUS = {"neon": "cortex-a53", "neon_dotprod": "neoverse-n1"}


def build(folder: Path, target: str, kind: str) -> Path:
    """tests/shims/calls.c with a target's kernels, as a Linux program without a C library."""
    needs({"gcc": "aarch64-gcc", "zig": "zig"}[kind], "qemu-aarch64")
    tool = cross_toolchain(kind, "aarch64-linux")
    machine = ["-target", "aarch64-linux-none"] if kind == "zig" else []
    machine += [f"-mcpu={CPUS[target].replace('-', '_' if kind == 'zig' else '-')}"]
    flags = [
        *machine,
        *common_flags(tool),
        "-O2",
        f"-I{CSRC}",
        f"-I{ROOT / 'firmware' / 'libc'}",
        f"-DTL_TARGET={target}",
    ]
    sources = [CSRC / TARGETS[target].source, SHIMS / "calls.c", ROOT / "firmware" / "libmem.c"]
    image = folder / "calls"
    command = [*tool.cc, *flags, *no_loop_calls(tool), "-static", "-nostdlib", *map(str, sources), "-o", str(image)]
    subprocess.run(command, check=True, env={**os.environ, **tool.env}, cwd=folder)
    return image


@pytest.mark.parametrize("kind", ["gcc", "zig"])
@pytest.mark.parametrize("target", sorted(CPUS))
def test_instructions(target: str, kind: str, tmp_path: Path) -> None:
    image = build(tmp_path, target, kind)
    foreign.check(["qemu-aarch64", "-cpu", CPUS[target], str(image)], target, BASE, "Q")
    if target == "neon_dotprod":  # and they are those of Armv8.2
        done = subprocess.run(["qemu-aarch64", "-cpu", "cortex-a53", str(image)], input=b"", capture_output=True)
        assert done.returncode == 0
        with pytest.raises(AssertionError, match="Illegal instruction"):
            foreign.check(["qemu-aarch64", "-cpu", "cortex-a53", str(image)], target, BASE, "Q")


def test_a_difference_is_found(tmp_path: Path) -> None:
    """The weights of one target make the other one wrong."""
    image = build(tmp_path, "neon", "gcc")
    with pytest.raises(AssertionError, match="lstm"):
        foreign.check(["qemu-aarch64", str(image)], "neon_dotprod", BASE, "Q")
