"""run.toml as frozen dataclasses. Precedence: file < environment `TEALIGHT_TRAIN__LR=0.01` < `--set train.lr=0.01`."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import tomli_w

from toolkit.boards import load_board
from toolkit.codegen.lower import check_name
from toolkit.data.made import MADE
from toolkit.errors import ToolkitError, nearest, write_whole
from toolkit.rules import learning_rules, model_rules

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "TEALIGHT_"


def _f(default: Any, *, choices: tuple[Any, ...] = (), low: float | None = None, high: float | None = None) -> Any:
    """A key with its default, the values it may take and its inclusive range."""
    rules = {"choices": choices, "low": low, "high": high}
    if isinstance(default, dict):
        return field(default_factory=lambda: MappingProxyType(dict(default)), metadata=rules)
    return field(default=default, metadata=rules)


@dataclass(frozen=True, slots=True)
class Data:
    """Where the series comes from and what is forecast."""

    path: str = _f("")  # a CSV file, or a folder of them, a series each; relative to the TOML; or
    series: str = _f("", choices=("", "glucose", "stocks", "sea", *MADE))  # a real series, or a made one
    series_column: str = _f("")  # column that names the series of each row; "" = the file is one series
    only: tuple[str, ...] = _f(())  # of several series: these; () = all
    delimiter: str = _f("auto")  # one character or "auto"
    header: str = _f("auto", choices=("auto", "yes", "no"))  # without one the columns are column1, column2, ...
    date: str = _f("")  # name of the date column; "" = none, then the line order is the time
    date_format: str = _f("auto")  # "auto" = ISO 8601 or epoch seconds; else a strptime format
    inputs: tuple[str, ...] = _f(())  # () = every column but the date
    features: tuple[str, ...] = _f(
        ()
    )  # what the network is fed, e.g. "close.log_return(5)"; () = the inputs themselves
    calendar: tuple[str, ...] = _f(())  # sine and cosine of the time of "day", "week", "year": more inputs
    targets: tuple[str, ...] = _f(())  # () = the only input
    target: str = _f("level", choices=("level", "difference", "log_return", "class"))  # what is learnt of a target
    units: Mapping[str, str] = _f({})  # column -> unit, e.g. {glucose = "mg/dL"}
    horizon: tuple[int, ...] = _f((1,), low=0)  # steps ahead; a list: as many forecasts at once
    season: int = _f(0, low=0)  # samples of a season, for the seasonal naive baseline; 0 = none
    split: tuple[float, ...] = _f((0.7, 0.15, 0.15))  # train, validation, test, in time order; a fourth: left out
    period: float = _f(0.0, low=0)  # seconds between two samples; 0 = the median spacing of the dates
    tolerance: float = _f(0.5, low=0.01, high=0.9)  # spacing within (1 +- tolerance) periods is one step; more is a gap
    gaps: bool = _f(
        True
    )  # a longer spacing is a gap; false where a row is a step whatever its date, as market days are
    repeats: str = _f(
        "error", choices=("error", "drop")
    )  # a row less than (1 - tolerance) periods after the one before
    missing: str = _f("error", choices=("error", "drop", "interpolate"))  # a value that is not a number
    max_fill: int = _f(6, low=1)  # interpolate: longest run of bad values that is filled; a longer one is a gap


@dataclass(frozen=True, slots=True)
class Model:
    """The network and the mode that it is trained and deployed in."""

    mode: str = _f("stateful", choices=("stateful", "window"))
    cell: str = _f("lstm", choices=("lstm", "gru", "rnn", "lstm_norm"))  # lstm_norm: Burn's modern LSTM
    reset: str = _f("after", choices=("after", "before"))  # gru: r times the recurrent sum, or r times h before it
    activation: str = _f("tanh", choices=("tanh", "relu"))  # of rnn
    hidden: int = _f(32, low=1, high=1024)
    layers: int = _f(1, low=1, high=8)
    bidirectional: str = _f("no", choices=("no", "joined", "parallel"))  # window mode; parallel: two stacks, as Burn
    residual: bool = _f(False)  # adds each layer's input to its output, but the first layer's
    dropout: float = _f(0.0, low=0, high=0.95)  # on what each recurrent layer gives
    recurrent_dropout: float = _f(0.0, low=0, high=0.95)  # on h in the recurrence, one mask for a sequence
    preact_clip: float = _f(0.0, low=0)  # lstm: bounds the gates' inputs; 0 = none
    cell_clip: float = _f(0.0, low=0)  # lstm: bounds c; 0 = none
    input_forget: bool = _f(False)  # lstm: forget gate = 1 - input gate
    peephole: bool = _f(False)  # lstm: the gates see c
    forget_bias: float = _f(1.0)  # lstm, lstm_norm: first bias of the forget gate
    head: str = _f("last", choices=("last", "final_states", "all", "mean"))  # the steps of a window that the head sees
    output: str = _f("value", choices=("value", "quantile", "gaussian", "class"))
    levels: tuple[float, ...] = _f(())  # of output = "quantile", e.g. [0.1, 0.5, 0.9]
    window: int = _f(32, low=1)  # window mode: samples per forecast
    warmup: int = _f(24, low=1)  # stateful mode: samples after a reset before a forecast counts


@dataclass(frozen=True, slots=True)
class Train:
    """How it is trained."""

    backend: str = _f("native")  # a key of toolkit.train.backends.BACKENDS
    device: str = _f("cpu")  # torch: cpu, cuda, mps, ...
    loss: str = _f(
        "", choices=("", "mse", "mae", "huber", "quantile", "gaussian", "crossentropy")
    )  # "" = of model.output
    huber_delta: float = _f(1.0, low=1e-9)  # huber: the error from which on it is linear, in deviations of the target
    optimiser: str = _f("adam", choices=("adam", "adamw", "sgd", "rmsprop"))
    momentum: float = _f(0.9, low=0, high=0.9999)  # of sgd
    nesterov: bool = _f(True)  # of sgd
    weight_decay: float = _f(0.01, low=0)  # of adamw, on matrices
    epochs: int = _f(60, low=1)
    lr: float = _f(0.01, low=1e-9)
    schedule: str = _f("cosine", choices=("cosine", "constant", "step", "exponential", "plateau", "onecycle"))
    warmup_epochs: int = _f(0, low=0)  # the rate rises to lr before the schedule begins
    decay: float = _f(0.5, low=1e-9, high=1)  # factor of step and plateau, and of each epoch of exponential
    step_epochs: int = _f(10, low=1)  # step: epochs between two; plateau: epochs without a better validation loss
    batch: int = _f(16, low=1)  # windows in a batch, or streams that run side by side
    steps: int = _f(16, low=1)  # stateful mode: truncated BPTT, steps between two updates
    segment: int = _f(0, low=0)  # steps whose inner values are kept; the others are computed again; 0 = all are kept
    clip: float = _f(1.0, low=1e-9)  # largest global norm of the gradient
    patience: int = _f(20, low=1)  # epochs without a better validation loss before it stops
    threads: int = _f(1, low=1)  # of the native backend; the result is the same for the same number
    seed: int = _f(1, low=0)


@dataclass(frozen=True, slots=True)
class Quantize:
    """How it is quantized."""

    refit: bool = _f(True)  # ridge refit of the head on the float model's own outputs
    deep_wx_bits: int = _f(8, choices=(8, 16))  # input weights of the layers above the first
    scheme: str = _f("w8a16", choices=("w8a16", "w8a8"))  # int16 activations, or int8 as in TFLite (docs/w8a8.md)
    activations: str = _f("tflm", choices=("tflm", "tflite"))  # of w8a8: a table as in TFLite Micro, or gemmlowp's


@dataclass(frozen=True, slots=True)
class Deploy:
    """What the generated C does, and for which boards."""

    missing: str = _f("hold", choices=("hold", "reset", "interpolate"))  # what predict_missing does
    max_gap: int = _f(6, low=0)  # after more lost samples in a row than this the state is reset
    boards: tuple[str, ...] = _f(("host",))


@dataclass(frozen=True, slots=True)
class Config:
    """A whole run.toml, resolved: `data.path` is absolute."""

    name: str
    data: Data
    model: Model
    train: Train
    quantize: Quantize
    deploy: Deploy


SECTIONS: dict[str, type] = {"data": Data, "model": Model, "train": Train, "quantize": Quantize, "deploy": Deploy}


def load_config(path: str | Path, *, sets: Sequence[str], env: Mapping[str, str]) -> Config:
    """Reads a run.toml, then the environment, then `sets` (each "section.key=value").

    Raises: ToolkitError on a missing file, an unknown key, a wrong type or a value out of range."""
    path = Path(path)
    raw = read_toml(path)
    values: dict[str, dict[str, Any]] = {s: {} for s in SECTIONS}
    name: Any = path.stem
    for key, value in raw.items():
        if key == "name":
            name = value
        elif key not in SECTIONS:
            raise ToolkitError(f"{path}: unknown section or key `{key}`{nearest(key, [*SECTIONS, 'name'])}")
        elif not isinstance(value, dict):
            raise ToolkitError(f"{path}: {key} = {value!r}: expected a section [{key}]")
        else:
            for k, v in value.items():
                values[key][k] = checked(key, k, v, where=str(path))
    if values["data"].get("path"):
        values["data"]["path"] = str((path.resolve().parent / values["data"]["path"]).resolve())
    for where, dotted, text in [*_from_environment(env), *_from_sets(sets)]:
        if dotted == ["name"]:
            name = text.strip('"')
            continue
        section, key = section_key(where, dotted)
        values[section][key] = checked(section, key, _literal(section, key, text, where=where), where=where)
        if (section, key) == ("data", "path") and text:
            values["data"]["path"] = str(Path(text).resolve())
    if not isinstance(name, str):
        raise ToolkitError(f'{path}: name = {name!r}: expected text in quotes, e.g. "glucose"')
    try:
        check_name(name)
    except ToolkitError as e:
        raise ToolkitError(f"{path}: {e}") from None
    config = Config(name=name, **{s: cls(**values[s]) for s, cls in SECTIONS.items()})
    _check_together(config, path)
    return config


def quantize_options(*, sets: Sequence[str], env: Mapping[str, str]) -> Quantize:
    """[quantize] alone, of a model that came without a run.toml.

    Raises: ToolkitError as `load_config`."""
    values: dict[str, Any] = {}
    for where, dotted, text in [*_from_environment(env), *_from_sets(sets)]:
        if dotted != ["name"] and dotted[0] == "quantize":
            section, key = section_key(where, dotted)
            values[key] = checked(section, key, _literal(section, key, text, where=where), where=where)
    return Quantize(**values)


def save_config(config: Config, path: str | Path) -> None:
    """Writes the resolved configuration as TOML, whole or not at all."""
    write_whole(path, tomli_w.dumps(as_dict(config)))


def as_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain lists and dicts."""
    out: dict[str, Any] = {"name": config.name}
    for section in SECTIONS:
        value = getattr(config, section)
        out[section] = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ToolkitError(f"{path}: no such file; expected a run.toml") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ToolkitError(f"{path}: cannot read: {getattr(e, 'strerror', None) or 'not UTF-8 text'}") from None
    except tomllib.TOMLDecodeError as e:
        raise ToolkitError(f"{path}: not valid TOML: {e}") from None


def _from_environment(env: Mapping[str, str]) -> list[tuple[str, list[str], str]]:
    """(where, dotted name, text) of each TEALIGHT_SECTION__KEY, and of TEALIGHT_NAME."""
    found = []
    for variable in sorted(env):
        if variable.startswith(PREFIX) and ("__" in variable or variable == PREFIX + "NAME"):
            found.append((f"environment {variable}", variable[len(PREFIX) :].lower().split("__"), env[variable]))
        elif variable.startswith(tuple(f"{PREFIX}{s.upper()}_" for s in SECTIONS)):
            raise ToolkitError(f"environment {variable}: expected two underscores, e.g. {PREFIX}TRAIN__LR=0.01")
    return found


def _from_sets(sets: Sequence[str]) -> list[tuple[str, list[str], str]]:
    found = []
    for text in sets:
        dotted, equals, value = text.partition("=")
        if not equals:
            raise ToolkitError(f"--set {text}: expected section.key=value, e.g. --set train.lr=0.01")
        found.append((f"--set {text}", dotted.strip().split("."), value.strip()))
    return found


def section_key(where: str, dotted: list[str]) -> tuple[str, str]:
    if dotted[0] not in SECTIONS:
        raise ToolkitError(f"{where}: unknown section `{dotted[0]}`{nearest(dotted[0], SECTIONS)}")
    if len(dotted) != 2:
        raise ToolkitError(f"{where}: expected section.key=value, e.g. train.lr=0.01")
    return dotted[0], dotted[1]


def _literal(section: str, key: str, text: str, *, where: str) -> Any:
    """The value of an override: TOML, or plain text where the key is text."""
    if get_type_hints(SECTIONS[section]).get(key) is str and not text.startswith('"'):
        return text
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def checked(section: str, key: str, value: Any, *, where: str) -> Any:
    """The value in its type, lists as tuples.

    Raises: ToolkitError for an unknown key, a wrong type or a value that is not allowed."""
    fields = {f.name: f for f in dataclasses.fields(SECTIONS[section])}
    if key not in fields:
        raise ToolkitError(f"{where}: unknown key `{section}.{key}`{nearest(key, fields)}")
    kind = get_type_hints(SECTIONS[section])[key]
    good, wanted = _convert(value, kind)
    if wanted:
        raise ToolkitError(f"{where}: {section}.{key} = {value!r}: expected {wanted}")
    rules = fields[key].metadata
    if rules["choices"] and good not in rules["choices"]:
        allowed = ", ".join(repr(c) for c in rules["choices"] if c != "")
        raise ToolkitError(f"{where}: {section}.{key} = {value!r}: expected one of {allowed}")
    low, high = rules["low"], rules["high"]
    least, most = (min(good), max(good)) if isinstance(good, tuple) and good and low is not None else (good, good)
    if (low is not None and least < low) or (high is not None and most > high):
        limits = " and ".join(t for t in (f">= {low}" if low is not None else "", f"<= {high}" if high else "") if t)
        raise ToolkitError(f"{where}: {section}.{key} = {value!r}: expected {limits}")
    return good


def _convert(value: Any, kind: Any) -> tuple[Any, str]:
    """(value in `kind`, "") or (None, what was expected)."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    is_number = is_int or (isinstance(value, float) and abs(value) < float("inf"))
    items = list(value) if isinstance(value, list) else []
    if kind is bool:
        return (value, "") if isinstance(value, bool) else (None, "true or false")
    if kind is int:
        return (value, "") if is_int else (None, "a whole number")
    if kind is float:
        return (float(value), "") if is_number else (None, "a number")
    if kind is str:
        return (value, "") if isinstance(value, str) else (None, 'text in quotes, e.g. "abc"')
    if kind == tuple[str, ...]:
        good = isinstance(value, list) and all(isinstance(v, str) for v in items)
        return (tuple(items), "") if good else (None, 'a list of texts, e.g. ["a", "b"]')
    if kind == tuple[int, ...]:
        items = items if isinstance(value, list) else [value]
        good = bool(items) and all(isinstance(v, int) and not isinstance(v, bool) for v in items)
        return (tuple(items), "") if good else (None, "a whole number or a list of them, e.g. 6 or [1, 3, 6]")
    if kind == tuple[float, ...]:
        good = isinstance(value, list) and not any(_convert(v, float)[1] for v in items)
        return (tuple(float(v) for v in items), "") if good else (None, "a list of numbers, e.g. [0.7, 0.15, 0.15]")
    good = isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
    return (MappingProxyType(dict(value)), "") if good else (None, 'a table of texts, e.g. {glucose = "mg/dL"}')


def _check_together(config: Config, path: Path) -> None:
    """Rules between keys."""
    data = config.data
    for name in config.deploy.boards:
        try:
            load_board(name)
        except ToolkitError as e:
            raise ToolkitError(f"{path}: deploy.boards: {e}") from None
    if bool(data.path) == bool(data.series):
        raise ToolkitError(f'{path}: [data]: expected either path = "file.csv" or series = "glucose", one of the two')
    if list(data.horizon) != sorted(set(data.horizon)) or (data.horizon[0] == 0 and data.target != "class"):
        raise ToolkitError(f"{path}: data.horizon = {list(data.horizon)}: expected rising steps ahead, 1 or more")
    if data.calendar and not (data.date or data.series):
        raise ToolkitError(f"{path}: data.calendar = {list(data.calendar)}: needs data.date, the column of the dates")
    if len(data.split) not in (3, 4) or min(data.split) <= 0 or abs(sum(data.split) - 1) > 1e-9:
        raise ToolkitError(
            f"{path}: data.split = {list(data.split)}: expected three positive shares with the sum 1 (a fourth: rows "
            f"at the end that are left out)"
        )
    for key in ("inputs", "targets"):
        names = getattr(data, key)
        if len(set(names)) != len(names):
            raise ToolkitError(f"{path}: data.{key} = {list(names)}: a column is named twice")
    if (data.target == "class") != (config.model.output == "class"):
        raise ToolkitError(
            f'{path}: data.target = "{data.target}" with model.output = "{config.model.output}": '
            'classes take "class" in both'
        )
    wrong = model_rules(config.model) or learning_rules(config.model, config.train)
    if wrong:
        raise ToolkitError(f"{path}: {wrong}")
    if data.delimiter != "auto" and len(data.delimiter) != 1:
        raise ToolkitError(f'{path}: data.delimiter = {data.delimiter!r}: expected one character or "auto"')


def environment() -> dict[str, str]:
    """The process's environment, for `load_config`."""
    return dict(os.environ)
