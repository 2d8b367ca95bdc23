"""The kernels of WebAssembly in node: each leaves the memory as the oracle says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests import foreign
from tests.conftest import needs
from toolkit.targets import CSRC, ROOT, SHIMS, TARGETS
from toolkit.toolchain import common_flags, cross_toolchain, no_loop_calls

BASE = 0x20_0000  # as tests/shims/calls.mjs has it


def test_instructions(tmp_path: Path) -> None:
    needs("zig", "node")
    tool, target = cross_toolchain("zig"), TARGETS["wasm_simd128"]
    flags = ["-target", "wasm32-freestanding", "-fhosted", *target.flags, *common_flags(tool), "-O2", "-DTL_KERNEL="]
    exports = [f"-Wl,--export=tl_{op}_{target.name}" for op in sorted(target.ops)]
    module = tmp_path / "kernels.wasm"
    sources = [CSRC / target.source, ROOT / "firmware" / "libmem.c"]
    command = [
        *tool.cc,
        *flags,
        *no_loop_calls(tool),
        f"-I{ROOT / 'firmware' / 'libc'}",
        *map(str, sources),
        "-nostdlib",
    ]
    command += ["-Wl,--no-entry", *exports, "-o", str(module)]
    subprocess.run(command, check=True, env={**os.environ, **tool.env}, cwd=tmp_path)
    foreign.check(["node", str(SHIMS / "calls.mjs"), str(module), target.name], target.name, BASE, "I")
