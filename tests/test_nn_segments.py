"""Recompute in segments: the same bits as without, and less scratch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_nn_layers import CELLS, GRAPHS, INPUTS, OUTPUTS, H, network
from toolkit.errors import ToolkitError
from toolkit.nn import GRU, LSTM, Bidirectional, Dense
from toolkit.nn.dropout import draw_masks
from toolkit.nn.network import Stack, parameters, zero_states, zeros_like
from toolkit.nn.segments import Segments, scratch_bytes, stack_for

TIME, BATCH = 11, 5
MODELS = {k: [cell, Dense(OUTPUTS)] for k, cell in CELLS.items()} | {k: list(v) for k, v in GRAPHS.items()}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recompute_has_the_same_bits(model: str, dtype: type[np.floating]) -> None:
    for head, outputs in (("last", 1), ("last", 6), ("all", TIME), ("mean", 1), ("final_states", 1)):
        rng = np.random.default_rng(1)
        p = parameters(network(MODELS[model], head=head), dtype)
        x = rng.normal(size=(TIME, INPUTS, BATCH)).astype(dtype)
        states = [{k: rng.normal(size=v.shape).astype(dtype) for k, v in s.items()} for s in zero_states(p, BATCH)]
        dy = rng.normal(size=(outputs, OUTPUTS, BATCH)).astype(dtype)
        masks = draw_masks(p, time=TIME, batch=BATCH, rng=rng)
        resets = {0: np.array([1]), 4: np.array([0, 2]), 9: np.array([1])}
        made = []
        for segment in (0, 4):
            stack, gradient = stack_for(p, TIME, BATCH, segment=segment), zeros_like(p)
            y = stack.forward(p, x, states=states, resets=resets, outputs=outputs, masks=masks)
            before = stack.backward(p, dy, resets=resets, gradient=gradient, masks=masks)
            arrays = [a for state in (*before, *stack.states()) for a in state.values()]
            made.append([y, gradient.flat, *arrays])
        assert isinstance(stack, Segments) and len(stack.parts) == 3
        assert made[0][1].any()
        for one, other in zip(*made, strict=True):
            assert one.dtype == dtype and np.array_equal(one, other)


def test_the_scratch_is_said_with_and_without() -> None:
    p = parameters(network([LSTM(H), GRU(H), Dense(OUTPUTS)]), np.float32)
    plain = scratch_bytes(p, time=1000, batch=8, segment=0)
    segmented = scratch_bytes(p, time=1000, batch=8, segment=32)
    states = 3 * H * 8 * 4  # h, c; h
    assert segmented < plain / 20 and segmented > 32 * states
    assert scratch_bytes(p, time=1000, batch=8, segment=1000) == plain

    def arrays(stack: Stack) -> int:
        values = [v for one in stack.passes if one for v in vars(one).values() if isinstance(v, np.ndarray)]
        return sum(v.nbytes for v in values if v.base is None)

    assert plain == arrays(Stack(p, 1000, 8))
    assert segmented == arrays(Stack(p, 32, 8)) + 33 * states


def test_a_reverse_layer_is_refused() -> None:
    p = parameters(network([Bidirectional(GRU(H)), Dense(OUTPUTS)]), np.float32)
    with pytest.raises(ToolkitError, match="not with a reverse layer"):
        stack_for(p, 8, 2, segment=4)
