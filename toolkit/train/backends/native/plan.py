"""A network as two lists of calls, forward and backward, for one shape of batch; every array is made here, once."""

from __future__ import annotations

import numpy as np

from quantize.network import Network
from toolkit.nn.recurrent import Arrays
from toolkit.train.backends.native.calls import Call, Table, zeros
from toolkit.train.backends.native.layers import LAYERS, Node, Shape


class Plan:
    """`time` steps of `batch` columns (a multiple of 16), the head at the last `outputs` steps."""

    def __init__(
        self, network: Network, arrays: list[Arrays], gradients: list[Arrays], *, time: int, batch: int, outputs: int
    ) -> None:
        self.time, self.batch, self.outputs, self.kind = time, batch, outputs, network.head
        self.layers = network.layers
        self.sources = [x.sources or (("",) if k == 0 else (self.layers[k - 1].name,)) for k, x in enumerate(self.layers)]
        self.nodes: dict[str, Node] = {}
        self.keep = zeros(time, batch)
        self.inputs: list[tuple[np.ndarray, bool]] = []  # where the input goes; whether backwards in time
        self._zeros, self._mean, self._inputs = zeros(0), zeros(1), len(network.inputs)
        self._mean[:] = 1 / time
        for k, one in enumerate(self.layers):
            self._make(k, arrays[k], gradients[k])
        self.head = self.nodes[self.layers[-1].name]
        self.passes = [n for n in self.nodes.values() if n.before]
        self._only_last_steps()
        forward, backward = [], []
        for one, sources in zip(self.layers, self.sources, strict=True):
            forward += self._gather(one.name, sources) + [self.nodes[one.name].forward]
        given: set[str] = set()
        for one, sources in zip(reversed(self.layers), reversed(self.sources), strict=True):
            backward += [self.nodes[one.name].backward, *self._scatter(one.name, sources, given)]
        self.forward, self.backward = (Table([c for c in some if c]) for some in (forward, backward))

    def _make(self, k: int, arrays: Arrays, gradient: Arrays) -> None:
        one, sources = self.layers[k], self.sources[k]
        rows = [self.nodes[s].d.shape[1] if s else self._inputs for s in sources]
        last = k == len(self.layers) - 1
        shape = Shape(self.outputs if last else self.time, self.batch, rows[0] if one.op == "add" else sum(rows))
        self.nodes[one.name] = LAYERS[one.op](one, arrays, gradient, shape, any(sources))
        for s in filter(None, sources):
            self.nodes[s].readers += 1

    def _only_last_steps(self) -> None:
        """Layers that only the head reads, at their last steps, have no gradient from above before those."""
        for s in self.sources[-1]:
            node = self.nodes[s]
            last = {"last": not node.reverse, "final_states": True}.get(self.kind, False)
            if node.readers == 1 and last and node.backward and "dy_first" in node.backward.fields:
                node.backward.set("dy_first", self.time - (self.outputs if self.kind == "last" else 1))

    def _gather(self, name: str, sources: tuple[str, ...]) -> list[Call]:
        """Copies of the sources' outputs into the rows of x; the input itself comes with each batch."""
        node, calls = self.nodes[name], list[Call]()
        for k, (s, part) in enumerate(zip(sources, self._parts(node, sources), strict=True)):
            to = node.x[:, part]
            if not s:
                self.inputs.append((to, node.reverse))
                continue
            at, step, steps = self._path(self.nodes[s], node)
            mean = node is self.head and self.kind == "mean"
            if mean:
                calls.append(self._copy(to[0].size, 1, (self._zeros_of(to[0].size), 0), (to, 0)))
            summed = mean or (node.add and (k > 0 or "" in sources))
            source = (self.nodes[s].at[1 + at], step)
            target = (to, 0 if mean else _stride(to))
            calls.append(self._copy(to[0].size, steps, source, target, add=summed, scaled=mean))
        return calls

    def _scatter(self, name: str, sources: tuple[str, ...], given: set[str]) -> list[Call]:
        """Copies of the gradient by x into those by the sources' outputs: the first sets, the others add."""
        node, calls = self.nodes[name], list[Call]()
        for s, part in zip(sources, self._parts(node, sources), strict=True):
            if not s or node.dx is None:
                continue
            source, dx = self.nodes[s], node.dx[:, part]
            at, step, steps = self._path(source, node)
            mean = node is self.head and self.kind == "mean"
            if s not in given and steps < self.time and source.readers > 1:
                calls.append(self._copy(source.d.size, 1, (self._zeros_of(source.d.size), 0), (source.d, 0)))
                given.add(s)
            target = (source.d[at], step)
            calls.append(
                self._copy(dx[0].size, steps, (dx, 0 if mean else _stride(dx)), target, add=s in given, scaled=mean)
            )
            given.add(s)
        return calls

    def _parts(self, node: Node, sources: tuple[str, ...]) -> list[slice]:
        """The rows of x that each source fills."""
        if node.add:
            return [slice(None)] * len(sources)
        rows = [self.nodes[s].d.shape[1] if s else self._inputs for s in sources]
        ends = np.cumsum(rows)
        return [slice(int(end) - n, int(end)) for n, end in zip(rows, ends, strict=True)]

    def _path(self, source: Node, reader: Node) -> tuple[int, int, int]:
        """The source's step that the reader sees first, floats to the next one, and how many there are."""
        one = _stride(source.d)
        if reader is self.head and self.kind == "final_states":
            return self.time - 1, one, 1
        if reader is self.head and self.kind != "mean":
            return (self.outputs - 1, -one, self.outputs) if source.reverse else (
                self.time - self.outputs, one, self.outputs)  # fmt: skip
        turned = source.reverse != reader.reverse and reader is not self.head
        return (self.time - 1, -one, self.time) if turned else (0, one, self.time)

    def _copy(
        self,
        floats: int,
        steps: int,
        source: tuple[np.ndarray, int],
        target: tuple[np.ndarray, int],
        *,
        add: bool = False,
        scaled: bool = False,
    ) -> Call:
        return Call(
            "copy_rows", floats=floats, steps=steps, add=int(add), mask=None, mask_step=0,
            scale=self._mean if scaled else None, to=target[0], from_step=source[1], to_step=target[1],
            **{"from": source[0]},
        )  # fmt: skip

    def _zeros_of(self, size: int) -> np.ndarray:
        if self._zeros.size < size:
            self._zeros = zeros(size)
        return self._zeros

    def load(self, x: np.ndarray, reset: np.ndarray | None) -> None:
        """x [columns, time, in], reset bool [columns, time] or None: the input of the next `forward`."""
        columns = len(x)
        for to, backwards in self.inputs:
            to[:, :, :columns] = (x[:, ::-1] if backwards else x).transpose(1, 2, 0)
        if reset is not None:
            np.subtract(1, reset.T, out=self.keep[:, :columns], casting="unsafe")
        for node in self.passes:
            for call in (node.forward, node.backward):
                call.set("keep", None if reset is None else self.keep)


def _stride(steps: np.ndarray) -> int:
    """Floats from a step to the next."""
    return steps.strides[0] // steps.itemsize
