"""The fused operators UNIDIRECTIONAL_SEQUENCE_LSTM, _RNN and BIDIRECTIONAL_SEQUENCE_LSTM, float: gates i, f, c, o."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers.tflite_file import Operator
from toolkit.importers.tflite_graph import Walk, constant, unpadded
from toolkit.importers.tflite_values import Line, Value
from toolkit.importers.tflite_weights import HYBRID, bias, weights

Args = list[Value | None]


@dataclass(frozen=True, slots=True)
class Places:
    """Where an operator's inputs are: first of four (of three peepholes), and of the two projections."""

    w_ih: int
    w_hh: int
    peepholes: int
    biases: int
    projection: int


UNIDIRECTIONAL = Places(1, 5, 9, 12, 16)
FORWARD, BACKWARD = UNIDIRECTIONAL, Places(18, 22, 26, 29, 33)
NORMS, AUXILIARY = range(20, 24), range(39, 48)  # layer normalisation of the one; further inputs of the other


def unidirectional_lstm(w: Walk, op: Operator, args: Args) -> Value:
    """One direction."""
    if any(v is not None for k, v in enumerate(args) if k in NORMS):
        raise ToolkitError(f"{op.where}: with layer normalisation inside; not supported")
    x = _sequence(op, args[0])
    return _layer(w, op, args, UNIDIRECTIONAL, x)


def bidirectional_lstm(w: Walk, op: Operator, args: Args) -> list[Value]:
    """Both: the outputs one after the other, or two of them."""
    if any(v is not None for k, v in enumerate(args) if k in AUXILIARY):
        raise ToolkitError(f"{op.where}: with an auxiliary input; not supported")
    x = _sequence(op, args[0])
    forward = _layer(w, op, args, FORWARD, x)
    turned = _layer(w, op, args, BACKWARD, replace(x, turned=not x.turned))
    backward = replace(turned, turned=x.turned)
    if op.options["merge"]:
        both = forward.sources + backward.sources
        return [replace(forward, sources=both, width=forward.width + backward.width)]
    return [forward, backward]


def unidirectional_rnn(w: Walk, op: Operator, args: Args) -> Value:
    """A simple RNN."""
    x = _sequence(op, args[0])
    if op.fused not in ("tanh", "relu"):
        raise ToolkitError(f'{op.where}: the activation "{op.fused}"; supported are tanh and relu')
    w_ih, w_hh = (weights(w, op, args, k) for k in (1, 2))
    size = len(w_ih)
    if w_ih.shape != (size, x.width) or w_hh.shape != (size, size):
        raise ToolkitError(f"{op.where}: weights {list(w_ih.shape)}, {list(w_hh.shape)} for {x.width} features")
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b": bias(op, args, 3, size)}
    return w.builder.emit("rnn", [x], arrays, time=x.time, width=size, activations=(op.fused,), reverse=x.turned)


def _sequence(op: Operator, v: Value | None) -> Line:
    axes = ("t", "1", "f") if op.options["time_major"] else ("1", "t", "f")
    if not isinstance(v, Line) or len(v.axes) != 3:
        raise ToolkitError(f"{op.where}: its input is no sequence of rank 3")
    found = tuple("1" if n == 1 else a for a, n in zip(v.axes, v.shape, strict=True))
    wanted = tuple("1" if n == 1 else a for a, n in zip(axes, replace(v, axes=axes).shape, strict=True))
    if found != wanted:
        raise ToolkitError(f"{op.where}: its input's axes are {', '.join(v.axes)}; expected {', '.join(axes)}")
    return replace(unpadded(op, v), axes=axes)


def _layer(w: Walk, op: Operator, args: Args, at: Places, x: Line) -> Line:
    if op.fused != "tanh":
        raise ToolkitError(f'{op.where}: the activation "{op.fused}"; supported is tanh')
    if any(v is not None for v in args[at.projection : at.projection + 2]):
        raise ToolkitError(f"{op.where}: with a projection of h; not supported")
    arrays = _arrays(w, op, args, at)
    size = len(arrays["b"]) // 4
    if arrays["w_ih"].shape != (4 * size, x.width) or arrays["w_hh"].shape != (4 * size, size):
        raise ToolkitError(
            f"{op.where}: weights {list(arrays['w_ih'].shape)}, {list(arrays['w_hh'].shape)} for {x.width}"
        )
    clip = op.options["cell_clip"]
    options = {"cell_clip": float(clip)} if clip > 0 else {}
    return w.builder.emit("lstm", [x], arrays, time=x.time, width=size, options=options, reverse=x.turned)


def _arrays(w: Walk, op: Operator, args: Args, at: Places) -> dict[str, np.ndarray]:
    """Weights in our layout. Without an input gate (CIFG) i = 1 - f = sigmoid(-z_f)."""

    def gates(first: int, what: str, ndim: int) -> np.ndarray:
        parts = [None if v is None else constant(op, v, what) for v in args[first : first + 4]]
        if parts[0] is None and len(parts) == 4 and parts[1] is not None:
            parts[0] = -parts[1]
        found = [v for v in parts if v is not None]
        same = len(found) == 4 and len({v.shape for v in found}) == 1 and found[0].ndim == ndim
        if not same or any(v.dtype.kind != "f" for v in found):
            raise ToolkitError(f"{op.where}: {what}: expected four arrays of one shape")
        return np.concatenate(found)

    hybrid = w.graph.tensors[op.inputs[at.w_ih + 1]].kind == "int8"
    if hybrid and w.graph.tensors[op.inputs[0]].kind == "float32":
        raise ToolkitError(f"{op.where}: {HYBRID}")
    out = {"w_ih": gates(at.w_ih, "input weights", 2), "w_hh": gates(at.w_hh, "recurrent weights", 2)}
    out["b"] = gates(at.biases, "biases", 1)
    peepholes = _peepholes(op, args[at.peepholes : at.peepholes + 3], len(out["b"]) // 4)
    return out if peepholes is None else {**out, "p": peepholes}


def _peepholes(op: Operator, args: Sequence[Value | None], size: int) -> np.ndarray | None:
    if all(v is None for v in args):
        return None
    if args[0] is None:
        raise ToolkitError(f"{op.where}: peepholes without an input gate; not supported")
    found = [constant(op, v, "peepholes") for v in args]
    if any(v.shape != (size,) or v.dtype.kind != "f" for v in found):
        raise ToolkitError(f"{op.where}: peepholes: expected three arrays of {size}")
    return np.concatenate(found)
