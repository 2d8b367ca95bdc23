"""The kernels of WebAssembly in node: each leaves the memory as the oracle says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests import foreign
from tests.conftest import needs
from toolkit.targets import CSRC, ROOT, SHIMS, TARGETS
from toolkit.toolchain import common_flags, cross_toolchain, no_loop_calls

BASE = 0x20_0000  # as tests/shims/calls.mjs has it


def build(folder: Path, targets: Sequence[str]) -> Path:
    """A module with all kernels of these targets."""
    needs("zig", "node")
    tool, module = cross_toolchain("zig"), folder / "kernels.wasm"
    flags = ["-target", "wasm32-freestanding", "-fhosted", *common_flags(tool), "-O2", "-DTL_KERNEL=", "-nostdlib"]
    flags += [*TARGETS["wasm_simd128"].flags, *no_loop_calls(tool), f"-I{ROOT / 'firmware' / 'libc'}"]
    sources = [ROOT / "firmware" / "libmem.c", *(CSRC / TARGETS[t].source for t in targets)]
    exports = [f"-Wl,--export=tl_{op}_{t}" for t in targets for op in sorted(TARGETS[t].ops)]
    command = [*tool.cc, *flags, *map(str, sources), "-Wl,--no-entry", *exports, "-o", str(module)]
    subprocess.run(command, check=True, env={**os.environ, **tool.env}, cwd=folder)
    return module


def test_instructions(tmp_path: Path) -> None:
    module = build(tmp_path, ["wasm_simd128"])
    foreign.check(["node", str(SHIMS / "calls.mjs"), str(module), "wasm_simd128"], "wasm_simd128", BASE, "I")
