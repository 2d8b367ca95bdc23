"""Random int8 LSTM models for ai-edge-litert, and the same layer as our QLayer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize import gemmlowp
from quantize.network import frozen_arrays
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


def random_lstm(rng: np.random.Generator, inputs: int, hidden: int, bits: int, clip: float) -> Lstm:
    """Scales such that gates move, and now and then saturate."""
    x_scale, h_scale = rng.uniform(0.005, 0.05), rng.uniform(0.9, 2.1) / 256
    wx = rng.integers(-127, 128, (4, hidden, inputs))
    wh = rng.integers(-127, 128, (4, hidden, hidden))
    return Lstm(
        wx,
        wh,
        rng.integers(-20000, 20000, (4, hidden)),
        rng.uniform(0.2, 3.0, 4) * 2.0**bits / 127 / np.sqrt(inputs),
        rng.uniform(0.2, 3.0, 4) / 127 / np.sqrt(hidden),
        float(np.float32(x_scale)),
        int(rng.integers(-128, 128)),
        float(np.float32(h_scale)),
        int(rng.integers(-40, 41)),
        bits,
        clip,
    )


def qlayer(v: Lstm, *, table: bool) -> QLayer:
    """As TFLite prepares it: scales meet in float32, multipliers come from float64."""
    f32 = np.float32
    scales = [float(f32(s) * f32(v.x_scale) / f32(2.0**-12)) for s in v.wx_scale]
    scales += [float(f32(s) * f32(v.h_scale) / f32(2.0**-12)) for s in v.wh_scale]
    scales.append(float(f32(2.0**-15 / float(f32(v.h_scale)) * 2.0**-15)))
    m, s = zip(*map(gemmlowp.multiplier, scales), strict=True)
    size = v.wh.shape[1]
    wx, wh = v.wx.reshape(4 * size, -1), v.wh.reshape(4 * size, -1)
    arrays = {
        "wx": wx.astype(np.int8),
        "wh": wh.astype(np.int8),
        "bx": (v.b.reshape(-1) - v.x_zero * wx.sum(1)).astype(np.int32),
        "bh": (-v.h_zero * wh.sum(1)).astype(np.int32),
        "m": np.array(m, np.int32),
        "s": np.array(s, np.int8),
    }
    clip = int(np.clip(v.clip / 2.0 ** (v.bits - 15), 0, 32767))
    params = {"table": int(table), "bits": v.bits, "clip": clip, "x_zero": v.x_zero, "h_zero": v.h_zero}
    return QLayer("lstm0", "lstm_w8a8", frozen_arrays(arrays), params)


class _Graph:
    """Tensors of a model under construction."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []

    def add(self, name: str, shape: Sequence[int], kind: str, scale: float, zero: int, data: Any = None) -> int:
        s = self.schema
        tensor = s.TensorT()
        tensor.name, tensor.shape = name, list(shape)
        tensor.type = getattr(s.TensorType, kind.upper())
        tensor.quantization = s.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
        if data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, kind).tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def tflite(v: Lstm, steps: int) -> bytes:
    """The model: input int8 [1, steps, inputs] -> output int8 [1, steps, H]."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as s

    size, inputs = v.wx.shape[1:]
    g = _Graph(s)
    x = g.add("x", (1, steps, inputs), "int8", v.x_scale, v.x_zero)
    wx = [g.add(f"wx{k}", (size, inputs), "int8", float(v.wx_scale[k]), 0, v.wx[k]) for k in range(4)]
    wh = [g.add(f"wh{k}", (size, size), "int8", float(v.wh_scale[k]), 0, v.wh[k]) for k in range(4)]
    b = [g.add(f"b{k}", (size,), "int32", v.x_scale * float(v.wx_scale[k]), 0, v.b[k]) for k in range(4)]
    h = g.add("h", (1, size), "int8", v.h_scale, v.h_zero)
    c = g.add("c", (1, size), "int16", 2.0 ** (v.bits - 15), 0)
    y = g.add("y", (1, steps, size), "int8", v.h_scale, v.h_zero)
    between = [g.add(f"z{k}", (size,), "int16", 2.0**-12, 0) for k in range(4)]
    between.append(g.add("hidden", (size,), "int8", v.h_scale, v.h_zero))
    g.tensors[h].isVariable = g.tensors[c].isVariable = True
    op = s.OperatorT()
    op.inputs = [x, *wx, *wh, -1, -1, -1, *b, -1, -1, h, c, -1, -1, -1, -1]
    op.outputs, op.intermediates = [y], between
    op.builtinOptionsType = s.BuiltinOptions.UnidirectionalSequenceLSTMOptions
    op.builtinOptions = s.UnidirectionalSequenceLSTMOptionsT()
    op.builtinOptions.fusedActivationFunction = s.ActivationFunctionType.TANH
    op.builtinOptions.cellClip = v.clip
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = s.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    code.version = 3
    graph = s.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = g.tensors, [x], [y], [op]
    model = s.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], g.buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
