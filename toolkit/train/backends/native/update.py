"""The optimisers of toolkit/nn as calls of the kernels; their `state` is that of toolkit/nn, so that either resumes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolkit.config import Train
from toolkit.nn.network import Parameters, decays
from toolkit.nn.optimisers import ALPHA, BETA1, BETA2, EPSILON
from toolkit.train.backends.native.calls import Call, zeros


class Update:
    """call: one step of the weights. moments: the running arrays, by name; numbers: what changes with each step."""

    def __init__(self, call: Call, moments: dict[str, np.ndarray], numbers: Callable[[int, float], tuple[float, ...]]):
        self.call, self.moments, self.numbers, self.count = call, moments, numbers, 0

    def prepare(self, lr: float) -> None:
        """Before the call."""
        self.count += 1
        self.call.arrays["numbers"][:] = self.numbers(self.count, lr)

    def state(self, size: int) -> dict[str, np.ndarray]:
        """A copy."""
        return {k: v[:size].copy() for k, v in self.moments.items()} | {"count": np.array(self.count)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Of `state`."""
        for k, v in self.moments.items():
            v[: state[k].size] = state[k]
        self.count = int(state["count"]) if "count" in state else 0


def _adam(learning: Train, p: Parameters, flat: np.ndarray, gradient: np.ndarray) -> Update:
    moments, decay = {k: zeros(flat.size) for k in ("mean", "square")}, None
    if learning.optimiser == "adamw":
        decay = zeros(flat.size)
        decay[: p.flat.size] = learning.weight_decay * decays(p)
    call = Call("adam_step", size=flat.size, flat=flat, gradient=gradient, decay=decay,
                numbers=np.zeros(6, np.float32), **moments)  # fmt: skip

    def numbers(n: int, lr: float) -> tuple[float, ...]:
        return lr / (1 - BETA1**n), 1 / (1 - BETA2**n), 1 - BETA1, 1 - BETA2, EPSILON, lr

    return Update(call, moments, numbers)


def _sgd(learning: Train, p: Parameters, flat: np.ndarray, gradient: np.ndarray) -> Update:
    moments = {"velocity": zeros(flat.size)}
    call = Call("sgd_step", size=flat.size, flat=flat, gradient=gradient, nesterov=int(learning.nesterov),
                numbers=np.zeros(2, np.float32), **moments)  # fmt: skip
    return Update(call, moments, lambda n, lr: (lr, learning.momentum))


def _rms(learning: Train, p: Parameters, flat: np.ndarray, gradient: np.ndarray) -> Update:
    moments = {"square": zeros(flat.size)}
    call = Call("rms_step", size=flat.size, flat=flat, gradient=gradient, numbers=np.zeros(3, np.float32), **moments)
    return Update(call, moments, lambda n, lr: (lr, 1 - ALPHA, EPSILON))


UPDATES = {"adam": _adam, "adamw": _adam, "sgd": _sgd, "rmsprop": _rms}  # train.optimiser -> its Update
