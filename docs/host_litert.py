"""Times a streaming step of LiteRT's float32 LSTM: `python docs/host_litert.py "[[1, 32]]"`, where ai-edge-litert is.

Prints a JSON list of microseconds, one per [inputs, hidden]. host_kernels.py calls it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter


def model(inputs: int, hidden: int) -> bytes:
    """A .tflite file of one UNIDIRECTIONAL_SEQUENCE_LSTM, x [1, 1, inputs] -> h [1, 1, hidden], with random weights."""
    m, graph, code, op = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    code.version, m.version, m.operatorCodes, m.buffers, graph.tensors = 1, 3, [code], [schema.BufferT()], []
    rng = np.random.default_rng(0)

    def tensor(shape: tuple[int, ...], *, constant: bool = False, variable: bool = False) -> int:
        t: Any = schema.TensorT()
        t.name, t.shape, t.type = f"t{len(graph.tensors)}", list(shape), schema.TensorType.FLOAT32
        t.isVariable, t.buffer = variable, 0
        if constant:
            b: Any = schema.BufferT()
            b.data = np.frombuffer(rng.normal(0, 0.1, shape).astype(np.float32).tobytes(), np.uint8)
            m.buffers.append(b)
            t.buffer = len(m.buffers) - 1
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    x = tensor((1, 1, inputs))
    weights = [tensor((hidden, n), constant=True) for n in (inputs, hidden) for _ in range(4)]
    biases = [tensor((hidden,), constant=True) for _ in range(4)]
    states = [tensor((1, hidden), variable=True) for _ in range(2)]
    op.inputs = [x, *weights, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
    op.outputs = [tensor((1, 1, hidden))]
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    op.opcodeIndex, op.builtinOptions = 0, options
    op.builtinOptionsType = schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions
    graph.operators, graph.inputs, graph.outputs, m.subgraphs = [op], [x], op.outputs, [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(m.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def microseconds(inputs: int, hidden: int) -> float:
    """The best of many runs of `Invoke`, one thread."""
    interpreter = Interpreter(model_content=model(inputs, hidden), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((1, 1, inputs), np.float32))
    invoke, best = interpreter._interpreter.Invoke, float("inf")
    for _ in range(40):
        start = time.perf_counter()
        for _ in range(100):
            invoke()
        best = min(best, (time.perf_counter() - start) * 1e6 / 100)
    return best


if __name__ == "__main__":
    print(json.dumps([microseconds(*shape) for shape in json.loads(sys.argv[1])]))
