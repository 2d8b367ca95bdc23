"""The dense layer on each step: `w [out, in + 1] = [w | b]`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.nn.recurrent import Arrays, xavier


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """The joined matrix."""
    return (np.hstack([weights["w"], weights["b"][:, None]]),)


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    return {"w": arrays[0][:, :-1], "b": arrays[0][:, -1]}


def hidden_size(arrays: Arrays) -> int:
    """Width of the output."""
    return len(arrays[0])


def input_size(arrays: Arrays) -> int:
    """Width of the input."""
    return arrays[0].shape[1] - 1


def first_weights(outputs: int, inputs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Xavier uniform, bias 0."""
    return {"w": xavier(rng, 1, outputs, inputs), "b": np.zeros(outputs)}


def dense_forward(w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """h [time, in, batch] -> y [time, out, batch]"""
    return np.asarray(np.matmul(w[:, :-1], h) + w[:, -1:])


def dense_backward(w: np.ndarray, h: np.ndarray, dy: np.ndarray, into: np.ndarray) -> np.ndarray:
    """dy [time, out, batch] -> dh [time, in, batch]; adds the gradient to `into` like w, the last step's first."""
    for h_now, dy_now in zip(h[::-1], dy[::-1], strict=True):
        into[:, :-1] += np.matmul(dy_now, h_now.T)
        into[:, -1] += dy_now.sum(axis=1)
    return np.asarray(np.matmul(w[:, :-1].T, dy))
