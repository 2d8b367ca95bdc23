"""WHILE: a recurrent layer as a loop over the steps, the way of Keras 3. Its cell is read out of the loop's body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers import tflite_cell as cell
from toolkit.importers.tflite_cell import Affine, Cell, Node
from toolkit.importers.tflite_file import Operator
from toolkit.importers.tflite_graph import Walk, vector, walk
from toolkit.importers.tflite_values import Bound, Counter, Line, Refused, Value, Written


def while_(w: Walk, op: Operator, args: list[Value | None]) -> list[Value]:
    """One recurrent layer.

    Raises: ToolkitError where the loop is anything else."""
    if w.depth:
        raise ToolkitError(f"{op.where}: a loop in a loop; not supported")
    condition, number = int(op.options["cond"]), int(op.options["body"])
    if not (0 < condition < len(w.graphs) and 0 < number < len(w.graphs)):
        raise ToolkitError(f"{op.where}: graphs {condition} and {number} of {len(w.graphs)}; is the file damaged?")
    body = w.graphs[number]
    if not len(args) == len(body.inputs) == len(body.outputs):
        raise ToolkitError(f"{op.where}: {len(args)} variables for {len(body.inputs)} of its body")
    begin = [_begin(op, k, v, body.inputs[k] == body.outputs[k]) for k, v in enumerate(args)]
    ends = walk(w.graphs, number, begin, w.builder, w.depth + 1)
    now = {k: v.bare for k, v in enumerate(begin) if isinstance(v, Affine)}
    h, c, found = _cell(op, now, ends)
    lines = [n.line for n in found.inputs if n.kind == "input" and n.step == -1]
    if len(lines) != 1 or len(found.inputs) != 1:
        raise ToolkitError(f"{op.where}: its cell is fed by more than the present step of one sequence; not supported")
    (steps,) = walk(w.graphs, condition, begin, w.builder, w.depth + 1) or (None,)
    counters = all(e == Counter(1) for b, e in zip(begin, ends, strict=True) if isinstance(b, Counter))
    if not isinstance(steps, Bound) or steps.steps != lines[0].time or not counters:
        raise ToolkitError(f"{op.where}: does not go once over the {lines[0].time} steps of its sequence")
    line = _emitted(w, found, lines[0], [args[k] for k in (h, c) if k is not None])
    return [_end(w, op, k, v, ends, line, (h, c)) for k, v in enumerate(begin)]


def _begin(op: Operator, k: int, v: Value | None, kept: bool) -> Value:
    """What a variable is in the body."""
    if kept and v is not None:
        return v
    if not isinstance(v, np.ndarray):
        raise ToolkitError(f"{op.where}: variable {k} does not begin with a constant; not supported")
    if v.dtype.kind in "iu":
        if v.size != 1 or v.any():
            raise ToolkitError(f"{op.where}: a counter that does not begin at 0; not supported")
        return Counter(0)
    if sum(n != 1 for n in v.shape) > 1 or (v.ndim > 2 and v.shape[0] > 1):
        return Written(k)
    return vector(cell.of(Node("state", (), v.size, None, k)), v.shape)


def _cell(op: Operator, now: dict[int, Node | None], ends: Sequence[Value]) -> tuple[int, int | None, Cell]:
    """The variables that are h and c, and the cell."""
    after = {k: v.bare for k, v in enumerate(ends) if isinstance(v, Affine)}
    pairs = [(h, c) for h in now for c in now if h != c]
    for h, c in pairs:
        node, last = after.get(h), now[h]
        found = cell.lstm(node, last, now[c]) if node is not None and last is not None else None
        if found is not None and found.cell is after.get(c) and _only_inputs(found):
            return h, c, found
    for h in now:
        node, last = after.get(h), now[h]
        if node is not None and last is not None:
            one = cell.gru(node, last) or cell.rnn(node, last)
            if one is not None and _only_inputs(one) and one.weights["w_hh"].any():
                return h, None, one
    raise ToolkitError(f"{op.where}: its body is no LSTM, GRU or simple RNN as Keras writes them; not supported")


def _only_inputs(found: Cell) -> bool:
    return all(n.kind == "input" for n in found.inputs)


def _emitted(w: Walk, found: Cell, x: Line, first: Sequence[Value | None]) -> Line:
    width = len(found.weights["w_hh"][0])
    weights = dict(found.weights)
    for key, v in zip(("h0", "c0"), first, strict=False):
        if isinstance(v, np.ndarray) and v.any():
            weights[key] = v.reshape(-1)
    y = w.builder.emit(
        found.op, [x], weights, time=x.time, width=width, activations=found.activations, reverse=x.turned
    )
    return replace(y, axes=("t", "1", "f"))


def _end(
    w: Walk, op: Operator, k: int, begin: Value, ends: Sequence[Value], line: Line, states: tuple[int, int | None]
) -> Value:
    """What a variable is after the loop."""
    h, c = states
    end, made = ends[k], ends[h]
    assert isinstance(made, Affine)
    last = w.builder.step(line, line.time - 1)
    if isinstance(end, Affine) and isinstance(begin, Affine) and end.bare is made.bare:
        return vector(last, begin.shape)
    if isinstance(end, Written) and end.value is not None and end.number == k and end.value.bare is made.bare:
        return line
    if isinstance(end, Counter) or end is begin:
        return begin if end is begin else Refused(f"{op.where}: its counter is read after the loop; not supported")
    what = "the cell's state c" if k == c else f"variable {k}"
    return Refused(f"{op.where}: {what} is read after the loop; supported are h and its sequence")
