"""Recurrent cells that are written out as operators, recognised by what they compute.

The operators of one step become expressions: `Affine`, a sum of matrices times vectors that are not affine themselves
(`Node`). Whatever way a converter splits, slices, transposes or merges the products, a gate is an Affine of the input
and of the state before; the cell is then a short pattern of products and activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantize.activations import write
from toolkit.errors import ToolkitError

SIXTH = float(np.float32(1 / 6))
WIDEST = 2048  # of a vector whose products are followed


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A vector that is no affine function of others.

    kind: "input" (a step of a sequence, `line`; `step` -1: the one that a loop is at), "state" (of a loop: `step` is
    its number), "product" of two, "sum" of two products, "affine" (one matrix behind another), else an activation."""

    kind: str
    args: tuple[Affine, ...]
    width: int
    line: Any = None
    step: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """sum of matrix [width, n] times node, plus bias [width]. No matrix: the node itself."""

    terms: tuple[tuple[Node, np.ndarray | None], ...]
    bias: np.ndarray
    shape: tuple[int, ...] = field(default=())  # of the tensor that it is

    @property
    def width(self) -> int:
        return len(self.bias)

    @property
    def bare(self) -> Node | None:
        """The node that it is, if it is nothing else."""
        if len(self.terms) == 1 and self.terms[0][1] is None and not self.bias.any():
            return self.terms[0][0]
        return None


def of(node: Node) -> Affine:
    """A node as it is."""
    return Affine(((node, None),), np.zeros(node.width))


def matrix(node: Node, w: np.ndarray | None) -> np.ndarray:
    """A term's matrix.

    Raises: ToolkitError where a vector is so wide that only a damaged file has it."""
    if w is None and node.width > WIDEST:
        raise ToolkitError(f"a vector of {node.width} features is computed with; expected at most {WIDEST}")
    return np.eye(node.width) if w is None else w


def linear(a: Affine, w: np.ndarray, b: np.ndarray | None) -> Affine:
    """w a + b. Where a has a matrix of its own it becomes a node: two layers stay two layers."""
    if any(m is not None for _, m in a.terms):
        a = of(Node("affine", (a,), a.width))
    bias = w @ a.bias + (0 if b is None else b)
    return Affine(tuple((node, w) for node, _ in a.terms), bias)


def scaled(a: Affine, gain: np.ndarray, offset: np.ndarray) -> Affine:
    """gain a + offset, elementwise."""
    gain = np.broadcast_to(gain, a.bias.shape)
    if a.bare is not None and a.bare.kind == "relu6" and (gain.astype(np.float32) == np.float32(SIXTH)).all():
        (z,) = a.bare.args  # Keras' hard_sigmoid(x) = relu6(x + 3) / 6
        made = activated(write("hard_sigmoid", SIXTH, 3 * SIXTH), Affine(z.terms, z.bias - 3))
        return Affine(made.terms, made.bias + offset)
    if (gain == 1).all():
        return Affine(a.terms, a.bias + offset)
    return Affine(tuple((n, gain[:, None] * matrix(n, m)) for n, m in a.terms), a.bias * gain + offset)


def added(a: Affine, b: Affine) -> Affine:
    """a + b; a node where both are products, as in the state of a cell."""
    nodes = a.bare, b.bare
    if all(n is not None and n.kind == "product" for n in nodes):
        return of(Node("sum", (a, b), a.width))
    terms = dict(a.terms)
    for node, w in b.terms:
        terms[node] = matrix(node, terms[node]) + matrix(node, w) if node in terms else w
    return Affine(tuple(terms.items()), a.bias + b.bias)


def multiplied(a: Affine, b: Affine) -> Affine:
    """a b, elementwise."""
    for x, y in ((a, b), (b, a)):
        if not x.terms:
            return scaled(y, x.bias, np.zeros(1))
    return of(Node("product", (a, b), a.width))


def activated(name: str, a: Affine) -> Affine:
    """An activation of a."""
    return of(Node(name, (a,), a.width))


def sliced(a: Affine, first: int, count: int) -> Affine:
    """Features first .. first + count - 1."""
    if (first, count) == (0, a.width):
        return a
    part = slice(first, first + count)
    return Affine(tuple((n, matrix(n, m)[part]) for n, m in a.terms), a.bias[part])


def joined(parts: Sequence[Affine]) -> Affine:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    width, at = sum(p.width for p in parts), 0
    terms: dict[Node, np.ndarray] = {}
    for p in parts:
        for node, w in p.terms:
            terms.setdefault(node, np.zeros((width, node.width)))[at : at + p.width] += matrix(node, w)
        at += p.width
    return Affine(tuple(terms.items()), np.concatenate([p.bias for p in parts]))


# --- cells ---


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One step of a recurrent layer: `op` of quantize.network, its weights but for those of the input; `inputs`: the
    nodes that are its input, and each one's columns of w_ih; `before`: the node that is h before the step."""

    op: str
    weights: dict[str, np.ndarray]
    inputs: tuple[Node, ...]
    activations: tuple[str, ...]
    before: Node
    cell: Node | None = None  # of an LSTM: c after the step


def _args(a: Affine, kind: str) -> tuple[Affine, Affine] | None:
    node = a.bare
    return (node.args[0], node.args[1]) if node is not None and node.kind == kind else None


def _either_way(pair: tuple[Affine, Affine] | None) -> Iterator[tuple[Affine, Affine]]:
    if pair is not None:
        yield pair
        yield pair[1], pair[0]


def _inside(a: Affine, known: Callable[[str], bool]) -> tuple[str, Affine] | None:
    """The activation that a is, and what it is of."""
    node = a.bare
    if node is None or len(node.args) != 1 or not known(node.kind):
        return None
    return node.kind, node.args[0]


def _is_gate(kind: str) -> bool:
    return kind == "sigmoid" or kind.startswith("hard_sigmoid")


def _gate(a: Affine) -> Affine | None:
    found = _inside(a, _is_gate)
    return found[1] if found else None


def _functions(*gates: Affine) -> tuple[str, ...]:
    """The gates' activation, if they have one and the same."""
    kinds = {a.bare.kind for a in gates if a.bare is not None}
    return tuple(kinds) if len(kinds) == 1 else ("different ones",)


def _candidate(a: Affine) -> tuple[str, Affine] | None:
    return _inside(a, lambda kind: kind != "affine" and not _is_gate(kind))


def lstm(h: Node, h_before: Node | None, c_before: Node | None) -> Cell | None:
    """h = o act(c), c = f c_before + i act(g). What is not given is found: of an unrolled cell."""
    for o, out in _either_way(_args(of(h), "product")):
        z_o, cell = _gate(o), _candidate(out)
        if z_o is None or cell is None:
            continue
        for kept, fresh in _either_way(_args(cell[1], "sum")):
            for f, c in _either_way(_args(kept, "product")):
                for i, g in _either_way(_args(fresh, "product")):
                    z_f, z_i, made, before = _gate(f), _gate(i), _candidate(g), c.bare
                    if z_f is None or z_i is None or made is None or before is None or _candidate(c):
                        continue
                    if c_before is not None and before is not c_before:
                        continue
                    rows = (z_i, z_f, made[1], z_o)
                    last = h_before or _h_of(before, rows)
                    if last is None:
                        continue
                    w_hh, w_ih, inputs = _split(rows, last)
                    weights = {"w_ih": w_ih, "w_hh": w_hh, "b": np.concatenate([z.bias for z in rows])}
                    functions = (*_functions(i, f, o), made[0], cell[0])
                    return Cell("lstm", weights, inputs, functions, last, cell[1].bare)
    return None


def _h_of(c: Node, rows: Sequence[Affine]) -> Node | None:
    """Among what the gates are of, the h that was made from this c."""
    for node in dict.fromkeys(n for z in rows for n, _ in z.terms):
        for _, out in _either_way(_args(of(node), "product")):
            found = _candidate(out)
            if found and found[1].bare is c:
                return node
    return None


def gru(h: Node, h_before: Node | None) -> Cell | None:
    """h = z h_before + (1 - z) act(n), n = Wx + r (U h_before + b) or Wx + U (r h_before)."""
    for kept, fresh in _either_way(_args(of(h), "sum")):
        for z, last in _either_way(_args(kept, "product")):
            for rest, new in _either_way(_args(fresh, "product")):
                z_z, made, before = _gate(z), _candidate(new), last.bare
                if z_z is None or made is None or before is None or not _complement(rest, z):
                    continue
                if h_before is not None and before is not h_before:
                    continue
                found = _reset_after(z, made, before) or _reset_before(z, made, before)
                if found is not None:
                    return found
    return None


def _complement(a: Affine, z: Affine) -> bool:
    """a = 1 - z."""
    (node, w), *others = a.terms or ((None, None),)
    return (
        not others and node is z.bare and w is not None and bool((w == -np.eye(len(w))).all() and (a.bias == 1).all())
    )


def _reset_after(z: Affine, made: tuple[str, Affine], before: Node) -> Cell | None:
    n, z_z = made[1], _gate(z)
    assert z_z is not None
    for node, w in n.terms:
        for r, part in _either_way(_args(of(node), "product") if w is None else None):
            z_r = _gate(r)
            if z_r is None or any(m is not before for m, _ in part.terms):
                continue
            bare = Affine(tuple(t for t in n.terms if t[0] is not node), n.bias)
            w_hh, w_ih, inputs = _split((z_r, z_z, bare), before)
            size = len(n.bias)
            w_hh[2 * size :] = matrix(*part.terms[0]) if part.terms else 0.0
            b = np.concatenate([z_r.bias, z_z.bias, bare.bias, part.bias])
            weights = {"w_ih": w_ih, "w_hh": w_hh, "b": b}
            return Cell("gru", weights, inputs, (*_functions(r, z), made[0]), before)
    return None


def _reset_before(z: Affine, made: tuple[str, Affine], before: Node) -> Cell | None:
    n, z_z = made[1], _gate(z)
    assert z_z is not None
    for node, w in n.terms:
        for r, part in _either_way(_args(of(node), "product")):
            z_r = _gate(r)
            if z_r is None or part.bare is not before:
                continue
            bare = Affine(tuple(t for t in n.terms if t[0] is not node), n.bias)
            w_hh, w_ih, inputs = _split((z_r, z_z, bare), before)
            w_hh[2 * len(n.bias) :] = matrix(node, w)
            weights = {"w_ih": w_ih, "w_hh": w_hh, "b": np.concatenate([z_r.bias, z_z.bias, bare.bias])}
            return Cell("gru", weights, inputs, (*_functions(r, z), made[0]), before)
    return None


def rnn(h: Node, h_before: Node) -> Cell | None:
    """h = act(Wx + U h_before + b)."""
    found = _candidate(of(h))
    if found is None:
        return None
    w_hh, w_ih, inputs = _split((found[1],), h_before)
    return Cell("rnn", {"w_ih": w_ih, "w_hh": w_hh, "b": found[1].bias}, inputs, (found[0],), h_before)


def _split(rows: Sequence[Affine], before: Node) -> tuple[np.ndarray, np.ndarray, tuple[Node, ...]]:
    """The gates' matrices [gates H, n] of h before and of everything else, and what that is."""
    inputs = tuple(dict.fromkeys(n for z in rows for n, _ in z.terms if n is not before))
    parts = {n: np.zeros((sum(z.width for z in rows), n.width)) for n in (before, *inputs)}
    at = 0
    for z in rows:
        for node, w in z.terms:
            parts[node][at : at + z.width] = matrix(node, w)
        at += z.width
    w_ih = np.concatenate([parts[n] for n in inputs], axis=1) if inputs else np.zeros((at, 0))
    return parts[before], w_ih, inputs
