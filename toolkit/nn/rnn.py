"""One plain recurrent layer (Elman 1990): h' = tanh(W x + U h + b), or ReLU instead of tanh (option `relu`).

Layout as in `toolkit.nn.lstm`: `w [H, H + in + 1] = [w_hh | w_ih | b]`. The slope of ReLU at 0 is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.nn.recurrent import Arrays, Masks, Resets, State, feed, orthogonal, xavier

STATE = ("h",)


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """The joined matrix."""
    return (np.hstack([weights["w_hh"], weights["w_ih"], weights["b"][:, None]]),)


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    (w,), size = arrays, hidden_size(arrays)
    return {"w_ih": w[:, size:-1], "w_hh": w[:, :size], "b": w[:, -1]}


def hidden_size(arrays: Arrays) -> int:
    """H."""
    return len(arrays[0])


def input_size(arrays: Arrays) -> int:
    """Width of the input."""
    return arrays[0].shape[1] - hidden_size(arrays) - 1


def first_weights(size: int, inputs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Xavier uniform input, orthogonal recurrent, bias 0."""
    w_hh = orthogonal(rng, 1, size)
    return {"w_ih": xavier(rng, 1, size, inputs), "w_hh": w_hh, "b": np.zeros(size)}


class Pass:
    """Scratch for `time` steps of `batch` sequences; forward fills it, backward reads it."""

    def __init__(self, arrays: Arrays, time: int, batch: int, options: Mapping[str, float]) -> None:
        (w,), self.hidden, self.time = arrays, hidden_size(arrays), time
        self.relu = bool(options.get("relu", 0))
        self.joined = np.ones((time, w.shape[1], batch), w.dtype)  # [h before step t; x of step t; 1]
        self.h = np.empty((time, self.hidden, batch), w.dtype)

    def forward(self, arrays: Arrays, x: np.ndarray, *, state: State, resets: Resets, masks: Masks) -> np.ndarray:
        """x [time, in, batch]; `state` before the first step -> h after each step [time, H, batch]."""
        (w,), size, h = arrays, self.hidden, state["h"]
        self.joined[:, size:-1] = x
        for t in range(self.time):
            feed(self.joined[t, :size], h, resets.get(t), masks.get("recurrent"))
            h = self.h[t]
            np.matmul(w, self.joined[t], out=h)
            if self.relu:
                np.maximum(h, 0, out=h)
            else:
                np.tanh(h, out=h)
        return self.h

    def state(self) -> State:
        """After the last step, copied."""
        return {"h": self.h[-1].copy()}

    def backward(
        self, arrays: Arrays, dh_out: np.ndarray, *, resets: Resets, masks: Masks, after: State, into: Arrays
    ) -> tuple[np.ndarray, State]:
        """As `toolkit.nn.lstm`."""
        (w,), size, recurrent = arrays, self.hidden, masks.get("recurrent")
        slopes = (self.h > 0).astype(w.dtype) if self.relu else 1 - np.square(self.h)
        dx = np.empty((self.time, w.shape[1] - size - 1, dh_out.shape[2]), w.dtype)
        dh = after["h"]
        for t in reversed(range(self.time)):
            dz = (dh + dh_out[t]) * slopes[t]
            into[0][...] += np.matmul(dz, self.joined[t].T)
            d_joined = np.matmul(w.T, dz)
            dx[t], dh = d_joined[size:-1], d_joined[:size]
            if recurrent is not None:
                dh *= recurrent
            if t in resets:
                dh[:, resets[t]] = 0
        return dx, {"h": dh}
