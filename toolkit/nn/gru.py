"""One GRU layer over a sequence: forward and backward (Cho et al. 2014).

    r, z = sigmoid(W x + U h + b)        h' = n + z (h - n)
    n = tanh(W x + b_n + r (U h + b_hn))     reset after (cuDNN, PyTorch, Keras): the biases r, z, nx, nh
    n = tanh(W x + U (r h) + b_n)            reset before (Cho et al.): the biases r, z, n

Layout as in `toolkit.nn.lstm`: `w [3H, H + in + 1] = [w_hh | w_ih | b]`, and with reset after also b_hn `[H]`. A step
is two products: rows r, z with the joined column `[h; x; 1]`, and U_n with what it is `fed`: h, or r h. W_n x + b_n is
one product for all steps. A recurrent mask is on the h of the products, not on the h that z blends in.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.nn.recurrent import Arrays, Masks, Resets, State, feed, orthogonal, xavier

STATE = ("h",)


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """The joined matrix and, with reset after, b_hn."""
    b, rows = weights["b"], len(weights["w_hh"])
    w = np.hstack([weights["w_hh"], weights["w_ih"], b[:rows, None]])
    return (w, b[rows:]) if len(b) > rows else (w,)


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    w, size = arrays[0], hidden_size(arrays)
    return {"w_ih": w[:, size:-1], "w_hh": w[:, :size], "b": np.concatenate([w[:, -1], *arrays[1:]])}


def hidden_size(arrays: Arrays) -> int:
    """H."""
    return len(arrays[0]) // 3


def input_size(arrays: Arrays) -> int:
    """Width of the input."""
    return arrays[0].shape[1] - hidden_size(arrays) - 1


def _parts(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the joined matrix: the rows of r and z, U_n, and [W_n | b_n]."""
    size = len(w) // 3
    return w[: 2 * size], w[2 * size :, :size], w[2 * size :, size:]


def first_weights(size: int, inputs: int, rng: np.random.Generator, *, reset: str) -> dict[str, np.ndarray]:
    """Xavier uniform input, orthogonal recurrent, biases 0. `reset`: "after" or "before"."""
    w_hh = orthogonal(rng, 3, size)
    biases = 4 if reset == "after" else 3
    return {"w_ih": xavier(rng, 3, size, inputs), "w_hh": w_hh, "b": np.zeros(biases * size)}


class Pass:
    """Scratch for `time` steps of `batch` sequences; forward fills it, backward reads it."""

    def __init__(self, arrays: Arrays, time: int, batch: int, options: Mapping[str, float]) -> None:
        w, dtype, hidden = arrays[0], arrays[0].dtype, hidden_size(arrays)
        self.hidden, self.time, self.reset_after = hidden, time, len(arrays) == 2
        self.joined = np.ones((time, w.shape[1], batch), dtype)  # [h before step t, masked; x of step t; 1]
        self.before = np.empty((time, hidden, batch), dtype)  # h before step t
        self.h = np.empty((time, hidden, batch), dtype)
        self.gates = np.empty((time, 2, hidden, batch), dtype)  # r, z after the sigmoid
        self.n = np.empty((time, hidden, batch), dtype)
        self.u = np.empty((time, hidden, batch), dtype)  # U_n times what it is fed (+ b_hn)
        self.fed = self.joined[:, :hidden] if self.reset_after else np.empty((time, hidden, batch), dtype)
        self.dz = np.empty((2, hidden, batch), dtype)  # of r and z, before the sigmoid
        self.dn = np.empty((time, hidden, batch), dtype)  # of n, before the tanh
        self.du = np.empty((hidden, batch), dtype)
        self.tmp = np.empty((hidden, batch), dtype)

    def forward(self, arrays: Arrays, x: np.ndarray, *, state: State, resets: Resets, masks: Masks) -> np.ndarray:
        """x [time, in, batch]; `state` before the first step -> h after each step [time, H, batch]."""
        (w_rz, u_n, w_n), size, recurrent = _parts(arrays[0]), self.hidden, masks.get("recurrent")
        half = w_rz * w_rz.dtype.type(0.5)  # sigmoid(z) = tanh(z / 2) / 2 + 1/2
        self.joined[:, size:-1] = x
        np.matmul(w_n, self.joined[:, size:], out=self.n)
        h = state["h"]
        for t in range(self.time):
            before, n, gates, reset = self.before[t], self.n[t], self.gates[t], resets.get(t)
            feed(before, h, reset, None)
            feed(self.joined[t, :size], before, None, recurrent)
            v = gates.reshape(2 * size, -1)
            np.matmul(half, self.joined[t], out=v)
            np.tanh(v, out=v)
            np.multiply(v, 0.5, out=v)
            np.add(v, 0.5, out=v)
            r, z = gates
            if self.reset_after:
                np.matmul(u_n, self.fed[t], out=self.u[t])
                np.add(self.u[t], arrays[1][:, None], out=self.u[t])
                np.multiply(r, self.u[t], out=self.tmp)
                np.add(n, self.tmp, out=n)
            else:
                np.multiply(r, self.joined[t, :size], out=self.fed[t])
                np.matmul(u_n, self.fed[t], out=self.u[t])
                np.add(n, self.u[t], out=n)
            np.tanh(n, out=n)
            h = self.h[t]
            np.subtract(before, n, out=self.tmp)
            np.multiply(z, self.tmp, out=self.tmp)
            np.add(n, self.tmp, out=h)
        return self.h

    def state(self) -> State:
        """After the last step, copied."""
        return {"h": self.h[-1].copy()}

    def backward(
        self, arrays: Arrays, dh_out: np.ndarray, *, resets: Resets, masks: Masks, after: State, into: Arrays
    ) -> tuple[np.ndarray, State]:
        """As `toolkit.nn.lstm`."""
        (w_rz, u_n, w_n), size, recurrent = _parts(arrays[0]), self.hidden, masks.get("recurrent")
        to_rz, to_u, to_n = _parts(into[0])
        r, z = self.gates[:, 0], self.gates[:, 1]
        n_by_h, z_by_h = (1 - z) * (1 - np.square(self.n)), (self.before - self.n) * z * (1 - z)
        r_slope = (self.u if self.reset_after else self.joined[:, :size]) * r * (1 - r)
        dh, d_fed = after["h"].copy(), np.empty_like(self.tmp)
        d_joined = np.empty(self.joined.shape[1:], dh.dtype)
        dx = np.empty((self.time, len(d_joined) - size - 1, d_joined.shape[1]), dh.dtype)
        for t in reversed(range(self.time)):
            dn, du = self.dn[t], self.du if self.reset_after else self.dn[t]
            np.add(dh, dh_out[t], out=dh)
            np.multiply(n_by_h[t], dh, out=dn)
            np.multiply(z_by_h[t], dh, out=self.dz[1])
            np.multiply(z[t], dh, out=dh)
            if self.reset_after:
                np.multiply(r[t], dn, out=du)
                np.multiply(r_slope[t], dn, out=self.dz[0])
                np.matmul(u_n.T, du, out=d_fed)
                into[1][...] += du.sum(axis=1)
            else:
                np.matmul(u_n.T, dn, out=d_fed)
                np.multiply(r_slope[t], d_fed, out=self.dz[0])
                np.multiply(r[t], d_fed, out=d_fed)
            flat = self.dz.reshape(2 * size, -1)
            np.matmul(w_rz.T, flat, out=d_joined)
            to_rz += np.matmul(flat, self.joined[t].T)
            to_u += np.matmul(du, self.fed[t].T)
            to_n += np.matmul(dn, self.joined[t, size:].T)
            dx[t] = d_joined[size:-1]
            np.add(d_fed, d_joined[:size], out=d_fed)
            if recurrent is not None:
                d_fed *= recurrent
            np.add(dh, d_fed, out=dh)
            if t in resets:
                dh[:, resets[t]] = 0
        dx += np.matmul(w_n[:, :-1].T, self.dn)
        return dx, {"h": dh}
