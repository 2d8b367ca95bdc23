"""`export --to safetensors`: a float network's weights under PyTorch's names and in its layout (torch.nn.LSTM, GRU,
RNN, Linear, LayerNorm), for `load_state_dict`. The structure goes along in the metadata, as the importer reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from quantize.activations import parse
from quantize.float_ops import activations
from quantize.graph import sources
from quantize.network import Layer, Network
from toolkit.errors import ToolkitError, write_whole
from toolkit.exporters.onnx_ import RECURRENT

HEADS = {"all": (), "last": ("last",), "final_states": ("final_states",), "mean": ("mean",)}


def export_safetensors(network: Network, out: Path) -> dict[str, Any]:
    """Writes the file.

    Raises: ToolkitError where PyTorch's modules do not have what a layer needs."""
    arrays, structure = state_dict(network)
    write_whole(out, save(arrays, {"structure": structure}))
    return {"model": str(out), "tensors": len(arrays)}


def state_dict(network: Network) -> tuple[dict[str, np.ndarray], str]:
    """Tensors by PyTorch's names, and the structure as TOML."""
    arrays: dict[str, np.ndarray] = {}
    parts: list[dict[str, Any]] = []
    modules = list(_modules(network))
    for k, (forward, backward) in enumerate(modules):
        if k == len(modules) - 1 and network.mode == "window":
            parts += [{"op": op} for op in HEADS[network.head]]
        for x in (forward, backward):
            if x is not None:
                suffix = "_reverse" if x is backward else ""
                arrays |= {f"{forward.name}.{key}{suffix if 'l0' in key else ''}": v for key, v in _tensors(x).items()}
        parts += _parts(forward)
    lines = [f"steps = {network.window}"] if network.mode == "window" else []
    for part in parts:
        lines += ["[[layer]]", *(f"{key} = {json.dumps(value)}" for key, value in part.items())]
    return {key: np.ascontiguousarray(v, np.float32) for key, v in arrays.items()}, "\n".join(lines) + "\n"


def _modules(network: Network) -> Iterator[tuple[Layer, Layer | None]]:
    """One layer after the other, the two directions of one together.

    Raises: ToolkitError where it is no such chain."""
    layers, k = network.layers, 0
    before: tuple[str, ...] = ("",)
    while k < len(layers):
        x = layers[k]
        other = layers[k + 1] if k + 1 < len(layers) else None
        pair = (
            other is not None
            and other.reverse
            and not x.reverse
            and other.op == x.op
            and x.op in ("lstm", "gru", "rnn")
        )
        both = (x, other) if pair and sources(layers, k + 1) == sources(layers, k) else (x, None)
        if sources(layers, k) != before or x.reverse:
            raise ToolkitError(f"{x.name}: not one layer after the other; PyTorch's names have no place for the order")
        before, k = tuple(y.name for y in both if y), k + len([y for y in both if y])
        yield both


def _tensors(x: Layer) -> dict[str, np.ndarray]:
    w = x.weights
    if x.op == "dense":
        return {"weight": w["w"], "bias": w["b"]}
    if x.op == "norm":
        return {"weight": w["gain"], "bias": w["offset"]}
    if x.op not in ("lstm", "gru", "rnn"):
        if w:
            raise ToolkitError(f"{x.name}: {x.op} has no PyTorch form here; expected lstm, gru, rnn, dense, norm")
        return {}
    own = [k for k in ("p", "h0", "c0") if k in w] + [k for k, v in x.options.items() if v and k != "relu"]
    own += [f for f in activations(x) if x.op != "rnn" and x.activations] + (["reset before"] if _before(x) else [])
    if own:
        in_onnx = not x.options.get("cell_clip") and all(parse(f)[0] in RECURRENT for f in activations(x))
        way = "export it as onnx" if in_onnx else "nor has ONNX's: only the C of generate-c has it"
        raise ToolkitError(f"{x.name}: PyTorch's {x.op.upper()} has no {', '.join(own)}; {way}")
    rows = len(w["w_hh"])
    b = w["b"][:rows]
    from_h = np.zeros_like(b)
    from_h[rows - (len(w["b"]) - rows) :] = w["b"][rows:]
    return {"weight_ih_l0": w["w_ih"], "weight_hh_l0": w["w_hh"], "bias_ih_l0": b, "bias_hh_l0": from_h}


def _before(x: Layer) -> bool:
    return x.op == "gru" and len(x.weights["b"]) == len(x.weights["w_hh"])


def _parts(x: Layer) -> list[dict[str, Any]]:
    """The entries of the structure that stand for a layer."""
    if x.op in ("lstm", "gru"):
        return [{"op": x.op, "weights": x.name}]
    if x.op == "rnn":
        (function,) = activations(x)
        if function not in ("tanh", "relu"):
            raise ToolkitError(f"{x.name}: PyTorch's RNN has no {function}; expected tanh or relu")
        return [{"op": "rnn", "weights": x.name, "nonlinearity": function}]
    if x.op == "norm":
        return [{"op": "layer_norm", "weights": x.name, "eps": x.options.get("epsilon", 0.0)}]
    if x.op == "dense":
        return [{"op": "linear", "weights": x.name}, *({"op": "activation", "function": f} for f in x.activations)]
    if x.op == "activation":
        return [{"op": "activation", "function": x.activations[0]}]
    raise ToolkitError(f"{x.name}: {x.op} has no PyTorch form here; expected lstm, gru, rnn, dense, norm, activation")
