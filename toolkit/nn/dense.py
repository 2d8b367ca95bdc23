"""The dense head on h of each step: `w [out, H + 1] = [w | b]`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.nn.recurrent import Arrays


def joined(weights: Mapping[str, np.ndarray]) -> Arrays:
    """The joined matrix."""
    return (np.hstack([weights["w"], weights["b"][:, None]]),)


def parted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The layer's weights again."""
    return {"w": arrays[0][:, :-1], "b": arrays[0][:, -1]}


def dense_forward(w: np.ndarray, h: np.ndarray) -> np.ndarray:
    """h [time, H, batch] -> y [time, out, batch]"""
    return np.asarray(np.matmul(w[:, :-1], h) + w[:, -1:])


def dense_backward(w: np.ndarray, h: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dy [time, out, batch] -> (dw like w, dh [time, H, batch])"""
    dw = np.matmul(dy, h.transpose(0, 2, 1)).sum(axis=0)
    return np.hstack([dw, dy.sum(axis=(0, 2))[:, None]]), np.matmul(w[:, :-1].T, dy)
