"""The parameter structs of csrc/tl_cells_f32.h and tl_layers_f32.h, from the layers of a float network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quantize.activations import parse
from quantize.float_ops import DEFAULTS, activations
from quantize.float_stream import plain
from quantize.network import Layer
from quantize.norm import EPSILON
from quantize.ops import gru
from toolkit.codegen.pack import Packed, PackedArray
from toolkit.codegen.pack_f32 import GATES, place
from toolkit.codegen.plan_f32 import Line, Node
from toolkit.codegen.render import float32

Fields = tuple[tuple[str, str], ...]


def pack(node: Node, target: str) -> tuple[str, str, Packed | None]:
    """(function, whose kernel it is, parameters) of a layer; no parameters where the function takes none.

    target: that of layers which the fast kernels run."""
    x = node.layer
    if plain(x) or x.op == "dense":
        owner, packed = place(x, target)
        start = tuple(_array(k, x.weights[k], _FIRST[k]) for k in ("h0", "c0") if k in x.weights)
        packed = Packed(packed.struct, (*packed.arrays, *start), packed.fields)
        return f"tl_{'dense' if x.op == 'dense' else f'{x.op}_step'}_f32_{owner}", owner, packed
    if x.op in DEFAULTS:
        name = x.op if x.op in ("rnn", "lstm_norm") else f"{x.op}_full"
        made = _lstm_norm(x) if x.op == "lstm_norm" else _cell(x, f"tl_{name}_f32")
        return f"tl_{name}_step_f32_ref", "ref", made
    if x.op == "activation":
        return f"tl_{parse(x.activations[0])[0]}_f32_ref", "ref", None
    if x.op in ("norm", "scale"):
        more = (("epsilon", float32(x.options.get("epsilon", 0.0))),) if x.op == "norm" else ()
        return f"tl_{x.op}_f32_ref", "ref", Packed(f"tl_{x.op}_f32", _gains(x), (*_GAINS, *more, ("n", _width(x))))
    if x.op == "conv":
        return "tl_conv_f32_ref", "ref", _conv(node)
    if x.op == "pool":
        (read,), line = node.reads, node.line
        fields = (*_time(x, int(x.options.get("kernel", 0)) or read.steps, read, line), ("n", str(read.width)))
        count = (("count_padding", str(int(bool(x.options.get("count_pad"))))),)
        function = "tl_max_pool_f32_ref" if x.options.get("max") else "tl_average_pool_f32_ref"
        return function, "ref", Packed("tl_pool_f32", (), (*fields, *count))
    return f"tl_{x.op if x.op in ('add', 'mul') else 'copy'}_f32_ref", "ref", None


_FIRST = {"h0": "h before the first step [unit]", "c0": "c before the first step [unit]"}
_GAINS = (("gain", "@gain"), ("offset", "@offset"))


def function_call(text: str) -> tuple[str, str, str]:
    """An activation as (function, a, b) in C."""
    name, values = parse(text)
    a, b = (*values, 0.0, 0.0)[:2]
    return f"tl_{name}_f32_ref", float32(a), float32(b)


def _function(field: str, text: str) -> Fields:
    return tuple((f"{field}.{k}", v) for k, v in zip(("function", "a", "b"), function_call(text), strict=True))


def _array(suffix: str, array: np.ndarray, meaning: str, rows: list[str] | None = None) -> PackedArray:
    return PackedArray(suffix, "float", np.ascontiguousarray(array, np.float32), meaning, rows)


def _width(x: Layer) -> str:
    return str(len(x.weights["gain"]))


def _gains(x: Layer) -> tuple[PackedArray, ...]:
    return _array("gain", x.weights["gain"], "gains [feature]"), _array(
        "offset", x.weights["offset"], "offsets [feature]"
    )


_MEANINGS: Mapping[str, str] = {
    "w_ih": "input weights [row][input]",
    "w_hh": "recurrent weights [row][unit]",
    "b": "biases [row]",
    "b_ih": "biases of the input part [row]",
    "b_hh": "biases of the recurrent part [row]",
    "p": "peepholes [i, f, o][unit]",
    **_FIRST,
}


def _matrices(x: Layer) -> tuple[tuple[PackedArray, ...], Fields]:
    """The arrays of a recurrent layer, with h0 and c0, and its sizes."""
    rows, hidden = len(x.weights["w_hh"]), x.weights["w_hh"].shape[1]
    gates = GATES.get(x.op, ("i", "f", "g", "o") if rows == 4 * hidden else ("h",))
    labels = [f"{gate}{unit}" for gate in gates for unit in range(hidden)]
    arrays = tuple(
        _array(k, x.weights[k], text, labels if x.weights[k].ndim == 2 else None)
        for k, text in _MEANINGS.items()
        if k in x.weights
    )
    return arrays, (("inputs", str(x.weights["w_ih"].shape[1])), ("hidden", str(hidden)))


def _cell(x: Layer, struct: str) -> Packed:
    arrays, sizes = _matrices(x)
    fields = [("w_ih", "@w_ih"), ("w_hh", "@w_hh"), ("b", "@b")]
    if x.op == "lstm":
        fields.append(("peepholes", "@p" if "p" in x.weights else "NULL"))
        fields.append(("cell_clip", float32(x.options.get("cell_clip", 0))))
        fields.append(("input_forget", str(int(bool(x.options.get("input_forget"))))))
    if x.op == "gru":
        fields.append(("reset_after", str(int(gru.reset_after(x)))))
    names = {"lstm": ("gates", "candidate", "out"), "gru": ("gates", "candidate"), "rnn": ("activation",)}[x.op]
    for name, text in zip(names, activations(x), strict=True):
        fields += _function(name, text)
    return Packed(struct, arrays, (*fields, ("clip", float32(x.options.get("preact_clip", 0))), *sizes))


def _lstm_norm(x: Layer) -> Packed:
    arrays, sizes = _matrices(x)
    fields = [(k, f"@{k}") for k in ("w_ih", "w_hh", "b_ih", "b_hh")]
    for part in ("norm_x", "norm_c", "norm_h"):
        gain, offset = x.weights[part]
        arrays = (*arrays, _array(f"{part}_gain", gain, "gains"), _array(f"{part}_offset", offset, "offsets"))
        fields += [(f"{part}.{k}", f"@{part}_{k}") for k in ("gain", "offset")]
        fields += [(f"{part}.epsilon", float32(EPSILON)), (f"{part}.n", str(len(gain)))]
    return Packed("tl_lstm_norm_f32", arrays, (*fields, *sizes))


def _conv(node: Node) -> Packed:
    x, read = node.layer, node.reads[0]
    if node.past:  # in a stream the rows that it sees lie one after the other, those before the first being zeros
        x, read = replace(x, options={**x.options, "pad_before": 0}), replace(read, stride=read.width, steps=node.past)
    w = x.weights["w"]
    out, width, kernel = w.shape
    rows = np.ascontiguousarray(w.transpose(0, 2, 1)).reshape(out, -1)
    arrays = (
        _array("w", rows, f"weights [output][{kernel} steps, {width} inputs each]", [f"y{k}" for k in range(out)]),
        _array("b", x.weights["b"], "biases [output]"),
    )
    sizes = {"inputs": read.width, "outputs": out, "groups": int(x.options.get("groups", 1))}
    fields = (("w", "@w"), ("b", "@b"), *((k, str(v)) for k, v in sizes.items()))
    return Packed("tl_conv_f32", arrays, (*_time(x, kernel, read, node.line), *fields))


def _time(x: Layer, kernel: int, read: Line, line: Line) -> Fields:
    o = {k: int(x.options.get(k, 1)) for k in ("stride", "dilation")}
    numbers = {"x_stride": read.stride, "y_stride": line.stride, "in_steps": read.steps, "out_steps": line.steps}
    numbers |= {"kernel": kernel, **o, "before": int(x.options.get("pad_before", 0))}
    return tuple((f"time.{k}", str(v)) for k, v in numbers.items())
