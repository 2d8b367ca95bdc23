"""A Network's weights in one flat vector, and its forward and backward passes over one batch.

This layout is what every training backend shares. `parameters(network, dtype)` gives, layer by layer in the network's
order, the arrays of each, C-contiguous, one after the other in `flat`:

    lstm        w [4H, H + in + 1] = [w_hh | w_ih | b], rows i, f, g, o; with peepholes p [3H]
    lstm_norm   w_x [4H, in + 1] = [w_ih | b_ih], w_h [4H, H + 1] = [w_hh | b_hh], norm_x [2, 4H], norm_c, norm_h [2, H]
    gru         w [3H, H + in + 1] = [w_hh | w_ih | b], rows r, z, n; with reset after b_hn [H]
    rnn         w [H, H + in + 1] = [w_hh | w_ih | b]
    dense       w [out, in + 1] = [w | b]
    add         nothing

and `p.nodes`, where each layer's input comes from. Signals are [time, unit, batch]; a reverse layer's output lies at
the step that it belongs to. The last layer is a dense head; `p.head` says what it sees (`toolkit.nn.head`).

CELLS is the registry of recurrent layers. A cell's module has STATE (the names of its state; the first is h, its
output), `joined` and `parted` (weights of the float layer <-> the arrays that are trained), `hidden_size`,
`input_size`, `first_weights`, and `Pass`: forward, state and backward over one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from quantize.network import Network, layer
from toolkit.errors import ToolkitError
from toolkit.nn import dense, gru, lstm, lstm_norm, rnn
from toolkit.nn.head import ONE, seen, seen_backward
from toolkit.nn.recurrent import Arrays, Masks, Resets, State

CELLS: dict[str, ModuleType] = {"lstm": lstm, "gru": gru, "rnn": rnn, "lstm_norm": lstm_norm}  # op -> its module
States = list[State]  # one per layer; {} of a layer without state
INPUT = -1  # the source that is the network's input


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A layer's place: `sources` are indexes of layers before it, or INPUT; joined one after the other, or added."""

    op: str
    sources: tuple[int, ...]
    reverse: bool
    options: Mapping[str, float]
    width: int  # of its output


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """`flat [n]`, views into it: the arrays of each layer, and the graph."""

    flat: np.ndarray
    nodes: tuple[Node, ...]
    arrays: tuple[Arrays, ...]
    head: str


def parameters(network: Network, dtype: type[np.floating]) -> Parameters:
    """The weights of a graph of recurrent layers with a dense head.

    Raises: ToolkitError for any other graph."""
    known, ops = [*CELLS, "dense", "add"], [x.op for x in network.layers]
    if not set(ops) <= set(known) or not set(ops) & set(CELLS) or ops[-1] != "dense":
        raise ToolkitError(
            f"network {network.name}: layers {', '.join(ops)}: "
            f"expected {' or '.join(CELLS)} layers and one dense head (between them, dense or add)"
        )
    parts = [_joined(x.op, x.weights) for x in network.layers]
    nodes = _nodes(network, parts)
    flat = np.concatenate([a.ravel() for arrays in parts for a in arrays]).astype(dtype)
    return _views(flat, nodes, parts, network.head)


def _joined(op: str, weights: Mapping[str, np.ndarray]) -> Arrays:
    return () if op == "add" else tuple(_module(op).joined(weights))


def _module(op: str) -> ModuleType:
    return dense if op == "dense" else CELLS[op]


def _nodes(network: Network, parts: Sequence[Arrays]) -> tuple[Node, ...]:
    """The graph.

    Raises: ToolkitError where it does not fit together, or for what a stream cannot do."""
    at = {"": INPUT}
    nodes: list[Node] = []
    for k, (x, arrays) in enumerate(zip(network.layers, parts, strict=True)):
        where = f"network {network.name}: {x.name}"
        bad = [s for s in x.sources if s not in at]
        if bad:
            raise ToolkitError(f'{where}: source "{bad[0]}": expected a layer before it, one of {", ".join(at)}')
        sources = tuple(at[s] for s in x.sources) or (k - 1,)
        widths = [nodes[s].width if s >= 0 else len(network.inputs) for s in sources]
        if x.op == "add":
            if len(set(widths)) != 1:
                raise ToolkitError(f"{where}: adds widths {widths}: expected the same")
            width = widths[0]
        else:
            width = _module(x.op).hidden_size(arrays)
            if _module(x.op).input_size(arrays) != sum(widths):
                raise ToolkitError(f"{where}: takes {_module(x.op).input_size(arrays)} values, {sum(widths)} come in")
        if x.reverse and network.mode == "stateful":
            raise ToolkitError(f'{where}: a stream cannot run backwards: it has no last step yet; mode = "window" can')
        nodes.append(Node(x.op, sources, x.reverse, x.options, width))
        at[x.name] = k
    unread = set(range(len(nodes) - 1)) - {s for n in nodes for s in n.sources}
    if unread:
        raise ToolkitError(f"network {network.name}: nothing reads {network.layers[min(unread)].name}; take it out")
    if network.mode == "stateful" and network.head != "last":
        reason = f'head = "{network.head}" needs the end of a window, and a stream has none'
        raise ToolkitError(f'network {network.name}: {reason}; expected "last", or mode = "window"')
    return tuple(nodes)


def _views(flat: np.ndarray, nodes: Sequence[Node], like: Sequence[Arrays], head: str) -> Parameters:
    """`flat` seen as arrays of the shapes of `like`."""
    ends = np.cumsum([a.size for arrays in like for a in arrays])
    parts = iter(np.split(flat, ends[:-1]))
    views = tuple(tuple(next(parts).reshape(a.shape) for a in arrays) for arrays in like)
    return Parameters(flat, tuple(nodes), views, head)


def zeros_like(p: Parameters) -> Parameters:
    """Zeros in the same shapes."""
    return _views(np.zeros_like(p.flat), p.nodes, p.arrays, p.head)


def parted(p: Parameters) -> list[dict[str, np.ndarray]]:
    """The weights (or gradients) of each layer, as `quantize.network.Layer` names them."""
    return [{} if n.op == "add" else _module(n.op).parted(a) for n, a in zip(p.nodes, p.arrays, strict=True)]


def with_parameters(network: Network, p: Parameters) -> Network:
    """The same network with these weights."""
    made = [
        layer(x.name, x.op, w, options=x.options, sources=x.sources, reverse=x.reverse)
        for x, w in zip(network.layers, parted(p), strict=True)
    ]
    return replace(network, layers=tuple(made))


def decays(p: Parameters) -> np.ndarray:
    """bool [n]: the elements of `flat` that weight decay is for: matrices, not biases, peepholes, gains or offsets."""
    marks = []
    for node, weights in zip(p.nodes, parted(p), strict=True):
        like = {k: np.full(w.shape, k in ("w", "w_ih", "w_hh")) for k, w in weights.items()}
        marks += [a.ravel() for a in _joined(node.op, like)]
    return np.concatenate(marks)


def zero_states(p: Parameters, batch: int) -> States:
    """States before the first sample."""
    return [
        {k: np.zeros((n.width, batch), p.flat.dtype) for k in CELLS[n.op].STATE} if n.op in CELLS else {}
        for n in p.nodes
    ]


class Stack:
    """The passes of all layers for one shape (time, batch); reused from batch to batch."""

    def __init__(self, p: Parameters, time: int, batch: int) -> None:
        self.time, self.batch = time, batch
        self.passes = [
            CELLS[n.op].Pass(arrays, time, batch, n.options) if n.op in CELLS else None
            for n, arrays in zip(p.nodes, p.arrays, strict=True)
        ]
        self.tops = p.nodes[-1].sources  # what the head sees
        self.backwards = [p.nodes[k].reverse for k in self.tops]

    def forward(
        self,
        p: Parameters,
        x: np.ndarray,
        *,
        states: States,
        resets: Resets,
        outputs: int,
        masks: Sequence[Masks] = (),
    ) -> np.ndarray:
        """x [time, in, batch] -> y [outputs, out, batch] of the last `outputs` steps. `masks`: of each layer, or ()."""
        self.run(p, x, states=states, resets=resets, masks=masks)
        self.seen = seen(p.head, [self.values[k] for k in self.tops], self.backwards, outputs)
        return dense.dense_forward(p.arrays[-1][0], self.seen)

    def run(self, p: Parameters, x: np.ndarray, *, states: States, resets: Resets, masks: Sequence[Masks]) -> None:
        """The layers below the head: fills `values`, of each layer [time, width, batch]; the input is the last."""
        self.values: list[np.ndarray] = [*([x] * len(p.nodes)), x]
        for k, (node, arrays, one) in enumerate(zip(p.nodes[:-1], p.arrays, self.passes, strict=False)):
            sources = [self.values[s] for s in node.sources]
            if node.op == "add":
                self.values[k] = np.asarray(sum(sources[1:], sources[0]))
                continue
            below = np.concatenate(sources, axis=1) if len(sources) > 1 else sources[0]
            if one is None:
                self.values[k] = dense.dense_forward(arrays[0], below)
                continue
            mine = masks[k] if masks else {}
            way = slice(None, None, -1 if node.reverse else 1)
            h = one.forward(arrays, below[way], state=states[k], resets=resets, masks=_turned(mine, way))[way]
            self.values[k] = h * mine["output"] if "output" in mine else h

    def states(self) -> States:
        """After the last step, copied."""
        return [{} if one is None else one.state() for one in self.passes]

    def backward(
        self, p: Parameters, dy: np.ndarray, *, resets: Resets, gradient: Parameters, masks: Sequence[Masks] = ()
    ) -> States:
        """dy [outputs, out, batch], for the last forward; writes every element of `gradient`.

        Returns the gradient by the states before the first step, which truncated BPTT takes for constants."""
        gradient.flat[:] = 0
        d_seen = dense.dense_backward(p.arrays[-1][0], self.seen, dy, gradient.arrays[-1][0])
        tops = seen_backward(p.head, d_seen, [p.nodes[k].width for k in self.tops], self.backwards, self.time)
        after = zero_states(p, self.batch)
        return self.run_backward(p, tops, resets=resets, masks=masks, after=after, gradient=gradient)

    def run_backward(
        self,
        p: Parameters,
        tops: Sequence[np.ndarray],
        *,
        resets: Resets,
        masks: Sequence[Masks],
        after: States,
        gradient: Parameters,
    ) -> States:
        """tops: gradient by what the head's sources gave; `after`: by the states after the last step.

        Adds to `gradient`. Returns the gradient by the states before the first step."""
        d: list[np.ndarray | None] = [None] * (len(p.nodes) + 1)
        before: States = [{} for _ in p.nodes]

        def give(to: int, value: np.ndarray) -> None:
            there = d[to]
            d[to] = value if there is None else there + value

        for k, top in zip(self.tops, tops, strict=True):
            give(k, top)
        for k in reversed(range(len(p.nodes) - 1)):
            node, one, dh = p.nodes[k], self.passes[k], d[k]
            assert dh is not None  # every layer is read by one after it
            if node.op == "add":
                for s in node.sources:
                    give(s, dh)
                continue
            if one is None:
                below = np.concatenate([self.values[s] for s in node.sources], axis=1)
                dx = dense.dense_backward(p.arrays[k][0], below, dh, gradient.arrays[k][0])
            else:
                mine = masks[k] if masks else {}
                way = slice(None, None, -1 if node.reverse else 1)
                dh = dh * mine["output"] if "output" in mine else dh
                dx, before[k] = one.backward(
                    p.arrays[k],
                    dh[way],
                    resets=resets,
                    masks=_turned(mine, way),
                    after=after[k],
                    into=gradient.arrays[k],
                )
                dx = dx[way]
            ends = np.cumsum([self.values[s].shape[1] for s in node.sources])[:-1]
            for s, part in zip(node.sources, np.split(dx, ends, axis=1), strict=True):
                give(s, part)
        return before


def _turned(masks: Masks, way: slice) -> Masks:
    """The masks in the order of a layer's own steps."""
    return {**masks, "state": masks["state"][way]} if "state" in masks else masks


def forward(
    network: Network, x: np.ndarray, states: States | None = None, *, dtype: type[np.floating] = np.float64
) -> tuple[np.ndarray, States]:
    """x [batch, time, in] normalised -> (y [batch, steps, out] normalised, states after the last step).

    `steps`: every step of the window, or 1 where the head sees the window as one."""
    p = parameters(network, dtype)
    stack = Stack(p, x.shape[1], x.shape[0])
    before = zero_states(p, x.shape[0]) if states is None else states
    steps = 1 if network.head in ONE else x.shape[1]
    y = stack.forward(p, x.transpose(1, 2, 0).astype(dtype), states=before, resets={}, outputs=steps)
    return y.transpose(2, 0, 1), stack.states()
