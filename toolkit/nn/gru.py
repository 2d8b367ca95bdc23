"""One GRU layer over a sequence: forward and backward (Cho et al. 2014).

    r, z = sigmoid(W x + U h + b)        h' = n + z (h - n)
    n = tanh(W x + b_n + r (U h + b_hn))     reset after (cuDNN, PyTorch, Keras): the biases r, z, nx, nh
    n = tanh(W x + U (r h) + b_n)            reset before (Cho et al.): the biases r, z, n

Layout as in `toolkit.nn.lstm`: `w [3H, H + in + 1] = [w_hh | w_ih | b]`, and with reset after also b_hn `[H]`. A step
is two products: rows r, z with the joined column `[h; x; 1]`, and U_n with what it is `fed`: h, or r h. W_n x + b_n is
one product for all steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.config import Model
from toolkit.nn.recurrent import Arrays, Resets, State, orthogonal, outputs, xavier

STATE = ("h",)


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """The joined matrix and, with reset after, b_hn."""
    b, rows = weights["b"], len(weights["w_hh"])
    w = np.hstack([weights["w_hh"], weights["w_ih"], b[:rows, None]])
    return (w, b[rows:]) if len(b) > rows else (w,)


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    w, size = arrays[0], hidden_size(arrays)
    return {"w_hh": w[:, :size], "w_ih": w[:, size:-1], "b": np.concatenate([w[:, -1], *arrays[1:]])}


def hidden_size(arrays: Arrays) -> int:
    """H."""
    return len(arrays[0]) // 3


def _parts(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the joined matrix: the rows of r and z, U_n, and [W_n | b_n]."""
    size = len(w) // 3
    return w[: 2 * size], w[2 * size :, :size], w[2 * size :, size:]


def first_weights(model: Model, inputs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Xavier uniform input, orthogonal recurrent, biases 0."""
    size, biases = model.hidden, 4 if model.reset == "after" else 3
    w_hh = orthogonal(rng, 3, size)
    return {"w_ih": xavier(rng, 3, size, inputs), "w_hh": w_hh, "b": np.zeros(biases * size)}


class Pass:
    """Scratch for `time` steps of `batch` sequences; forward fills it, backward reads it."""

    def __init__(self, arrays: Arrays, time: int, batch: int) -> None:
        w, dtype, hidden = arrays[0], arrays[0].dtype, hidden_size(arrays)
        self.hidden, self.inputs, self.time = hidden, w.shape[1] - hidden - 1, time
        self.reset_after = len(arrays) == 2
        # joined[t] = [h before step t; x of step t; 1]; joined[t + 1, :H] = h after step t
        self.joined = np.zeros((time + 1, w.shape[1], batch), dtype)
        self.joined[:, -1] = 1
        self.h = self.joined[:-1, :hidden]
        self.gates = np.empty((time, 2, hidden, batch), dtype)  # r, z after the sigmoid
        self.n = np.empty((time, hidden, batch), dtype)
        self.u = np.empty((time, hidden, batch), dtype)  # U_n times what it is fed (+ b_hn)
        self.fed = self.h if self.reset_after else np.empty((time, hidden, batch), dtype)
        self.dz = np.empty((time, 2, hidden, batch), dtype)  # of r and z, before the sigmoid
        self.dn = np.empty((time, hidden, batch), dtype)  # of n, before the tanh
        self.du = np.empty((time, hidden, batch), dtype) if self.reset_after else self.dn
        self.tmp = np.empty((hidden, batch), dtype)

    def forward(self, arrays: Arrays, x: np.ndarray, *, state: State, resets: Resets) -> np.ndarray:
        """x [time, in, batch]; `state` before the first step -> h after each step [time, H, batch]."""
        (w_rz, u_n, w_n), size = _parts(arrays[0]), self.hidden
        half = w_rz * w_rz.dtype.type(0.5)  # sigmoid(z) = tanh(z / 2) / 2 + 1/2
        self.joined[: self.time, size:-1] = x
        self.joined[0, :size] = state["h"]
        np.matmul(w_n, self.joined[:-1, size:], out=self.n)
        cut = {}
        for t in range(self.time):
            h, n, gates = self.h[t], self.n[t], self.gates[t]
            if t in resets:
                cut[t - 1] = h[:, resets[t]]  # advanced indexing: a copy
                h[:, resets[t]] = 0
            v = gates.reshape(2 * size, -1)
            np.matmul(half, self.joined[t], out=v)
            np.tanh(v, out=v)
            np.multiply(v, 0.5, out=v)
            np.add(v, 0.5, out=v)
            r, z = gates
            if self.reset_after:
                np.matmul(u_n, h, out=self.u[t])
                np.add(self.u[t], arrays[1][:, None], out=self.u[t])
                np.multiply(r, self.u[t], out=self.tmp)
                np.add(n, self.tmp, out=n)
            else:
                np.multiply(r, h, out=self.fed[t])
                np.matmul(u_n, self.fed[t], out=self.u[t])
                np.add(n, self.u[t], out=n)
            np.tanh(n, out=n)
            np.subtract(h, n, out=self.tmp)
            np.multiply(z, self.tmp, out=self.tmp)
            np.add(n, self.tmp, out=self.joined[t + 1, :size])
        return outputs(self.joined[1:, :size], cut, resets)

    def state(self) -> State:
        """After the last step, copied."""
        return {"h": self.joined[-1, : self.hidden].copy()}

    def backward(self, arrays: Arrays, dh_out: np.ndarray, *, resets: Resets) -> tuple[Arrays, np.ndarray]:
        """dh_out [time, H, batch]: gradient of the loss by h of each step. Returns (gradients, dx [time, in, batch]).

        The gradient stops at the first step: the state that was carried in is a constant (truncated BPTT)."""
        (w_rz, u_n, w_n), size = _parts(arrays[0]), self.hidden
        r, z = self.gates[:, 0], self.gates[:, 1]
        n_by_h, z_by_h = (1 - z) * (1 - np.square(self.n)), (self.h - self.n) * z * (1 - z)
        r_slope = (self.u if self.reset_after else self.h) * r * (1 - r)
        dh, d_fed = np.zeros_like(self.tmp), np.empty_like(self.tmp)
        d_joined = np.empty(self.joined.shape[1:], dh.dtype)
        dx = np.empty((self.time, self.inputs, d_joined.shape[1]), dh.dtype)
        for t in reversed(range(self.time)):
            np.add(dh, dh_out[t], out=dh)
            np.multiply(n_by_h[t], dh, out=self.dn[t])
            np.multiply(z_by_h[t], dh, out=self.dz[t, 1])
            np.multiply(z[t], dh, out=dh)
            if self.reset_after:
                np.multiply(r[t], self.dn[t], out=self.du[t])
                np.multiply(r_slope[t], self.dn[t], out=self.dz[t, 0])
                np.matmul(u_n.T, self.du[t], out=d_fed)
            else:
                np.matmul(u_n.T, self.dn[t], out=d_fed)
                np.multiply(r_slope[t], d_fed, out=self.dz[t, 0])
                np.multiply(r[t], d_fed, out=d_fed)
            np.add(dh, d_fed, out=dh)
            np.matmul(w_rz.T, self.dz[t].reshape(2 * size, -1), out=d_joined)
            np.add(dh, d_joined[:size], out=dh)
            dx[t] = d_joined[size:-1]
            if t in resets:
                dh[:, resets[t]] = 0
        dx += np.matmul(w_n[:, :-1].T, self.dn)
        return self._gradients(arrays[0]), dx

    def _gradients(self, w: np.ndarray) -> Arrays:
        """From dz, dn and du: of the joined matrix and, with reset after, of b_hn."""
        dw, column, size = np.empty_like(w), self.joined[:-1].transpose(0, 2, 1), self.hidden
        rz, u_n, w_n = _parts(dw)
        rz[:] = np.matmul(self.dz.reshape(self.time, 2 * size, -1), column).sum(axis=0)
        u_n[:] = np.matmul(self.du, self.fed.transpose(0, 2, 1)).sum(axis=0)
        w_n[:] = np.matmul(self.dn, column[:, :, size:]).sum(axis=0)
        return (dw, self.du.sum(axis=(0, 2))) if self.reset_after else (dw,)
