"""What a tensor can be while a graph is read, and the layers that are made on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from quantize.float_ops import DEFAULTS
from quantize.network import Layer, layer
from toolkit.errors import ToolkitError
from toolkit.importers import tflite_cell as cell
from toolkit.importers.tflite_cell import Affine, Cell, Node

LARGEST = 2**24  # values of a constant that is computed while reading


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A sequence [time, width]: the outputs of `sources`, one after the other. `axes`: what the tensor's axes are, "t",
    "f" or "1". `turned`: its first step is the last in time. `pad`: steps of zeros before and after it."""

    sources: tuple[str, ...]
    time: int
    width: int
    axes: tuple[str, ...]
    turned: bool = False
    pad: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple({"t": self.time + sum(self.pad), "f": self.width, "1": 1}[a] for a in self.axes)


@dataclass(frozen=True, slots=True)
class Counter:
    """A loop's counter, so many steps on."""

    ahead: int


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """A vector of integers that begins with a loop's counter."""

    first: Counter
    rest: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The list of a loop's outputs, `number` of its variables: as it was ("all"), its part before or after the present
    step, or with `value` at the present step."""

    number: int
    part: str = "all"
    value: Affine | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """How many times a loop runs."""

    steps: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A tensor that must not be used, and why."""

    why: str


Chain = list[tuple[Node, Cell]]  # the steps of an unrolled layer from its last to its second: h, and the cell
Value = np.ndarray | Line | Affine | Counter | Index | Written | Bound | Refused


@dataclass(slots=True)
class Builder:
    """The layers so far. `tensors`: the tensor of the main graph that a layer's output is, where there is one."""

    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tensors: dict[str, tuple[int, Line]] = field(default_factory=dict)
    steps: dict[tuple[tuple[str, ...], bool, int], Node] = field(default_factory=dict)
    folded: dict[Node, tuple[Line, int]] = field(default_factory=dict)
    chains: dict[Node, Chain] = field(default_factory=dict)
    made: dict[Node, Line] = field(default_factory=dict)

    def emit(
        self,
        op: str,
        fed: Sequence[Line],
        weights: Mapping[str, np.ndarray],
        *,
        time: int,
        width: int,
        options: Mapping[str, float] | None = None,
        activations: tuple[str, ...] = (),
        reverse: bool = False,
    ) -> Line:
        """A layer, and its output as a line like the first of what it is fed."""
        name = f"{op}{sum(x.op == op for x in self.layers)}"
        activations = () if activations == DEFAULTS.get(op) else activations
        sources = tuple(s for line in fed for s in line.sources)
        made = layer(name, op, weights, options=options, sources=sources, reverse=reverse, activations=activations)
        self.layers.append(made)
        return replace(fed[0], sources=(name,), time=time, width=width, pad=(0, 0))

    def step(self, line: Line, at: int) -> Affine:
        """A step of a line; -1: the one that a loop is at."""
        key = (line.sources, line.turned, at)
        if key not in self.steps:
            self.steps[key] = Node("input", (), line.width, line, at)
        return cell.of(self.steps[key])

    def dense(self, a: Affine, activations: tuple[str, ...] = ()) -> Line:
        """What an affine function of other vectors is computed by."""
        fed = [self.line(cell.of(node)) for node, _ in a.terms]
        w = np.concatenate([cell.matrix(node, m) for node, m in a.terms], axis=1)
        diagonal = len(fed) == 1 and w.shape[0] == w.shape[1] and not (w - np.diag(np.diag(w))).any()
        if diagonal and not activations:
            return self.emit("scale", fed, {"gain": np.diag(w), "offset": a.bias}, time=1, width=a.width)
        return self.emit("dense", fed, {"w": w, "b": a.bias}, time=1, width=a.width, activations=activations)

    def line(self, a: Affine) -> Line:
        """A vector as a line of one step: its layers are made now.

        Raises: ToolkitError when it depends on nothing."""
        node = a.bare
        if node is None:
            if not a.terms:
                raise ToolkitError("an output does not depend on the input")
            joined = self._joined(a)
            return joined or self.dense(a)
        if node not in self.made:
            self.made[node] = self._node(node)
        return self.made[node]

    def _joined(self, a: Affine) -> Line | None:
        """Vectors one after the other, which need no layer."""
        w = [cell.matrix(node, m) for node, m in a.terms]
        whole = np.concatenate(w, axis=1)
        if a.bias.any() or whole.shape[0] != whole.shape[1] or (whole != np.eye(len(whole))).any():
            return None
        fed = [self.line(cell.of(node)) for node, _ in a.terms]
        return replace(fed[0], sources=tuple(s for x in fed for s in x.sources), width=a.width)

    def _node(self, node: Node) -> Line:
        if node.kind == "input":
            return self._taken(node.line, node.step)
        if node.kind == "state":
            raise ToolkitError("a loop's state is used in a way that is not supported")
        from toolkit.importers.tflite_unrolled import fold

        if fold(self, node):
            return self._taken(*self.folded[node])
        if node.kind in ("product", "sum"):
            fed = [self.line(a) for a in node.args]
            return self.emit("mul" if node.kind == "product" else "add", fed, {}, time=1, width=node.width)
        (a,) = node.args
        if node.kind == "affine":
            return self.line(a)
        if a.bare is not None:
            return self.emit("activation", [self.line(a)], {}, time=1, width=a.width, activations=(node.kind,))
        return self.dense(a, (node.kind,))

    def _taken(self, line: Line, at: int) -> Line:
        """One step of a line."""
        at = line.time - 1 - at if line.turned else at
        one = replace(line, turned=False, axes=("1", "f"))
        if line.time == 1:
            return one
        options = {"at": -1 if at == line.time - 1 else at}
        return self.emit("take", [one], {}, time=1, width=line.width, options=options)
