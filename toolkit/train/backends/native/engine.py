"""Training with the kernels of csrc/train: the batch cut into slices, a fixed share of them on each thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from quantize.network import Network
from toolkit.nn.adam import BETA1, BETA2, EPSILON
from toolkit.nn.network import Parameters, parameters, with_parameters, zero_states
from toolkit.nn.recurrent import Arrays, State
from toolkit.train.backends.contract import Batch
from toolkit.train.backends.native.build import Door
from toolkit.train.backends.native.calls import Call, Table, zeros
from toolkit.train.backends.native.plan import Plan

WIDTH, WIDEST = 16, 64  # columns of a slice: a multiple of the one, at most the other


class Engine:
    """A Backend; toolkit.train.backends.native.NativeBackend says what it lacks."""

    def __init__(self, door: Door, threads: int, clip: float) -> None:
        self.door, self.threads = door, threads
        self.pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self.clip, self.norm = np.array([clip]), np.zeros(1)

    def load(self, network: Network) -> None:
        """Begins anew with these weights."""
        self.template = network
        self.p = parameters(network, np.float32)
        self.weights = Weights(self.p)
        self.weights.room[: self.p.flat.size] = self.p.flat
        self.workers = [Worker(network, self.weights, Weights(self.p)) for _ in range(self.threads)]
        size = self.weights.room.size
        self.mean, self.square, self.count, self.numbers = zeros(size), zeros(size), 0, np.zeros(6, np.float32)
        flats = [w.gradient.room for w in self.workers]
        calls = [Call("add_to", size=size, to=flats[0], **{"from": one}) for one in flats[1:]]
        calls.append(Call("clip_norm", size=size, gradient=flats[0], most=self.clip, norm=self.norm))
        calls.append(Call("adam_step", size=size, flat=self.weights.room, mean=self.mean, square=self.square,
                          gradient=flats[0], numbers=self.numbers))  # fmt: skip
        self.update = Table(calls)
        self.states = zero_states(self.p, 0)

    def step(self, batch: Batch, lr: float) -> float:
        """One update; the mean squared error before it."""
        counted = bool(batch.weight.any())
        loss, count = self._all(batch, carry=batch.carry, train=counted)
        if counted:
            self.count += 1
            self.numbers[:] = (
                lr / (1 - BETA1**self.count), 1 / (1 - BETA2**self.count), 1 - BETA1, 1 - BETA2, EPSILON, 1
            )  # fmt: skip
            self.door.run(self.update.address, self.update.length)
        return loss / max(count, 1)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of squared errors, how many)."""
        return self._all(batch, carry=False, train=False, keep=False)

    def network(self) -> Network:
        """A copy of the network with the present weights."""
        self.p.flat[:] = self.weights.room[: self.p.flat.size]
        return with_parameters(self.template, self.p)

    def _all(self, batch: Batch, *, carry: bool, train: bool, keep: bool = True) -> tuple[float, int]:
        """All slices of a batch, each thread its own; (sum of the loss, values that it is of)."""
        columns, count = len(batch.x), int(batch.weight.sum()) * batch.target.shape[2]
        before = self.states if carry else None
        after = zero_states(self.p, columns) if keep and self.template.mode == "stateful" else None
        reset = batch.reset if batch.reset.any() else None

        def share(worker: Worker, parts: list[slice]) -> float:
            return worker.run(self.door, batch, parts, scale=1 / max(count, 1), reset=reset, before=before,
                              after=after, train=train)  # fmt: skip

        shares = list(zip(self.workers, slices(columns, self.threads), strict=False))
        others = [self.pool.submit(share, *one) for one in shares[1:]] if self.pool else []
        total = share(*shares[0]) + sum(one.result() for one in others)
        for idle in self.workers[len(shares) :]:
            idle.gradient.room[:] = 0
        if after is not None:
            self.states = after
        return total, count


class Weights:
    """One number for each weight. room: aligned, padded with zeros to whole vectors; layers: views of it."""

    def __init__(self, p: Parameters) -> None:
        self.size = p.flat.size
        self.room, self.layers, at = zeros(-(-self.size // WIDTH) * WIDTH), list[Arrays](), 0
        for arrays in (*p.cells, (p.head,)):
            ends = np.cumsum([at, *(a.size for a in arrays)])
            self.layers.append(tuple(self.room[i:j].reshape(a.shape) for i, j, a in zip(ends, ends[1:], arrays)))
            at = ends[-1]


class Worker:
    """One thread's plans, by shape, and its share of the gradient."""

    def __init__(self, network: Network, weights: Weights, gradient: Weights) -> None:
        self.template, self.weights, self.gradient = network, weights, gradient
        self.tasks: dict[tuple[int, int, int], Task] = {}

    def run(
        self, door: Door, batch: Batch, parts: list[slice], *, scale: float, reset: np.ndarray | None,
        before: list[State] | None, after: list[State] | None, train: bool,
    ) -> float:  # fmt: skip
        """The sum of the loss over some columns; with `train` also its gradient, else none."""
        if train:
            self.gradient.room[:] = 0
        total = 0.0
        for part in parts:
            width = -(-(part.stop - part.start) // WIDTH) * WIDTH
            key = batch.x.shape[1], width, batch.target.shape[1]
            if key not in self.tasks:
                weights, gradient = self.weights.layers, self.gradient.layers
                plan = Plan(self.template, weights, gradient, time=key[0], batch=width, outputs=key[2])
                self.tasks[key] = Task(plan, batch.target.shape[2])
            task = self.tasks[key]
            task.load(batch, part, scale, reset, before)
            table = task.train if train else task.forward
            door.run(table.address, table.length)
            task.store(part, after)
            total += task.sum[0]
        return total


class Task:
    """A plan with its loss."""

    def __init__(self, plan: Plan, outputs: int) -> None:
        self.plan, head = plan, plan.head
        steps, batch = len(head.d), plan.batch
        self.target, self.weight = zeros(steps, outputs, batch), zeros(steps, batch)
        self.scale, self.sum, self.fresh = np.zeros(1, np.float32), np.zeros(1), True
        loss = Call("mean_square", outputs=outputs, steps=steps, batch=batch, y=head.at[1:], target=self.target,
                    weight=self.weight, scale=self.scale, dy=head.d, sum=self.sum)  # fmt: skip
        self.forward = Table([*plan.forward.calls, loss])
        self.train = Table([*self.forward.calls, *plan.backward.calls])

    def load(
        self, batch: Batch, part: slice, scale: float, reset: np.ndarray | None, before: list[State] | None
    ) -> None:
        """A slice of the batch, and the states before it (None: zero)."""
        columns = part.stop - part.start
        self.plan.load(batch.x[part], None if reset is None else reset[part])
        self.target[:, :, :columns] = batch.target[part].transpose(1, 2, 0)
        self.weight[:, :columns] = batch.weight[part].T
        self.weight[:, columns:] = 0
        self.scale[0], self.sum[0] = scale, 0
        for k, node in enumerate(self.plan.passes):
            for d in node.d_after:
                d[...] = 0
            for name, view in node.before.items():
                if before is not None:
                    view[:, :columns] = before[k][name][:, part]
                elif not self.fresh:
                    view[...] = 0
        self.fresh = before is None

    def store(self, part: slice, after: list[State] | None) -> None:
        """The states after the slice."""
        if after is not None:
            for node, state in zip(self.plan.passes, after, strict=True):
                for name, view in node.after.items():
                    state[name][:, part] = view[:, : part.stop - part.start]


def slices(columns: int, threads: int) -> list[list[slice]]:
    """The columns of each thread that has any, in slices of at most WIDEST."""
    share = -(-columns // (threads * WIDTH)) * WIDTH
    return [list(_cut(first, min(first + share, columns))) for first in range(0, columns, share)]


def _cut(first: int, stop: int) -> Iterator[slice]:
    parts = -(-(stop - first) // WIDEST)
    width = -(-(stop - first) // (parts * WIDTH)) * WIDTH
    for at in range(first, stop, width):
        yield slice(at, min(at + width, stop))


