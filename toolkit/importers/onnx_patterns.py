"""Operators that older opsets write in several: layer normalisation (before 17), GELU (before 20) and softsign.

The nodes of a pattern are exchanged for the one operator before the walk; what nothing reads any more is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.importers.onnx_read import Node


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Who makes a tensor, and which are constant."""

    makers: Mapping[str, Node]
    constants: Mapping[str, np.ndarray]

    def node(self, tensor: str, *ops: str) -> Node | None:
        """The node that makes a tensor, if it is one of these operators."""
        found = self.makers.get(tensor)
        return found if found is not None and found.op in ops else None

    def number(self, tensor: str) -> float | None:
        """The one number that a constant holds."""
        made = self.makers.get(tensor)
        value = made.attrs.get("value") if made is not None and made.op == "Constant" else self.constants.get(tensor)
        return float(value.ravel()[0]) if isinstance(value, np.ndarray) and value.size == 1 else None

    def with_number(self, node: Node | None) -> tuple[str, float] | None:
        """The tensor and the number that a node of two inputs combines."""
        if node is None or len(node.inputs) != 2:
            return None
        for a, b in (node.inputs, node.inputs[::-1]):
            value = self.number(b)
            if value is not None and (node.op in ("Add", "Mul") or b == node.inputs[1]):
                return a, value
        return None


def contracted(nodes: Sequence[Node], constants: Mapping[str, np.ndarray]) -> list[Node]:
    """The nodes with every pattern as one operator."""
    g = Graph({o: n for n in nodes for o in n.outputs if o}, constants)
    found: dict[str, Node] = {}
    for n in nodes:
        for pattern in PATTERNS.get(n.op, ()):
            made = pattern(g, n)
            if made is not None:
                found[n.outputs[0]] = made
    return [found.get(n.outputs[0] if n.outputs else "", n) for n in nodes]


def _made(node: Node, op: str, tensor: str, **attrs: object) -> Node:
    return Node(op, node.name, (tensor,), node.outputs, attrs, node.opset)


def _softsign(g: Graph, n: Node) -> Node | None:
    """x / (1 + |x|)"""
    one = g.with_number(g.node(n.inputs[1], "Add"))
    size = g.node(one[0], "Abs") if one and one[1] == 1 else None
    return _made(n, "Softsign", n.inputs[0]) if size and size.inputs[0] == n.inputs[0] else None


def _layer_norm(g: Graph, n: Node) -> Node | None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), the means over the last axis"""
    d, root = g.node(n.inputs[0], "Sub"), g.node(n.inputs[1], "Sqrt")
    total = g.with_number(g.node(root.inputs[0], "Add")) if root else None
    variance = g.node(total[0], "ReduceMean") if total else None
    square = g.node(variance.inputs[0], "Pow", "Mul") if variance else None
    mean = g.node(d.inputs[1], "ReduceMean") if d else None
    if not (d and total and variance and square and mean) or mean.inputs[0] != d.inputs[0]:
        return None
    twice = square.inputs[1] == square.inputs[0] if square.op == "Mul" else g.number(square.inputs[1]) == 2
    same = g.makers[square.inputs[0]] is d or g.makers[square.inputs[0]].inputs == d.inputs
    if not (twice and same and _last(g, mean) and _last(g, variance)):
        return None
    return _made(n, "LayerNormalization", d.inputs[0], epsilon=total[1])


def _last(g: Graph, n: Node) -> bool:
    """Whether a mean is over the last axis, which stays with size 1."""
    axes = n.attrs.get("axes", [g.number(n.inputs[1])] if len(n.inputs) > 1 else [])
    return list(axes) == [-1] and n.attrs.get("keepdims", 1) == 1


def _gelu(g: Graph, n: Node) -> Node | None:
    """x (1 + erf(x / sqrt 2)) / 2, the product in any order"""
    factors, half = _factors(g, n), 1.0
    rest: list[str] = []
    for tensor in factors:
        number = g.number(tensor)
        half, rest = (half * number, rest) if number is not None else (half, [*rest, tensor])
    if len(rest) != 2 or abs(half - 0.5) > 1e-6:
        return None
    for x, other in (rest, rest[::-1]):
        one = g.with_number(g.node(other, "Add"))
        erf = g.node(one[0], "Erf") if one and one[1] == 1 else None
        scaled = g.node(erf.inputs[0], "Div", "Mul") if erf else None
        by = g.with_number(scaled)
        if scaled and by and by[0] == x and abs(by[1] - 2 ** (0.5 if scaled.op == "Div" else -0.5)) < 1e-6:
            return _made(n, "Gelu", x)
    return None


def _factors(g: Graph, n: Node) -> list[str]:
    """What a product of two or three is made of."""
    a, b = n.inputs
    for other, inner in ((a, g.node(b, "Mul")), (b, g.node(a, "Mul"))):
        if inner is not None:
            return [other, *inner.inputs]
    return [a, b]


PATTERNS: dict[str, tuple[Callable[[Graph, Node], Node | None], ...]] = {
    "Div": (_softsign, _layer_norm),
    "Mul": (_gelu,),
}
