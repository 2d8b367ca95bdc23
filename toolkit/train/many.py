"""`train --seeds`, `--each`, `--walk-forward`: several runs of one configuration below one folder, and a summary.

A run's folder is RUN/<series>/seed<k>/fold<k>, of those parts that there are; each holds what `train` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from toolkit.config import Config, as_dict, environment, load_config, read_toml
from toolkit.data.sources import read_tables
from toolkit.errors import ToolkitError, write_whole
from toolkit.lock import locked
from toolkit.train import checkpoint
from toolkit.train.processes import Job, run_all
from toolkit.train.skill import pooled

WORDS = {"persistence": "persistence", "linear_ar": "linear AR", "seasonal": "seasonal naive"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained: `seeds` runs with the seeds 0 to seeds-1, a model for `each` series, `folds` of walk-forward."""

    seeds: int = 0
    each: bool = False
    folds: int = 0


def jobs_of(config: Config, plan: Plan) -> list[Job]:
    """In the order in which they are trained.

    Raises: ToolkitError where the series have one name for a folder, or the split has no room for the folds."""
    series = [*read_tables(config.data)[0]] if plan.each else [""]
    if series == [""] and plan.each:
        raise ToolkitError("--each: one series; expected data.series_column, or a folder of files in data.path")
    jobs = []
    for name in series:
        for seed in range(plan.seeds) if plan.seeds else [None]:
            for fold in range(1, plan.folds + 1) if plan.folds else [0]:
                parts = [_plain(name)] * plan.each + [f"seed{seed}"] * bool(plan.seeds) + [f"fold{fold}"] * bool(fold)
                sets = [f"data.only={json.dumps([name])}", f"name={_name(config.name, name)}"] if plan.each else []
                sets += [f"train.seed={seed}"] if plan.seeds else []
                sets += [f"data.split={split_of(config.data.split, fold, plan.folds)}"] if fold else []
                jobs.append(Job("/".join(parts), tuple(sets), name, seed, fold))
    names = [job.name.lower() for job in jobs]  # some file systems do not tell A from a
    twice = next((job for job in jobs if names.count(job.name.lower()) > 1), None)
    if twice:
        raise ToolkitError(f'--each: series "{twice.series}" and another would both be in {twice.name}; rename one')
    return jobs


def _plain(name: str) -> str:
    """A series' name as a folder's."""
    return re.sub(r"[^A-Za-z0-9._-]|^\.+", "_", name)


def _name(model: str, series: str) -> str:
    return f"{model}_{re.sub('[^a-z0-9]', '_', series.lower())}"[:31]


def split_of(split: Sequence[float], fold: int, folds: int) -> list[float]:
    """Walk-forward with a growing window: the test share is cut into `folds`; fold k is tested on the k-th, has the
    validation share just before that, trains on all before it and leaves the later ones out."""
    train, val, test = split[0], split[1], split[2]
    end = 1 - sum(split[3:]) - test * (folds - fold) / folds
    shares = [round(train + test * (fold - 1) / folds, 12), val, test / folds, 1 - end]
    return shares if shares[3] > 1e-9 else [1 - val - test / folds, *shares[1:3]]


def train_many(
    path: Path, config: Config, plan: Plan, out: Path, *, sets: Sequence[str], at_once: int, resume: bool,
    plain: bool, say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Trains every run of the plan below `out`, and writes summary.json there; "failed" says why some did. `plain`:
    no lines that are redrawn.

    Raises: ToolkitError for Ctrl-C, or when another process trains here."""
    jobs = jobs_of(config, plan)
    with locked(out, "trains", leave=False):
        finished = [j.name for j in jobs if resume and _is_finished(out / j.name, path, [*sets, *j.sets])]
        begun = [j.name for j in jobs if resume and (out / j.name / checkpoint.NAME).is_file()]
        if resume and not begun:
            raise ToolkitError(f"{out}: no run here to go on with; train without --resume")
        todo = [j for j in jobs if j.name not in finished]
        say(f"{out}: {len(todo)} runs, {min(at_once, len(todo))} at a time, {len(finished)} done")
        try:
            failed = run_all(path, todo, out, sets=sets, at_once=at_once, resume=begun, plain=plain, say=say)
        except KeyboardInterrupt:
            raise ToolkitError(f"training interrupted; every run can go on: --resume --out {out}") from None
        result = _summary([j for j in jobs if j.name not in failed], out, plan) | {"failed": failed}
        write_whole(out / "summary.json", json.dumps(result, indent=2) + "\n")
    return result


def _is_finished(run: Path, path: Path, sets: Sequence[str]) -> bool:
    """By this very configuration."""
    files = [run / name for name in (checkpoint.NAME, "train.json", "config.toml")]
    if not all(f.is_file() for f in files) or files[1].stat().st_mtime_ns < files[0].stat().st_mtime_ns:
        return False
    return read_toml(files[2]) == json.loads(json.dumps(as_dict(load_config(path, sets=sets, env=environment()))))


def _summary(jobs: Sequence[Job], out: Path, plan: Plan) -> dict[str, Any]:
    rows = [_row(job, json.loads((out / job.name / "train.json").read_text("utf-8"))) for job in jobs]
    result: dict[str, Any] = {"runs": rows}
    if not rows:
        return result
    if plan.folds:
        result["pooled"] = []
        for name in dict.fromkeys(job.name.rpartition("/fold")[0] if "/" in job.name else "" for job in jobs):
            folds = [out / j.name for j in jobs if j.name.startswith(f"{name}/fold" if name else "fold")]
            error, skill, count = pooled(folds)
            result["pooled"].append({"run": name or "all folds", "error": error, "skill": skill, "forecasts": count})
        return result
    of_one = not plan.each or len({job.series for job in jobs}) == 1  # errors of several series have no mean
    keys = ("validation", "test", "skill") if of_one else ("skill",)
    values = {k: [r["skill"]["persistence"]["skill"] if k == "skill" else r[k] for r in rows] for k in keys}
    if len(rows) > 1:
        result["mean"] = {k: mean(v) for k, v in values.items()}
        result["spread"] = {k: stdev(v) for k, v in values.items()}
    return result | {"best": max(rows, key=lambda r: r["validation_skill"])["run"]}


def _row(job: Job, found: dict[str, Any]) -> dict[str, Any]:
    """Of one run: errors are RMSE in raw units, or of classes the share of wrong labels."""
    accuracy = found["accuracy"]
    return {
        "run": job.name,
        "series": job.series,
        "seed": found["training"]["seed"],
        "fold": job.fold,
        "validation": accuracy["validation"]["float"],
        "validation_skill": accuracy["validation"]["skill"],
        "test": accuracy["float"],
        "unit": accuracy["unit"],
        "baselines": {k: accuracy[k] for k in WORDS if k in accuracy},
        "skill": found["skill"],
        "forecasts": accuracy["forecasts"],
        "epochs": found["training"]["epochs"],
        "seconds": found["training"]["seconds"],
    }


def table(result: dict[str, Any]) -> str:
    """The summary for a terminal."""
    baselines = list(result["runs"][0]["skill"]) if result["runs"] else []
    t = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    t.add_column("Run")
    for column in ("Validation", "Test", *(f"Skill over {WORDS[k]}" for k in baselines), "Epochs", "Seconds"):
        t.add_column(column, justify="right")
    for r in result["runs"]:
        errors = (f"{r['validation']:.4g}", f"{r['test']:.4g} {r['unit']}".rstrip())
        t.add_row(r["run"], *errors, *(_percent(r["skill"][k]) for k in baselines), str(r["epochs"]),
                  f"{r['seconds']:.1f}")  # fmt: skip
    for p in result.get("pooled", []):
        t.add_section()
        t.add_row(p["run"], "", f"{p['error']['float']:.4g}", *(_percent(p["skill"][k]) for k in baselines), "", "")
    console = Console(highlight=False)
    console.width = max(console.width, 160)  # a row stays one line
    with console.capture() as capture:
        console.print(t)
        if "mean" in result:
            both = ((k, result["mean"][k], result["spread"][k]) for k in result["mean"])
            parts = (f"{k} {m:+.1%} ± {s:.1%}" if k == "skill" else f"{k} {m:.4g} ± {s:.2g}" for k, m, s in both)
            console.print(f"mean ± standard deviation: {', '.join(parts)}")
        if "best" in result:
            console.print(f"best on the validation rows (skill over persistence): {result['best']}")
    return capture.get().rstrip("\n")


def _percent(s: dict[str, float]) -> str:
    return f"{s['skill']:+.1%} ({100 * s['low']:+.1f} to {100 * s['high']:+.1f})"
