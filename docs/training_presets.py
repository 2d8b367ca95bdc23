"""The section of docs/training.md about the presets: each trained, quantized, run on an emulated board and compared
with the oracle, kept in docs/training_presets.json.

`python docs/training_presets.py [NAME ...]` measures anew (all, unless named); some minutes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolkit.boards import load_board  # noqa: E402
from toolkit.config import load_config  # noqa: E402
from toolkit.presets import PRESETS  # noqa: E402
from toolkit.stages.demo import options  # noqa: E402
from toolkit.stages.firmware import Job, run  # noqa: E402
from toolkit.stages.generate import generate_c  # noqa: E402
from toolkit.stages.quantize import quantize  # noqa: E402
from toolkit.train import metrics  # noqa: E402
from toolkit.train.stage import train  # noqa: E402

KEPT = ROOT / "docs" / "training_presets.json"
BOARD = "mps2_an386"  # the first of every preset
LEVEL = ("data.target=level", "data.features=[]")
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: (name, ()) for name in PRESETS},
    "harbinger, level": ("harbinger", LEVEL),
}
TEXT = f"""## The presets

`toolkit train --preset NAME` as it comes along, then `quantize`, `generate-c` and `run --board {BOARD}`; seed 1, the
`native` backend, one thread, on a machine shared with other work. RMSE on the test split (the last 15 % of each
series), in raw units; under `skill`, 1 - RMSE / RMSE of the last value (persistence) or of the linear autoregression,
with its 95 % interval from a moving block bootstrap. NER: how far the quantized network is from the float one, over
the float RMSE. The settings of `glucose` come from [training-demo.md](training-demo.md); those of the others are the
first that were written down, but for the patience of `modern_lstm`. In `sequences` and `sine` the truth is a linear
rule and noise, so a linear autoregression is as good as a forecast can be. `fibonacci` has noise of 0.01, the least
RMSE that a forecast can have: before it had any, its float RMSE was so small that NER measured the steps of the
cell's Q3.12, about one ten-thousandth of the target's deviation, and read 80 %.

"""
COLUMNS = ("persistence", "seasonal", "linear_ar", "float", "quantized")
HEADINGS = (
    *("run", "forecasts", "last value", "seasonal", "linear AR", "network", "quantized"),
    *("skill over the last value", "skill over linear AR", "NER", "epochs", "s"),
)
BOARD_TEXT = f"""
On `{BOARD}` (QEMU) every output and every state of these steps is compared with the integer oracle's, bit for bit.
Instructions: the most that a call of `predict` took. Flash: the whole image without the test vectors. Seconds: wall
time of each command.

"""
BOARD_HEADINGS = (
    *("run", "steps equal", "kernels", "flash, bytes", "RAM, bytes", "instructions a forecast"),
    *("quantize, s", "generate-c, s", "build and run, s"),
)


def measure(name: str) -> dict[str, Any]:
    """One run of RUNS: what every stage says of it."""
    preset, sets = RUNS[name]
    config, board, seconds = load_config(PRESETS[preset], sets=sets, env={}), load_board(BOARD), dict[str, float]()
    said = list[str]()

    def timed(stage: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        begun = time.perf_counter()
        result = work()
        seconds[stage] = round(time.perf_counter() - begun, 1)
        return result

    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        r = timed("train", lambda: train(config, at, say=said.append))
        q = timed("quantize", lambda: quantize(at, options(config), say=print))
        timed("generate-c", lambda: generate_c(at, board, None, float_api=False, say=print))
        ran = timed("run", lambda: run(Job(at, board), say=print))
        built = json.loads((at / "build" / BOARD / "build.json").read_text("utf-8"))["sizes"]
        kernels = json.loads((at / "build" / BOARD / "vectors.json").read_text("utf-8"))["kernels"]
    row = r["metrics"][0]
    return {
        "unit": row["unit"],
        "forecasts": r["accuracy"]["forecasts"],
        "rmse": {k: v["rmse"] for k, v in row.items() if isinstance(v, dict)}
        | {"quantized": q["accuracy"]["quantized"]},
        "skill": row["float"]["skill"],
        "ner": q["accuracy"]["ner"],
        "training": r["training"],
        "seconds": seconds,
        "board": {
            "steps": ran["steps"],
            "kernels": ", ".join(dict.fromkeys(kernels.values())),
            "flash": built["flash"] - built["vectors"],
            "ram": built["ram"],
            "instructions": ran["instructions_per_step"]["max"],
        },
        "verdict": metrics.verdict(r["metrics"], "float"),
        "warnings": [s for s in said if s.startswith("data.target")],
    }


def section() -> str:
    """The section, from what was measured last."""
    kept = json.loads(KEPT.read_text("utf-8"))
    text, said, on_board = TEXT + _heading(HEADINGS), list[str](), BOARD_TEXT + _heading(BOARD_HEADINGS)
    for name in RUNS:
        r, b = kept[name], kept[name]["board"]
        rmse = [f"{r['rmse'][k]:.4g}" if k in r["rmse"] else "" for k in COLUMNS]
        skills = [_shown(r["skill"][k]) for k in ("persistence", "linear_ar")]
        told = (f"{100 * r['ner']:.2g} %", f"{r['training']['epochs']}", f"{r['training']['seconds']:.1f}")
        of = f"{r['forecasts']}{', ' + r['unit'] if r['unit'] else ''}"
        text += _row(f"`{name}`", of, *rmse, *skills, *told)
        took = [f"{r['seconds'][k]:.1f}" for k in ("quantize", "generate-c", "run")]
        sizes = (f"{b[k]:,}" for k in ("flash", "ram", "instructions"))
        on_board += _row(f"`{name}`", f"{b['steps']} of {b['steps']}", b["kernels"], *sizes, *took)
        said += [f"- `{name}`: {sentence}" for sentence in (*r["warnings"], *r["verdict"])]
    what = "\nWhat the training itself says, of a level and where there is no skill:\n\n"
    return text + what + "\n".join(said) + "\n" + on_board


def _heading(names: tuple[str, ...]) -> str:
    return f"{_row(*names)}{'|---' * len(names)}|\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _shown(s: dict[str, float]) -> str:
    return f"{100 * s['skill']:.1f} % ({100 * s['low']:.1f} to {100 * s['high']:.1f})"


if __name__ == "__main__":
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.is_file() else {}
    for name in sys.argv[1:] or RUNS:
        kept[name] = measure(name)
        KEPT.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
