"""Keras' LSTM, GRU and SimpleRNN, alone and in Bidirectional -> ours.

Gate orders: LSTM i, f, c, o; GRU z, r, h (keras/src/layers/rnn). Kernels are [in, units], ours [units, in]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantize.activations import write as text
from quantize.float_ops import DEFAULTS
from toolkit.importers.keras_builder import Builder, Config, Line, Weights, activation, merged, with_bias

OPS = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}


def _turn(parts: Sequence[np.ndarray], order: Sequence[int]) -> np.ndarray:
    return np.concatenate([parts[k] for k in order], axis=-1)


def recurrent(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str, *, reverse: bool) -> Line:
    """LSTM, GRU or SimpleRNN over all of x, in time order."""
    if x.rank != 3:
        raise b.refuse("fed by a vector", "expected a sequence [batch, time, features]")
    b.want(c, "time_major", False)
    own, size = c.get("units"), x.width
    if not isinstance(own, int) or own < 1:
        raise b.refuse(f"units = {own!r}", "expected 1 or more")
    rows = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[kind]
    after = kind == "GRU" and bool(c.get("reset_after", b.version == 3 or "reset_after" not in c))
    bias = (2, 3 * own) if after else (rows * own,)
    kernel, inner, offset = with_bias(b, c, w, (size, rows * own), (own, rows * own), bias=bias)
    order = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "SimpleRNN": (0,)}[kind]
    k, r, o = (_turn(np.split(v, rows, axis=-1), order) for v in (kernel, inner, offset))
    if after:
        o = np.concatenate([o[0, : 2 * own] + o[1, : 2 * own], o[0, 2 * own :], o[1, 2 * own :]])
    main = activation(b, c.get("activation", "tanh")) or text("affine", 1, 0)
    gate = activation(b, c.get("recurrent_activation", "sigmoid")) or text("affine", 1, 0)
    functions = {"LSTM": (gate, main, main), "GRU": (gate, main), "SimpleRNN": (main,)}[kind]
    op = OPS[kind]
    weights = {"w_ih": k.T, "w_hh": r.T, "b": o}
    return b.add(name, op, weights, x, reverse=reverse, activations=() if functions == DEFAULTS[op] else functions)


def one_way(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    back = bool(c.get("go_backwards"))
    y = recurrent(b, kind, c, w, x, name, reverse=back)
    if not c.get("return_sequences"):
        return _end(b, y, name, back)
    if back:
        raise b.refuse("go_backwards with return_sequences", "expected one of the two, or Bidirectional")
    return y


def _end(b: Builder, y: Line, name: str, back: bool) -> Line:
    return b.add(f"{name}_end", "take", {}, y, rank=2, options={"at": 0 if back else -1})


def _held(b: Builder, part: object) -> Config:
    """A recurrent layer in another's configuration: class_name and config.

    Raises: ToolkitError when it is none."""
    if not isinstance(part, dict) or not isinstance(part.get("config"), dict) or str(part.get("class_name")) not in OPS:
        raise b.refuse("Bidirectional of something else", f"expected {', '.join(OPS)}")
    return part


def both_ways(b: Builder, kind: str, c: Config, w: Weights, x: Line, name: str) -> Line:
    inner: Config = _held(b, c.get("layer"))
    back = _held(b, c.get("backward_layer") or inner)
    turned = [bool(part["config"].get("go_backwards")) for part in (inner, back)]
    if turned[0] or (turned[1] == (back is inner)):
        raise b.refuse("Bidirectional of a layer that goes backwards", "expected a forward layer")
    half = len(w) // 2
    ends = []
    for part, own, way in ((inner, w[:half], False), (back, w[half:], True)):
        y = recurrent(b, part["class_name"], part["config"], own, x, name + "_reverse" * way, reverse=way)
        ends.append(y if part["config"].get("return_sequences") else _end(b, y, y.names[0], way))
    return merged(b, c.get("merge_mode", "concat"), ends, name)
