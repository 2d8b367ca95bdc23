"""The onnx package's own test cases for operators (onnx.backend.test), through the importer.

A case is one graph with inputs and expected outputs. Its first input becomes the sequence that comes in, the others
constants; each of its outputs is imported, run and compared within the tolerance of the case."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize.canonical import canonical
from quantize.errors import QuantizeError
from quantize.float_graph import evaluate, shapes
from quantize.network import Network
from toolkit.errors import ToolkitError
from toolkit.importers import Options
from toolkit.importers.onnx_ import LAYERS, Found, convert
from toolkit.importers.onnx_moves import MOVES
from toolkit.importers.onnx_read import Graph, graph

OPERATORS = {*LAYERS, *MOVES}
Run = Callable[[Network, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one output of one case: "passed", "refused" (then `text` is the message) or "failed"."""

    case: str
    operator: str
    result: str
    text: str = ""


def cases(*modules: str) -> list[Any]:
    """The cases whose graph holds an operator that the importer knows; of some of the package's modules, or of all."""
    from onnx.backend.test import loader
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, where a case is made of infinities
        if not modules:
            loader.load_model_tests(kind="node")
        for name in modules:  # importing one makes its cases
            importlib.import_module(f"{node.__name__}.{name}")
    return [c for c in node._NodeTestCases if OPERATORS & {n.op_type for n in c.model.graph.node}]


def compiled(network: Network, x: np.ndarray) -> np.ndarray:
    """The same by the generated float32 C of what is deployed, once the definition agrees with itself."""
    from toolkit.host_f32 import build_and_load

    floats(network, x)
    run = build_and_load(canonical(network))
    return np.stack([run(window) for window in np.asarray(x, np.float32)])


def floats(network: Network, x: np.ndarray) -> np.ndarray:
    """x [batch, time, in] -> y, by the float64 definition, as it was read and as it is deployed."""
    y = evaluate(network, x)[""]
    np.testing.assert_allclose(evaluate(canonical(network), x)[""], y, rtol=1e-6, atol=1e-6)
    return y


def outcomes(case: Any, run: Run) -> Iterator[Outcome]:
    """Every output of a case."""
    operator = _operator(case)
    inputs, expected = ([_array(a) for a in side] for side in case.data_sets[0])
    try:
        if not all(isinstance(a, np.ndarray) for a in (*inputs, *expected)):
            raise ToolkitError("a sequence of tensors, an optional or a string; expected tensors of numbers")
        g = _graph(case.model, inputs)
    except ToolkitError as e:
        yield Outcome(case.name, operator, "refused", str(e))
        return
    for output, want in zip(g.outputs, expected, strict=True):
        try:
            network, found = convert(g, Options("c", None, None, False, None), output)
            shapes(network, network.window)
        except (ToolkitError, QuantizeError) as e:
            yield Outcome(case.name, operator, "refused", str(e))
            continue
        got, want = run(network, _sequence(found, inputs[0])), _outputs(found, want)
        close = got.shape == want.shape and np.allclose(
            want, got, rtol=case.rtol, atol=max(case.atol, 1e-6), equal_nan=True
        )
        yield Outcome(case.name, operator, "passed" if close else "failed", "" if close else f"{got} for {want}")


def _array(value: Any) -> Any:
    """Of a number, a tensor or a TensorProto; a list or None stays what it is."""
    from onnx import TensorProto, numpy_helper

    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    return np.asarray(value) if hasattr(value, "dtype") else value


def _operator(case: Any) -> str:
    """The operator that a case is about, as far as its graph tells."""
    nodes = [n.op_type for n in case.model.graph.node]
    return nodes[0] if len(nodes) == 1 else next((n for n in nodes if n not in ("Constant", "Identity")), nodes[0])


def _graph(model: Any, inputs: list[np.ndarray]) -> Graph:
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    for value, array in list(zip(made.graph.input, inputs, strict=True))[1:]:
        made.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    del made.graph.input[1:]
    return graph(made)


def _sequence(found: Found, x: np.ndarray) -> np.ndarray:
    """The case's input as [batch, time, in]."""
    flat = np.empty(x.size)
    flat[found.roles.tensor(found.walk.input).ravel()] = x.ravel()
    return flat.reshape(found.walk.input.shape)


def _outputs(found: Found, want: np.ndarray) -> np.ndarray:
    """The case's output as [batch, time, out]."""
    return np.asarray(want.ravel()[found.output[1]], np.float64)
