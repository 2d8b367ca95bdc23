"""A structure as a model of torch, with the file's own weights: what our network is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.importers import Original
from toolkit.importers.torch_structure import OPS, RECURRENT, Part

Step = Callable[[Any, Any], tuple[Any, Any]]
"""(x [batch, time, features], h_n or None) -> the same."""


def rebuilt(parts: Sequence[Part], tensors: Mapping[str, np.ndarray], shown: Mapping[int, str]) -> Original:
    """x [batch, time, in] -> the output of each part whose layer `shown` names, and "" of the last."""

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        steps = [_step(torch, part, tensors) for part in parts]
        made: dict[str, np.ndarray] = {}
        with torch.no_grad():
            y, end = torch.from_numpy(np.ascontiguousarray(x, np.float32)), None
            for k, step in enumerate(steps):
                y, end = step(y, end)
                if k in shown:
                    made[shown[k]] = y.numpy()
        return {**made, "": y.numpy()}

    return run


def _step(torch: Any, part: Part, tensors: Mapping[str, np.ndarray]) -> Step:
    options = {**OPS[part.op], **part.options}
    own = {n[len(part.weights) :]: v for n, v in tensors.items() if part.weights == n[: n.rfind(".") + 1]}
    if part.op in RECURRENT.values():
        module = _loaded(torch, _packed(torch, part.op, own, options), own)
        return lambda x, _: _recurrent(torch, module, x)
    if part.op in _MODULES:
        module = _loaded(torch, _MODULES[part.op](torch.nn, own, options), own)
        turned = part.op in ("conv", "batch_norm", "max_pool", "avg_pool")  # these want [batch, features, time]
        return lambda x, end: ((module(x.mT).mT if turned else module(x)), end)
    if part.op == "activation":
        function = getattr(torch.nn.functional, options["function"])
        over = {"dim": -1} if "softmax" in options["function"] else {}
        return lambda x, end: (function(x, **over), end)
    return lambda x, end: (_OVER_TIME[part.op](x, end), end)


def _packed(torch: Any, op: str, own: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> Any:
    layers = max(1, len([n for n in own if n.startswith("weight_hh_l") and not n.endswith("_reverse")]))
    first = "weight_ih_l0" if "weight_ih_l0" in own else "weight_ih"
    hidden = own[first.replace("ih", "hh")].shape[1]
    extra = {"nonlinearity": options["nonlinearity"]} if op == "rnn" else {}
    return getattr(torch.nn, op.upper())(
        own[first].shape[1],
        hidden,
        num_layers=layers,
        bias=any(n.startswith("bias") for n in own),
        bidirectional=any(n.endswith("_reverse") for n in own),
        batch_first=True,
        **extra,
    )


def _loaded(torch: Any, module: Any, own: Mapping[str, np.ndarray]) -> Any:
    """With every tensor of the file in its place; torch itself checks that none is missing or left over."""
    cell = "weight_hh" in own  # an LSTMCell's names, which are those of a first layer
    found = {f"{n}_l0" if cell else n: torch.from_numpy(np.array(v)) for n, v in own.items()}
    module.load_state_dict(found, strict=True)
    return module.eval()


def _recurrent(torch: Any, module: Any, x: Any) -> tuple[Any, Any]:
    y, state = module(x)
    h = state[0] if isinstance(state, tuple) else state  # [layers * directions, batch, H]
    count = 2 if module.bidirectional else 1
    return y, torch.cat(list(h[-count:]), -1)[:, None]


_MODULES: dict[str, Callable[[Any, Mapping[str, np.ndarray], Mapping[str, Any]], Any]] = {
    "linear": lambda nn, own, o: nn.Linear(*own["weight"].shape[::-1], bias="bias" in own),
    "layer_norm": lambda nn, own, o: nn.LayerNorm(len(own["weight"]), eps=o["eps"], bias="bias" in own),
    "batch_norm": lambda nn, own, o: nn.BatchNorm1d(len(own["running_mean"]), eps=o["eps"], affine="weight" in own),
    "conv": lambda nn, own, o: nn.Conv1d(
        own["weight"].shape[1] * o["groups"],
        *own["weight"].shape[::2],
        bias="bias" in own,
        **{k: o[k] for k in ("stride", "padding", "dilation", "groups")},
    ),
    "max_pool": lambda nn, own, o: nn.MaxPool1d(**o),
    "avg_pool": lambda nn, own, o: nn.AvgPool1d(**o),
}
_OVER_TIME: dict[str, Callable[[Any, Any], Any]] = {
    "last": lambda x, end: x[:, -1:],
    "first": lambda x, end: x[:, :1],
    "final_states": lambda x, end: end,
    "mean": lambda x, end: x.mean(1, keepdim=True),
    "max": lambda x, end: x.amax(1, keepdim=True),
    "flatten": lambda x, end: x.flatten(1)[:, None],
}
