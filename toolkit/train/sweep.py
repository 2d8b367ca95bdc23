"""The verb `sweep`: trials of Optuna over a space of keys; minimises validation error, flash bytes and MACs together.

Optuna prunes no studies of several objectives, so the median rule is here: after WARM epochs a trial stops when its
best validation loss is above the median, at that epoch, of the trials finished when it was handed out. Storage is a
journal file in the sweep's folder; a trial that was interrupted is not counted, and another takes its place.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from quantize.errors import QuantizeError
from toolkit.errors import ToolkitError, write_whole

WARM, ENOUGH = 3, 4  # epochs, and finished trials, before any is pruned
OBJECTIVES = ("validation", "flash", "macs")


class Pruned(Exception):
    """Worse than the median of the trials before it."""


def read_space(path: Path) -> dict[str, Any]:
    """[space]: key -> [low, high] of whole numbers, {low, high, log} of numbers, or a list of texts to choose from.

    Raises: ToolkitError, one line."""
    from toolkit.config import checked, read_toml, section_key

    space = read_toml(path).get("space")
    if not isinstance(space, dict) or not space:
        raise ToolkitError(f'{path}: expected a section [space], e.g. "model.hidden" = [8, 64]')
    for key, v in space.items():
        section, name = section_key(str(path), key.split("."))
        ends = [v.get("low"), v.get("high")] if isinstance(v, dict) else v
        if not isinstance(ends, list) or not ends or None in ends:
            raise ToolkitError(f"{path}: {key} = {v!r}: expected [low, high], {{low, high}} or a list of choices")
        for end in ends:
            checked(section, name, end, where=str(path))
    return space


def _suggest(trial: Any, space: Mapping[str, Any]) -> list[str]:
    sets = []
    for key, v in space.items():
        if isinstance(v, dict):
            value = trial.suggest_float(key, v["low"], v["high"], log=v.get("log", False))
        elif len(v) == 2 and all(type(x) is int for x in v):
            value = trial.suggest_int(key, *v)
        else:
            value = trial.suggest_categorical(key, v)
        sets.append(f"{key}={json.dumps(value)}")
    return sets


def one_trial(path: str, sets: Sequence[str], medians: Sequence[float]) -> dict[str, Any]:
    """Trains one configuration -> its curve and, unless it was pruned, its objectives. Runs in any process."""
    import numpy as np

    from toolkit.config import load_config
    from toolkit.data.prepared import prepare
    from toolkit.nn.layers import init_network
    from toolkit.nn.summary import footprint
    from toolkit.train.stage import macs_per_step, needed, template
    from toolkit.train.trainer import Watcher, fit

    config, curve = load_config(path, sets=sets, env={}), list[float]()
    prepared = prepare(config.data, need=needed(config), say=lambda text: None)
    rng = np.random.default_rng(config.train.seed)
    network = init_network(template(config, prepared), config.model, rng=rng)

    def epoch(e: Any, best: Any) -> None:
        curve.append(min([e.val, *curve[-1:]]))
        if WARM <= len(curve) <= len(medians) and curve[-1] > medians[len(curve) - 1]:
            raise Pruned

    try:
        fit(network, prepared, model=config.model, train=config.train, rng=rng, say=lambda text: None,
            watcher=Watcher(epoch))  # fmt: skip
        flash = footprint(network, config.deploy.boards[0]).flash
    except Pruned:
        return {"curve": curve, "values": None, "said": "pruned"}
    except (ToolkitError, QuantizeError) as e:  # a loss that exploded, a model that no board takes: not the sweep's end
        return {"curve": curve, "values": None, "said": str(e)}
    values = [curve[-1], flash, macs_per_step(network) * (network.window or 1)]
    return {"curve": curve, "values": values, "said": ", ".join(f"{v:.4g}" for v in values)}


def _medians(curves: Sequence[Sequence[float]]) -> list[float]:
    if len(curves) < ENOUGH:
        return []
    longest = max(map(len, curves))
    return [statistics.median(c[min(k, len(c) - 1)] for c in curves) for k in range(longest)]


def _executor(jobs: int, dask: str | None) -> Executor:
    if dask is None:
        return ProcessPoolExecutor(jobs, get_context("spawn"))
    try:
        from dask.distributed import Client
    except ImportError:
        raise ToolkitError("--dask: no dask.distributed; pip install 'dask[distributed]'") from None
    try:
        connect: Any = Client  # it has no types
        executor: Executor = connect(dask, timeout=10).get_executor(pure=False)
        return executor
    except (OSError, ValueError) as e:
        raise ToolkitError(f"--dask {dask}: no cluster answers there: {e}") from None


@contextmanager
def _ended_by_ctrl_c(pool: Executor, out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        raise ToolkitError(f"sweep interrupted; {out} has the finished trials: go on with --resume") from None


def sweep(path: Path, space: Mapping[str, Any], out: Path, *, sets: Sequence[str], trials: int, jobs: int,
          dask: str | None, resume: bool, say: Callable[[str], None]) -> dict[str, Any]:  # fmt: skip
    """Runs trials until `trials` are done, and writes sweep.json."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise ToolkitError("sweep: no optuna; pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    state, journal = optuna.trial.TrialState, out / "journal.log"
    if journal.exists() != resume:
        raise ToolkitError(f"{journal}: " + ("no sweep to resume" if resume else "is there; go on with --resume"))
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(journal))), study_name="sweep",
                                directions=["minimize"] * 3, load_if_exists=True)  # fmt: skip
    for t in study.get_trials(states=(state.RUNNING,)):
        study.tell(t.number, state=state.FAIL)  # interrupted
    done, running = len(study.get_trials(states=(state.COMPLETE, state.PRUNED))), dict[Any, Any]()
    with _executor(jobs, dask) as pool, _ended_by_ctrl_c(pool, out):
        while done < trials or running:
            while len(running) < jobs and done + len(running) < trials:
                curves = [t.user_attrs["curve"] for t in study.get_trials(states=(state.COMPLETE,))]
                trial = study.ask()
                asked = [*sets, *_suggest(trial, space)]
                running[pool.submit(one_trial, str(path.resolve()), asked, _medians(curves))] = trial
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                trial, r = running.pop(future), future.result()
                trial.set_user_attr("curve", r["curve"])
                study.tell(trial, r["values"], state=None if r["values"] else state.PRUNED)
                done += 1
                say(f"trial {trial.number} ({done}/{trials}): {r['said']}")
    front = [
        dict(zip(OBJECTIVES, t.values, strict=True)) | {"trial": t.number, "set": t.params} for t in study.best_trials
    ]
    result = {"trials": done, "front": sorted(front, key=lambda r: r["validation"])}
    write_whole(out / "sweep.json", json.dumps(result, indent=2) + "\n")
    return result
