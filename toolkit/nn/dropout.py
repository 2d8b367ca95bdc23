"""Dropout: masks of 0 and 1 / (1 - rate), drawn in NumPy, once per batch, so that every backend sees the same.

Three options of a recurrent layer (`quantize.network.Layer.options`); all are for training only:

- `dropout`: on what the layers above see, drawn anew each step (Zaremba et al. 2014; PyTorch).
- `recurrent_dropout`: on h where it enters the recurrent product, one mask for the whole sequence (Gal & Ghahramani
  2016: variational; Keras). What GRU blends in and the LSTM's c are not masked.
- `state_dropout`, of lstm_norm: on h after its norm, each step; it goes into the state, too (Burn's modern LSTM).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from toolkit.nn.recurrent import Masks

if TYPE_CHECKING:
    from toolkit.nn.network import Parameters

KINDS = {"recurrent_dropout": "recurrent", "state_dropout": "state", "dropout": "output"}  # option -> mask, in order


def draw_masks(p: Parameters, *, time: int, batch: int, rng: np.random.Generator) -> tuple[Masks, ...]:
    """Masks of each layer in order: "recurrent" [H, batch], "state" and "output" [time, H, batch]; those that it has.

    A rate of 0 draws nothing."""
    masks = []
    for node in p.nodes:
        made = {}
        for option, name in KINDS.items():
            rate = node.options.get(option, 0)
            if rate:
                shape = (node.width, batch) if name == "recurrent" else (time, node.width, batch)
                kept = rng.random(shape, dtype=np.float32) >= rate
                made[name] = kept * p.flat.dtype.type(1 / (1 - rate))
        masks.append(made)
    return tuple(masks)
