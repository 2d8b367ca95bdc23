"""Layer normalisation (Ba et al. 2016) over axis -2: y = gain (x - mean) / sqrt(var + 1e-5) + offset, var biased."""

from __future__ import annotations

import numpy as np

EPSILON = 1e-5


def norm_forward(
    x: np.ndarray, p: np.ndarray, *, unit: np.ndarray, rate: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """x [..., n, batch], p [2, n] = gain, offset -> y like x.

    Fills what backward reads: `unit` like x, (x - mean) / sqrt(var + epsilon), and `rate [..., 1, batch]`,
    1 / sqrt(var + epsilon). `out` may be x."""
    np.subtract(x, x.mean(axis=-2, keepdims=True), out=unit)
    np.divide(1, np.sqrt(np.square(unit).mean(axis=-2, keepdims=True) + x.dtype.type(EPSILON)), out=rate)
    np.multiply(unit, rate, out=unit)
    y = np.multiply(unit, p[0][:, None], out=out)
    y += p[1][:, None]
    return y


def norm_backward(dy: np.ndarray, p: np.ndarray, *, unit: np.ndarray, rate: np.ndarray, into: np.ndarray) -> np.ndarray:
    """dy [n, batch] of one step -> dx; adds the gradient by gain and offset to `into [2, n]`."""
    into[0] += (dy * unit).sum(axis=-1)
    into[1] += dy.sum(axis=-1)
    d = dy * p[0][:, None]
    shift = d.mean(axis=-2, keepdims=True) + unit * (d * unit).mean(axis=-2, keepdims=True)
    return np.asarray((d - shift) * rate)
