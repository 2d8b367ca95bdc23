"""Writes docs/training.md from what was measured: `python docs/training.py`; a section not yet measured is left out."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import training_bench  # noqa: E402
import training_presets  # noqa: E402

HEAD = """# Training, measured

Written by `docs/training.py`; not by hand. What a training looks like on a terminal, and as a
log: [dashboard.txt](dashboard.txt).

"""
SECTIONS = (training_presets, training_bench)


def page() -> str:
    """The page's text."""
    return HEAD + "\n".join(s.section() for s in SECTIONS if s.KEPT.is_file())


if __name__ == "__main__":
    (ROOT / "docs" / "training.md").write_text(page(), "utf-8")
