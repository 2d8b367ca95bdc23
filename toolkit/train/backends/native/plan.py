"""A network as two lists of calls, forward and backward, for one shape of batch; every array is made here, once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.nn.head import ONE
from toolkit.nn.network import INPUT, Node
from toolkit.nn.recurrent import Arrays, Masks
from toolkit.train.backends.native.calls import Call, Table, zeros
from toolkit.train.backends.native.layers import LAYERS, Part, Shape


class Plan:
    """`time` steps of `batch` columns (a multiple of 16) of `inputs` values, the head at the last `outputs` steps."""

    def __init__(
        self,
        nodes: Sequence[Node],
        arrays: Sequence[Arrays],
        gradients: Sequence[Arrays],
        *,
        head: str,
        inputs: int,
        time: int,
        batch: int,
        outputs: int,
    ) -> None:
        self.nodes, self.kind, self.inputs = nodes, head, inputs
        self.time, self.batch, self.outputs = time, batch, outputs
        self.parts: list[Part] = []
        for k, (node, w, dw) in enumerate(zip(nodes, arrays, gradients, strict=True)):
            rows = [nodes[s].width if s != INPUT else inputs for s in node.sources]
            steps = outputs if k == len(nodes) - 1 else time
            shape = Shape(steps, batch, rows[0] if node.op == "add" else sum(rows))
            self.parts.append(LAYERS[node.op](node, w, dw, shape, any(s != INPUT for s in node.sources)))
        self.head = self.parts[-1]
        self.keep, self.nothing, self.mean = zeros(time, batch), zeros(max(p.d.size for p in self.parts)), zeros(1)
        self.mean[:], self.resets = 1 / time, False
        self.fed: list[tuple[np.ndarray, bool]] = []  # where the input goes; whether backwards in time
        self._dy_first()
        self.forward = Table([c for k in range(len(nodes)) for c in self._forward(k)])
        given: set[int] = set()
        self.backward = Table([c for k in reversed(range(len(nodes))) for c in self._backward(k, given)])

    def load(self, x: np.ndarray, reset: np.ndarray | None, masks: Sequence[Masks]) -> None:
        """x [columns, time, in]; reset bool [columns, time] or None; masks of each layer, () for none."""
        columns = len(x)
        for to, backwards in self.fed:
            to[:, :, :columns] = (x[:, ::-1] if backwards else x).transpose(1, 2, 0)
        if reset is not None:
            self.keep[:, :columns] = 1 - reset.T
        for k, (node, part) in enumerate(zip(self.nodes, self.parts, strict=True)):
            for name, to in part.masks.items():
                mask = masks[k][name] if masks else np.ones(1, np.float32)
                backwards = node.reverse and mask.ndim == 3
                to[..., :columns] = mask[::-1] if backwards else mask
            if part.before and part.forward and part.backward and self.resets != (reset is not None):
                part.forward.set("keep", None if reset is None else self.keep)
                part.backward.set("keep", None if reset is None else self.keep)
        self.resets = reset is not None

    def _readers(self, k: int) -> int:
        return sum(node.sources.count(k) for node in self.nodes)

    def _dy_first(self) -> None:
        """A layer that the head alone reads has no gradient from above before the steps that the head sees."""
        for s in self.nodes[-1].sources:
            call = self.parts[s].backward if s != INPUT else None
            forwards = self.kind == "final_states" or (self.kind in ("last", "all") and not self.nodes[s].reverse)
            if forwards and call and "dy_first" in call.fields and self._readers(s) == 1:
                call.set("dy_first", self.time - self.outputs)

    def _forward(self, k: int) -> list[Call]:
        """The copies of its sources' outputs into its input, and the layer itself. The network's input is `load`ed."""
        node, part, calls = self.nodes[k], self.parts[k], list[Call]()
        add, mean = node.op == "add", part is self.head and self.kind == "mean"
        if mean:
            calls.append(self._copy((self.nothing, 0), (part.x, 0), part.x[0].size, 1))
        for j, (s, rows) in enumerate(zip(node.sources, self._rows(node), strict=True)):
            to = part.x[:, rows]
            if s == INPUT:
                self.fed.append((to, node.reverse))
                continue
            first, step, steps = self._path(s, k)
            calls.append(
                self._copy(
                    (self.parts[s].at[1 + first], step),
                    (to, 0 if mean else _stride(to)),
                    to[0].size,
                    steps,
                    add=mean or (add and (j > 0 or INPUT in node.sources)),
                    mask=self._mask(s, first, step),
                    mean=mean,
                )
            )
        return [*calls, part.forward] if part.forward else calls

    def _backward(self, k: int, given: set[int]) -> list[Call]:
        """The layer, and copies of the gradient by its input to its sources: the first one sets, the others add."""
        node, part = self.nodes[k], self.parts[k]
        calls = [part.backward] if part.backward else []
        mean = part is self.head and self.kind == "mean"
        for s, rows in zip(node.sources, self._rows(node), strict=True):
            if s == INPUT or part.dx is None:
                continue
            (first, step, steps), d, dx = self._path(s, k), self.parts[s].d, part.dx[:, rows]
            if s not in given and steps < self.time and self._readers(s) > 1:
                calls.append(self._copy((self.nothing, 0), (d, 0), d.size, 1))
                given.add(s)
            calls.append(
                self._copy(
                    (dx, 0 if mean else _stride(dx)),
                    (d[first], step),
                    dx[0].size,
                    steps,
                    add=s in given,
                    mask=self._mask(s, first, step),
                    mean=mean,
                )
            )
            given.add(s)
        return calls

    def _rows(self, node: Node) -> list[slice]:
        """The rows of its input that each source fills."""
        if node.op == "add":
            return [slice(None)] * len(node.sources)
        widths = [self.nodes[s].width if s != INPUT else self.inputs for s in node.sources]
        ends = np.cumsum(widths)
        return [slice(int(end) - n, int(end)) for n, end in zip(widths, ends, strict=True)]

    def _path(self, s: int, k: int) -> tuple[int, int, int]:
        """The step of source `s` that layer `k` sees first, floats from there to the next, and how many steps."""
        one, reverse = _stride(self.parts[s].d), self.nodes[s].reverse
        if self.parts[k] is not self.head:
            return (self.time - 1, -one, self.time) if reverse != self.nodes[k].reverse else (0, one, self.time)
        if self.kind == "mean":
            return 0, one, self.time
        if self.kind in ONE:
            return self.time - 1, one, 1
        return (self.outputs - 1, -one, self.outputs) if reverse else (self.time - self.outputs, one, self.outputs)

    def _mask(self, s: int, first: int, step: int) -> tuple[np.ndarray | None, int]:
        """Dropout's mask of what `s` gives, which lies as its output does."""
        mask = self.parts[s].masks.get("output")
        return (None, 0) if mask is None else (mask[first], step)

    def _copy(
        self,
        source: tuple[np.ndarray, int],
        target: tuple[np.ndarray, int],
        floats: int,
        steps: int,
        *,
        add: bool = False,
        mask: tuple[np.ndarray | None, int] = (None, 0),
        mean: bool = False,
    ) -> Call:
        """source, target, mask: where, and floats from a step to the next."""
        return Call(
            "copy_rows", floats=floats, steps=steps, add=int(add), mask=mask[0], mask_step=mask[1],
            scale=self.mean if mean else None, to=target[0], from_step=source[1], to_step=target[1],
            **{"from": source[0]},
        )  # fmt: skip


def _stride(steps: np.ndarray) -> int:
    """Floats from a step to the next."""
    return steps.strides[0] // steps.itemsize
