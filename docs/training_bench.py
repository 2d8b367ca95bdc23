"""The section of docs/training.md about speed: `toolkit bench --training`, kept in docs/training_bench.json.

`python docs/training_bench.py [SECONDS]` measures anew, with PyTorch installed and the machine left alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolkit.stages.bench_training import bench_training, summary  # noqa: E402

KEPT = ROOT / "docs" / "training_bench.json"
TEXT = """## Speed, beside PyTorch

`toolkit bench --training`: epochs of the `native` backend and of PyTorch in turn, in one process. Both pick their
batches, run forward, loss and backward, and update with Adam. (a) and (c) are `torch.nn.LSTM` there, (b) a loop over
the cell of the Burn book. The error of the gradients is the largest difference from float64 over the largest gradient.

"""


def section() -> str:
    """The section, from what was measured last."""
    return TEXT + summary(json.loads(KEPT.read_text("utf-8"))) + "\n"


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 180.0
    measured = bench_training(seconds, say=lambda text: print(text, file=sys.stderr))
    KEPT.write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
