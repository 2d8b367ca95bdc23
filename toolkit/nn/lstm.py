"""One LSTM layer over a sequence: forward and backward (Hochreiter & Schmidhuber 1997, forget gate of Gers 2000).

Layout: arrays are [time, unit, batch], so each gate of a step is one contiguous block. A step multiplies the joined
matrix `w [4H, H + in + 1] = [w_hh | w_ih | b]` with the joined column `[h; x; 1]`: one matrix product for recurrence,
input and bias. sigmoid(z) = tanh(z / 2) / 2 + 1/2, so one tanh serves all four gates (rows i, f, o of `w` are halved).
Why not one product for all the inputs first: at these sizes (in << H) a second call per step costs more than it saves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.config import Model
from toolkit.nn.recurrent import Arrays, Resets, State, orthogonal, outputs, xavier

STATE = ("h", "c")


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """The joined matrix."""
    return (np.hstack([weights["w_hh"], weights["w_ih"], weights["b"][:, None]]),)


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    (w,), size = arrays, hidden_size(arrays)
    return {"w_hh": w[:, :size], "w_ih": w[:, size:-1], "b": w[:, -1]}


def hidden_size(arrays: Arrays) -> int:
    """H."""
    return len(arrays[0]) // 4


def first_weights(model: Model, inputs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Xavier uniform input, orthogonal recurrent, forget bias 1 (Jozefowicz et al. 2015)."""
    size = model.hidden
    w_hh = orthogonal(rng, 4, size)
    return {"w_ih": xavier(rng, 4, size, inputs), "w_hh": w_hh, "b": np.repeat([0.0, 1.0, 0.0, 0.0], size)}


class Pass:
    """Scratch for `time` steps of `batch` sequences; forward fills it, backward reads it."""

    def __init__(self, arrays: Arrays, time: int, batch: int) -> None:
        (w,), dtype, hidden = arrays, arrays[0].dtype, hidden_size(arrays)
        self.hidden, self.inputs, self.time = hidden, w.shape[1] - hidden - 1, time
        # joined[t] = [h before step t; x of step t; 1]; joined[t + 1, :H] = h after step t
        self.joined = np.zeros((time + 1, w.shape[1], batch), dtype)
        self.joined[:, -1] = 1
        self.gates = np.empty((time, 4, hidden, batch), dtype)  # i, f, g, o after their functions
        self.c_before = np.empty((time + 1, hidden, batch), dtype)  # [t] before step t, after a reset
        self.c_tanh = np.empty((time, hidden, batch), dtype)
        self.slopes = np.empty((time, 4, hidden, batch), dtype)
        self.dz = np.empty((time, 4, hidden, batch), dtype)
        self.tmp = np.empty((hidden, batch), dtype)
        half = np.array([0.5, 0.5, 1, 0.5], dtype)
        self.scale = half[:, None, None]
        self.offset = (1 - half)[:, None, None]
        self.rows = np.repeat(half, hidden)[:, None]

    def forward(self, arrays: Arrays, x: np.ndarray, *, state: State, resets: Resets) -> np.ndarray:
        """x [time, in, batch]; `state` before the first step -> h after each step [time, H, batch]."""
        size = self.hidden
        half = arrays[0] * self.rows
        self.joined[: self.time, size:-1] = x
        self.joined[0, :size] = state["h"]
        self.c_before[0] = state["c"]
        cut = {}
        for t in range(self.time):
            if t in resets:
                cut[t - 1] = self.joined[t, :size][:, resets[t]]  # advanced indexing: a copy
                self.joined[t, :size, resets[t]] = 0
                self.c_before[t, :, resets[t]] = 0
            gates = self.gates[t]
            z = gates.reshape(4 * size, -1)
            np.matmul(half, self.joined[t], out=z)
            np.tanh(z, out=z)
            np.multiply(gates, self.scale, out=gates)
            np.add(gates, self.offset, out=gates)
            i, f, g, o = gates
            c_now = self.c_before[t + 1]
            np.multiply(f, self.c_before[t], out=c_now)
            np.multiply(i, g, out=self.tmp)
            np.add(c_now, self.tmp, out=c_now)
            np.tanh(c_now, out=self.c_tanh[t])
            np.multiply(o, self.c_tanh[t], out=self.joined[t + 1, :size])
        return outputs(self.joined[1:, :size], cut, resets)

    def state(self) -> State:
        """After the last step, copied."""
        return {"h": self.joined[-1, : self.hidden].copy(), "c": self.c_before[-1].copy()}

    def backward(self, arrays: Arrays, dh_out: np.ndarray, *, resets: Resets) -> tuple[Arrays, np.ndarray]:
        """dh_out [time, H, batch]: gradient of the loss by h of each step. Returns (gradients, dx [time, in, batch]).

        The gradient stops at the first step: the state that was carried in is a constant (truncated BPTT)."""
        (w,), size = arrays, self.hidden
        self._prepare_slopes()
        dc_by_dh = self.gates[:, 3] * (1 - np.square(self.c_tanh))
        d_joined = np.zeros(self.joined.shape[1:], self.joined.dtype)
        dx = np.empty((self.time, self.inputs, d_joined.shape[1]), self.joined.dtype)
        dh, dc = d_joined[:size], np.zeros_like(self.tmp)
        for t in reversed(range(self.time)):
            np.add(dh, dh_out[t], out=dh)
            np.multiply(dh, dc_by_dh[t], out=self.tmp)
            np.add(dc, self.tmp, out=dc)
            np.multiply(self.slopes[t, :3], dc, out=self.dz[t, :3])
            np.multiply(self.slopes[t, 3], dh, out=self.dz[t, 3])
            np.multiply(dc, self.gates[t, 1], out=dc)
            np.matmul(w.T, self.dz[t].reshape(4 * size, -1), out=d_joined)
            dx[t] = d_joined[size:-1]
            if t in resets:
                dh[:, resets[t]] = 0
                dc[:, resets[t]] = 0
        dz = self.dz.reshape(self.time, 4 * size, -1)
        dw = np.matmul(dz, self.joined[:-1].transpose(0, 2, 1)).sum(axis=0)
        return (dw,), dx

    def _prepare_slopes(self) -> None:
        """slopes: d(c)/dz of i, f, g and d(h)/dz of o, for all steps at once."""
        i, f, g, o = (self.gates[:, k] for k in range(4))
        s = self.slopes
        np.multiply(g, i * (1 - i), out=s[:, 0])
        np.multiply(self.c_before[:-1], f * (1 - f), out=s[:, 1])
        np.multiply(i, 1 - np.square(g), out=s[:, 2])
        np.multiply(self.c_tanh, o * (1 - o), out=s[:, 3])
