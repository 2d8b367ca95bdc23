"""Writes docs/training.md from what was measured: `python docs/training.py`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import training_bench  # noqa: E402
import training_presets  # noqa: E402

HEAD = "# Training, measured\n\nWritten by `docs/training.py`; not by hand.\n\n"
SECTIONS: tuple[Callable[[], str], ...] = (training_presets.section, training_bench.section)

if __name__ == "__main__":
    (ROOT / "docs" / "training.md").write_text(HEAD + "\n".join(section() for section in SECTIONS), "utf-8")
