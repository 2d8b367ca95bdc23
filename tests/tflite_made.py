"""Small .tflite graphs, operator by operator, for what converters do not write for us."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantize.canonical import canonical
from quantize.float_graph import evaluate
from tests.conftest import needs
from toolkit.importers import Imported, Options, tflite_
from toolkit.stages.import_ import LIMIT, difference, probes
from toolkit.tflite import _Graph

OTHER = {
    "AVERAGE_POOL_2D": "POOL2D",
    "MAX_POOL_2D": "POOL2D",
    "MEAN": "REDUCER",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SEQUENCERNN",
}  # whose options are named otherwise


class Made(_Graph):
    """A float graph under construction: `x` is its input [1, steps, inputs]."""

    def __init__(self, steps: int, inputs: int) -> None:
        super().__init__()
        self.operators: list[Any] = []
        self.x = self.add((1, steps, inputs), "float32", name="x")

    def constant(self, value: Any, kind: str = "float32", *, scale: float = 0.0) -> int:
        """A constant tensor."""
        array = np.asarray(value, kind)
        return self.add(array.shape, kind, array, scale=scale)

    def op(self, name: str, inputs: Sequence[int], shape: Sequence[int], kind: str = "float32", **options: Any) -> int:
        """An operator of one output; options as the schema's object API names them."""
        made, (y,) = self.several(name, inputs, [shape], kind, **options)
        assert made is self.operators[-1]
        return y

    def several(
        self, name: str, inputs: Sequence[int], shapes: Sequence[Sequence[int]], kind: str = "float32", **options: Any
    ) -> tuple[Any, list[int]]:
        """An operator of several outputs."""
        op = self.schema.OperatorT()
        op.inputs, op.outputs = list(inputs), [self.add(shape, kind) for shape in shapes]
        if options:
            kinds = {k.removesuffix("Options").upper(): k for k in vars(self.schema.BuiltinOptions) if k[0] != "_"}
            text = kinds[OTHER.get(name, name).replace("_", "")]
            op.builtinOptionsType = getattr(self.schema.BuiltinOptions, text)
            op.builtinOptions = getattr(self.schema, f"{text}T")()
            for key, value in options.items():
                assert hasattr(op.builtinOptions, key), key
                setattr(op.builtinOptions, key, value)
        op.opcodeIndex = name
        self.operators.append(op)
        return op, list(op.outputs)

    def state(self, size: int) -> int:
        """A variable tensor [1, size]."""
        made = self.add((1, size), "float32")
        self.tensors[made].isVariable = True
        return made

    def blob(self, *outputs: int) -> bytes:
        """The file."""
        import flatbuffers

        graph, model, names = self.schema.SubGraphT(), self.schema.ModelT(), []
        for op in self.operators:
            if isinstance(op.opcodeIndex, str):
                names += [] if op.opcodeIndex in names else [op.opcodeIndex]
                op.opcodeIndex = names.index(op.opcodeIndex)
        model.operatorCodes = []
        for name in names:
            code = self.schema.OperatorCodeT()
            code.builtinCode = getattr(self.schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = 3 if name == "BIDIRECTIONAL_SEQUENCE_LSTM" else 1
            model.operatorCodes.append(code)
        graph.tensors, graph.inputs, graph.outputs = self.tensors, [self.x], list(outputs)
        graph.operators = self.operators
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(**more: Any) -> Options:
    return Options(**{"name": "net", "steps": None, "batch": None, "stream": False, "structure": None, **more})


def read(path: Path, **more: Any) -> Imported:
    return tflite_.read(path, options(**more))


def agrees(imported: Imported, count: int = 8) -> None:
    """Our float network, as read and as deployed, and every layer that the interpreter shows."""
    needs("litert")
    assert imported.original is not None and "litert" in imported.runtime
    network = canonical(imported.network)
    x = probes(imported, network, None)[::-1][:count]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        want = imported.original(x)
    got = {**evaluate(imported.network, x), "canonical": evaluate(network, x)[""]}
    assert np.abs(want[""]).max() > 1e-3
    for name in (*want, "canonical"):
        assert difference(want.get(name, want[""]), got[name]).value < LIMIT / 10, name
