"""Training with the kernels of csrc/train: the batch cut into slices, a fixed share of them on each thread."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from quantize.network import Network
from toolkit.config import Model, Train
from toolkit.errors import ToolkitError
from toolkit.nn.losses import Loss
from toolkit.nn.network import Parameters, States, parameters, with_parameters, zero_states
from toolkit.nn.recurrent import Arrays, Masks
from toolkit.train.backends.contract import Batch
from toolkit.train.backends.learning import (
    Random,
    count_of,
    loss_name,
    loss_of_model,
    packed,
    unpacked,
    weights_of,
)
from toolkit.train.backends.native.build import Door
from toolkit.train.backends.native.calls import Call, Table, zeros
from toolkit.train.backends.native.plan import Plan
from toolkit.train.backends.native.update import UPDATES, Update

WIDTH, WIDEST = 16, 64  # columns of a slice: a multiple of the one, at most the other


class Weights:
    """One number for each weight. room: aligned, padded with zeros to whole vectors; layers: views of it."""

    def __init__(self, p: Parameters) -> None:
        self.size = p.flat.size
        self.room, self.layers, at = zeros(-(-self.size // WIDTH) * WIDTH), list[Arrays](), 0
        for arrays in p.arrays:
            made = []
            for a in arrays:
                made.append(self.room[at : at + a.size].reshape(a.shape))
                at += a.size
            self.layers.append(tuple(made))

    @property
    def flat(self) -> np.ndarray:
        """Without the padding."""
        return self.room[: self.size]


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What every thread needs of a step."""

    batch: Batch
    weight: np.ndarray  # [batch, steps, 1 or values]
    count: int  # values that count
    reset: np.ndarray | None
    masks: Sequence[Masks]
    before: States | None  # None: zero
    after: States | None  # where to leave the states; None: nowhere
    train: bool


class Engine:
    """A Backend. toolkit.train.backends.native says what it lacks."""

    def __init__(self, door: Door, learning: Train, model: Model, seed: int) -> None:
        self.door, self.learning, self.model, self.random = door, learning, model, Random(seed)
        self.pool = ThreadPoolExecutor(learning.threads - 1) if learning.threads > 1 else None

    def load(self, network: Network) -> None:
        """Begins anew with these weights."""
        self.template, self.p = network, parameters(network, np.float32)
        self.weights = Weights(self.p)
        self.weights.flat[:] = self.p.flat
        native = loss_name(self.model, self.learning) == "mse"
        loss = None if native else loss_of_model(self.model, self.learning)
        self.workers = [
            Worker(self.door, self.p, self.weights, len(network.inputs), loss) for _ in range(self.learning.threads)
        ]
        rooms = [w.gradient.room for w in self.workers]
        self.update: Update = UPDATES[self.learning.optimiser](self.learning, self.p, self.weights.room, rooms[0])
        self.norm, most = np.zeros(1), np.array([self.learning.clip])
        self.table = Table(
            [
                *(Call("add_to", size=rooms[0].size, to=rooms[0], **{"from": one}) for one in rooms[1:]),
                Call("clip_norm", size=rooms[0].size, gradient=rooms[0], most=most, norm=self.norm),
                self.update.call,
            ]
        )
        self.states = zero_states(self.p, 0)

    def step(self, batch: Batch, lr: float) -> float:
        """One update; the loss before it.

        Raises: ToolkitError for a batch that carries, of windows."""
        if batch.carry and self.template.mode != "stateful":
            raise ToolkitError(
                "a batch with carry in window mode: the native backend starts every window from zero; expected mode = "
                '"stateful", or backend = "numpy"'
            )
        masks, count = self.random.masks(self.p, batch), count_of(batch)
        total = self._all(batch, count, masks, carry=batch.carry, keep=True, train=count > 0)
        if count:
            self.update.prepare(lr)
            self.door.run(self.table.address, self.table.length)
        return total / max(count, 1)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of the loss, how many values it is of)."""
        count = count_of(batch)
        return self._all(batch, count, (), carry=False, keep=False, train=False), count

    def network(self) -> Network:
        """A copy of the network with the present weights."""
        self.p.flat[:] = self.weights.flat
        return with_parameters(self.template, self.p)

    def state(self) -> dict[str, np.ndarray]:
        """For `restore`: the weights, the optimiser's, the carried states, the random numbers to come."""
        return packed(self.weights.flat, self.update.state(self.weights.size), self.states, self.random)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from `state`."""
        self.weights.flat[:], optimiser, self.states = unpacked(state, self.p, self.random)
        self.update.restore(optimiser)

    def _all(self, batch: Batch, count: int, masks: Sequence[Masks], *, carry: bool, keep: bool, train: bool) -> float:
        """The sum of the loss over all slices of a batch, each thread its own."""
        columns, weight = len(batch.x), weights_of(batch)
        stream = keep and self.template.mode == "stateful"
        after = zero_states(self.p, columns) if stream else None
        reset = batch.reset if batch.reset.any() else None
        work = Work(batch, weight, count, reset, masks, self.states if carry else None, after, train)
        shares = list(zip(self.workers, slices(columns, len(self.workers)), strict=False))
        others = [self.pool.submit(w.run, work, parts) for w, parts in shares[1:]] if self.pool else []
        total = shares[0][0].run(work, shares[0][1]) + sum(one.result() for one in others)
        for idle in self.workers[len(shares) :]:
            idle.gradient.room[:] = 0
        if after is not None:
            self.states = after
        return total


class Worker:
    """One thread's plans, by shape, and its share of the gradient."""

    def __init__(self, door: Door, p: Parameters, weights: Weights, inputs: int, loss: Loss | None) -> None:
        self.door, self.p, self.weights, self.inputs, self.loss = door, p, weights, inputs, loss
        self.gradient = Weights(p)
        self.tasks: dict[tuple[int, int, int, int], Task] = {}

    def run(self, work: Work, parts: list[slice]) -> float:
        """The sum of the loss over some columns; with `work.train` also its gradient."""
        total = 0.0
        if work.train:
            self.gradient.room[:] = 0
        for part in parts:
            task = self._task(work.batch, -(-(part.stop - part.start) // WIDTH) * WIDTH)
            task.load(work, part)
            total += task.run(self.door, work, part, self.loss)
            task.store(work, part)
        return total

    def _task(self, batch: Batch, width: int) -> Task:
        key = batch.x.shape[1], width, *batch.target.shape[1:]
        if key not in self.tasks:
            plan = Plan(
                self.p.nodes, self.weights.layers, self.gradient.layers, head=self.p.head, inputs=self.inputs,
                time=key[0], batch=width, outputs=key[2],
            )  # fmt: skip
            self.tasks[key] = Task(plan, key[3])
        return self.tasks[key]


class Task:
    """A plan with its loss, the mean squared error in C, any other in NumPy."""

    def __init__(self, plan: Plan, values: int) -> None:
        self.plan, head = plan, plan.head
        self.target, self.weight = (zeros(len(head.d), values, plan.batch) for _ in range(2))
        self.scale, self.sum, self.fresh = np.zeros(1, np.float32), np.zeros(1), True
        loss = Call("mean_square", floats=self.target.size, y=head.at[1:], target=self.target, weight=self.weight,
                    scale=self.scale, dy=head.d, sum=self.sum)  # fmt: skip
        self.measured = Table([*plan.forward.calls, loss])
        self.trained = Table([*self.measured.calls, *plan.backward.calls])

    def load(self, work: Work, part: slice) -> None:
        """A slice of the batch, and the states before it."""
        columns, batch = part.stop - part.start, work.batch
        masks = [{k: v[..., part] for k, v in one.items()} for one in work.masks]
        self.plan.load(batch.x[part], None if work.reset is None else work.reset[part], masks)
        self.target[:, :, :columns] = batch.target[part].transpose(1, 2, 0)
        self.weight[:, :, :columns] = work.weight[part].transpose(1, 2, 0)
        self.weight[:, :, columns:] = 0
        for k, one in enumerate(self.plan.parts):
            for d in one.d_after:
                d[...] = 0
            for name, view in one.before.items():
                if work.before is not None:
                    view[:, :columns] = work.before[k][name][:, part]
                elif not self.fresh:
                    view[...] = 0
        self.fresh = work.before is None

    def run(self, door: Door, work: Work, part: slice, loss: Loss | None) -> float:
        """The sum of the loss; with `work.train` the gradient is added up."""
        if loss is None:
            self.scale[0], self.sum[0] = 1 / max(work.count, 1), 0
            table = self.trained if work.train else self.measured
            door.run(table.address, table.length)
            return float(self.sum[0])
        door.run(self.plan.forward.address, self.plan.forward.length)
        columns, head = part.stop - part.start, self.plan.head
        weight = self.weight[:, :, :columns]
        share = float(weight.sum(dtype=np.float64))
        mean, dy = loss(head.at[1:, :, :columns], self.target[:, :, :columns], weight)
        if work.train:
            head.d[:, :, :columns] = dy * np.float32(share / max(work.count, 1))
            head.d[:, :, columns:] = 0
            door.run(self.plan.backward.address, self.plan.backward.length)
        return mean * share

    def store(self, work: Work, part: slice) -> None:
        """The states after the slice."""
        if work.after is not None:
            for one, state in zip(self.plan.parts, work.after, strict=True):
                for name, view in one.after.items():
                    state[name][:, part] = view[:, : part.stop - part.start]


@functools.cache
def slices(columns: int, threads: int) -> list[list[slice]]:
    """The columns of each thread that has any, in slices of at most WIDEST."""
    share = -(-columns // (threads * WIDTH)) * WIDTH
    return [list(_cut(first, min(first + share, columns))) for first in range(0, columns, share)]


def _cut(first: int, stop: int) -> Iterator[slice]:
    parts = -(-(stop - first) // WIDEST)
    width = -(-(stop - first) // (parts * WIDTH)) * WIDTH
    for at in range(first, stop, width):
        yield slice(at, min(at + width, stop))
