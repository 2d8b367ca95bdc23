"""Recompute: truncated BPTT that keeps the inner values of one segment of steps, and of the others only their states.

Forward runs segment by segment and keeps the states between them; backward goes through them from the last, running
each forward again (Chen et al. 2016). The result has the same bits as without: a layer adds to its gradient step by
step, the last first (`toolkit.nn.lstm`), and every step's arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.nn import dense
from toolkit.nn.network import Parameters, Stack, States, zero_states
from toolkit.nn.recurrent import Masks, Resets


class Segments:
    """As `toolkit.nn.network.Stack`, for `time` steps in segments of `segment`, the last of which may be shorter."""

    def __init__(self, p: Parameters, time: int, batch: int, *, segment: int) -> None:
        if any(n.reverse for n in p.nodes):
            raise ToolkitError("recompute in segments: not with a reverse layer, which begins at the last step")
        self.time, self.batch = time, batch
        self.parts = [slice(t, min(t + segment, time)) for t in range(0, time, segment)]
        lengths = {part.stop - part.start for part in self.parts}
        self.stacks = {n: Stack(p, n, batch) for n in sorted(lengths)}

    def _run(
        self, k: int, p: Parameters, x: np.ndarray, resets: Resets, masks: Sequence[Masks]
    ) -> tuple[Stack, Resets, Sequence[Masks]]:
        """Segment k forward from its kept states."""
        part = self.parts[k]
        stack = self.stacks[part.stop - part.start]
        mine = {t - part.start: b for t, b in resets.items() if part.start <= t < part.stop}
        cut = [{name: m if name == "recurrent" else m[part] for name, m in one.items()} for one in masks]
        stack.run(p, x[part], states=self.kept[k], resets=mine, masks=cut)
        return stack, mine, cut

    def forward(
        self,
        p: Parameters,
        x: np.ndarray,
        *,
        states: States,
        resets: Resets,
        outputs: int,
        masks: Sequence[Masks] = (),
    ) -> np.ndarray:
        """x [time, in, batch] -> y [outputs, out, batch] of the last `outputs` steps."""
        self.x, self.kept = x, [states]
        first, mean = self.time - outputs, p.head == "mean"
        seen: list[np.ndarray] = []
        for k, part in enumerate(self.parts):
            stack, _, _ = self._run(k, p, x, resets, masks)
            self.kept.append(stack.states())
            top = np.concatenate([stack.values[s] for s in stack.tops], axis=1)
            if mean:
                for row in top:
                    seen = [row + seen[0] if seen else row]
            else:
                seen += list(top[max(first - part.start, 0) :])
        self.seen = np.stack(seen)
        if mean:
            self.seen /= self.seen.dtype.type(self.time)
        return dense.dense_forward(p.arrays[-1][0], self.seen)

    def states(self) -> States:
        """After the last step."""
        return self.kept[-1]

    def backward(
        self, p: Parameters, dy: np.ndarray, *, resets: Resets, gradient: Parameters, masks: Sequence[Masks] = ()
    ) -> States:
        """dy [outputs, out, batch], for the last forward; writes every element of `gradient`.

        Returns the gradient by the states before the first step."""
        gradient.flat[:] = 0
        d_seen = dense.dense_backward(p.arrays[-1][0], self.seen, dy, gradient.arrays[-1][0])
        if p.head == "mean":
            d_seen = np.broadcast_to(d_seen / d_seen.dtype.type(self.time), (self.time, *d_seen.shape[1:]))
        first, d_states = self.time - len(d_seen), zero_states(p, self.batch)
        for k in reversed(range(len(self.parts))):
            part = self.parts[k]
            stack, mine, cut = self._run(k, p, self.x, resets, masks)
            d = np.zeros((stack.time, *d_seen.shape[1:]), d_seen.dtype)
            if part.stop > first:
                at = max(part.start, first)
                d[at - part.start :] = d_seen[at - first : part.stop - first]
            ends = np.cumsum([p.nodes[s].width for s in stack.tops])[:-1]
            d_states = stack.run_backward(
                p, np.split(d, ends, axis=1), resets=mine, masks=cut, after=d_states, gradient=gradient
            )
        return d_states


def stack_for(p: Parameters, time: int, batch: int, *, segment: int) -> Stack | Segments:
    """A stack that keeps everything (`segment` 0, or no shorter than `time`) or one that recomputes."""
    return Segments(p, time, batch, segment=segment) if 0 < segment < time else Stack(p, time, batch)


def scratch_bytes(p: Parameters, *, time: int, batch: int, segment: int) -> int:
    """What is kept between forward and backward: the passes' arrays, the layers' outputs, and the states between
    segments. `segment` 0: everything. Linear in the steps, so two short stacks tell."""
    one, two = (_stack_bytes(p, steps, batch) for steps in (1, 2))
    steps = segment if 0 < segment < time else time
    states = sum(a.nbytes for state in zero_states(p, batch) for a in state.values())
    return one + (steps - 1) * (two - one) + (-(-time // steps) + 1 if steps < time else 0) * states


def _stack_bytes(p: Parameters, time: int, batch: int) -> int:
    passes = [vars(one).values() for one in Stack(p, time, batch).passes if one is not None]
    arrays = [a for values in passes for v in values for a in (v.values() if isinstance(v, dict) else [v])]
    own = sum(a.nbytes for a in arrays if isinstance(a, np.ndarray) and a.base is None)
    others = [n.width for n in p.nodes[:-1] if n.op in ("dense", "add") or "dropout" in n.options]
    return own + sum(others) * time * batch * p.flat.itemsize
