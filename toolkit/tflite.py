"""Models of one LSTM layer for ai-edge-litert: float32, int8 (TFLite's "8x8_16"), and one that does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize.network import Layer
from quantize.ops import lstm, lstm_w8a8
from quantize.qnetwork import QLayer


@dataclass(frozen=True, slots=True, eq=False)
class Lstm:
    """Weights int8 [4, H, n], bias int32 [4, H] in gate order i, f, g, o, and what TFLite's tensors say of scales."""

    wx: np.ndarray
    wh: np.ndarray
    b: np.ndarray
    wx_scale: np.ndarray
    wh_scale: np.ndarray
    x_scale: float
    x_zero: int
    h_scale: float
    h_zero: int
    bits: int
    clip: float


def from_qlayer(q: QLayer, x_scale: float) -> Lstm:
    """One of our own layers of the scheme w8a8, whose zero points are 0. x_scale: real value of one step of x."""
    a, size, unit = q.arrays, lstm_w8a8.hidden_size(q), lstm_w8a8.UNIT
    scales = a["m"][:8] * 2.0 ** (a["s"][:8] - 31.0) / 4096
    wx, wh = (a[k].reshape(4, size, -1) for k in ("wx", "wh"))
    b, bits = a["bx"].reshape(4, size), q.params["bits"]
    return Lstm(wx, wh, b, scales[:4] / x_scale, scales[4:] / unit, x_scale, 0, unit, 0, bits, 0.0)


class _Graph:
    """A model under construction; `kind` of a tensor: float32, int8 .."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated

        self.schema: Any = schema_py_generated
        self.buffers = [self.schema.BufferT()]
        self.tensors: list[Any] = []

    def add(
        self, shape: Sequence[int], kind: str, data: Any = None, *, name: str = "", scale: float = 0.0, zero: int = 0
    ) -> int:
        """A tensor; data: what it always holds. scale 0: not quantized."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape = name or f"t{len(self.tensors)}", list(shape)
        tensor.type = getattr(self.schema.TensorType, kind.upper())
        if scale:
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, kind).tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def lstm(self, x: int, weights: Sequence[int], b: Sequence[int], state: Sequence[int], clip: float) -> Any:
        """The operator UNIDIRECTIONAL_SEQUENCE_LSTM: weights of x, then of h, in gate order i, f, g, o."""
        op, options = self.schema.OperatorT(), self.schema.UnidirectionalSequenceLSTMOptionsT()
        for k in state:
            self.tensors[k].isVariable = True
        op.inputs = [x, *weights, -1, -1, -1, *b, -1, -1, *state, -1, -1, -1, -1]
        options.fusedActivationFunction = self.schema.ActivationFunctionType.TANH
        options.cellClip = clip
        op.builtinOptionsType, op.builtinOptions = (
            self.schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions,
            options,
        )
        return op

    def finish(self, op: Any, x: int, y: int, *, version: int, builtin: str = "UNIDIRECTIONAL_SEQUENCE_LSTM") -> bytes:
        """The file of the model: one operator, from x to y."""
        import flatbuffers

        code, graph, model = self.schema.OperatorCodeT(), self.schema.SubGraphT(), self.schema.ModelT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self.schema.BuiltinOperator, builtin)
        code.version, op.outputs = version, [y]
        graph.tensors, graph.inputs, graph.outputs, graph.operators = self.tensors, [x], [y], [op]
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def float32(layer: Layer, steps: int) -> bytes:
    """x float32 [1, steps, inputs] -> h [1, steps, H]."""
    g, hidden = _Graph(), lstm.hidden_size(layer)
    parts = [np.split(layer.weights[k], 4) for k in ("w_ih", "w_hh", "b")]
    x = g.add((1, steps, lstm.input_size(layer)), "float32")
    weights = [g.add(v.shape, "float32", v) for gates in parts[:2] for v in gates]
    biases = [g.add(v.shape, "float32", v) for v in parts[2]]
    state = [g.add((1, hidden), "float32") for _ in range(2)]
    y = g.add((1, steps, hidden), "float32")
    return g.finish(g.lstm(x, weights, biases, state, 0.0), x, y, version=1)


def int8(v: Lstm, steps: int) -> bytes:
    """x int8 [1, steps, inputs] -> y, h int8 [1, steps, H]; the tensors x, y, h and c have these names."""
    size, inputs = v.wx.shape[1:]
    g = _Graph()
    x = g.add((1, steps, inputs), "int8", name="x", scale=v.x_scale, zero=v.x_zero)
    weights = [
        g.add(w.shape[1:], "int8", w[k], scale=float(scale[k]))
        for w, scale in ((v.wx, v.wx_scale), (v.wh, v.wh_scale))
        for k in range(4)
    ]
    biases = [g.add((size,), "int32", v.b[k], scale=v.x_scale * float(v.wx_scale[k])) for k in range(4)]
    h = g.add((1, size), "int8", name="h", scale=v.h_scale, zero=v.h_zero)
    c = g.add((1, size), "int16", name="c", scale=2.0 ** (v.bits - 15))
    y = g.add((1, steps, size), "int8", name="y", scale=v.h_scale, zero=v.h_zero)
    op = g.lstm(x, weights, biases, (h, c), v.clip)
    op.intermediates = [g.add((size,), "int16", scale=2.0**-12) for _ in range(4)]
    op.intermediates.append(g.add((size,), "int8", scale=v.h_scale, zero=v.h_zero))
    return g.finish(op, x, y, version=3)


def nothing(kind: str, steps: int, inputs: int) -> bytes:
    """x [1, steps, inputs] through RELU."""
    g, scale = _Graph(), 0.0 if kind == "float32" else 0.1
    x, y = (g.add((1, steps, inputs), kind, scale=scale) for _ in range(2))
    op = g.schema.OperatorT()
    op.inputs = [x]
    return g.finish(op, x, y, version=1 if kind == "float32" else 2, builtin="RELU")
