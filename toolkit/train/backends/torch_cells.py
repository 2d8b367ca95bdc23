"""One step of every recurrent layer in PyTorch's operations, in the layout of toolkit/nn: columns are the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from toolkit.nn.norm import EPSILON

State = dict[str, Tensor]  # name -> [hidden, batch]
Options = Mapping[str, float]


def _joined(h: Tensor, x: Tensor) -> Tensor:
    return torch.cat([h, x, torch.ones_like(x[:1])])


def lstm(w: Sequence[Tensor], options: Options, x: Tensor, state: State, fed: Tensor) -> State:
    """x [in, batch]; `fed`: what the products see of h."""
    size, c = len(w[0]) // 4, state["c"]
    i, f, g, o = (w[0] @ _joined(fed, x)).reshape(4, size, -1)
    p = w[1].reshape(3, size, 1) if len(w) == 2 else torch.zeros(3, 1, 1, device=x.device)
    clip, most = options.get("preact_clip", 0) or torch.inf, options.get("cell_clip", 0) or torch.inf
    i = torch.sigmoid(torch.clamp(i + p[0] * c, -clip, clip))
    f = 1 - i if options.get("input_forget", 0) else torch.sigmoid(torch.clamp(f + p[1] * c, -clip, clip))
    c = torch.clamp(f * c + i * torch.tanh(torch.clamp(g, -clip, clip)), -most, most)
    o = torch.sigmoid(torch.clamp(o + p[2] * c, -clip, clip))
    return {"h": o * torch.tanh(c), "c": c}


def _norm(x: Tensor, p: Tensor) -> Tensor:
    unit = (x - x.mean(dim=0)) / torch.sqrt(x.var(dim=0, correction=0) + EPSILON)
    return p[0][:, None] * unit + p[1][:, None]


def lstm_norm(w: Sequence[Tensor], options: Options, x: Tensor, state: State, fed: Tensor) -> State:
    """As `lstm`; dropout of the state is the caller's."""
    w_x, w_h, norm_x, norm_c, norm_h = w
    one = torch.ones_like(x[:1])
    z = _norm(w_x @ torch.cat([x, one]), norm_x) + w_h @ torch.cat([fed, one])
    i, f, g, o = z.reshape(4, len(z) // 4, -1)
    c = _norm(torch.sigmoid(f) * state["c"] + torch.sigmoid(i) * torch.tanh(g), norm_c)
    return {"h": _norm(torch.sigmoid(o) * torch.tanh(c), norm_h), "c": c}


def gru(w: Sequence[Tensor], options: Options, x: Tensor, state: State, fed: Tensor) -> State:
    """Reset after with two arrays, reset before with one; z blends in h as it is, not as it is `fed`."""
    size = len(w[0]) // 3
    r, z = torch.sigmoid(w[0][: 2 * size] @ _joined(fed, x)).reshape(2, size, -1)
    w_n = w[0][2 * size :]
    given = w_n[:, size:-1] @ x + w_n[:, -1:]
    if len(w) == 2:
        n = torch.tanh(given + r * (w_n[:, :size] @ fed + w[1][:, None]))
    else:
        n = torch.tanh(given + w_n[:, :size] @ (r * fed))
    return {"h": n + z * (state["h"] - n)}


def rnn(w: Sequence[Tensor], options: Options, x: Tensor, state: State, fed: Tensor) -> State:
    """tanh, or ReLU."""
    z = w[0] @ _joined(fed, x)
    return {"h": torch.relu(z) if options.get("relu", 0) else torch.tanh(z)}


CELLS: dict[str, Callable[[Any, Options, Tensor, State, Tensor], State]] = {
    "lstm": lstm, "lstm_norm": lstm_norm, "gru": gru, "rnn": rnn,
}  # fmt: skip
