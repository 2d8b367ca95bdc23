"""The PyTorch backend, for any device that PyTorch has: forward over our own cells, gradients by its autograd.

The loss, the optimiser and dropout are those of every backend, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from quantize.network import Network
from toolkit.config import Model, Train
from toolkit.errors import ToolkitError
from toolkit.nn.network import INPUT, Node, parameters, with_parameters, zero_states, zeros_like
from toolkit.nn.optimisers import clip_norm, optimiser
from toolkit.nn.recurrent import Masks
from toolkit.train.backends.contract import Batch
from toolkit.train.backends.learning import Random, count_of, loss_of_model, packed, unpacked, weights_of
from toolkit.train.backends.torch_cells import CELLS, State


class TorchBackend:
    """A Backend; float32, or float64 to check gradients."""

    def __init__(self, learning: Train, model: Model, seed: int, dtype: type[np.floating] = np.float32) -> None:
        self.learning, self.dtype = learning, dtype
        self.loss, self.random = loss_of_model(model, learning), Random(seed)
        try:
            self.device = torch.zeros(1, device=learning.device).device
        except (RuntimeError, AssertionError) as e:
            said = " ".join(str(e).split())[:120]
            name = f'train.device = "{learning.device}"'
            raise ToolkitError(f"{name}: PyTorch has no such device here ({said})") from None
        torch.set_num_threads(learning.threads)

    def load(self, network: Network) -> None:
        """Begins anew with these weights."""
        self.template, self.p = network, parameters(network, self.dtype)
        self.gradient = zeros_like(self.p)
        self.optimiser = optimiser(self.learning, self.p)
        self.states = zero_states(self.p, 0)
        self._upload()

    def step(self, batch: Batch, lr: float) -> float:
        """One update; the loss before it."""
        masks = self.random.masks(self.p, batch)
        y, states = self._forward(batch, masks, carry=batch.carry)
        loss, dy = self._loss(batch, y)
        if batch.weight.any():
            y.backward(self._tensor(dy))  # type: ignore[no-untyped-call]
            for tensors, arrays in zip(self.tensors, self.gradient.arrays, strict=True):
                for t, a in zip(tensors, arrays, strict=True):
                    a[...] = 0 if t.grad is None else t.grad.cpu().numpy()
            clip_norm(self.gradient.flat, self.learning.clip)
            self.optimiser.update(self.p.flat, self.gradient.flat, lr)
            self._upload()
        self.states = [{k: v.detach().cpu().numpy() for k, v in one.items()} for one in states]
        return loss

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of the loss, how many values it is of)."""
        with torch.no_grad():
            y, _ = self._forward(batch, (), carry=False)
        return self._loss(batch, y)[0] * count_of(batch), count_of(batch)

    def network(self) -> Network:
        """A copy of the network with the present weights."""
        return with_parameters(self.template, self.p)

    def state(self) -> dict[str, np.ndarray]:
        """For `restore`: the weights, the optimiser's, the carried states, the random numbers to come."""
        return packed(self.p.flat, self.optimiser.state(), self.states, self.random)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from `state`."""
        self.p.flat[:], moments, self.states = unpacked(state, self.p, self.random)
        self.optimiser.restore(moments)
        self._upload()

    def _tensor(self, a: np.ndarray) -> Tensor:
        return torch.tensor(a.astype(self.dtype), device=self.device)

    def _upload(self) -> None:
        self.tensors = [[self._tensor(a).requires_grad_() for a in arrays] for arrays in self.p.arrays]

    def _loss(self, batch: Batch, y: Tensor) -> tuple[float, np.ndarray]:
        target, weight = (a.transpose(1, 2, 0).astype(self.dtype) for a in (batch.target, weights_of(batch)))
        return self.loss(y.detach().cpu().numpy(), target, weight)

    def _forward(self, batch: Batch, masks: Sequence[Masks], *, carry: bool) -> tuple[Tensor, list[State]]:
        """(y [steps, out, batch], the states after the last step)"""
        states = self.states if carry else zero_states(self.p, len(batch.x))
        x, keep = self._tensor(batch.x.transpose(1, 2, 0)), self._tensor(1 - batch.reset.T.astype(self.dtype))
        values: dict[int, list[Tensor]] = {INPUT: list(x)}
        after: list[State] = []
        for k, node in enumerate(self.p.nodes):
            before = {name: self._tensor(v) for name, v in states[k].items()}
            mine = {name: self._tensor(v) for name, v in masks[k].items()} if masks else {}
            if k == len(self.p.nodes) - 1:
                seen = self._seen([(values[s], self.p.nodes[s].reverse) for s in node.sources], batch.target.shape[1])
                values[k] = [_dense(self.tensors[k], one) for one in seen]
                after.append(before)
                continue
            sources = list(zip(*(values[s] for s in node.sources), strict=True))  # of each step
            if node.op in CELLS:
                values[k], before = self._run(k, node, [torch.cat(some) for some in sources], before, keep, mine)
            elif node.op == "add":
                values[k] = [torch.stack(some).sum(dim=0) for some in sources]
            else:
                values[k] = [_dense(self.tensors[k], torch.cat(some)) for some in sources]
            after.append(before)
        return torch.stack(values[len(self.p.nodes) - 1]), after

    def _run(
        self, k: int, node: Node, below: list[Tensor], state: State, keep: Tensor, masks: dict[str, Tensor]
    ) -> tuple[list[Tensor], State]:
        """A recurrent layer over its steps; outputs lie at the steps that they belong to."""
        order = list(range(len(below)))[:: -1 if node.reverse else 1]
        out = list(below)
        for number, t in enumerate(order):
            state = {name: v * keep[number] for name, v in state.items()}
            fed = state["h"] * masks["recurrent"] if "recurrent" in masks else state["h"]
            state = CELLS[node.op](self.tensors[k], node.options, below[t], state, fed)
            if "state" in masks:
                state["h"] = state["h"] * masks["state"][t]
            out[t] = state["h"] * masks["output"][t] if "output" in masks else state["h"]
        return out, state

    def _seen(self, tops: list[tuple[list[Tensor], bool]], steps: int) -> list[Tensor]:
        """What the head sees (toolkit.nn.head)."""
        if self.p.head == "final_states":
            return [torch.cat([values[0 if reverse else -1] for values, reverse in tops])]
        if self.p.head == "mean":
            return [torch.cat([torch.stack(values).mean(dim=0) for values, _ in tops])]
        return [torch.cat(some) for some in list(zip(*(values for values, _ in tops), strict=True))[-steps:]]


def _dense(w: Sequence[Tensor], x: Tensor) -> Tensor:
    return w[0][:, :-1] @ x + w[0][:, -1:]
