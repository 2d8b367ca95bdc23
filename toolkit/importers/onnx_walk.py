"""The walk through an ONNX graph: every tensor that depends on the input is an array of addresses, not of numbers.

An address says which value of which layer stands at that place: layer, window of the batch, step, feature. Operators
that only move values (Transpose, Reshape, Slice, Concat, ...) are then NumPy's own functions on the addresses, and an
operator that computes reads from them what it is fed: there is nothing to guess about axes, and no way to be wrong in
silence. Sizes that the file leaves open are fixed before, so that every Shape is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize.network import Layer, layer
from toolkit.errors import ToolkitError
from toolkit.importers import identifier
from toolkit.importers.onnx_read import Node

ZERO, STATE, CELL = -1, -2, -3
"""Addresses of no layer: a zero (padding), the first state from outside (an input of the graph), a last cell state."""
RUNS = 8  # so many `pick` layers at most are put between two layers; beyond, weights are reordered
LARGEST = 1 << 22
"""Values of one tensor: steps times features times batch."""


class WrongAxes(ToolkitError):
    """An operator works along the batch: the input's axes mean something else."""


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """A tensor that depends on the input: the addresses of its values."""

    at: np.ndarray


Value = np.ndarray | Data


@dataclass(frozen=True, slots=True)
class Line:
    """The output of a layer, or the input (name ""): [batch, steps, width] addresses from `base`."""

    name: str
    base: int
    steps: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """What a layer is fed: sources one after the other. `columns` [width]: where each of its features stands in them
    (None: in order). `turned`: it asks for the steps backwards."""

    sources: tuple[str, ...]
    columns: np.ndarray | None
    turned: bool


class Walk:
    """Layers as they are found, and the addresses of their outputs."""

    def __init__(self, batch: int, steps: int, width: int) -> None:
        self.batch = batch
        self.lines: dict[str, Line] = {}
        self.places: list[Line] = []  # the same, in order
        self.layers: dict[str, Layer] = {}
        self.chains: dict[str, Any] = {}  # of onnx_unrolled
        self.alias: dict[int, tuple[int, int]] = {}  # place of a line -> place and step of the one that stands for it
        self.shown: dict[str, tuple[str, np.ndarray]] = {}  # layer -> tensor of the graph, and what stands in it
        self.notes: list[str] = []
        self.taken: dict[tuple[object, ...], Line] = {}  # layers that only choose, by what they choose
        self._table = np.empty((3, 0), np.int64)  # base, steps and width of each line
        self.input = self._line("", steps, width)

    def _line(self, name: str, steps: int, width: int) -> np.ndarray:
        last = self.places[-1] if self.places else Line("", 0, 0, 0)
        base = last.base + self.batch * last.steps * last.width
        self.lines[name] = Line(name, base, steps, width)
        self.places.append(self.lines[name])
        self._table = np.column_stack([self._table, (base, steps, width)])
        return (base + np.arange(self.batch * steps * width)).reshape(self.batch, steps, width)

    def decode(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Addresses -> layer (its place in `places`), window, step, feature."""
        bases, steps, widths = self._table
        k = np.searchsorted(bases, at, side="right") - 1
        rest, f = np.divmod(at - bases[k], widths[k])
        b, t = np.divmod(rest, steps[k])
        for place in self.alias.keys() & set(np.unique(k).tolist()):
            instead, step = self.alias[place]
            t[k == place] = step
            k[k == place] = instead
        return k, b, t, f

    def emit(self, node: Node, made: Layer, steps: int, width: int) -> np.ndarray:
        """Adds a layer, under a name that is free; the addresses [batch, steps, width] of its output."""
        if self.batch * steps * width > LARGEST:
            raise node.refuse(f"{steps} steps of {width} values", "expected a tensor that a microcontroller can hold")
        return self.add(made, steps, width)

    def add(self, made: Layer, steps: int, width: int) -> np.ndarray:
        """The same for a layer that no node asks for."""
        self.layers[made.name] = made
        return self._line(made.name, steps, width)

    def name(self, node: Node, op: str, suffix: str = "") -> str:
        """A free name for a layer of a node: the node's, as far as C can take it."""
        base = (identifier(node.name, op) if node.name else op) + suffix
        return base if base not in self.layers and node.name else self._free(base)

    def _free(self, stem: str) -> str:
        return next(f"{stem}{k}" for k in range(len(self.layers) + 1) if f"{stem}{k}" not in self.layers)

    def fed(self, node: Node, std: np.ndarray) -> Fed:
        """What stands in [batch, steps, width] addresses, as sources; helper layers are put in where needed.

        Raises: ToolkitError where no layer can be fed that, WrongAxes where windows of the batch are mixed."""
        if (std < 0).any():
            raise node.refuse(_SPECIAL[int(std.min())], "expected values of layers only")
        k, b, t, f = self.decode(std)
        if len(std) != self.batch or (b != np.arange(self.batch)[:, None, None]).any():
            raise WrongAxes(f'{node.op} "{node.name}": works along the batch; expected each window by itself')
        if any((v != v[:1]).any() for v in (k, t, f)) or any((v[0] != v[0, :1]).any() for v in (k, f)):
            raise node.refuse("mixes steps and features", "expected every feature of a layer at the same steps")
        k, t, f = k[0, 0], t[0], f[0, 0]
        turned = len(t) > 1 and bool((np.diff(t, axis=0) == -1).all())
        for place in set(k.tolist()):
            have = self.places[place]
            whole = np.arange(have.steps)[:: -1 if turned else 1, None]
            if len(t) > 1 and (len(t) != have.steps or (t[:, k == place] != whole).any()):
                raise node.refuse(
                    f'takes a part of the {have.steps} steps of "{have.name or "the input"}"',
                    "expected all of them, in one direction, or a single one",
                )
        return self._sources(node, k, t[0], f, len(t), turned)

    def _sources(self, node: Node, k: np.ndarray, t: np.ndarray, f: np.ndarray, steps: int, turned: bool) -> Fed:
        """`fed` of columns that are layer k, step t, feature f; all steps where there is more than one."""
        at = np.zeros_like(t) if steps > 1 else t
        flat = np.array([len(set(t[k == place].tolist())) > 1 and steps == 1 for place in k])
        widths = self._table[2][k]
        f = np.where(flat, t * widths + f, f)
        at = np.where(flat, -1, at)
        fresh = np.ones(len(k), bool)
        fresh[1:] = (k[1:] != k[:-1]) | (at[1:] != at[:-1]) | (f[1:] != f[:-1] + 1)
        starts = np.flatnonzero(fresh)
        if len(starts) <= RUNS:
            runs = np.split(f, starts[1:])
            names = (
                self._pick(self._step(int(k[s]), int(at[s]), steps), int(run[0]), len(run))
                for s, run in zip(starts, runs, strict=True)
            )
            return Fed(tuple(names), None, turned)
        places = list(dict.fromkeys(zip(k.tolist(), at.tolist(), strict=True)))
        lines = [self._step(place, step, steps) for place, step in places]
        offsets = dict(zip(places, np.cumsum([0, *(x.width for x in lines)]).tolist(), strict=False))
        columns = np.array([offsets[p] for p in zip(k.tolist(), at.tolist(), strict=True)]) + f
        if len(set(columns.tolist())) < len(columns):
            raise node.refuse("is fed the same value more than once", "expected every feature once")
        return Fed(tuple(x.name for x in lines), columns, turned)

    def _helper(self, op: str, source: Line, options: dict[str, float], steps: int, width: int) -> Line:
        """A layer that only chooses from one source, made once; its output."""
        key = (op, source.name, *options.values())
        if key not in self.taken:
            name = self._free(f"{source.name or 'input'}_{op}")
            self._line(name, steps, width)
            self.layers[name] = layer(name, op, {}, options=options, sources=(source.name,))
            self.taken[key] = self.lines[name]
        return self.taken[key]

    def _step(self, place: int, at: int, steps: int) -> Line:
        """All steps of a line, one of them, or (-1) all of them side by side."""
        x = self.places[place]
        if steps > 1 or x.steps == 1:
            return x
        if at < 0:
            return self._helper("flatten", x, {}, 1, x.steps * x.width)
        step = -1 if at == x.steps - 1 else at
        return self._helper("take", x, {"at": step}, 1, x.width)

    def _pick(self, x: Line, first: int, count: int) -> str:
        if count == x.width:
            return x.name
        options: dict[str, float] = {"first": first, "count": count}
        return self._helper("pick", x, options, x.steps, count).name

    def only(self, std: np.ndarray) -> str | None:
        """The layer whose whole output [batch, steps, width] stands there, in order; None where there is none."""
        k, *_ = self.decode(std)
        line = self.places[int(k.flat[0])] if (std >= 0).all() else Line("", 0, 0, 0)
        whole = np.arange(line.base, line.base + std.size).reshape(std.shape)
        return line.name if std.shape == (self.batch, line.steps, line.width) and (std == whole).all() else None

    def in_order(self, node: Node, std: np.ndarray) -> tuple[str, ...]:
        """`fed` for a layer that cannot reorder its inputs: a dense layer of ones does it where needed."""
        fed = self.fed(node, std)
        if fed.turned:
            raise node.refuse("takes its steps backwards", "expected that of recurrent layers only")
        if fed.columns is None:
            return fed.sources
        width = sum(self.lines[name].width for name in fed.sources)
        w = np.zeros((len(fed.columns), width), np.float32)
        w[np.arange(len(fed.columns)), fed.columns] = 1
        made = layer(self.name(node, "order", "_order"), "dense", {"w": w, "b": np.zeros(len(w))}, sources=fed.sources)
        self.emit(node, made, std.shape[1], len(w))
        return (made.name,)

    def joined(self, node: Node, std: np.ndarray, sources: tuple[str, ...]) -> str:
        """Several sources as the output of one layer."""
        options: dict[str, float] = {"first": 0, "count": std.shape[2]}
        made = layer(self.name(node, "join", "_join"), "pick", {}, options=options, sources=sources)
        self.emit(node, made, *std.shape[1:])
        return made.name

    def arrange(self, node: Node, at: np.ndarray) -> Arranged:
        """Addresses of any shape as [batch, steps, width], each once, the values of a step in the tensor's order."""
        if (at < 0).any():
            raise node.refuse(_SPECIAL[int(at.min())], "expected values of layers only")
        unique, first, back = np.unique(at, return_index=True, return_inverse=True)
        k, b, t, _ = self.decode(unique)
        rank = np.zeros_like(t)
        for place in np.unique(k):
            rank[k == place] = np.unique(t[k == place], return_inverse=True)[1]
        steps = int(rank.max(initial=0)) + 1
        if len(unique) % (self.batch * steps) or not len(unique):
            raise node.refuse("its values are no whole sequence", "expected every feature of a layer at the same steps")
        place = np.lexsort((first, rank, b)).reshape(self.batch, steps, -1)
        return Arranged(unique[place], first[place], place, back.reshape(at.shape))

    def pointwise(self, node: Node, data: Data, op: str, **made: object) -> Data:
        """A layer that takes every value by itself."""
        a = self.arrange(node, data.at)
        sources = self.in_order(node, a.std)
        new = layer(self.name(node, op), op, {}, sources=sources, **made)  # type: ignore[arg-type]
        return self.show(node, new.name, a.back_to(self.emit(node, new, *a.std.shape[1:])))

    def show(self, node: Node, name: str, at: np.ndarray) -> Data:
        """Notes that the node's first output shows what a layer computes, and no other that it is made of."""
        for other, (tensor, shows) in list(self.shown.items())[-4:]:
            if tensor == node.outputs[0] and shows is not at:
                del self.shown[other]
        self.shown[name] = (node.outputs[0], at)
        return Data(at)


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """`std` [batch, steps, width]: the addresses in order; `first`: the place of each in the tensor, flat."""

    std: np.ndarray
    first: np.ndarray
    place: np.ndarray
    back: np.ndarray

    def back_to(self, grid: np.ndarray) -> np.ndarray:
        """New addresses in the order of `std` -> the tensor's shape."""
        flat = np.empty(grid.size, grid.dtype)
        flat[self.place.ravel()] = grid.ravel()
        return np.asarray(flat[self.back])


_SPECIAL = {
    ZERO: "is fed padding",
    STATE: "reads an input that is no sequence",
    CELL: "reads a last cell state, which no layer gives out",
}
Compute = Callable[[Walk, Node, list[Value | None]], Value | list[Value]]


def walk(nodes: list[Node], values: Mapping[str, Value], w: Walk, compute: Compute) -> dict[str, Value]:
    """The tensors that are left when `compute` has gone through the nodes; layers go to `w`."""
    known = dict(values)
    left: dict[str, int] = {}
    for n in nodes:
        for name in n.inputs:
            left[name] = left.get(name, 0) + 1
    for n in nodes:
        lost = [name for name in n.inputs if name and name not in known]
        if lost:
            raise n.refuse(f'reads "{lost[0]}"', "an output that no layer gives out")
        made = compute(w, n, [known[name] if name else None for name in n.inputs])
        for name, value in zip(n.outputs, made if isinstance(made, list) else [made], strict=False):
            known[name] = value
        for name in n.inputs:
            left[name] -= 1
            if not left[name]:
                known.pop(name, None)
    return known
