"""Where the layers of a float network keep their sequences while they run one after the other.

Every layer writes a line, rows of features, into the room. What no later layer reads gives its place to others. To take
steps or features costs nothing, it is another look at the same rows; nor does joining layers only read together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from quantize.float_graph import RECURRENT, shapes
from quantize.float_ops import MERGE, reach
from quantize.float_stream import plain
from quantize.graph import INPUT, sources
from quantize.network import Layer, Network, layer
from quantize.ops.gru import reset_after

IN_PLACE = ("activation", "norm", "scale", "add", "mul")
VIEWS = ("take", "pick", "flatten", "join")


@dataclass(slots=True, eq=False)
class Block:
    """`size` floats of the room, in use from node `start` to node `end`."""

    size: int
    start: int
    end: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """Rows: row t begins at `base + offset + stride t`. turns: only two are kept, and t counts modulo 2."""

    base: str  # the C pointer that it is reached by
    offset: int
    stride: int
    steps: int
    width: int
    turns: bool = False

    def row(self, t: str) -> str:
        """C: the pointer to row t, a variable or a number."""
        if t.isdigit() or self.steps == 1:
            at, constant = "", self.offset + self.stride * (int(t) if t.isdigit() and self.steps > 1 else 0)
        else:
            at, constant = f"{self.stride} * {f'({t} % 2)' if self.turns else t}", self.offset
        return " + ".join([self.base, *([str(constant)] if constant else []), *([at] if at else [])])

    def seen(self, x: Layer) -> Line | None:
        """What a take, pick or flatten sees of it without moving anything; None where that cannot be."""
        if x.op == "take":
            at = int(x.options.get("at", -1)) % self.steps
            return replace(self, offset=self.offset + self.stride * (at % 2 if self.turns else at), steps=1)
        if x.op == "pick":
            return replace(self, offset=self.offset + int(x.options.get("first", 0)), width=int(x.options["count"]))
        whole = self.steps == 1 or self.stride == self.width
        return replace(self, steps=1, width=self.steps * self.width) if x.op == "flatten" and whole else None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A layer that needs code, the lines that it reads and its own.

    at: floats from the beginning of its block to its line; block None: the line is the network's output.
    end: the step that a recurrent layer comes to last; cell, scratch: what it needs while it runs.
    past: rows that a stream keeps for a convolution."""

    layer: Layer
    reads: tuple[Line, ...]
    line: Line
    block: Block | None
    at: int
    end: int
    cell: Block | None
    scratch: Block | None
    past: int


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """room: floats; forecast: rows that a forecast is taken from the last of, when the network makes several."""

    nodes: tuple[Node, ...]
    room: int
    forecast: Block | None
    steps: int
    width: int


def with_explicit_head(network: Network) -> Network:
    """The same without layers that nobody reads, and with head = "all": layers before the last make what it sees."""
    network = replace(network, layers=_read(network))
    last = network.layers[-1]
    if network.mode != "window" or network.head == "all" or last.op in MERGE:
        return network
    turned = {x.name for x in network.layers if x.reverse} if network.head == "final_states" else set()
    seen = [
        layer(f"{s or 'input'}_seen", "pool", {}, sources=(s,))
        if network.head == "mean"
        else layer(f"{s or 'input'}_seen", "take", {}, options={"at": 0 if s in turned else -1}, sources=(s,))
        for s in dict.fromkeys(last.sources)
    ]
    final = replace(last, sources=tuple(f"{s or 'input'}_seen" for s in last.sources))
    return replace(network, layers=(*network.layers[:-1], *seen, final), head="all")


def _read(network: Network) -> tuple[Layer, ...]:
    """The layers that the last one needs."""
    layers = network.layers
    needed = {layers[-1].name}
    for k in reversed(range(len(layers))):
        needed |= set(sources(layers, k)) if layers[k].name in needed else set()
    explicit = (replace(x, sources=sources(layers, k)) for k, x in enumerate(layers))
    return tuple(x for x in explicit if x.name in needed)


def plan(network: Network, steps: int) -> Plan:
    """network: `with_explicit_head`; steps: of a window, 1 of a stream.

    Raises: QuantizeError where the layers do not fit together."""
    made = _Planner(network, steps)
    nodes = [node for k in range(len(made.layers)) if (node := made.node(k)) is not None]
    out_steps, width = made.shapes[network.layers[-1].name]
    end = len(made.layers)
    forecast = made.block(out_steps * width, end - 1) if out_steps > 1 and network.mode == "window" else None
    return Plan(tuple(nodes), _place(made.blocks), forecast, out_steps, width)


def _place(blocks: Iterable[Block]) -> int:
    """Gives every block the lowest place that is free while it is in use. Returns the room needed."""
    placed: list[Block] = []
    for block in sorted(blocks, key=lambda b: (b.start, -b.size)):
        for other in sorted((b for b in placed if b.end >= block.start), key=lambda b: b.offset):
            if block.offset + block.size > other.offset:
                block.offset = max(block.offset, other.offset + other.size)
        placed.append(block)
    return max((b.offset + b.size for b in placed), default=0)


def _scratch(x: Layer) -> int:
    """Floats per hidden unit that a recurrent layer's kernel works in."""
    if plain(x):
        return int(x.op == "gru" and not reset_after(x))
    return 4 if x.op in ("lstm", "gru", "lstm_norm") else 0


class _Planner:
    """The layers, with the joins of those that are fed by several, and the lines made so far."""

    def __init__(self, network: Network, steps: int) -> None:
        self.window = network.mode == "window"
        self.shapes = shapes(network, steps)
        self.layers: list[Layer] = []
        self.fed: dict[str, tuple[str, ...]] = {}
        self._add_joins(network)
        self.lines = {INPUT: Line("x", 0, len(network.inputs), steps, len(network.inputs))}
        self.blocks: list[Block] = []
        self.owned: dict[str, tuple[Block, int]] = {}  # a layer's block, and where in it its line begins
        self.readers = {s: [x for x in self.layers if s in self.fed[x.name]] for s in (INPUT, *self.fed)}
        self.joined = self._joined()
        self.last = self._last_reads()

    def _add_joins(self, network: Network) -> None:
        """Layers fed by the same several layers share one join of them."""
        joins: dict[tuple[str, ...], str] = {}
        taken = {x.name for x in network.layers}
        for k, x in enumerate(network.layers):
            names = sources(network.layers, k)
            if len(names) > 1 and x.op not in MERGE:
                if names not in joins:
                    join = f"{x.name}_fed"
                    while join in taken:
                        join += "_"
                    joins[names] = join
                    self.layers.append(layer(join, "join", {}))
                    self.fed[join] = names
                    self.shapes[join] = self.shapes[names[0]][0], sum(self.shapes[s][1] for s in names)
                names = (joins[names],)
            self.layers.append(x)
            self.fed[x.name] = names

    def _joined(self) -> dict[str, str]:
        """Layer -> the join whose rows it writes into: where each part is a layer of its own and in no other join."""
        of_op = {x.name: x.op for x in self.layers}
        found: dict[str, str] = {}
        for j in self.layers:
            parts = self.fed[j.name] if j.op == "join" else ()
            alone = all(
                s != INPUT and of_op[s] not in VIEWS and [r for r in self.readers[s] if r.op == "join"] == [j]
                for s in parts
            )
            if alone and len(set(parts)) == len(parts):
                found |= dict.fromkeys(parts, j.name)
        return found

    def _last_reads(self) -> dict[str, int]:
        """Name -> the last layer that may read its rows, also through another look at them."""
        last = {x.name: k for k, x in enumerate(self.layers)}
        for k, x in reversed(list(enumerate(self.layers))):
            until = last[x.name] if x.op in VIEWS else k
            for s in self.fed[x.name]:
                last[s] = max(last.get(s, 0), until)
        return last

    def block(self, size: int, k: int, end: int | None = None) -> Block:
        """Room from layer k on."""
        self.blocks.append(Block(size, k, k if end is None else end))
        return self.blocks[-1]

    def node(self, k: int) -> Node | None:
        """Layer k; None where it is only another look at rows that are there."""
        x, reads = self.layers[k], [self.lines[s] for s in self.fed[self.layers[k].name]]
        final = k == len(self.layers) - 1
        view = None if final else self._view(x, reads[0])
        if view is not None:
            self.lines[x.name] = view
            return None
        steps, width = self.shapes[x.name]
        block, at, line = None, 0, Line("y", 0, width, steps, width)
        if not final:
            block, at, line = self._line(k, x, steps, width)
            self.owned[x.name] = block, at
        self.lines[x.name] = line
        hidden = width if x.op in RECURRENT else 0
        cell = self.block(hidden, k) if "lstm" in x.op and self.window else None
        scratch = self.block(need * hidden, k) if (need := _scratch(x)) else None
        past = reach(x) if x.op == "conv" and not self.window and reach(x) > 1 else 0
        return Node(x, tuple(reads), line, block, at, self._end(x, steps)[0], cell, scratch, past)

    def _view(self, x: Layer, line: Line) -> Line | None:
        if x.op != "join":
            return line.seen(x) if x.op in VIEWS else None
        parts = self.fed[x.name]
        return replace(line, width=line.stride) if parts[0] in self.joined else None

    def _line(self, k: int, x: Layer, steps: int, width: int) -> tuple[Block, int, Line]:
        base, last = f"{x.name}_y", self.last[x.name]
        join = self.joined.get(x.name)
        if join is not None:
            parts = self.fed[join]
            at, stride = sum(self.shapes[s][1] for s in parts[: parts.index(x.name)]), self.shapes[join][1]
            block = self._shared(parts) or self.block(steps * stride, k)
            block.end = max(block.end, last, self.last[join])
            return block, at, Line(base, 0, stride, steps, width)
        source = self.fed[x.name][0]
        if x.op in IN_PLACE and source in self.owned and self._ends_at(source, k, self.fed[x.name][1:]):
            block, at = self.owned[source]
            block.end = max(block.end, last)
            return block, at, replace(self.lines[source], base=base)
        turns = self.window and x.op in RECURRENT and steps > 2 and self._end(x, steps)[1]
        return self.block(2 * width if turns else steps * width, k, last), 0, Line(base, 0, width, steps, width, turns)

    def _shared(self, parts: Sequence[str]) -> Block | None:
        return next((self.owned[s][0] for s in parts if s in self.owned), None)

    def _ends_at(self, source: str, k: int, others: Sequence[str]) -> bool:
        """Whether layer k may write where it reads a layer: nobody reads that later, nor as another of its sources."""
        line = self.lines[source]
        again = any(self.lines[s].base == line.base for s in others)
        return self.owned[source][0].end <= k and not line.turns and not again

    def _end(self, x: Layer, steps: int) -> tuple[int, bool]:
        """The last step that a recurrent layer must come to, and whether nobody reads another."""
        readers = self.readers[x.name]
        if not readers or any(r.op != "take" for r in readers):
            return 0 if x.reverse else steps - 1, False
        read = {int(r.options.get("at", -1)) % steps for r in readers}
        return min(read) if x.reverse else max(read), len(read) == 1
