"""Losses with their gradient by y, each a weighted mean over the values that count.

y [steps, out, batch], target [steps, values, batch] (a value is a target at a horizon), weight [steps, 1 or values,
batch]. Where a value has more than one output they lie side by side: out is [value][level], [value][mean, log sigma]
or [value][class]. The gradient of a kink (mae and quantile at error 0) is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolkit.errors import ToolkitError, nearest

Loss = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]
"""(y, target, weight) -> (loss, its gradient by y)"""


def loss_of(name: str | Loss, *, levels: Sequence[float], huber_delta: float) -> Loss:
    """The loss `name`, or a user's own as it is; `levels` of quantile, `huber_delta` of huber.

    Raises: ToolkitError for an unknown name."""
    if not isinstance(name, str):
        return name
    made: dict[str, Loss] = {
        "mse": mse,
        "mae": mae,
        "huber": lambda y, target, weight: huber(y, target, weight, delta=huber_delta),
        "quantile": lambda y, target, weight: quantile(y, target, weight, levels=levels),
        "gaussian": gaussian,
        "crossentropy": crossentropy,
    }
    if name not in made:
        raise ToolkitError(f"loss {name!r}: expected one of {', '.join(made)}{nearest(name, made)}")
    return made[name]


def mse(y: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """error^2"""
    error = y - target
    return _mean(np.square(error, dtype=np.float64), 2 * error, weight)


def mae(y: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """|error|"""
    error = y - target
    return _mean(np.abs(error), np.sign(error), weight)


def huber(y: np.ndarray, target: np.ndarray, weight: np.ndarray, *, delta: float) -> tuple[float, np.ndarray]:
    """error^2 / 2 up to |error| = delta, then delta (|error| - delta / 2) (Huber 1964)"""
    error = y - target
    slope = np.clip(error, -delta, delta)
    return _mean(slope * (error - slope / 2), slope, weight)


def quantile(
    y: np.ndarray, target: np.ndarray, weight: np.ndarray, *, levels: Sequence[float]
) -> tuple[float, np.ndarray]:
    """Pinball: max(q e, (q - 1) e) of e = target - y, the mean over the levels q (Koenker & Bassett 1978)"""
    parts, level = _parts(y, target), np.array(levels, y.dtype)[:, None]
    error = target[:, :, None] - parts
    slope = level - (error < 0)
    d = -slope * (error != 0) / y.dtype.type(len(levels))
    return _mean((error * slope).mean(axis=2), d, weight)


def gaussian(y: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """-log N(target; mean, sigma) of y = mean, log(sigma): (error / sigma)^2 / 2 + log(sigma) + log(2 pi) / 2"""
    parts = _parts(y, target)
    mean, log_sigma = parts[:, :, 0], parts[:, :, 1]
    unit = (target - mean) * np.exp(-log_sigma)
    d = np.stack([-unit * np.exp(-log_sigma), 1 - np.square(unit)], axis=2)
    return _mean(np.square(unit) / 2 + log_sigma + np.log(2 * np.pi) / 2, d, weight)


def crossentropy(y: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """-log softmax(y)[target], the target being the number of a class"""
    parts = _parts(y, target)
    shifted = parts - parts.max(axis=2, keepdims=True)
    share = np.exp(shifted)
    total = share.sum(axis=2, keepdims=True)
    right = np.arange(parts.shape[2])[:, None] == np.rint(target)[:, :, None]
    loss = (np.log(total) - shifted).sum(axis=2, where=right)
    return _mean(loss, share / total - right, weight)


def _parts(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """y as [steps, values, outputs of a value, batch]"""
    steps, values, batch = target.shape
    return y.reshape(steps, values, -1, batch)


def _mean(loss: np.ndarray, d: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Weighted mean of `loss` [steps, values, batch], and the gradient [steps, out, batch] of `d`, its slopes by y."""
    weight = np.broadcast_to(weight, loss.shape)
    total = float(weight.sum(dtype=np.float64)) or 1.0
    share = (weight / total).astype(d.dtype)
    scaled = d * (share if d.ndim == 3 else share[:, :, None])
    steps, _, batch = loss.shape
    return float((loss * weight).sum(dtype=np.float64)) / total, scaled.reshape(steps, -1, batch)
