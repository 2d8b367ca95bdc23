"""The other libraries for `bench`: the same LSTM layer in each, and an empty model that takes the same call.

Each builder returns {kind: (call, empty)} for the kinds `step` and `sequence`: functions without arguments. A library
that is not installed is left out by name."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from quantize.network import Layer
from quantize.ops import lstm
from toolkit import tflite
from toolkit.bench_ours import RANGE, quantized

Call = Callable[[], Any]
Calls = dict[str, tuple[Call, Call]]


def onnxruntime_f32(layer: Layer, x: np.ndarray) -> Calls:
    """ONNX Runtime, the session's `run` over the state that the caller holds."""
    return _onnxruntime(layer, x, int8=False)


def onnxruntime_int8(layer: Layer, x: np.ndarray) -> Calls:
    """The same after ONNX Runtime's own dynamic quantization (int8 weights)."""
    return _onnxruntime(layer, x, int8=True)


def _onnxruntime(layer: Layer, x: np.ndarray, *, int8: bool) -> Calls:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3

    def session(model: bytes) -> Any:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    model = _onnx_lstm(layer)
    run = session(_dynamic(model) if int8 else model).run
    empty = session(_onnx_identity(layer)).run
    h = np.zeros((1, 1, lstm.hidden_size(layer)), np.float32)
    out: Calls = {}
    for kind, rows in (("step", x[:1]), ("sequence", x)):
        feeds = {"x": np.ascontiguousarray(rows[:, None], np.float32), "h": h, "c": h}
        out[kind] = (partial(run, None, feeds), partial(empty, None, feeds))
    return out


def _onnx_model(layer: Layer, nodes: list[Any], constants: dict[str, np.ndarray]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    sizes: tuple[tuple[str, list[Any]], ...] = (
        ("x", ["time", 1, lstm.input_size(layer)]),
        ("h", [1, 1, lstm.hidden_size(layer)]),
        ("c", [1, 1, lstm.hidden_size(layer)]),
    )
    shapes = {"y": [1, 1, lstm.hidden_size(layer)], "h_new": sizes[1][1], "c_new": sizes[2][1]}
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sizes],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items() if k != "y"],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _onnx_lstm(layer: Layer) -> bytes:
    """One LSTM node: gates i, o, f, c, and the biases of x and of h side by side."""
    from onnx import helper

    w = {k: np.concatenate([np.split(v, 4)[i] for i in (0, 3, 1, 2)]) for k, v in layer.weights.items()}
    constants = {"w": w["w_ih"][None], "r": w["w_hh"][None], "b": np.concatenate([w["b"], 0 * w["b"]])[None]}
    node = helper.make_node(
        "LSTM", ["x", "w", "r", "b", "", "h", "c"], ["", "h_new", "c_new"], hidden_size=lstm.hidden_size(layer)
    )
    return _onnx_model(layer, [node], constants)


def _onnx_identity(layer: Layer) -> bytes:
    from onnx import helper

    return _onnx_model(layer, [helper.make_node("Identity", [a], [b]) for a, b in (("h", "h_new"), ("c", "c_new"))], {})


def _dynamic(model: bytes) -> bytes:
    """onnxruntime.quantization works on files."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work) / "a.onnx", Path(work) / "b.onnx"
        source.write_bytes(model)
        with _quiet():
            quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        return target.read_bytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks that libraries write to the process's own stdout and stderr."""
    saved, sink = [os.dup(fd) for fd in (1, 2)], os.open(os.devnull, os.O_WRONLY)
    try:
        for fd in (1, 2):
            os.dup2(sink, fd)
        yield
    finally:
        for fd, old in zip((1, 2), saved, strict=True):
            os.dup2(old, fd)
            os.close(old)
        os.close(sink)


def litert_f32(layer: Layer, x: np.ndarray) -> Calls:
    """LiteRT (XNNPACK, one thread): `Invoke` of the fused sequence LSTM, the state inside."""
    return _litert(partial(tflite.float32, layer), x.astype(np.float32))


def litert_int8(layer: Layer, x: np.ndarray) -> Calls:
    """The same of the fused int8 LSTM, whose arithmetic and whose weights are those of our w8a8."""
    model = tflite.from_qlayer(quantized(layer, "w8a8"), RANGE / 127)
    return _litert(partial(tflite.int8, model), np.rint(x * 127 / RANGE).astype(np.int8))


def _litert(model: Callable[[int], bytes], x: np.ndarray) -> Calls:
    """model(steps): the file of one."""
    from ai_edge_litert.interpreter import Interpreter

    def invoke(content: bytes, rows: np.ndarray) -> Call:
        with _quiet():
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rows[None])

        def call(keep: Any = interpreter, run: Call = interpreter._interpreter.Invoke) -> Any:
            return run()

        return call

    def empty(rows: np.ndarray) -> bytes:
        return tflite.nothing(x.dtype.name, *rows.shape)

    return {
        kind: (invoke(model(len(rows)), rows), invoke(empty(rows), rows))
        for kind, rows in (("step", x[:1]), ("sequence", x))
    }


def torch_f32(layer: Layer, x: np.ndarray) -> Calls:
    """PyTorch, nn.LSTM in inference mode, one thread."""
    import torch

    torch.set_num_threads(1)
    network: Any = torch.nn.LSTM(lstm.input_size(layer), lstm.hidden_size(layer))
    with torch.no_grad():
        for name, value in (("weight_ih_l0", "w_ih"), ("weight_hh_l0", "w_hh"), ("bias_ih_l0", "b")):
            getattr(network, name).copy_(torch.from_numpy(layer.weights[value].copy()))
        network.bias_hh_l0.zero_()
    empty = torch.nn.Identity()
    state = tuple(torch.zeros(1, 1, lstm.hidden_size(layer)) for _ in range(2))

    def call(model: Any, rows: np.ndarray) -> Call:
        v = torch.from_numpy(np.ascontiguousarray(rows[:, None], np.float32))

        def run() -> Any:
            with torch.inference_mode():
                return model(v, *state)

        return run

    def forward(v: Any, h: Any, c: Any) -> Any:
        return network(v, (h, c))

    def nothing(v: Any, h: Any, c: Any) -> Any:
        return empty(v)

    return {kind: (call(forward, rows), call(nothing, rows)) for kind, rows in (("step", x[:1]), ("sequence", x))}


PEERS: dict[str, tuple[tuple[str, ...], Callable[[Layer, np.ndarray], Calls]]] = {
    "litert f32": (("ai_edge_litert",), litert_f32),
    "litert int8": (("ai_edge_litert",), litert_int8),
    "onnxruntime f32": (("onnxruntime", "onnx"), onnxruntime_f32),
    "onnxruntime int8": (("onnxruntime", "onnx"), onnxruntime_int8),
    "torch f32": (("torch",), torch_f32),
}
"""Name -> the modules that it needs, and its builder."""


def installed() -> tuple[list[str], dict[str, str]]:
    """The peers that can run here, and the version of each module of PEERS (or `not installed`)."""
    modules = {m for needed, _ in PEERS.values() for m in needed}
    here = {m for m in modules if find_spec(m) is not None}
    versions = {m: metadata.version(m.replace("_", "-")) if m in here else "not installed" for m in sorted(modules)}
    return [name for name, (needed, _) in PEERS.items() if set(needed) <= here], versions
