"""The stage `train`: run.toml -> config.toml, data.safetensors, model.safetensors, train.json, metrics.jsonl."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quantize.errors import QuantizeError
from quantize.features import Front, Raw
from quantize.network import Column, Network, save_network
from quantize.verify import verify_network
from toolkit.config import Config, save_config
from toolkit.data.baselines import baseline_predictions, fit_linear_ar
from toolkit.data.prepared import Prepared, forecast_rows, pairs, prepare, save_prepared
from toolkit.data.series import MAX_DECIMALS, fitting_decimals
from toolkit.data.unseen import unseen
from toolkit.errors import ToolkitError, write_whole
from toolkit.lock import locked
from toolkit.nn.layers import init_network
from toolkit.nn.outputs import output_columns
from toolkit.train import checkpoint, metrics
from toolkit.train.checkpoint import Position, load_checkpoint, save_checkpoint
from toolkit.train.evaluate import accuracy, evaluate_rows
from toolkit.train.progress import follow as on_stderr
from toolkit.train.skill import errors_of, skills
from toolkit.train.trainer import Diverged, Trained, Watcher, as_json, fit, loaded

Follow = Callable[..., AbstractContextManager[Watcher]]  # called as progress.follow is


def train(
    config: Config,
    out: Path,
    *,
    say: Callable[[str], None],
    resume: bool = False,
    board: str = "",
    plain: bool = False,
    follow: Follow = on_stderr,
) -> dict[str, Any]:
    """Prepares the series, trains, and writes the run's files into `out`: config.toml and data.safetensors with the
    first epoch, a checkpoint and metrics.jsonl after each one, the others after the training. `resume`: goes on from
    the checkpoint in `out`. `board`: whose figures are shown ("": the configuration's first). `plain`: no dashboard.
    `follow`: who shows it.

    Raises: ToolkitError for a bad series, a folder that cannot be written or where another process trains, a
    checkpoint of another training, a loss that is no longer a number, or Ctrl-C."""
    _check_writable(out)
    with locked(out, "trains", leave=False):
        return _train(config, out, partial(follow, board=board, plain=plain, say=say), say=say, resume=resume)


def _train(config: Config, out: Path, follow: Follow, *, say: Callable[[str], None], resume: bool) -> dict[str, Any]:
    said, going_on = out / checkpoint.NAME, f"go on with --resume --out {out}"
    found = _written(said)

    def ours() -> bool:  # whether there is a checkpoint, and not that of a training before this one
        return _written(said) > (0 if resume else found)

    try:
        prepared = prepare(config.data, need=needed(config), say=say)
        for sentence in unseen(prepared):
            say(sentence)
        rng = np.random.default_rng(config.train.seed)
        network = init_network(template(config, prepared), config.model, rng=rng)
        before = load_checkpoint(said, network, config) if resume else None
        _say_undeployable(network, say)
        watched = follow(config, prepared, network, out)
        trained = _fit(config, prepared, network, rng, out, before, watched, say=say)
        if not trained.epochs:
            raise ToolkitError("stopped before the first epoch had ended; nothing was written")
        result = _result(config, prepared, trained)
    except KeyboardInterrupt:
        kept = f"; {said} has the last whole epoch: {going_on}" if ours() else "; nothing was written"
        raise ToolkitError(f"training interrupted{kept}") from None
    except Diverged as e:
        kept = f"; {said} has the last good epoch" if ours() else ""
        raise ToolkitError(f"{e}{kept}") from None
    for sentence in metrics.verdict(result["metrics"], "float"):
        say(sentence)
    _save_inputs(config, prepared, out)  # a training that goes on from its end has had no epoch
    try:
        result["model"]["sha256"] = save_network(trained.network, out / "model.safetensors")
    except QuantizeError as e:
        raise ToolkitError(str(e)) from None
    write_whole(out / "train.json", json.dumps(result, indent=2) + "\n")
    return result


def _save_inputs(config: Config, prepared: Prepared, out: Path) -> None:
    save_config(config, out / "config.toml")
    save_prepared(prepared, out / "data.safetensors")


def _say_undeployable(network: Network, say: Callable[[str], None]) -> None:
    """What `quantize` will refuse is said before hours of training, not after them."""
    try:
        verify_network(network)
    except QuantizeError as e:
        say(f"this model trains and forecasts, but cannot be quantized: {e}")


def _fit(
    config: Config,
    prepared: Prepared,
    network: Network,
    rng: np.random.Generator,
    out: Path,
    before: Position | None,
    watched: AbstractContextManager[Watcher],
    *,
    say: Callable[[str], None],
) -> Trained:
    def save(position: Position) -> None:
        out.mkdir(parents=True, exist_ok=True)
        save_checkpoint(out / checkpoint.NAME, position, config)
        if len(position.history) == first:  # what `watch`, and `forecast` after the key s, need beside it
            _save_inputs(config, prepared, out)
        write_whole(out / "metrics.jsonl", "".join(json.dumps(as_json(e)) + "\n" for e in position.history))

    backend = loaded(network, config.model, config.train)  # before a dashboard would cover what it says
    first = len(before.history) + 1 if before else 1
    with watched as watcher:
        return fit(
            network, prepared, model=config.model, train=config.train, rng=rng, say=say, watcher=watcher, save=save,
            resume=before, backend=backend,
        )  # fmt: skip


def needed(config: Config) -> int:
    """Samples before the first forecast that counts."""
    return config.model.window if config.model.mode == "window" else config.model.warmup


def macs_per_step(network: Network) -> int:
    """Multiply-accumulates of one time step."""
    return sum(v.size for x in network.layers for k, v in x.weights.items() if not k.startswith(("b", "norm", "p")))


def template(config: Config, prepared: Prepared) -> Network:
    """The network without layers."""
    return Network(
        name=config.name,
        layers=(),
        inputs=prepared.inputs,
        outputs=_outputs(config, prepared),
        mode=config.model.mode,
        window=config.model.window if config.model.mode == "window" else 0,
        warmup=needed(config),
        horizon=prepared.horizon,
        period=prepared.period,
        missing=config.deploy.missing,
        max_gap=config.deploy.max_gap,
        front=_front(prepared, config.model.levels, config.deploy.missing),
    )


def _outputs(config: Config, prepared: Prepared) -> tuple[Column, ...]:
    values = list(prepared.outputs)
    if prepared.target == "level":
        values = [_finer(c, prepared.values[:, k]) for c, (k, _) in zip(values, pairs(prepared), strict=True)]
    m = config.model
    if (prepared.target == "class") != (m.output == "class"):
        raise ToolkitError(
            f'data.target = "{prepared.target}" with model.output = "{m.output}": classes need both to be "class"'
        )
    if m.output == "gaussian" and prepared.target != "level":
        raise ToolkitError(f'model.output = "gaussian" with data.target = "{prepared.target}": expected "level"')
    return output_columns(values, m.output, levels=m.levels, classes=prepared.classes)


def _front(prepared: Prepared, levels: tuple[float, ...], missing: str) -> Front | None:
    """What the C does before and after the network, where that is more than scaling."""
    target = "level" if prepared.target == "class" else prepared.target
    plain = all((f.kind, f.source) == ("value", k) for k, f in enumerate(prepared.features))
    if plain and len(prepared.features) == prepared.raws and target == "level":
        return None
    raws = tuple(Raw(c.name, c.unit, c.decimals) for c in prepared.columns[: prepared.raws])
    copies = max(1, len(levels))
    bases = () if target == "level" else tuple(k for k, _ in pairs(prepared) for _ in range(copies))
    if missing == "interpolate":
        raise ToolkitError(
            'deploy.missing = "interpolate" fills a gap of inputs, not of data.features or a data.target that is no '
            'level; set it to "hold" or "reset"'
        )
    return Front(raws, prepared.features, target, bases)


def _finer(column: Column, values: np.ndarray) -> Column:
    """A forecast has one decimal more than the data, where int32 has room: rounding to the data's own would cost more
    than quantization."""
    most = min(MAX_DECIMALS, fitting_decimals(values))
    return replace(column, decimals=column.decimals + 1) if column.decimals < most else column


def _result(config: Config, prepared: Prepared, trained: Trained) -> dict[str, Any]:
    """train.json"""
    network, need = trained.network, needed(config)
    scores, point, rows = dict[str, dict[str, Any]](), dict[str, np.ndarray](), np.empty(0)
    for split in ("val", "test"):
        rows, _, forecast = evaluate_rows(prepared, network, split=split)
        forecasts = baseline_predictions(prepared, need=need, split=split) | {"float": forecast}
        point = {**forecasts, "float": metrics.points(prepared, forecast, network.output, network.levels)}
        scores[split] = accuracy(prepared, point, rows)
        last = scores[split]["persistence"]  # 0: of a label that is known, horizon 0; no skill over that
        scores[split]["skill"] = 1 - scores[split]["float"] / last if last else 0.0
    scores["test"]["linear_ar_order"] = fit_linear_ar(prepared, need=need).order
    return {
        "name": config.name,
        "accuracy": scores["test"] | {"validation": scores["val"]},
        "metrics": metrics.score(
            prepared, forecasts, rows, output=network.output, levels=network.levels, judged=("float",)
        ),
        "skill": skills(errors_of(prepared, point, rows), prepared),
        "model": {
            "params": sum(v.size for x in network.layers for v in x.weights.values()),
            "macs_per_step": macs_per_step(network),
            "layers": [x.name for x in network.layers],
            "mode": network.mode,
            "warmup": network.warmup,
            "horizon": network.horizon,
        },
        "data": {
            "rows": len(prepared.values),
            "segments": len(prepared.starts),
            "forecasts": {s: len(forecast_rows(prepared, s, need=need)) for s in ("train", "val", "test")},
        },
        "training": {
            "backend": config.train.backend,
            "seed": config.train.seed,
            "epochs": len(trained.epochs),
            "best_epoch": trained.best,
            "seconds": round(trained.seconds, 3),
        },
    }


def _written(path: Path) -> int:
    """When, in nanoseconds; 0 = there is none."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def _check_writable(out: Path) -> None:
    """Before the work, not after it. Leaves nothing."""
    there = out.resolve()
    while not there.exists():
        there = there.parent
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as e:
        raise ToolkitError(f"{out}: cannot write: {there}: {e.strerror}; choose another with --out") from None
