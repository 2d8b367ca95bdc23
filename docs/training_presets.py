"""The section of docs/training.md about the presets: each trained and quantized, kept in docs/training_presets.json.

`python docs/training_presets.py [NAME ...]` measures anew (all, unless named); some minutes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolkit.config import load_config  # noqa: E402
from toolkit.presets import PRESETS  # noqa: E402
from toolkit.stages.demo import options  # noqa: E402
from toolkit.stages.quantize import quantize  # noqa: E402
from toolkit.train import metrics  # noqa: E402
from toolkit.train.stage import train  # noqa: E402

KEPT = ROOT / "docs" / "training_presets.json"
TEXT = """## The presets

`toolkit train --preset NAME`, then `quantize`; seed 1, the `native` backend, one thread, on a machine shared with other
work. RMSE on the test split (the last 15 % of each series), in raw units; under `skill`, 1 - RMSE / RMSE of the
last value (persistence) or of the linear autoregression, with its 95 % interval from a moving block bootstrap.
NER: how far the quantized network is from the float one, over the float RMSE; that of `fibonacci` is large, beside a
float error of one ten-thousandth of the last value's; why was not looked into. The settings of `glucose` come from
[training-demo.md](training-demo.md); the others were written down once and not tuned. In `sequences` and `sine` the
truth is a linear rule and noise, so a linear autoregression is as good as a forecast can be.

"""
COLUMNS = ("persistence", "seasonal", "linear_ar", "float", "quantized")
HEADINGS = (
    *("preset", "forecasts", "last value", "seasonal", "linear AR", "network", "quantized"),
    *("skill over the last value", "skill over linear AR", "NER", "epochs", "seconds"),
)


def measure(name: str) -> dict[str, Any]:
    """One preset: what training and quantization say of it."""
    config = load_config(PRESETS[name], sets=[], env={})
    with tempfile.TemporaryDirectory() as folder:
        r = train(config, Path(folder), say=print)
        q = quantize(Path(folder), options(config), say=print)
    row = r["metrics"][0]
    return {
        "unit": row["unit"],
        "forecasts": r["accuracy"]["forecasts"],
        "rmse": {k: v["rmse"] for k, v in row.items() if isinstance(v, dict)}
        | {"quantized": q["accuracy"]["quantized"]},
        "skill": row["float"]["skill"],
        "ner": q["accuracy"]["ner"],
        "training": r["training"],
        "verdict": metrics.verdict(r["metrics"], "float"),
    }


def section() -> str:
    """The section, from what was measured last."""
    kept = json.loads(KEPT.read_text("utf-8"))
    text, said = TEXT + f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|\n", list[str]()
    for name in PRESETS:
        r = kept[name]
        rmse = [f"{r['rmse'][k]:.4g}" if k in r["rmse"] else "" for k in COLUMNS]
        skills = [_shown(r["skill"][k]) for k in ("persistence", "linear_ar")]
        told = (f"{100 * r['ner']:.2g} %", f"{r['training']['epochs']}", f"{r['training']['seconds']:.1f}")
        of = f"{r['forecasts']}{', ' + r['unit'] if r['unit'] else ''}"
        text += f"| {' | '.join((f'`{name}`', of, *rmse, *skills, *told))} |\n"
        said += [f"- `{name}`: {sentence}" for sentence in r["verdict"]]
    return text + "\nWhat the training itself says, where there is no skill:\n\n" + "\n".join(said) + "\n"


def _shown(s: dict[str, float]) -> str:
    return f"{100 * s['skill']:.1f} % ({100 * s['low']:.1f} to {100 * s['high']:.1f})"


if __name__ == "__main__":
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.is_file() else {}
    for name in sys.argv[1:] or PRESETS:
        kept[name] = measure(name)
        KEPT.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
