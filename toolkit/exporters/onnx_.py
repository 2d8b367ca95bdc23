"""`export --to onnx`: a float network as an ONNX model of standard operators, in normalised units.

Input "x" [batch, time, inputs], output "y" [batch, time', outputs]; between the layers tensors are [time, batch,
features]. A node has its layer's name. What ONNX has no place for (columns, units, window) is in the metadata, so that
importing the file gives the same network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from quantize.activations import parse
from quantize.float_ops import activations
from quantize.graph import INPUT, sources
from quantize.network import SCALARS, Layer, Network
from toolkit import __version__
from toolkit.errors import ToolkitError
from toolkit.exporters.onnx_nodes import Integers, Made
from toolkit.importers.onnx_metadata import KEY

OPSET = (17, 8)
"""And the IR version; some operators need newer ones. Old ones are what most runtimes take."""
NEWER = {"QuantizeLinear": (21, 10), "Gelu": (20, 9)}
FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relu": ("Relu", ()),
    "tanh": ("Tanh", ()),
    "sigmoid": ("Sigmoid", ()),
    "leaky_relu": ("LeakyRelu", ("alpha",)),
    "thresholded_relu": ("ThresholdedRelu", ("alpha",)),
    "hard_sigmoid": ("HardSigmoid", ("alpha", "beta")),
    "elu": ("Elu", ("alpha",)),
    "softsign": ("Softsign", ()),
    "softplus": ("Softplus", ()),
    "selu": ("Selu", ()),
    "gelu": ("Gelu", ()),
    "gelu_tanh": ("Gelu", ()),
    "exp": ("Exp", ()),
    "hard_swish": ("HardSwish", ()),
    "softmax": ("Softmax", ()),
    "log_softmax": ("LogSoftmax", ()),
    "affine": ("Affine", ("alpha", "beta")),
    "scaled_tanh": ("ScaledTanh", ("alpha", "beta")),
}
"""Ours -> ONNX's, and its attributes; Affine and ScaledTanh exist inside recurrent operators only."""
RECURRENT = (
    "relu", "tanh", "sigmoid", "affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid", "elu",
    "softsign", "softplus",
)  # fmt: skip
"""What ONNX's recurrent operators can be made with."""
GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""Which of our gates ONNX's rows are: i, o, f, c of i, f, g, o; z, r, h of r, z, n."""


def export_onnx(network: Network, out: Path) -> dict[str, Any]:
    """Writes the model.

    Raises: ToolkitError where a layer has no ONNX form, or ONNX's own checker does not pass the model."""
    from toolkit.errors import write_whole

    model = to_onnx(network)
    write_whole(out, model.SerializeToString(deterministic=True))
    return {"model": str(out), "nodes": len(model.graph.node), "opset": model.opset_import[0].version}


def to_onnx(network: Network, integers: Integers | None = None) -> Any:
    """The ModelProto of a network, checked; with `integers` its weights are whole numbers of those steps."""
    try:
        import onnx
    except ImportError:
        raise ToolkitError("the package onnx is not installed: pip install onnx") from None
    made = Made(integers)
    _layers(network, made)
    model = _model(network, made)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as e:  # the checker's errors have no common class
        raise ToolkitError(f"{network.name}: onnx.checker refuses the model: {str(e).splitlines()[0]}") from None
    return model


def _model(network: Network, made: Made) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    time: int | str = network.window if network.mode == "window" else "time"
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None, len(network.outputs)])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", time, len(network.inputs)])
    constants = [numpy_helper.from_array(v, k) for k, v in made.constants.items()]
    graph = helper.make_graph(made.nodes, network.name, [x], [y], constants)
    used = {n.op_type for n in made.nodes}
    opset, ir = next((v for op, v in NEWER.items() if op in used), OPSET)
    model = helper.make_model(graph, producer_name="tealight", producer_version=__version__, ir_version=ir)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    helper.set_model_props(model, {KEY: json.dumps(description(network), sort_keys=True)})
    return model


def description(network: Network) -> dict[str, Any]:
    """What of a network is not in its layers."""
    made = {k: getattr(network, k) for k in SCALARS}
    made |= {side: [asdict(c) for c in getattr(network, side)] for side in ("inputs", "outputs")}
    return {**made, "front": asdict(network.front) if network.front else None}


def _layers(network: Network, made: Made) -> None:
    tensors = {INPUT: _input(made)}
    turned = {x.name for x in network.layers if x.reverse}
    for k, x in enumerate(network.layers):
        fed = [(s, tensors[s]) for s in sources(network.layers, k)]
        if k == len(network.layers) - 1 and network.mode == "window":
            fed = [(s, _seen(made, network.head, s in turned, t, f"{x.name}/{s or 'input'}")) for s, t in fed]
        names = [t for _, t in fed]
        if x.op in ("add", "mul"):
            tensors[x.name] = _merge(made, x, names)
            continue
        joined = names[0] if len(names) == 1 else made.node("Concat", names, f"{x.name}/joined", axis=2)
        if x.op not in OPS:
            raise ToolkitError(f"{x.name}: {x.op} has no ONNX form; expected one of {', '.join(OPS)}, add, mul")
        tensors[x.name] = OPS[x.op](made, x, joined)
    made.node("Transpose", [tensors[network.layers[-1].name]], "y/batch_first", "y", perm=[1, 0, 2])


def _input(made: Made) -> str:
    """x with the time first; quantized, each input in its own steps, in which h's step is one for all."""
    if made.integers is not None:
        made.weight("x.step", made.integers.x)
        made.weight("x.unit", np.array(made.integers.h))
        made.constants["x.zeros"], made.constants["x.zero"] = (
            np.zeros(len(made.integers.x), np.int16),
            np.array(0, np.int16),
        )
        made.node("QuantizeLinear", ["x", "x.step", "x.zeros"], "x/int16", axis=2)
        made.node("DequantizeLinear", ["x/int16", "x.unit", "x.zero"], "x/real")
    return made.node("Transpose", ["x/real" if made.integers else "x"], "x/time_first", perm=[1, 0, 2])


def _seen(made: Made, head: str, turned: bool, tensor: str, name: str) -> str:
    """What the last layer sees of a window: HEADS of quantize.network."""
    if head == "all":
        return tensor
    if head == "mean":
        return made.node("ReduceMean", [tensor], f"{name}/mean", axes=[0])
    return _step(made, tensor, 0 if turned and head == "final_states" else -1, name)


def _step(made: Made, tensor: str, at: int, name: str) -> str:
    constants = (made.whole(f"{name}/{k}", v) for k, v in (("from", at), ("to", at + 1 or 2**31 - 1), ("axis", 0)))
    return made.node("Slice", [tensor, *constants], f"{name}/step")


def _merge(made: Made, x: Layer, names: list[str]) -> str:
    if x.op == "mul" and len(names) > 2:
        raise ToolkitError(f"{x.name}: a product of {len(names)} sources; expected two")
    return made.node({"add": "Add" if len(names) == 2 else "Sum", "mul": "Mul"}[x.op], names, x.name)


def _activated(made: Made, name: str, tensor: str, text: str) -> str:
    """An activation as a node of this name."""
    function, values = parse(text)
    if function == "relu6":
        low, high = (made.weight(f"{name}/{k}", np.array(v)) for k, v in (("min", 0), ("max", 6)))
        return made.node("Clip", [tensor, low, high], name)
    if function == "silu":
        return made.node("Mul", [tensor, made.node("Sigmoid", [tensor], f"{name}/sigmoid")], name)
    if function in ("affine", "scaled_tanh"):
        raise ToolkitError(f"{name}: {text} has no ONNX operator; expected a scale layer, or tanh")
    op, keys = FUNCTIONS[function]
    attributes: dict[str, Any] = dict(zip(keys, values, strict=True))
    attributes |= {"approximate": "tanh"} if function == "gelu_tanh" else {}
    return made.node(op, [tensor], name, **attributes)


def _dense(made: Made, x: Layer, tensor: str) -> str:
    w = made.rows(x.name, "w", f"{x.name}.w", x.weights["w"].T, np.arange(len(x.weights["w"])))
    y = made.node("MatMul", [tensor, w], f"{x.name}/product")
    y = made.node("Add", [y, made.weight(f"{x.name}.b", x.weights["b"])], x.name)
    return _activated(made, f"{x.name}/{parse(x.activations[0])[0]}", y, x.activations[0]) if x.activations else y


def _recurrent(made: Made, x: Layer, tensor: str) -> str:
    size, w = x.weights["w_hh"].shape[1], x.weights
    if x.options.get("cell_clip"):
        raise ToolkitError(
            f"{x.name}: its cell is clipped (cell_clip), which neither ONNX's LSTM nor PyTorch's can say; "
            f"expected no cell_clip: only the C of generate-c has it"
        )
    rows = np.concatenate([np.arange(g * size, (g + 1) * size) for g in GATES[x.op]])
    b = w["b"][: len(rows)][rows]
    after = x.op == "gru" and len(w["b"]) > len(rows)
    from_h = np.zeros_like(b)
    if after:
        from_h[2 * size :] = w["b"][3 * size :]
    arrays = {"B": np.concatenate([b, from_h])}
    arrays |= {"P": np.concatenate([np.split(w["p"], 3)[k] for k in (0, 2, 1)])} if "p" in w else {}
    names = {
        k: made.rows(x.name, key, f"{x.name}.{k}", w[key][rows][None], rows)
        for k, key in (("W", "w_ih"), ("R", "w_hh"))
    }
    names |= {k: made.weight(f"{x.name}.{k}", v[None]) for k, v in arrays.items()}
    states = [_state(made, x, k, tensor) for k in (("h0", "c0") if x.op == "lstm" else ("h0",))]
    inputs = [tensor, names["W"], names["R"], names["B"], "", *states, names.get("P", "")]
    while not inputs[-1]:
        inputs.pop()
    attributes: dict[str, Any] = {"hidden_size": size, "direction": "reverse" if x.reverse else "forward"}
    attributes |= {"clip": float(x.options["preact_clip"])} if x.options.get("preact_clip") else {}
    attributes |= {"input_forget": 1} if x.options.get("input_forget") else {}
    attributes |= {"linear_before_reset": 1} if after else {}
    y = made.node(x.op.upper(), inputs, x.name, f"{x.name}/Y", **attributes, **_functions(x))
    return made.rounded(
        made.node("Squeeze", [y, made.whole(f"{x.name}/direction", 1)], f"{x.name}/all", x.name), x.name
    )


def _state(made: Made, x: Layer, key: str, tensor: str) -> str:
    """A first state that is not zero, for as many windows as come in."""
    if key not in x.weights:
        return ""
    shape = made.node("Shape", [tensor], f"{x.name}/{key}_batch", start=1, end=2)
    one = made.whole(f"{x.name}/{key}_one", 1)
    size = made.whole(f"{x.name}/{key}_size", len(x.weights[key]))
    whole = made.node("Concat", [one, shape, size], f"{x.name}/{key}_shape", axis=0)
    return made.node("Expand", [made.weight(f"{x.name}.{key}", x.weights[key]), whole], f"{x.name}/{key}")


def _functions(x: Layer) -> dict[str, Any]:
    if not x.activations and not x.options.get("relu"):
        return {}
    found = [parse(text) for text in activations(x)]
    wrong = [name for name, _ in found if name not in RECURRENT]
    if wrong:
        raise ToolkitError(f"{x.name}: ONNX has no {x.op} with {wrong[0]}; expected one of {', '.join(RECURRENT)}")
    made: dict[str, Any] = {"activations": [FUNCTIONS[name][0] for name, _ in found]}
    alpha, beta = ([v[k] for _, v in found if len(v) > k] for k in (0, 1))
    return made | ({"activation_alpha": alpha} if alpha else {}) | ({"activation_beta": beta} if beta else {})


def _scale(made: Made, x: Layer, tensor: str) -> str:
    y = made.node("Mul", [tensor, made.weight(f"{x.name}.gain", x.weights["gain"])], f"{x.name}/gain")
    return made.node("Add", [y, made.weight(f"{x.name}.offset", x.weights["offset"])], x.name)


def _norm(made: Made, x: Layer, tensor: str) -> str:
    names = [made.weight(f"{x.name}.{k}", x.weights[k]) for k in ("gain", "offset")]
    return made.node("LayerNormalization", [tensor, *names], x.name, epsilon=float(x.options.get("epsilon", 0)))


def _over_time(made: Made, x: Layer, tensor: str, op: str, weights: Sequence[str], **attributes: Any) -> str:
    """An operator of [batch, channels, time]."""
    o = {k: int(v) for k, v in x.options.items() if k in ("stride", "pad_before", "pad_after")}
    attributes |= {"strides": [o.get("stride", 1)], "pads": [o.get("pad_before", 0), o.get("pad_after", 0)]}
    channels = made.node("Transpose", [tensor], f"{x.name}/channels", perm=[1, 2, 0])
    y = made.node(op, [channels, *weights], x.name, f"{x.name}/y", **attributes)
    return made.node("Transpose", [y], f"{x.name}/time_first", x.name, perm=[2, 0, 1])


def _conv(made: Made, x: Layer, tensor: str) -> str:
    weights = [made.weight(f"{x.name}.{k}", x.weights[k]) for k in ("w", "b")]
    o = {"dilations": [int(x.options.get("dilation", 1))], "group": int(x.options.get("groups", 1))}
    return _over_time(made, x, tensor, "Conv", weights, kernel_shape=[x.weights["w"].shape[2]], **o)


def _pool(made: Made, x: Layer, tensor: str) -> str:
    largest, kernel = bool(x.options.get("max")), int(x.options.get("kernel", 0))
    if not kernel:
        return made.node("ReduceMax" if largest else "ReduceMean", [tensor], x.name, axes=[0])
    more = {} if largest else {"count_include_pad": int(x.options.get("count_pad", 0))}
    return _over_time(made, x, tensor, "MaxPool" if largest else "AveragePool", [], kernel_shape=[kernel], **more)


def _flatten(made: Made, x: Layer, tensor: str) -> str:
    batch_first = made.node("Transpose", [tensor], f"{x.name}/batch_first", perm=[1, 0, 2])
    flat = made.node("Flatten", [batch_first], f"{x.name}/flat", axis=1)
    return made.node("Unsqueeze", [flat, made.whole(f"{x.name}/time", 0)], x.name)


def _pick(made: Made, x: Layer, tensor: str) -> str:
    first = int(x.options.get("first", 0))
    cut = (("from", first), ("to", first + int(x.options["count"])), ("axis", 2))
    return made.node("Slice", [tensor, *(made.whole(f"{x.name}/{k}", v) for k, v in cut)], x.name)


OPS: dict[str, Callable[[Made, Layer, str], str]] = {
    "lstm": _recurrent,
    "gru": _recurrent,
    "rnn": _recurrent,
    "dense": _dense,
    "activation": lambda made, x, tensor: _activated(made, x.name, tensor, x.activations[0]),
    "scale": _scale,
    "norm": _norm,
    "conv": _conv,
    "pool": _pool,
    "flatten": _flatten,
    "take": lambda made, x, tensor: _step(made, tensor, int(x.options.get("at", -1)), x.name),
    "pick": _pick,
}
"""op -> what adds its nodes: [time, batch, features] in and out."""
