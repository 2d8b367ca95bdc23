"""The verb `sweep`: trials of Optuna over a space of keys; minimises validation error, flash bytes and cycles together.

The cycles are those of a forecast, counted in the board's emulator (toolkit/stages/cost.py), once for a shape; where no
emulator knows the board they are multiply-accumulates. Optuna prunes no studies of several objectives, so the median
rule is here: after WARM epochs a trial stops when its best validation loss is above the median, at that epoch, of those
trials, finished when it was handed out, that cost no more than it does: a small network is not measured by large ones,
or the front would lose its cheap end. Storage is a journal file in the sweep's folder; a trial that was interrupted is
not counted, and another takes its place: with the same values, since the sampler's seed is how many trials were asked
for before it.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from quantize.errors import QuantizeError
from quantize.network import Network
from toolkit.config import Config, as_dict, checked, load_config, read_toml, save_config, section_key
from toolkit.errors import ToolkitError, write_whole
from toolkit.lock import locked
from toolkit.train.processes import ctrl_c_unheard

Finished = tuple[float, float, Sequence[float]]  # of a trial: flash, cost, curve
WARM, ENOUGH = 3, 4  # epochs, and finished trials, before any is pruned
UNITS = {"cycles": "estimated cycles", "instructions": "instructions", "macs": "MACs"}  # of the third objective


class Pruned(Exception):
    """Worse than the median of the trials before it."""


def read_space(path: Path) -> dict[str, Any]:
    """[space]: key -> [low, high] of whole numbers, {low, high, log} of numbers, or a list of texts to choose from.

    Raises: ToolkitError, one line."""
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


def one_trial(path: str, sets: Sequence[str], finished: Sequence[Finished], unit: str) -> dict[str, Any]:
    """Trains one configuration -> its curve and, unless it was pruned, its objectives. Runs in any process."""
    import numpy as np

    from toolkit.data.prepared import prepare
    from toolkit.nn.layers import init_network
    from toolkit.train.stage import needed, template
    from toolkit.train.trainer import Watcher, fit

    curve, medians = list[float](), list[float]()

    def epoch(e: Any, best: Any) -> None:
        curve.append(min([e.val, *curve[-1:]]))
        if WARM <= len(curve) <= len(medians) and curve[-1] > medians[len(curve) - 1]:
            raise Pruned

    try:
        config = load_config(path, sets=sets, env={})
        prepared, rng = prepare(config.data, need=needed(config), say=_quiet), np.random.default_rng(config.train.seed)
        network = init_network(template(config, prepared), config.model, rng=rng)
        flash, cost = costs(network, config.deploy.boards[0], unit)
        medians += _medians([c for f, k, c in finished if f <= flash and k <= cost])
        fit(network, prepared, model=config.model, train=config.train, rng=rng, say=_quiet, watcher=Watcher(epoch))
    except Pruned:
        return {"curve": curve, "values": None, "said": f"pruned after epoch {len(curve)}"}
    except (ToolkitError, QuantizeError) as e:  # a loss that exploded, a model that no board takes: not the sweep's end
        return {"curve": curve, "values": None, "said": str(e)}
    said = f"validation {curve[-1]:.4g}, flash {flash:,}, {UNITS[unit]} {cost:,}"
    return {"curve": curve, "values": [curve[-1], flash, cost], "said": said}


def costs(network: Network, board: str, unit: str) -> tuple[int, int]:
    """(bytes of flash, cycles or what else a forecast is counted in): known before a network is trained."""
    from toolkit.boards import load_board
    from toolkit.nn.summary import footprint
    from toolkit.stages.cost import cost
    from toolkit.train.stage import macs_per_step

    macs = macs_per_step(network) * (network.window or 1)
    return footprint(network, board).flash, macs if unit == "macs" else cost(network, load_board(board)).each


def _quiet(text: str) -> None:
    pass


def _medians(curves: Sequence[Sequence[float]]) -> list[float]:
    if len(curves) < ENOUGH:
        return []
    longest = max(map(len, curves))
    return [statistics.median(c[min(k, len(c) - 1)] for c in curves) for k in range(longest)]


def _executor(jobs: int, dask: str | None) -> Executor:
    if dask is None:
        return ProcessPoolExecutor(jobs, get_context("spawn"), _worker)
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


def _worker() -> None:
    """Nobody waits for the trial of a parent that was killed."""
    parent = parent_process()
    assert parent is not None

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


@contextmanager
def _ended_by_ctrl_c(pool: Executor, out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        left = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in left:
            process.terminate()
            process.join()
        raise ToolkitError(f"sweep interrupted; {out} has the finished trials: go on with --resume") from None


def sweep(config: Config, space: Mapping[str, Any], out: Path, *, trials: int, jobs: int, dask: str | None,
          resume: bool, say: Callable[[str], None]) -> dict[str, Any]:  # fmt: skip
    """Runs trials until `trials` are done, and writes sweep.json. The trials read the configuration from the folder.

    Raises: ToolkitError for a bad series, a folder of another sweep, or Ctrl-C."""
    journal = out / "journal.log"
    if journal.exists() != resume:
        raise ToolkitError(f"{journal}: " + ("no sweep to resume" if resume else "is there; go on with --resume"))
    unit = _begin(config, say)
    asked = {"config": as_dict(config), "space": dict(space), "objectives": ["validation", "flash", unit]}
    with locked(out, "sweeps", leave=False):
        if resume:
            _check_same(out / "asked.json", json.loads(json.dumps(asked)))
        else:
            write_whole(out / "asked.json", json.dumps(asked, indent=1) + "\n")
            save_config(config, out / "config.toml")
        study, done = _study(journal)
        with _executor(jobs, dask) as pool, _ended_by_ctrl_c(pool, out):
            _run(study, pool, space, str((out / "config.toml").resolve()), unit, done, trials, jobs, say)
        names = asked["objectives"]
        front = [dict(zip(names, t.values, strict=True)) | {"trial": t.number, "set": t.params}
                 for t in study.best_trials]  # fmt: skip
        result = {"trials": max(done, trials), "front": sorted(front, key=lambda r: r["validation"])}
        write_whole(out / "sweep.json", json.dumps(result, indent=2) + "\n")
    return result


def _begin(config: Config, say: Callable[[str], None]) -> str:
    """Reads the series once, so that a bad one is no trial's failure; -> the unit of the third objective."""
    from toolkit.boards import load_board
    from toolkit.data.prepared import prepare
    from toolkit.stages.cost import unit_of, why_not
    from toolkit.train.stage import needed

    prepare(config.data, need=needed(config), say=say)
    board = load_board(config.deploy.boards[0])
    reason = why_not(board)
    if reason:
        say(f"no cycles ({reason}): multiply-accumulates of a forecast instead; --board NAME chooses another board")
    return "macs" if reason else unit_of(board)


def _check_same(path: Path, now: Mapping[str, Any]) -> None:
    """Raises: ToolkitError that names the first thing in which the folder's sweep is another."""
    before, end = json.loads(path.read_text("utf-8")), "set it back, or sweep into another folder with --out"
    for key in dict.fromkeys([*before["space"], *now["space"]]):
        old, new = (x["space"].get(key, "not there") for x in (before, now))
        if old != new:
            raise ToolkitError(f"{path}: a sweep with {key} = {old} in its space; now it is {new}; {end}")
    for section, keys in now["config"].items():
        if section == "name":
            continue
        for key, new in keys.items():
            old = before["config"].get(section, {}).get(key)
            if old != new:
                raise ToolkitError(f"{path}: a sweep with {section}.{key} = {old!r}; now it is {new!r}; {end}")
    old, new = (", ".join(x["objectives"]) for x in (before, now))
    if old != new:
        raise ToolkitError(f"{path}: a sweep with the objectives {old}; here they are {new}; {end}")


def _study(journal: Path) -> tuple[Any, int]:
    """(the journal's study, how many of its trials are done)."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise ToolkitError("sweep: no optuna; pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    state, storage = optuna.trial.TrialState, JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(storage=storage, study_name="sweep", directions=["minimize"] * 3, load_if_exists=True)
    for t in study.get_trials(states=(state.RUNNING,)):
        study.tell(t.number, state=state.FAIL)  # interrupted
    return study, len(study.get_trials(states=(state.COMPLETE, state.PRUNED)))


def _run(study: Any, pool: Executor, space: Mapping[str, Any], path: str, unit: str, done: int, trials: int,
         jobs: int, say: Callable[[str], None]) -> None:  # fmt: skip
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    running = dict[Any, Any]()
    while done < trials or running:
        while len(running) < jobs and done + len(running) < trials:
            trials_done = study.get_trials(states=(TrialState.COMPLETE,))
            finished = [(*t.values[1:], t.user_attrs["curve"]) for t in trials_done]
            study.sampler = TPESampler(seed=done + len(running))
            trial = study.ask()
            with ctrl_c_unheard():
                running[pool.submit(one_trial, path, _suggest(trial, space), finished, unit)] = trial
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            trial = running.pop(future)
            r = _result(future, trial.number)
            trial.set_user_attr("curve", r["curve"])
            study.tell(trial, r["values"], state=None if r["values"] else TrialState.PRUNED)
            done += 1
            say(f"trial {trial.number} ({done}/{trials}): {r['said']}")


def _result(future: Any, number: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = future.result()
    except Exception as e:
        if isinstance(e, BrokenProcessPool) or type(e).__module__.startswith("distributed"):
            text = (
                f"trial {number}: its worker was lost ({type(e).__name__}): killed, or out of memory; --resume goes on"
            )
            raise ToolkitError(text) from None
        raise
    return found


def table(result: Mapping[str, Any]) -> str:
    """The Pareto front for a terminal."""
    front = result["front"]
    unit = next((k for r in front for k in r if k not in ("validation", "flash", "trial", "set")), "cycles")
    lines = [f"{'trial':>5} {'validation':>11} {'flash':>8} {UNITS[unit]:>16}"]
    for r in front:
        keys = " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in r["set"].items())
        lines.append(f"{r['trial']:>5} {r['validation']:>11.4g} {r['flash']:>8,.0f} {r[unit]:>16,.0f}  {keys}")
    return "\n".join(lines)
