"""What the last layer sees of a window, for each of `quantize.network.HEADS`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ONE = ("final_states", "mean")
"""The heads that see the window as one step."""


def seen(head: str, tops: Sequence[np.ndarray], reverse: Sequence[bool], steps: int) -> np.ndarray:
    """tops [time, width, batch] of the layers below -> [steps, sum of widths, batch], of the last `steps` steps.

    final_states: each direction's own last step, which of a reverse layer is the window's first."""
    if head == "final_states":
        return np.concatenate([x[:1] if back else x[-1:] for x, back in zip(tops, reverse, strict=True)], axis=1)
    if head == "mean":
        total = np.concatenate([x[:1] for x in tops], axis=1)
        for t in range(1, len(tops[0])):  # in this order, so that a window summed in segments has the same bits
            total[0] += np.concatenate([x[t] for x in tops])
        return np.asarray(total / total.dtype.type(len(tops[0])))
    return np.concatenate([x[len(x) - steps :] for x in tops], axis=1)


def seen_backward(
    head: str, d_seen: np.ndarray, widths: Sequence[int], reverse: Sequence[bool], time: int
) -> list[np.ndarray]:
    """The gradient by `seen` -> by each of `tops` [time, width, batch]."""
    parts = np.split(d_seen, np.cumsum(widths)[:-1], axis=1)
    if head == "mean":
        return [np.broadcast_to(d / d.dtype.type(time), (time, *d.shape[1:])) for d in parts]
    tops = []
    for d, back in zip(parts, reverse, strict=True):
        top = np.zeros((time, *d.shape[1:]), d.dtype)
        if head == "final_states" and back:
            top[:1] = d
        else:
            top[time - len(d) :] = d
        tops.append(top)
    return tops
