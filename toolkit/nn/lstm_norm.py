"""The LSTM with layer normalisation, Burn's "modern LSTM" (tracel-ai/burn, examples/modern-lstm/src/model.rs).

    z = N_x(W x + b_ih) + U h + b_hh        rows i, f, g, o; N_x runs over all 4H
    c' = N_c(sigmoid(z_f) c + sigmoid(z_i) tanh(z_g))        the normalised c is the state
    h' = N_h(sigmoid(z_o) tanh(c'))

Its dropout on h' goes into the state, too (mask "state"): every layer of a stack but the last has it. The two biases
are not merged: N_x stands between them. Layout as in `toolkit.nn.lstm`: `w_x [4H, in + 1] = [w_ih | b_ih]`,
`w_h [4H, H + 1] = [w_hh | b_hh]`, and the gain and offset of each norm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.nn.norm import norm_backward, norm_forward
from toolkit.nn.recurrent import Arrays, Masks, Resets, State, feed, xavier_normal

STATE = ("h", "c")
NORMS = ("norm_x", "norm_c", "norm_h")


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """w_x, w_h, norm_x [2, 4H], norm_c [2, H], norm_h [2, H]."""
    pairs = (("w_ih", "b_ih"), ("w_hh", "b_hh"))
    return (*(np.hstack([weights[w], weights[b][:, None]]) for w, b in pairs), *(weights[k] for k in NORMS))


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    w_x, w_h, *norms = arrays
    halves = {"w_ih": w_x[:, :-1], "w_hh": w_h[:, :-1], "b_ih": w_x[:, -1], "b_hh": w_h[:, -1]}
    return {**halves, **dict(zip(NORMS, norms, strict=True))}


def hidden_size(arrays: Arrays) -> int:
    """H."""
    return len(arrays[0]) // 4


def input_size(arrays: Arrays) -> int:
    """Width of the input."""
    return arrays[0].shape[1] - 1


def first_weights(size: int, inputs: int, rng: np.random.Generator, *, forget_bias: float) -> dict[str, np.ndarray]:
    """As Burn: Xavier normal, each whole matrix and its bias; the forget bias in both biases; gains 1, offsets 0."""
    weights = {}
    for name, columns in (("ih", inputs), ("hh", size)):
        weights[f"w_{name}"] = xavier_normal(rng, 4 * size, columns)
        bias = rng.normal(0.0, np.sqrt(2 / (4 * size + columns)), 4 * size)
        bias[size : 2 * size] = forget_bias
        weights[f"b_{name}"] = bias
    widths = zip(NORMS, (4 * size, size, size), strict=True)
    return {**weights, **{k: np.vstack([np.ones(n), np.zeros(n)]) for k, n in widths}}


class Pass:
    """Scratch for `time` steps of `batch` sequences; forward fills it, backward reads it."""

    def __init__(self, arrays: Arrays, time: int, batch: int, options: Mapping[str, float]) -> None:
        dtype, size = arrays[0].dtype, hidden_size(arrays)
        self.hidden, self.time = size, time
        self.x = np.ones((time, arrays[0].shape[1], batch), dtype)  # [x; 1]
        self.fed = np.ones((time, size + 1, batch), dtype)  # [h before; 1]
        self.gates = np.empty((time, 4, size, batch), dtype)  # i, f, g, o after their functions
        self.c_before = np.empty((time, size, batch), dtype)
        self.c = np.empty((time, size, batch), dtype)
        self.c_tanh = np.empty((time, size, batch), dtype)
        self.h = np.empty((time, size, batch), dtype)
        self.units = {k: np.empty((time, n, batch), dtype) for k, n in zip("xch", (4 * size, size, size), strict=True)}
        self.rates = {k: np.empty((time, 1, batch), dtype) for k in "xch"}
        half = np.array([0.5, 0.5, 1, 0.5], dtype)
        self.scale = half[:, None, None]
        self.offset = (1 - half)[:, None, None]

    def _normed(self, k: str, t: int, x: np.ndarray, p: np.ndarray, out: np.ndarray) -> None:
        norm_forward(x, p, unit=self.units[k][t], rate=self.rates[k][t], out=out)

    def forward(self, arrays: Arrays, x: np.ndarray, *, state: State, resets: Resets, masks: Masks) -> np.ndarray:
        """x [time, in, batch]; `state` before the first step -> h after each step [time, H, batch]."""
        w_x, w_h, norm_x, norm_c, norm_h = arrays
        size, recurrent, dropped = self.hidden, masks.get("recurrent"), masks.get("state")
        self.x[:, :-1] = x
        h, c = state["h"], state["c"]
        for t in range(self.time):
            before, gates, reset = self.c_before[t], self.gates[t], resets.get(t)
            feed(self.fed[t, :-1], h, reset, recurrent)
            feed(before, c, reset, None)
            z = gates.reshape(4 * size, -1)
            np.matmul(w_x, self.x[t], out=z)
            self._normed("x", t, z, norm_x, z)
            z += np.matmul(w_h, self.fed[t])
            np.multiply(gates, self.scale, out=gates)
            np.tanh(gates, out=gates)
            np.multiply(gates, self.scale, out=gates)
            np.add(gates, self.offset, out=gates)
            i, f, g, o = gates
            c, h = self.c[t], self.h[t]
            self._normed("c", t, f * before + i * g, norm_c, c)
            np.tanh(c, out=self.c_tanh[t])
            self._normed("h", t, o * self.c_tanh[t], norm_h, h)
            if dropped is not None:
                np.multiply(h, dropped[t], out=h)
        return self.h

    def state(self) -> State:
        """After the last step, copied."""
        return {"h": self.h[-1].copy(), "c": self.c[-1].copy()}

    def backward(
        self, arrays: Arrays, dh_out: np.ndarray, *, resets: Resets, masks: Masks, after: State, into: Arrays
    ) -> tuple[np.ndarray, State]:
        """As `toolkit.nn.lstm`."""
        w_x, w_h, norm_x, norm_c, norm_h = arrays
        size, recurrent, dropped = self.hidden, masks.get("recurrent"), masks.get("state")
        dx = np.empty((self.time, w_x.shape[1] - 1, dh_out.shape[2]), w_x.dtype)
        dh, dc, dz = after["h"], after["c"], np.empty_like(self.gates[0])
        for t in reversed(range(self.time)):
            i, f, g, o = self.gates[t]
            unit, rate = {k: v[t] for k, v in self.units.items()}, {k: v[t] for k, v in self.rates.items()}
            dh = dh + dh_out[t]
            if dropped is not None:
                dh *= dropped[t]
            dh = norm_backward(dh, norm_h, unit=unit["h"], rate=rate["h"], into=into[4])
            dz[3] = dh * self.c_tanh[t] * o * (1 - o)
            dc = dc + dh * o * (1 - np.square(self.c_tanh[t]))
            dc = norm_backward(dc, norm_c, unit=unit["c"], rate=rate["c"], into=into[3])
            dz[0] = dc * g * i * (1 - i)
            dz[1] = dc * self.c_before[t] * f * (1 - f)
            dz[2] = dc * i * (1 - np.square(g))
            dc = dc * f
            flat = dz.reshape(4 * size, -1)
            into[1][...] += np.matmul(flat, self.fed[t].T)
            dh = np.matmul(w_h[:, :-1].T, flat)
            normed = norm_backward(flat, norm_x, unit=unit["x"], rate=rate["x"], into=into[2])
            into[0][...] += np.matmul(normed, self.x[t].T)
            dx[t] = np.matmul(w_x[:, :-1].T, normed)
            if recurrent is not None:
                dh *= recurrent
            if t in resets:
                dh[:, resets[t]] = 0
                dc[:, resets[t]] = 0
        return dx, {"h": dh, "c": dc}
