"""ONNX's LSTM, GRU and RNN with all their attributes (onnx/docs/Operators.md) -> layers, one a direction.

Gate orders: ONNX i, o, f, c and z, r, h; ours i, f, g, o and r, z, n."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.activations import write
from quantize.float_ops import DEFAULTS
from quantize.network import layer
from toolkit.importers.onnx_ops import Args, const, data, reordered
from toolkit.importers.onnx_read import Node
from toolkit.importers.onnx_walk import CELL, STATE, Data, Fed, Value, Walk

ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where our gates stand in ONNX's rows."""
FUNCTIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "relu": ("relu", ()),
    "tanh": ("tanh", ()),
    "sigmoid": ("sigmoid", ()),
    "affine": ("affine", (1.0, 0.0)),
    "leakyrelu": ("leaky_relu", (0.01,)),
    "thresholdedrelu": ("thresholded_relu", (1.0,)),
    "scaledtanh": ("scaled_tanh", (1.0, 1.0)),
    "hardsigmoid": ("hard_sigmoid", (0.2, 0.5)),
    "elu": ("elu", (1.0,)),
    "softsign": ("softsign", ()),
    "softplus": ("softplus", ()),
}
"""Activations of the recurrent operators: our name, and the parameters when none are given."""


def recurrent(w: Walk, node: Node, args: Args) -> list[Value]:
    """Y, Y_h and (LSTM) Y_c."""
    x = data(node, args)
    batch_first = bool(node.attrs.get("layout", 0))
    if x.at.ndim != 3:
        raise node.refuse(f"an input of {x.at.ndim} dimensions", "expected [time, batch, features]")
    std = x.at if batch_first else x.at.transpose(1, 0, 2)
    ways = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    direction = str(node.attrs.get("direction", "forward")).lower()
    if direction not in ways:
        raise node.refuse(f"direction {direction}", f"expected one of {', '.join(ways)}")
    _lengths(node, args, std.shape[1])
    fed = w.fed(node, std)
    arrays = _arrays(w, node, args, len(ways[direction]), std)
    functions = _functions(node, len(ways[direction]))
    y, last = [], []
    for d, backwards in enumerate(ways[direction]):
        reverse = backwards != fed.turned
        grid = _layer(w, node, d, {k: v[d] for k, v in arrays.items()}, fed, functions[d], reverse, std.shape[1])
        y.append(grid[:, ::-1] if fed.turned else grid)
        last.append(grid[:, 0] if reverse else grid[:, -1])
    Y, Y_h = np.stack(y, 2), np.stack(last, 1)  # [batch, time, direction, H], [batch, direction, H]
    Y, Y_h = (Y, Y_h) if batch_first else (Y.transpose(1, 2, 0, 3), Y_h.transpose(1, 0, 2))
    if node.outputs and node.outputs[0]:
        for name in list(w.layers)[-len(y) :]:
            w.show(node, name, Y)
    return [Data(Y), Data(Y_h), Data(np.full(Y_h.shape, CELL, np.int64))]


def _layer(
    w: Walk,
    node: Node,
    d: int,
    a: dict[str, np.ndarray],
    fed: Fed,
    functions: tuple[str, ...],
    reverse: bool,
    steps: int,
) -> np.ndarray:
    op = node.op.lower()
    size = a["w_hh"].shape[1]
    order = ORDER[node.op]
    arrays = {"w_ih": _rows(a["w_ih"], order, size), "w_hh": _rows(a["w_hh"], order, size)}
    arrays["w_ih"] = reordered(arrays["w_ih"], fed, w)
    from_x, from_h = (_rows(v, order, size) for v in np.split(a["b"], 2))
    joint = 2 * size if op == "gru" and node.attrs.get("linear_before_reset", 0) else len(from_x)
    arrays["b"] = np.concatenate([_sum(from_x[:joint], from_h[:joint]), from_x[joint:], from_h[joint:]])
    if "p" in a:
        a["p"] = _rows(a["p"], (0, 2, 1), size)  # i, o, f in ONNX
    arrays |= {k: a[k] for k in ("h0", "c0", "p") if k in a and a[k].any()}
    found = {"preact_clip": node.attrs.get("clip", 0.0), "input_forget": node.attrs.get("input_forget", 0)}
    new = layer(
        w.name(node, op, "_reverse" if d else ""), op, arrays, options={k: float(v) for k, v in found.items() if v},
        sources=fed.sources, reverse=reverse, activations=functions,
    )  # fmt: skip
    return w.emit(node, new, steps, size)


def _rows(v: np.ndarray, order: tuple[int, ...], size: int) -> np.ndarray:
    return np.concatenate([v[g * size : (g + 1) * size] for g in order])


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b where b is not zero: a zero keeps its sign."""
    return np.where(b == 0, a, a + b)


def _lengths(node: Node, args: Args, steps: int) -> None:
    if len(args) > 4 and args[4] is not None:
        lengths = args[4]
        if isinstance(lengths, Data) or (np.asarray(lengths) != steps).any():
            raise node.refuse("windows of different length (sequence_lens)", f"expected constant lengths, all {steps}")


def _arrays(w: Walk, node: Node, args: Args, ways: int, std: np.ndarray) -> dict[str, np.ndarray]:
    """Weights [direction, ...] of the shapes that the operator has, first states [direction, H]."""
    w_ih, w_hh, b = (const(node, args, k) for k in (1, 2, 3))
    gates, width = len(ORDER[node.op]), std.shape[2]
    assert w_ih is not None and w_hh is not None
    size = w_hh.shape[-1] if w_hh.ndim == 3 else 0
    b = np.zeros((ways, 2 * gates * size)) if b is None else b
    p = const(node, args, 7) if node.op == "LSTM" else None
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b": b, **({} if p is None else {"p": p})}
    rows = gates * size
    expected = {"w_ih": (rows, width), "w_hh": (rows, size), "b": (2 * rows,), "p": (3 * size,)}
    for key, v in arrays.items():
        if v.shape != (ways, *expected[key]) or not size:
            raise node.refuse(f"weights of shape {list(v.shape)}", f"expected {[ways, *expected[key]]}")
    if node.attrs.get("hidden_size", size) != size:
        raise node.refuse(f"hidden_size {node.attrs['hidden_size']}", f"expected {size} as its weights have")
    for k, key in ((5, "h0"), (6, "c0")):
        if len(args) > k and args[k] is not None and (key == "h0" or node.op == "LSTM"):
            arrays[key] = _first(w, node, args[k], (ways, size))
    return arrays


def _first(w: Walk, node: Node, value: Value | None, shape: tuple[int, int]) -> np.ndarray:
    """A first state [direction, H], the same for every window."""
    if isinstance(value, Data):
        if (value.at == STATE).all():
            return np.zeros(shape)
        raise node.refuse("begins at a state that depends on the input", "expected a constant first state: no decoder")
    v = np.asarray(value, np.float64)
    v = v.transpose(1, 0, 2) if v.ndim == 3 and node.attrs.get("layout", 0) else v
    if v.shape != (shape[0], w.batch, shape[1]):
        expected = f"expected {[shape[0], w.batch, shape[1]]}: give --batch if it is fixed"
        raise node.refuse(f"a first state of shape {list(v.shape)}", expected)
    if (v != v[:, :1]).any():
        raise node.refuse("another first state for each window", "expected one for all")
    return v[:, 0]


def _functions(node: Node, ways: int) -> list[tuple[str, ...]]:
    """Of each direction, () where they are the operator's own."""
    op = node.op.lower()
    each = len(DEFAULTS[op])
    names = node.attrs.get("activations")
    if not names:
        return [()] * ways
    if len(names) != each * ways:
        raise node.refuse(f"activations {', '.join(names)}", f"expected {each * ways}")
    alphas, betas = (list(node.attrs.get(f"activation_{k}") or []) for k in ("alpha", "beta"))
    made = []
    for name in names:
        if name.lower() not in FUNCTIONS:
            raise node.refuse(f"activation {name}", f"expected one of {', '.join(FUNCTIONS)}")
        ours, defaults = FUNCTIONS[name.lower()]
        both = zip((alphas, betas), defaults, strict=False)
        made.append(write(ours, *(values.pop(0) if values else default for values, default in both)))
    if alphas or betas:
        raise node.refuse("more activation_alpha or activation_beta than its activations take", "export it again")
    found = [tuple(made[d * each : (d + 1) * each]) for d in range(ways)]
    return [() if f == DEFAULTS[op] else f for f in found]


RECURRENT: dict[str, Callable[[Walk, Node, Args], list[Value]]] = dict.fromkeys(ORDER, recurrent)
