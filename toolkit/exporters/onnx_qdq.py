"""`export --to onnx-qdq`: a quantized network as an ONNX model whose integers are those of our C.

Weights are int8 or int16 behind DequantizeLinear; the input and what every recurrent layer gives out go through
QuantizeLinear and DequantizeLinear as int16. What happens inside a cell is float: a runtime comes near our integers and
does not reach their bits. The oracle and the C are the definition (docs/arithmetic.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quantize.network import Layer, Network, layer, load_network, network_digest
from quantize.ops import dense, gru, lstm, rows
from quantize.qnetwork import QLayer, QNetwork, input_scale, load_qnetwork, offset_remainder
from toolkit.errors import ToolkitError, write_whole
from toolkit.exporters.onnx_ import to_onnx
from toolkit.exporters.onnx_nodes import Integers

CELLS = {"lstm": lstm, "gru": gru}


def export_qdq(quantized: Path, source: Path, out: Path) -> dict[str, Any]:
    """Writes the model of a model.q.safetensors and the float model it was made from.

    Raises: ToolkitError or QuantizeError where they do not belong together, or a layer has no such form."""
    q, network = load_qnetwork(quantized), load_network(source)
    if q.source != network_digest(source):
        raise ToolkitError(f"{quantized}: not made from {source}; run `quantize` again")
    model = to_onnx(*dequantized(q, network))
    write_whole(out, model.SerializeToString(deterministic=True))
    return {"model": str(out), "nodes": len(model.graph.node), "opset": model.opset_import[0].version}


def dequantized(q: QNetwork, network: Network) -> tuple[Network, Integers]:
    """The network that the integers stand for, its input in steps of h, and the steps of all values."""
    weights: dict[tuple[str, str], np.ndarray] = {}
    layers = []
    for x in q.layers:
        made = _cell(x, weights) if x.op in CELLS else _head(x, q, network, weights) if x.op == "dense" else None
        if made is None:
            raise ToolkitError(f"{x.name}: {x.op} has no form in onnx-qdq; expected lstm, gru and dense of w8a16")
        layers.append(replace(made, sources=x.sources, reverse=x.reverse))
    steps = np.array([input_scale(c, i) for c, i in zip(network.inputs, q.inputs, strict=True)])
    return replace(network, layers=tuple(layers)), Integers(weights, steps, rows.UNIT)


def _cell(x: QLayer, weights: dict[tuple[str, str], np.ndarray]) -> Layer:
    """docs/arithmetic.md, "Offline", backwards: row scales, and biases without what they carry of rounding."""
    size = rows.hidden_size(x)
    sums = gru.sums(x) if x.op == "gru" else rows.joint(4 * size)
    step = rows.row_scale(x, CELLS[x.op].gains(size))
    t, f, m = x.params["t"], x.params["f"], x.arrays["m"].astype(np.float64)
    rounding = sums.rounds * 2.0 ** (15 + t) / m[sums.row] + sums.with_x * (0.5 if f else 0.0)
    b = (x.arrays["b"] - rounding) * step[sums.row] * rows.UNIT
    weights[x.name, "w_hh"], weights[x.name, "w_ih"] = step, step / 2.0**f
    arrays = {"w_hh": x.arrays["wh"] * step[:, None], "w_ih": x.arrays["wx"] * (step / 2.0**f)[:, None], "b": b}
    return layer(x.name, x.op, arrays)


def _head(x: QLayer, q: QNetwork, network: Network, weights: dict[tuple[str, str], np.ndarray]) -> Layer:
    step = np.array([o.step / c.std for o, c in zip(q.outputs, network.outputs, strict=True)])
    rest = np.array([offset_remainder(c) for c in network.outputs])
    weights[x.name, "w"] = step / dense.UNIT
    w = x.arrays["w"] * weights[x.name, "w"][:, None]
    return layer(x.name, "dense", {"w": w, "b": x.arrays["b"] * step + rest})
