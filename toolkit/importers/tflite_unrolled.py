"""A recurrent layer that was written out step by step, folded back into one layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from quantize.activations import activation
from quantize.float_graph import evaluate
from quantize.network import layer
from toolkit.errors import ToolkitError
from toolkit.importers import network_of
from toolkit.importers import tflite_cell as cell
from toolkit.importers.tflite_cell import Affine, Cell, Node
from toolkit.importers.tflite_values import Builder, Chain, Line


def find(builder: Builder, vectors: Iterable[Affine]) -> None:
    """Learns which nodes that vectors are made of are an h of an unrolled LSTM or GRU, longest first."""
    for node in reversed(_before(vectors)):
        if node.kind not in ("product", "sum") or node in builder.chains:
            continue
        chain: Chain = []
        now = node
        while (found := cell.lstm(now, None, None) or cell.gru(now, None)) is not None:
            chain.append((now, found))
            now = found.before
        for h in (now, *(h for h, _ in chain)) if chain else ():
            builder.chains[h] = chain


def _before(vectors: Iterable[Affine]) -> list[Node]:
    """The nodes that vectors are made of, each behind what it is made of."""
    done: dict[Node, None] = {}
    todo = [(node, False) for v in vectors for node, _ in v.terms]
    while todo:
        node, complete = todo.pop()
        if complete:
            done[node] = None
        elif node not in done:
            todo.append((node, True))
            todo += [(n, False) for a in node.args for n, _ in a.terms if n not in done]
    return list(done)


def fold(builder: Builder, node: Node) -> bool:
    """Whether a node is the h of an unrolled LSTM or GRU that `find` found: then `builder.folded` knows it.

    Raises: ToolkitError where the steps are cells that are not the same."""
    if node in builder.folded or node not in builder.chains:
        return node in builder.folded
    chain = builder.chains[node][::-1]
    steps = len(chain) + 1
    where = f"{chain[0][1].op.upper()} unrolled over {steps} steps"
    for _, other in chain[1:]:
        if not _same(chain[0][1], other):
            raise ToolkitError(f"{where}: its steps have different weights, so that it is no one layer; not supported")
    lines, first = _lines(builder, chain, where)
    _check_first(chain, first, where)
    c = chain[0][1]
    width = len(c.weights["w_hh"][0])
    turned = lines[0].turned
    line = builder.emit(
        c.op, lines, c.weights, time=lines[0].time, width=width, activations=c.activations, reverse=turned
    )
    for at, h in enumerate([c.before, *(h for h, _ in chain)]):
        builder.folded[h] = (line, at)
    weights = sum(4 * v.size for v in c.weights.values())
    builder.notes.append(f"{line.sources[0]}: {where}, folded into one layer of {weights} bytes of weights")
    return True


def _same(a: Cell, b: Cell) -> bool:
    keys = a.op == b.op and a.activations == b.activations and a.weights.keys() == b.weights.keys()
    return keys and all(np.array_equal(a.weights[k], b.weights[k]) for k in a.weights)


def _lines(builder: Builder, chain: Chain, where: str) -> tuple[list[Line], list[Affine]]:
    """The sequences that go into a chain, in the order of its steps, and the vectors of the step before the chain."""
    lines, first = [], []
    for nodes in zip(*(c.inputs for _, c in chain), strict=True):
        found = [_place(builder, n) for n in nodes]
        if any(p is None for p in found):
            raise ToolkitError(f"{where}: its input at a step is neither a step of a sequence nor another layer's h")
        line, at = found[0] or (None, 0)
        assert line is not None
        down = at == line.time - 2 and (len(found) == 1 or found[1] == (line, at - 1)) and line.time > 2
        order = [(line, at - k if down else at + k) for k in range(len(found))]
        begin = at + 1 if down else at - 1
        if found != order or begin != (line.time - 1 if down else 0):
            raise ToolkitError(f"{where}: it does not take its input step by step from the first or the last on")
        lines.append(_turned(line) if down else line)
        first.append(_vector(builder, line, begin))
    if len({(x.time, x.turned) for x in lines}) != 1:
        raise ToolkitError(f"{where}: its inputs run in different directions")
    return lines, first


def _turned(line: Line) -> Line:
    return Line(line.sources, line.time, line.width, line.axes, not line.turned)


def _place(builder: Builder, node: Node) -> tuple[Line, int] | None:
    """Of which sequence a node is which step."""
    if node.kind == "input":
        return node.line, node.step
    return builder.folded[node] if fold(builder, node) else None


def _vector(builder: Builder, line: Line, at: int) -> Affine:
    for node, place in builder.folded.items():
        if place == (line, at):
            return cell.of(node)
    return builder.step(line, at)


def _check_first(chain: Chain, first: Sequence[Affine], where: str) -> None:
    """The first step, from which the converter has folded the zeros away, is the same cell from a zero state: it and
    the next are computed as they are written and by our layer."""
    h, c = chain[0]
    rng = np.random.default_rng(0)
    leaves = [a.bare for a in first], list(c.inputs)
    known = {n: rng.standard_normal(n.width) for step in leaves for n in step if n is not None}
    x = np.stack([np.concatenate([known[n] for n in step if n is not None]) for step in leaves])[None]
    made = layer("h", c.op, c.weights, activations=c.activations)
    width = len(c.weights["w_hh"][0])
    ours = evaluate(network_of("h", (made,), inputs=x.shape[2], outputs=width, steps=2), x)[""][0, 1]
    theirs = _computed(cell.of(h), known)
    if np.abs(ours - theirs).max() > 1e-5 * max(1.0, float(np.abs(theirs).max())):
        raise ToolkitError(f"{where}: its first step is not the same cell from a state of zeros; not supported")


def _computed(a: Affine, known: dict[Node, np.ndarray]) -> np.ndarray:
    out = a.bias.astype(np.float64)
    for node, w in a.terms:
        if node not in known:
            args = [_computed(v, known) for v in node.args]
            if node.kind in ("input", "state"):
                raise ToolkitError("an unrolled layer's first step reads what its other steps do not")
            known[node] = _applied(node.kind, args)
        out = out + (known[node] if w is None else w @ known[node])
    return out


def _applied(kind: str, args: Sequence[np.ndarray]) -> np.ndarray:
    if kind in ("product", "sum"):
        return args[0] * args[1] if kind == "product" else args[0] + args[1]
    return args[0] if kind == "affine" else activation(kind)(args[0])
