"""Writes docs/bench.md: `python docs/bench.py [SECONDS]`, with the peers installed and the machine left alone."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolkit.stages.bench import SHAPES, Options, bench, summary  # noqa: E402

HEAD = """# Beside other libraries

Made by `python docs/bench.py`: `toolkit bench` on an otherwise idle machine. One LSTM layer (inputs, hidden), the same
random weights everywhere, batch 1. Every candidate runs in short slices in turn. Compare ratios, not pages.

"""

if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    result = bench(Options(SHAPES, seconds, None), say=lambda text: print(text, file=sys.stderr))
    (ROOT / "docs" / "bench.md").write_text(HEAD + summary(result) + "\n", "utf-8")
