"""What each layer of a float network does to a sequence, in float64: the definition that imported networks and the
generated float32 C are held to. x [batch, time, in] -> [batch, time', out]; formulas: `quantize.network.Layer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from quantize.activations import activation
from quantize.network import Layer
from quantize.ops import lstm_norm

State = dict[str, np.ndarray]
DEFAULTS = {"lstm": ("sigmoid", "tanh", "tanh"), "gru": ("sigmoid", "tanh"), "rnn": ("tanh",), "lstm_norm": ()}
"""Of the recurrent ops: the activations that () stands for."""
STATES = {"lstm": ("h", "c"), "gru": ("h",), "rnn": ("h",), "lstm_norm": ("h", "c")}


def activations(layer: Layer) -> tuple[str, ...]:
    """A recurrent layer's activations, its own or the op's."""
    if layer.op == "rnn" and layer.options.get("relu"):
        return ("relu",)
    return layer.activations or DEFAULTS[layer.op]


def first_state(layer: Layer, batch: int) -> State:
    """The state before the first step: h0, c0 or zeros, [batch, H]."""
    size = layer.weights["w_hh"].shape[1]
    start = {k: np.asarray(layer.weights.get(f"{k}0", np.zeros(size)), np.float64) for k in STATES[layer.op]}
    return {k: np.broadcast_to(v, (batch, size)) for k, v in start.items()}


def recurrent_step(layer: Layer, x: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """One step of lstm, gru, rnn or lstm_norm with all their options: x [batch, in] -> h', state."""
    return lstm_norm.float_step(layer, x, state) if layer.op == "lstm_norm" else STEPS[layer.op](layer, x, state)


def _lstm(layer: Layer, x: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    w = {k: v.astype(np.float64) for k, v in layer.weights.items()}
    h, c = state["h"], state["c"]
    gate, candidate, out = map(activation, activations(layer))
    clip = _clip(layer.options.get("preact_clip", 0))
    i, f, g, o = np.split(x @ w["w_ih"].T + h @ w["w_hh"].T + w["b"], 4, axis=1)
    p_i, p_f, p_o = np.split(w["p"], 3) if "p" in w else (0.0, 0.0, 0.0)
    i = gate(clip(i + p_i * c))
    f = 1 - i if layer.options.get("input_forget") else gate(clip(f + p_f * c))
    c = _clip(layer.options.get("cell_clip", 0))(f * c + i * candidate(clip(g)))
    h = gate(clip(o + p_o * c)) * out(c)
    return h, {"h": h, "c": c}


def _gru(layer: Layer, x: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    w = {k: v.astype(np.float64) for k, v in layer.weights.items()}
    h, size = state["h"], layer.weights["w_hh"].shape[1]
    gate, candidate = map(activation, activations(layer))
    clip = _clip(layer.options.get("preact_clip", 0))
    from_x = x @ w["w_ih"].T + w["b"][: 3 * size]
    r, z = map(gate, np.split(clip(from_x[:, : 2 * size] + h @ w["w_hh"][: 2 * size].T), 2, axis=1))
    w_n = w["w_hh"][2 * size :].T
    after = len(w["b"]) == 4 * size
    n = candidate(clip(from_x[:, 2 * size :] + (r * (h @ w_n + w["b"][3 * size :]) if after else (r * h) @ w_n)))
    h = (1 - z) * n + z * h
    return h, {"h": h}


def _rnn(layer: Layer, x: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    w = {k: v.astype(np.float64) for k, v in layer.weights.items()}
    (function,) = map(activation, activations(layer))
    clip = _clip(layer.options.get("preact_clip", 0))
    h = function(clip(x @ w["w_ih"].T + state["h"] @ w["w_hh"].T + w["b"]))
    return h, {"h": h}


STEPS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


def _clip(bound: float) -> Callable[[np.ndarray], np.ndarray]:
    return (lambda v: np.clip(v, -bound, bound)) if bound else (lambda v: v)


def _recurrent(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Every h in time order, also of a reverse layer."""
    state, out = first_state(layer, len(x)), np.empty((*x.shape[:2], layer.weights["w_hh"].shape[1]))
    for t in reversed(range(x.shape[1])) if layer.reverse else range(x.shape[1]):
        out[:, t], state = recurrent_step(layer, x[:, t], state)
    return out


def _dense(layer: Layer, x: np.ndarray) -> np.ndarray:
    y = x @ layer.weights["w"].T.astype(np.float64) + layer.weights["b"]
    return activation(layer.activations[0])(y) if layer.activations else np.asarray(y)


def _norm(layer: Layer, x: np.ndarray) -> np.ndarray:
    d = x - x.mean(-1, keepdims=True)
    unit = d / np.sqrt(np.square(d).mean(-1, keepdims=True) + layer.options.get("epsilon", 0))
    return np.asarray(layer.weights["gain"] * unit + layer.weights["offset"])


def _conv(layer: Layer, x: np.ndarray) -> np.ndarray:
    w, o = layer.weights["w"].astype(np.float64), layer.options
    groups, dilation = int(o.get("groups", 1)), int(o.get("dilation", 1))
    seen = windows(layer, x, reach(layer))[..., ::dilation]  # [batch, time', in, kernel]
    parts = zip(np.split(seen, groups, axis=2), np.split(w, groups), strict=True)
    return np.asarray(np.concatenate([np.einsum("btik,oik->bto", s, v) for s, v in parts], -1) + layer.weights["b"])


def reach(layer: Layer) -> int:
    """How many steps, from its first to its last, one output of a convolution sees."""
    return (int(layer.weights["w"].shape[2]) - 1) * int(layer.options.get("dilation", 1)) + 1


def causal(layer: Layer) -> bool:
    """Whether each output of a convolution, one for every step, sees that step and those before it."""
    o = {k: int(layer.options.get(k, 0)) for k in ("stride", "pad_before", "pad_after")}
    return o["stride"] in (0, 1) and (o["pad_before"], o["pad_after"]) == (reach(layer) - 1, 0)


def windows(layer: Layer, x: np.ndarray, length: int, fill: float = 0.0) -> np.ndarray:
    """What a convolution or pool sees: [batch, time', in, length] of the padded x, a stride apart."""
    o = layer.options
    pad = (int(o.get("pad_before", 0)), int(o.get("pad_after", 0)))
    padded = np.pad(x, ((0, 0), pad, (0, 0)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)[:, :: int(o.get("stride", 1))]


def _pool(layer: Layer, x: np.ndarray) -> np.ndarray:
    kernel = int(layer.options.get("kernel", 0)) or x.shape[1]
    if layer.options.get("max"):
        return np.asarray(windows(layer, x, kernel, -np.inf).max(-1))
    sums = windows(layer, x, kernel).sum(-1)
    if layer.options.get("count_pad"):
        return np.asarray(sums / kernel)
    return np.asarray(sums / windows(layer, np.ones_like(x), kernel).sum(-1))


def _pick(layer: Layer, x: np.ndarray) -> np.ndarray:
    first = int(layer.options.get("first", 0))
    return x[..., first : first + int(layer.options["count"])]


def _take(layer: Layer, x: np.ndarray) -> np.ndarray:
    at = int(layer.options.get("at", -1)) % x.shape[1]
    return x[:, at : at + 1]


SEQUENCE: Mapping[str, Callable[[Layer, np.ndarray], np.ndarray]] = {
    **dict.fromkeys(("lstm", "gru", "rnn", "lstm_norm"), _recurrent),
    "dense": _dense,
    "dense_hidden": _dense,
    "activation": lambda layer, x: activation(layer.activations[0])(x),
    "scale": lambda layer, x: np.asarray(layer.weights["gain"] * x + layer.weights["offset"]),
    "norm": _norm,
    "conv": _conv,
    "pool": _pool,
    "flatten": lambda layer, x: x.reshape(len(x), 1, -1),
    "take": _take,
    "pick": _pick,
}
"""op -> its function, for the ops with one input."""
MERGE: Mapping[str, Callable[[Sequence[np.ndarray]], np.ndarray]] = {
    "add": lambda xs: np.asarray(sum(xs[1:], xs[0])),
    "mul": lambda xs: np.asarray(np.prod(np.stack(xs), axis=0)),
}
"""The ops that take their sources one by one instead of joined."""
