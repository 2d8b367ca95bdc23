"""Writes docs/training-demo.md: the demo (toolkit/presets/glucose.toml) trained from several seeds, and its neighbours.

Run from the root of the repository: `OPENBLAS_NUM_THREADS=1 python docs/training_demo.py`"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from toolkit.config import load_config
from toolkit.train import train

EXAMPLE = Path("toolkit/presets/glucose.toml")
SEEDS = (1, 2, 3, 4, 5, 6, 7)
NEIGHBOURS = (
    (),
    ("model.layers=1",),
    ("train.steps=8",),
    ("train.steps=24",),
    ("train.steps=48",),
    ("train.batch=32",),
    ("train.lr=0.005",),
    ("train.lr=0.02",),
)
HEAD = """# The demo's training, measured

Written by `docs/training_demo.py`; not by hand. Glucose, 30 minutes ahead (6 samples), one input, stateful; mg/dL, RMSE
on {forecasts} test forecasts (chronological split {split}), every number on the same targets. Seconds: wall time of
training alone (NumPy backend, one BLAS thread, a machine shared with other work).
Persistence {persistence:.2f}; linear AR {linear_ar:.2f} (order {linear_ar_order}, chosen on validation).

## The demo's configuration, seed by seed
| seed | validation | test | skill over persistence | best epoch | epochs | seconds |
|---|---|---|---|---|---|---|
"""
MIDDLE = """
## Its neighbours, seeds 1 to 3: one setting changed at a time
| changed | validation, mean | test, mean | test, worst | seconds, mean |
|---|---|---|---|---|
"""


def one(sets: tuple[str, ...], seed: int) -> dict[str, Any]:
    """train.json of one run."""
    config = load_config(EXAMPLE, sets=[*sets, f"train.seed={seed}"], env={})
    with tempfile.TemporaryDirectory() as folder:
        return train(config, Path(folder), say=lambda text: None)


def main() -> None:
    """Trains everything and writes the page."""
    seeds = {seed: one((), seed) for seed in SEEDS}
    text = HEAD.format(split=list(load_config(EXAMPLE, sets=[], env={}).data.split), **seeds[1]["accuracy"])
    for seed, r in seeds.items():
        a, t = r["accuracy"], r["training"]
        text += (
            f"| {seed} | {a['validation']['float']:.2f} | {a['float']:.2f} | {100 * a['skill']:.1f} % "
            f"| {t['best_epoch']} | {t['epochs']} | {t['seconds']:.1f} |\n"
        )
    text += MIDDLE
    for sets in NEIGHBOURS:
        runs = [one(sets, seed) if sets else seeds[seed] for seed in SEEDS[:3]]
        val, test, seconds = (
            [r["accuracy"]["validation"]["float"] for r in runs],
            [r["accuracy"]["float"] for r in runs],
            [r["training"]["seconds"] for r in runs],
        )
        text += (
            f"| {', '.join(sets) or 'nothing'} | {sum(val) / 3:.2f} | {sum(test) / 3:.2f} | {max(test):.2f} "
            f"| {sum(seconds) / 3:.1f} |\n"
        )
    Path("docs/training-demo.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
