"""What a bare state_dict is: a list of layers, inferred from names and shapes or given as TOML (docs/importing.md).

    [[layer]]
    op = "lstm"       # one of OPS
    weights = "lstm"  # what the names of its tensors begin with: lstm.weight_ih_l0, ...

Names and defaults of the layers' options are those of torch.nn."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECURRENT = {4: "lstm", 3: "gru", 1: "rnn"}
"""Rows of weight_hh per hidden unit -> op."""
OPS: Mapping[str, Mapping[str, Any]] = {
    "lstm": {},
    "gru": {},
    "rnn": {"nonlinearity": "tanh"},
    "linear": {},
    "layer_norm": {"eps": 1e-5},
    "batch_norm": {"eps": 1e-5},
    "conv": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "activation": {"function": "relu"},
    "max_pool": {"kernel_size": 2, "stride": 2, "padding": 0},
    "avg_pool": {"kernel_size": 2, "stride": 2, "padding": 0},
    "last": {},
    "first": {},
    "final_states": {},
    "mean": {},
    "max": {},
    "flatten": {},
}
"""op -> its options with their defaults."""
WITH_WEIGHTS = ("lstm", "gru", "rnn", "linear", "layer_norm", "batch_norm", "conv")
HINT = "say what the model is with --structure FILE, or export it with torch.onnx.export"
_PACKED = re.compile(r"(.*?)(weight|bias)_(ih|hh)(?:_l(\d{1,3})(_reverse)?)?$")
_TRIES = 10_000
_NOTHING = np.empty((0, 0))
_KINDS = ("conv", "recurrent", "batch_norm", "layer_norm", "linear")  # of modules whose order nobody has told


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One layer of the structure; `weights`: the prefix of its tensors, with the dot."""

    op: str
    weights: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def modules(tensors: Mapping[str, np.ndarray], path: Path) -> dict[str, str]:
    """Prefix (with the dot) -> op, in the file's order.

    Raises: ToolkitError for a tensor that belongs to no known layer."""
    found: dict[str, str] = {}
    for name, values in tensors.items():
        packed = _PACKED.fullmatch(name)
        prefix = packed[1] if packed else name[: name.rfind(".") + 1]
        if prefix not in found:
            found[prefix] = _recurrent(prefix, tensors) if packed else ""
        if not packed:
            found[prefix] = found[prefix] or _other(prefix, tensors)
        leaf = name[len(prefix) :]
        if "weight_hr" in leaf:
            raise ToolkitError(f"{path}: {name} {list(values.shape)}: an LSTM with proj_size, which has no form here")
        if not found[prefix] or leaf not in _leaves(found[prefix], leaf):
            raise ToolkitError(
                f"{path}: {name} {list(values.shape)} belongs to no layer known here; expected the tensors of LSTM, "
                f"GRU, RNN, Linear, LayerNorm, BatchNorm1d or Conv1d: export it with torch.onnx.export"
            )
    return found


def _leaves(op: str, leaf: str) -> tuple[str, ...]:
    if op in RECURRENT.values():
        return (leaf,) if _PACKED.fullmatch(leaf) else ()
    norm = ("running_mean", "running_var", "num_batches_tracked") if op == "batch_norm" else ()
    return ("weight", "bias", *norm)


def _recurrent(prefix: str, tensors: Mapping[str, np.ndarray]) -> str:
    """The op by the rows of the recurrent weights: 4, 3 or 1 per hidden unit."""
    for leaf in ("weight_hh_l0", "weight_hh"):
        w = tensors.get(prefix + leaf)
        if w is not None and w.ndim == 2 and w.shape[1] and w.shape[0] % w.shape[1] == 0:
            return RECURRENT.get(w.shape[0] // w.shape[1], "")
    return ""


def _other(prefix: str, tensors: Mapping[str, np.ndarray]) -> str:
    if f"{prefix}running_mean" in tensors:
        return "batch_norm"
    w = tensors.get(f"{prefix}weight")
    return "" if w is None else {1: "layer_norm", 2: "linear", 3: "conv"}.get(w.ndim, "")


def infer(tensors: Mapping[str, np.ndarray], *, ordered: bool, path: Path) -> list[Part]:
    """The structure that names and shapes suggest: the modules in an order in which their widths fit, ReLU where
    something stood between two products, and the last step (of two directions: the final states) behind the last
    recurrent layer if a Linear follows.

    Raises: ToolkitError when a tensor has no layer, or no order fits."""
    found = modules(tensors, path)
    chain = _order(found, tensors, ordered, path)
    recurrent = [k for k, p in enumerate(chain) if found[p] in RECURRENT.values()]
    reduced = (
        max(recurrent, default=-1) if any(found[p] == "linear" for p in chain[max(recurrent, default=0) :]) else -1
    )
    parts: list[Part] = []
    open_product = False  # whether a product came since the last activation or recurrent layer
    for k, prefix in enumerate(chain):
        op, options = found[prefix], {}
        if op in ("linear", "conv", *RECURRENT.values()):
            if open_product and not _adjacent(chain[k - 1], prefix):
                parts.append(Part("activation", options={"function": "relu"}))
            open_product = op in ("linear", "conv")
        if k and op == "conv":
            options = {"groups": _widths(chain[k - 1], found, tensors)[1] // _widths(prefix, found, tensors)[0]}
        parts.append(Part(op, prefix, options))
        if k == reduced:
            both = any(n.startswith(prefix) and n.endswith("_reverse") for n in tensors)
            parts.append(Part("final_states" if both else "last"))
    return parts


def _adjacent(before: str, prefix: str) -> bool:
    """Two neighbours of one nn.Sequential, as net.0 and net.1: nothing stands between them."""
    a, b = (re.fullmatch(r"(.*?)(\d+)\.", p) for p in (before, prefix))
    return bool(a and b and a[1] == b[1] and int(b[2]) == int(a[2]) + 1)


def _order(found: Mapping[str, str], tensors: Mapping[str, np.ndarray], ordered: bool, path: Path) -> list[str]:
    """The modules in the first order, of those that the file or the kinds prefer, in which the widths fit."""
    rank = {"lstm": "recurrent", "gru": "recurrent", "rnn": "recurrent"}
    by_kind = sorted(found, key=lambda p: (_KINDS.index(rank.get(found[p], found[p])), _natural(p)))
    preferred = list(found) if ordered else by_kind
    tries = 0

    def extend(chain: list[str]) -> list[str] | None:
        nonlocal tries
        tries += 1
        if len(chain) == len(preferred) or tries > _TRIES:
            return chain if len(chain) == len(preferred) else None
        for p in preferred:
            if p not in chain and (not chain or _fits(chain[-1], p, found, tensors)):
                made = extend([*chain, p])
                if made:
                    return made
        return None

    made = extend([])
    if made is None:
        inside = ", ".join(
            f"{p.rstrip('.') or found[p]} {'->'.join(map(str, _widths(p, found, tensors)))}" for p in found
        )
        raise ToolkitError(f"{path}: in no order do the widths of its layers fit: {inside}; {HINT}")
    return made


def _natural(text: str) -> list[tuple[int, str]]:
    """Numbers in a name sort by value."""
    return [(int(t), "") if t.isdigit() else (0, t) for t in re.split(r"(\d{1,9})", text)]


def _fits(before: str, prefix: str, found: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> bool:
    width, (wanted, out) = _widths(before, found, tensors)[1], _widths(prefix, found, tensors)
    if found[prefix] == "conv":
        return bool(wanted) and width % wanted == 0 and out % (width // wanted) == 0
    return width == wanted


def _widths(prefix: str, found: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """(features in, features out) of a module; of a grouped convolution the inputs of one group."""
    if found[prefix] in RECURRENT.values():
        leaf = "_l0" if f"{prefix}weight_hh_l0" in tensors else ""
        into, hidden = (tensors.get(f"{prefix}weight_{k}{leaf}", _NOTHING).shape[-1] for k in ("ih", "hh"))
        return into, hidden * (2 if f"{prefix}weight_hh_l0_reverse" in tensors else 1)
    if found[prefix] in ("batch_norm", "layer_norm"):
        n = tensors[prefix + ("running_mean" if found[prefix] == "batch_norm" else "weight")].size
        return n, n
    shape = tensors[f"{prefix}weight"].shape
    return shape[1], shape[0]


def parse(text: str, where: str) -> tuple[list[Part], int | None]:
    """The structure that TOML tells, and the steps of its window.

    Raises: ToolkitError for what is not TOML, and unknown ops, options and keys."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ToolkitError(f"{where}: not TOML: {e}") from None
    for key in values.keys() - {"layer", "steps"}:
        raise ToolkitError(f"{where}: unknown key {key!r}{nearest(key, ('layer', 'steps'))}")
    steps, layers = values.get("steps"), values.get("layer")
    if steps is not None and (type(steps) is not int or steps < 1):
        raise ToolkitError(f"{where}: steps = {steps!r}: expected the steps of a window, 1 or more")
    if not isinstance(layers, list) or not layers or not all(isinstance(x, dict) for x in layers):
        raise ToolkitError(f'{where}: expected one [[layer]] or more, as [[layer]] op = "lstm" weights = "lstm"')
    return [_part(x, f"{where}: layer {k}") for k, x in enumerate(layers, 1)], steps


def _part(values: Mapping[str, Any], where: str) -> Part:
    op = values.get("op")
    if not isinstance(op, str) or op not in OPS:
        raise ToolkitError(f"{where}: op = {op!r}{nearest(str(op), OPS)}")
    known = OPS[op]
    options = {k: v for k, v in values.items() if k not in ("op", "weights")}
    for key, value in options.items():
        if key not in known:
            raise ToolkitError(f"{where} ({op}): unknown key {key!r}{nearest(key, ('op', 'weights', *known))}")
        expected = (int, float) if isinstance(known[key], float) else type(known[key])
        if not isinstance(value, expected) or isinstance(value, bool) or (isinstance(value, int | float) and value < 0):
            raise ToolkitError(f"{where} ({op}): {key} = {value!r}: expected such as {known[key]!r}")
    weights = values.get("weights", "")
    if not isinstance(weights, str) or (weights and op not in WITH_WEIGHTS):
        raise ToolkitError(f"{where} ({op}): weights = {weights!r}: expected the prefix of a layer's tensors")
    return Part(op, weights and weights.rstrip(".") + ".", options)


def write(parts: Sequence[Part], steps: int | None) -> str:
    """The TOML that `parse` reads."""
    lines = [f"steps = {steps}"] if steps else []
    for part in parts:
        lines += ["[[layer]]", f"op = {json.dumps(part.op)}"]
        if part.op in WITH_WEIGHTS:
            lines.append(f"weights = {json.dumps(part.weights.rstrip('.'))}")
        lines += [f"{k} = {json.dumps(v)}" for k, v in {**OPS[part.op], **part.options}.items()]
    return "\n".join(lines) + "\n"
