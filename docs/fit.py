"""Writes docs/fit.md: `toolkit fit` for the demo's model and for an LSTM (16,64). From the root, after a demo:
`python -m docs.fit`; two minutes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from quantize.qnetwork import save_qnetwork
from tests.nets import Shape, random_qnetwork
from toolkit.boards import board_names, load_board
from toolkit.stages.fit import Limits, boards_with_memory, default_jobs, fit, summary

PAGE = Path(__file__).with_name("fit.md")
HEAD = """# One model, every board

Made by `python -m docs.fit`: `toolkit fit` on every board that takes an image. Each image is built; cycles are those of
the longest step in the emulator, *estimated* from the core's manual with zero wait states; where there is no table for
the core they are instructions, and where no emulator counts, nothing. Clocks are those that the firmware sets: a faster
setting of the same chip makes a step shorter.
"""


def table(model: Path) -> str:
    """What `fit` prints."""
    boards = boards_with_memory(board_names(), load_board)
    result = fit(model, boards, Limits(None, None, None), jobs=default_jobs(), say=lambda s: print(s, file=sys.stderr))
    return "\n".join(line.rstrip() for line in summary(result).replace(f"{model}/", "").splitlines()).strip("\n")


def main() -> None:
    """Writes the page."""
    parts = [HEAD, "## The demo's model: 2 layers of 32\n", f"```text\n{table(Path('runs/demo'))}\n```\n"]
    with tempfile.TemporaryDirectory() as folder:
        shape = Shape(16, (64,), 1, (16,), "stateful", 0, "hold", 3, ("lstm",))
        q = random_qnetwork(np.random.default_rng(0), shape, "lstm_16_64")
        save_qnetwork(q, Path(folder) / "model.q.safetensors")
        parts += ["\n## LSTM (16,64) with a dense head, random weights\n", f"```text\n{table(Path(folder))}\n```\n"]
    PAGE.write_text("\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
