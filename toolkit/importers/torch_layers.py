"""The layers of a structure (torch_structure.py) with the weights of a state_dict, as torch.nn computes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quantize.network import Layer, layer
from toolkit.errors import ToolkitError, nearest
from toolkit.importers import identifier
from toolkit.importers.finish import free
from toolkit.importers.torch_structure import HINT, OPS, RECURRENT, Part

FUNCTIONS = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "leaky_relu": "leaky_relu(0.01)",
    "elu": "elu(1.0)",
    "selu": "selu",
    "gelu": "gelu",
    "silu": "silu",
    "softplus": "softplus",
    "softsign": "softsign",
    "relu6": "relu6",
    "hardswish": "hard_swish",
    "hardsigmoid": f"hard_sigmoid({1 / 6!r},0.5)",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
}
"""torch.nn.functional's name, with its defaults -> ours."""


class Builder:
    """Layers in the making. `ends`: the names whose outputs, one after the other, are fed to the next layer;
    `used`: the tensors that have found a place."""

    def __init__(self, tensors: Mapping[str, np.ndarray], path: Path) -> None:
        self.tensors, self.path = tensors, path
        self.layers: list[Layer] = []
        self.ends: tuple[str, ...] = ("",)
        self.used: set[str] = set()

    def array(self, part: Part, leaf: str, shape: Sequence[int | None]) -> np.ndarray:
        """The tensor of a layer; None in `shape`: any size.

        Raises: ToolkitError when it is missing, or has another shape."""
        name = part.weights + leaf
        if name not in self.tensors:
            raise ToolkitError(f"{self.path}: no tensor {name} for a {part.op}{nearest(name, self.tensors)}")
        found = self.tensors[name]
        if found.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise ToolkitError(f"{self.path}: {name} {list(found.shape)}: expected [{wanted}] in a {part.op}; {HINT}")
        self.used.add(name)
        return found

    def optional(self, part: Part, leaf: str, size: int, absent: float) -> np.ndarray:
        """A vector that a layer may go without."""
        there = part.weights + leaf in self.tensors
        return self.array(part, leaf, (size,)) if there else np.full(size, absent, np.float32)

    def add(self, name: str, op: str, weights: Mapping[str, np.ndarray], **more: object) -> str:
        """A layer behind `ends`, with a name that no other has; returns it."""
        name = free(name, {x.name for x in self.layers})
        more.setdefault("sources", self.ends)
        self.layers.append(layer(name, op, weights, **more))  # type: ignore[arg-type]
        return name


def build(
    parts: Sequence[Part], tensors: Mapping[str, np.ndarray], path: Path
) -> tuple[list[Layer], tuple[str, ...], dict[int, str]]:
    """The layers, those that are the model's output, and part's number -> the layer that is its output, if one is.

    Raises: ToolkitError when the tensors are not those of the structure, or some are left over."""
    builder = Builder(tensors, path)
    shown: dict[int, str] = {}
    for k, part in enumerate(parts):
        _ADD.get(part.op, _plain)(builder, part)
        if len(builder.ends) == 1:
            shown[k] = builder.ends[0]
    left = [n for n in tensors if n not in builder.used and not n.endswith("num_batches_tracked")]
    if left:
        raise ToolkitError(f"{path}: {left[0]} {list(tensors[left[0]].shape)} is in no layer of the structure; add it")
    return builder.layers, builder.ends, shown


def _recurrent(b: Builder, part: Part) -> None:
    """Every layer and direction of a packed nn.LSTM, GRU or RNN, or of one cell."""
    rows = {op: n for n, op in RECURRENT.items()}[part.op]
    packed = part.weights + "weight_hh" not in b.tensors
    pattern = re.compile(re.escape(part.weights) + r"weight_hh_l(\d+)")
    count = len([n for n in b.tensors if pattern.fullmatch(n)]) if packed else 1
    if not count:
        raise ToolkitError(f"{b.path}: no tensor {part.weights}weight_hh_l0{nearest(part.weights, b.tensors)}")
    name = identifier(part.weights, part.op)
    activations = ("relu",) if part.options.get("nonlinearity") == "relu" else ()
    if part.options.get("nonlinearity", "tanh") not in ("tanh", "relu"):
        raise ToolkitError(f'{name}: nonlinearity = "{part.options["nonlinearity"]}": expected "tanh" or "relu"')
    for k in range(count):
        suffix = f"_l{k}" if packed else ""
        both = f"{part.weights}weight_hh{suffix}_reverse" in b.tensors
        ends = []
        for way in ("", "_reverse") if both else ("",):
            h = b.array(part, f"weight_hh{suffix}{way}", (None, None)).shape[1]
            w = {
                "w_ih": b.array(part, f"weight_ih{suffix}{way}", (rows * h, None)),
                "w_hh": b.array(part, f"weight_hh{suffix}{way}", (rows * h, h)),
                "b": _bias(part, *(b.optional(part, f"bias_{j}{suffix}{way}", rows * h, 0) for j in ("ih", "hh"))),
            }
            own = f"{name}{suffix if count > 1 else ''}{way}"
            ends.append(b.add(own, part.op, w, reverse=bool(way), activations=activations))
        b.ends = tuple(ends)


def _bias(part: Part, b_ih: np.ndarray, b_hh: np.ndarray) -> np.ndarray:
    """torch's two biases are one, but for a GRU's n, where r stands between them."""
    total = b_ih.astype(np.float64) + b_hh.astype(np.float64)
    if part.op != "gru":
        return total
    h = len(b_ih) // 3
    return np.concatenate([total[: 2 * h], b_ih[2 * h :], b_hh[2 * h :]])


def _linear(b: Builder, part: Part) -> None:
    w = b.array(part, "weight", (None, None))
    weights = {"w": w, "b": b.optional(part, "bias", len(w), 0)}
    b.ends = (b.add(identifier(part.weights, "linear"), "dense", weights),)


def _layer_norm(b: Builder, part: Part) -> None:
    gain = b.array(part, "weight", (None,))
    weights = {"gain": gain, "offset": b.optional(part, "bias", len(gain), 0)}
    options = {"epsilon": _option(part, "eps")}
    b.ends = (b.add(identifier(part.weights, "norm"), "norm", weights, options=options),)


def _batch_norm(b: Builder, part: Part) -> None:
    """gain x + offset of the statistics of training."""
    mean = b.array(part, "running_mean", (None,)).astype(np.float64)
    variance = b.array(part, "running_var", mean.shape).astype(np.float64)
    gain = b.optional(part, "weight", len(mean), 1) / np.sqrt(variance + _option(part, "eps"))
    offset = b.optional(part, "bias", len(mean), 0) - mean * gain
    b.ends = (b.add(identifier(part.weights, "norm"), "scale", {"gain": gain, "offset": offset}),)


def _conv(b: Builder, part: Part) -> None:
    w = b.array(part, "weight", (None, None, None))
    pad = _option(part, "padding")
    given = {k: _option(part, k) for k in ("stride", "dilation", "groups")}
    options = {k: v for k, v in given.items() if v != 1} | ({"pad_before": pad, "pad_after": pad} if pad else {})
    weights = {"w": w, "b": b.optional(part, "bias", len(w), 0)}
    b.ends = (b.add(identifier(part.weights, "conv"), "conv", weights, options=options),)


def _pool(b: Builder, part: Part) -> None:
    pad = _option(part, "padding")
    options = {"kernel": _option(part, "kernel_size"), "stride": _option(part, "stride")}
    options |= {"max": 1} if part.op == "max_pool" else {"count_pad": 1} if pad else {}
    options |= {"pad_before": pad, "pad_after": pad} if pad else {}
    b.ends = (b.add("pool", "pool", {}, options=options),)


def _activation(b: Builder, part: Part) -> None:
    name = str(part.options.get("function", OPS["activation"]["function"]))
    if name not in FUNCTIONS:
        raise ToolkitError(f'{b.path}: function = "{name}"{nearest(name, FUNCTIONS)}')
    b.ends = (b.add(name, "activation", {}, activations=(FUNCTIONS[name],)),)


def _final_states(b: Builder, part: Part) -> None:
    """Each direction's own last step: h_n of the last layer, forward and reverse joined."""
    turned = {x.name for x in b.layers if x.reverse}
    steps = [(n, 0 if n in turned else -1) for n in b.ends]
    b.ends = tuple(b.add(f"{n}_end", "take", {}, options={"at": at}, sources=(n,)) for n, at in steps)


def _plain(b: Builder, part: Part) -> None:
    """What has no weights: the choice of a step, a mean or maximum over the steps, flatten."""
    op, options = _OVER_TIME[part.op]
    b.ends = (b.add(part.op, op, {}, options=options),)


def _option(part: Part, key: str) -> float:
    return float(part.options.get(key, OPS[part.op][key]))


_OVER_TIME: dict[str, tuple[str, dict[str, float]]] = {
    "last": ("take", {"at": -1}),
    "first": ("take", {"at": 0}),
    "mean": ("pool", {}),
    "max": ("pool", {"max": 1}),
    "flatten": ("flatten", {}),
}
_ADD = {
    **dict.fromkeys(RECURRENT.values(), _recurrent),
    "linear": _linear,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "conv": _conv,
    "max_pool": _pool,
    "avg_pool": _pool,
    "activation": _activation,
    "final_states": _final_states,
}
