"""Rules between the keys of [model] and [train]. Each returns what is wrong, in a line, or ""."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.config import Model, Train

ONLY = {  # key -> the cells that have it
    "reset": ("gru",),
    "activation": ("rnn",),
    "preact_clip": ("lstm",),
    "cell_clip": ("lstm",),
    "input_forget": ("lstm",),
    "peephole": ("lstm",),
    "forget_bias": ("lstm", "lstm_norm"),
}
LOSSES = {
    "value": ("mse", "mae", "huber"),
    "quantile": ("quantile",),
    "gaussian": ("gaussian",),
    "class": ("crossentropy",),
}
"""The losses of each output; the first is the default."""


def model_rules(m: Model) -> str:
    """What a cell, a stream and an output can have."""
    for key, cells in ONLY.items():
        value = getattr(m, key)
        if value != type(m).__dataclass_fields__[key].default and m.cell not in cells:
            names = " or ".join(f'"{c}"' for c in cells)
            return f"model.{key} = {json.dumps(value)}: only for model.cell = {names}"
    if m.mode == "stateful" and m.bidirectional != "no":
        return (
            f'model.bidirectional = "{m.bidirectional}": a stream cannot run backwards: it has no last step yet; '
            'model.mode = "window" can'
        )
    if m.mode == "stateful" and m.head != "last":
        return (
            f'model.head = "{m.head}" needs the end of a window, and a stream has none; model.mode = "window" has one'
        )
    levels = list(m.levels)
    if (m.output == "quantile") != bool(levels):
        return f'model.levels = {levels}: expected levels with model.output = "quantile", and only there'
    if levels != sorted(set(levels)) or any(not 0 < q < 1 for q in levels):
        return f"model.levels = {levels}: expected rising numbers between 0 and 1"
    return ""


def learning_rules(m: Model, t: Train) -> str:
    """What the output can learn with, and how."""
    if t.loss and t.loss not in LOSSES[m.output]:
        wanted = " or ".join(LOSSES[m.output])
        return f'train.loss = "{t.loss}": model.output = "{m.output}" takes {wanted}'
    if t.warmup_epochs >= t.epochs:
        return f"train.warmup_epochs = {t.warmup_epochs}: expected fewer than train.epochs = {t.epochs}"
    if t.segment and m.bidirectional != "no":
        return f"train.segment = {t.segment}: not with model.bidirectional: the two directions meet only at the end"
    return ""
