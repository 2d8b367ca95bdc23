"""One LSTM layer over a sequence: forward and backward (Hochreiter & Schmidhuber 1997, forget gate of Gers 2000).

Layout: arrays are [time, unit, batch], so each gate of a step is one contiguous block. A step multiplies the joined
matrix `w [4H, H + in + 1] = [w_hh | w_ih | b]` with the joined column `[h; x; 1]`: one matrix product for recurrence,
input and bias. sigmoid(z) = tanh(z / 2) / 2 + 1/2, so one tanh serves all four gates (rows i, f, o of `w` are halved).
Why not one product for all the inputs first: at these sizes (in << H) a second call per step costs more than it saves.

Options. Peepholes `p [3H]` (Gers & Schmidhuber 2000): i, f see c before the step, o sees c after it. `input_forget`
(ONNX LSTM): f = 1 - i; the rows f of `w` and `p` stay what they are, and their gradient is 0. `preact_clip` (`clip`
of ONNX): bounds the inputs of the four gates, peepholes included. `cell_clip` (TensorFlow's LSTMCell): bounds c,
which is stored so, before o and tanh see it. The gradient of a bound is that of torch.clamp and tf.clip_by_value: 1
where |z| <= bound, 0 where it was clipped.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.nn.recurrent import Arrays, Masks, Resets, State, feed, orthogonal, xavier

STATE = ("h", "c")


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """The joined matrix and, with peepholes, p."""
    w = np.hstack([weights["w_hh"], weights["w_ih"], weights["b"][:, None]])
    return (w, weights["p"]) if "p" in weights else (w,)


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    w, size = arrays[0], hidden_size(arrays)
    plain = {"w_ih": w[:, size:-1], "w_hh": w[:, :size], "b": w[:, -1]}
    return {**plain, "p": arrays[1]} if len(arrays) == 2 else plain


def hidden_size(arrays: Arrays) -> int:
    """H."""
    return len(arrays[0]) // 4


def input_size(arrays: Arrays) -> int:
    """Width of the input."""
    return arrays[0].shape[1] - hidden_size(arrays) - 1


def first_weights(
    size: int, inputs: int, rng: np.random.Generator, *, forget_bias: float, peephole: bool, input_forget: bool
) -> dict[str, np.ndarray]:
    """Xavier uniform input, orthogonal recurrent, forget bias (1: Jozefowicz et al. 2015), peepholes 0.

    With `input_forget` the forget bias goes into i, with the other sign: f = 1 - i begins at the same value."""
    w_hh = orthogonal(rng, 4, size)
    biases = [-forget_bias, 0.0, 0.0, 0.0] if input_forget else [0.0, forget_bias, 0.0, 0.0]
    weights = {"w_ih": xavier(rng, 4, size, inputs), "w_hh": w_hh, "b": np.repeat(biases, size)}
    return {**weights, "p": np.zeros(3 * size)} if peephole else weights


class Pass:
    """Scratch for `time` steps of `batch` sequences; forward fills it, backward reads it."""

    def __init__(self, arrays: Arrays, time: int, batch: int, options: Mapping[str, float]) -> None:
        w, dtype, hidden = arrays[0], arrays[0].dtype, hidden_size(arrays)
        self.hidden, self.time, self.peephole = hidden, time, len(arrays) == 2
        self.preact_clip, self.cell_clip = options.get("preact_clip", 0), options.get("cell_clip", 0)
        self.input_forget = bool(options.get("input_forget", 0))
        self.joined = np.ones((time, w.shape[1], batch), dtype)  # [h before step t; x of step t; 1]
        self.gates = np.empty((time, 4, hidden, batch), dtype)  # i, f, g, o after their functions
        self.c_before = np.empty((time, hidden, batch), dtype)
        self.c = np.empty((time, hidden, batch), dtype)
        self.c_tanh = np.empty((time, hidden, batch), dtype)
        self.h = np.empty((time, hidden, batch), dtype)
        self.slopes = np.empty((time, 4, hidden, batch), dtype)
        self.dz = np.empty((4, hidden, batch), dtype)
        self.tmp = np.empty((hidden, batch), dtype)
        if self.preact_clip:
            self.gates_inside = np.empty(self.gates.shape, bool)  # not clipped
        if self.cell_clip:
            self.c_inside = np.empty(self.c.shape, bool)
        half = np.array([0.5, 0.5, 1, 0.5], dtype)
        self.scale = half[:, None, None]
        self.offset = (1 - half)[:, None, None]
        self.rows = np.repeat(half, hidden)[:, None]

    def forward(self, arrays: Arrays, x: np.ndarray, *, state: State, resets: Resets, masks: Masks) -> np.ndarray:
        """x [time, in, batch]; `state` before the first step -> h after each step [time, H, batch]."""
        size, half, recurrent = self.hidden, arrays[0] * self.rows, masks.get("recurrent")
        peep = arrays[1].reshape(3, size, 1) * arrays[1].dtype.type(0.5) if self.peephole else None
        self.joined[:, size:-1] = x
        h, c = state["h"], state["c"]
        for t in range(self.time):
            gates, before, reset = self.gates[t], self.c_before[t], resets.get(t)
            feed(self.joined[t, :size], h, reset, recurrent)
            feed(before, c, reset, None)
            np.matmul(half, self.joined[t], out=gates.reshape(4 * size, -1))
            if peep is not None:
                gates[:2] += peep[:2] * before
            self._activate(t, slice(3 if self.peephole else 4))
            i, f, g, o = gates
            if self.input_forget:
                np.subtract(1, i, out=f)
            c = self.c[t]
            np.multiply(f, before, out=c)
            np.multiply(i, g, out=self.tmp)
            np.add(c, self.tmp, out=c)
            if self.cell_clip:
                np.less_equal(np.abs(c), self.cell_clip, out=self.c_inside[t])
                np.clip(c, -self.cell_clip, self.cell_clip, out=c)
            if peep is not None:
                o += peep[2] * c
                self._activate(t, slice(3, 4))
            h = self.h[t]
            np.tanh(c, out=self.c_tanh[t])
            np.multiply(o, self.c_tanh[t], out=h)
        return self.h

    def _activate(self, t: int, part: slice) -> None:
        """The functions of some gates, in place; the inputs of the sigmoids are halved already."""
        z, scale = self.gates[t, part], self.scale[part]
        if self.preact_clip:
            bound = self.preact_clip * scale
            np.less_equal(np.abs(z), bound, out=self.gates_inside[t, part])
            np.clip(z, -bound, bound, out=z)
        np.tanh(z, out=z)
        np.multiply(z, scale, out=z)
        np.add(z, self.offset[part], out=z)

    def state(self) -> State:
        """After the last step, copied."""
        return {"h": self.h[-1].copy(), "c": self.c[-1].copy()}

    def backward(
        self, arrays: Arrays, dh_out: np.ndarray, *, resets: Resets, masks: Masks, after: State, into: Arrays
    ) -> tuple[np.ndarray, State]:
        """dh_out [time, H, batch]: gradient of the loss by h of each step; `after`: by the state after the last step.

        Adds the gradients to `into`, the last step's first. Returns (dx [time, in, batch], gradient by `state`)."""
        w, size, recurrent = arrays[0], self.hidden, masks.get("recurrent")
        self._prepare_slopes()
        dc_by_dh = self.gates[:, 3] * (1 - np.square(self.c_tanh))
        p = arrays[1].reshape(3, size, 1) if self.peephole else None
        d_joined = np.empty(self.joined.shape[1:], w.dtype)
        dx = np.empty((self.time, len(d_joined) - size - 1, d_joined.shape[1]), w.dtype)
        dh, dc, dz, step = d_joined[:size], after["c"].copy(), self.dz, np.empty_like(w)
        dh[...] = after["h"]
        for t in reversed(range(self.time)):
            np.add(dh, dh_out[t], out=dh)
            np.multiply(self.slopes[t, 3], dh, out=dz[3])
            np.multiply(dh, dc_by_dh[t], out=self.tmp)
            np.add(dc, self.tmp, out=dc)
            if p is not None:
                dc += p[2] * dz[3]
            if self.cell_clip:
                dc *= self.c_inside[t]
            np.multiply(self.slopes[t, :3], dc, out=dz[:3])
            np.multiply(dc, self.gates[t, 1], out=dc)
            if p is not None:
                dc += p[0] * dz[0] + p[1] * dz[1]
                seen = (dz[0] * self.c_before[t], dz[1] * self.c_before[t], dz[3] * self.c[t])
                into[1][...] += np.concatenate(seen).sum(axis=1)
            flat = dz.reshape(4 * size, -1)
            np.matmul(flat, self.joined[t].T, out=step)
            np.add(into[0], step, out=into[0])
            np.matmul(w.T, flat, out=d_joined)
            dx[t] = d_joined[size:-1]
            if recurrent is not None:
                dh *= recurrent
            if t in resets:
                dh[:, resets[t]] = 0
                dc[:, resets[t]] = 0
        return dx, {"h": dh.copy(), "c": dc}

    def _prepare_slopes(self) -> None:
        """slopes: d(c)/dz of i, f, g and d(h)/dz of o, for all steps at once."""
        i, f, g, o = (self.gates[:, k] for k in range(4))
        s = self.slopes
        np.multiply(g - self.c_before if self.input_forget else g, i * (1 - i), out=s[:, 0])
        np.multiply(self.c_before, f * (1 - f), out=s[:, 1])
        np.multiply(i, 1 - np.square(g), out=s[:, 2])
        np.multiply(self.c_tanh, o * (1 - o), out=s[:, 3])
        if self.input_forget:
            s[:, 1] = 0
        if self.preact_clip:
            s *= self.gates_inside
