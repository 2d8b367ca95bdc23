"""Writes docs/performance.md from the scripts that measure the kernels: `python docs/performance.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# What a step costs

Made by `python docs/performance.py`. One fused LSTM step (`w8a16`), random weights; a MAC is one of 4 H (I + H). int16
and int8 are the widths of the input weights: the first layer's, and a deeper layer's. What a whole model costs on a
board: `profile` ([profile.md](profile.md)). On x86-64, beside other libraries: [bench.md](bench.md)."""
PARTS = (
    (
        "Cortex-M4 (`dsp`)",
        "Instructions are exact (unicorn), cycles estimated at zero wait states from the Technical Reference Manual's "
        "table. The bars come from a prototype with int8 input weights in a joint scale. A step is assembled for its "
        "layer's shape. GRU: reset after; a MAC is one of 3 H (I + H).",
        ["docs/dsp_cycles.py", "gcc"],
    ),
    (
        "Flash, RAM and stack on a Cortex-M4",
        "16 inputs, 64 hidden units, a dense head; weights aside: reset, step and head, linked with --gc-sections. "
        "Bars: 4 500 bytes for speed, 1 600 for size, 160 of stack, 432 of state and scratch.",
        ["docs/footprint.py"],
    ),
    (
        "Cortex-M0+ (`v6m`)",
        "The same, with the single-cycle multiplier. Bar: 27 000 cycles at (8,32).",
        ["-m", "tests.measure_small", "v6m", "gcc"],
    ),
    (
        "Cortex-M3 (`v7m`)",
        "The same. Bar: 2.6 instructions per MAC at (16,64).",
        ["-m", "tests.measure_small", "v7m", "gcc"],
    ),
    (
        "RV32IM (`rv32`)",
        "Instructions, exact (unicorn); the same for any numbers. Bar: 3.6 per MAC at (16,64).",
        ["-m", "tests.measure_rv32"],
    ),
    (
        "Cortex-M55 (`mve`)",
        "Instructions are exact (QEMU, mps3-an547); a vector instruction counts as one. Bar: 0.50 per MAC at (16,64). "
        "CMSIS-NN: int8 activations, whole calls, main of July 2026, measured earlier.",
        ["docs/perf_mve.py", "gcc"],
    ),
    (
        "AArch64 (`neon`, `neon_dotprod`)",
        "Instructions are exact (unicorn). Of a GRU, with reset after.",
        ["-m", "docs.perf_neon", "gcc"],
    ),
    (
        "WebAssembly (`wasm_simd128`)",
        "Microseconds of an LSTM step in node on the machine that made this page; compare columns. `ref` is compiled "
        "with the same flags, so that clang may use SIMD as well.",
        ["-m", "docs.perf_wasm"],
    ),
    (
        "Scheme `w8a8`",
        "Instructions per MAC of an LSTM step in the arithmetic of TFLite's int8 LSTM ([w8a8.md](w8a8.md)), exact, of "
        "each core's kernels and of `ref`; below, WebAssembly in node as above.",
        ["-m", "docs.perf_w8a8", "gcc"],
    ),
)


def main() -> None:
    text = [HEAD]
    for title, remark, command in PARTS:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True
        )
        lines = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
        fence = [] if any(line.startswith("|---") for line in lines) else ["```text"]
        text += ["", f"## {title}", "", remark, "", *fence, *lines, *(["```"] if fence else [])]
    (ROOT / "docs" / "performance.md").write_text("\n".join(text) + "\n", "utf-8")


if __name__ == "__main__":
    main()
