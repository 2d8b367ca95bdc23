"""The operators of a graph, one after the other, on the values of tflite_values: layers on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers import tflite_cell as cell
from toolkit.importers import tflite_unrolled as unrolled
from toolkit.importers.tflite_cell import Affine
from toolkit.importers.tflite_file import Graph, Operator, dequantized
from toolkit.importers.tflite_values import LARGEST, Builder, Line, Refused, Value

ACTIVATIONS: dict[str, Callable[[Mapping[str, float]], str]] = {
    "LOGISTIC": lambda o: "sigmoid",
    "TANH": lambda o: "tanh",
    "RELU": lambda o: "relu",
    "RELU6": lambda o: "relu6",
    "RELU_0_TO_1": lambda o: "hard_sigmoid(1,0)",
    "ELU": lambda o: "elu(1)",
    "EXP": lambda o: "exp",
    "HARD_SWISH": lambda o: "hard_swish",
    "LEAKY_RELU": lambda o: f"leaky_relu({o['alpha']!r})",
    "GELU": lambda o: "gelu_tanh" if o["approximate"] else "gelu",
    "SOFTMAX": lambda o: "softmax",
    "LOG_SOFTMAX": lambda o: "log_softmax",
}


SUPPORTED = (
    "supported are the layers of docs/import.md: LSTM, GRU, simple RNN, dense, convolution and pooling over time"
)
IN_VARIABLES = "the weights are in variables, not in the file: convert the Keras model itself (from_keras_model)"
NORMALISED = (
    "part of a normalisation over the features: import the ONNX or Keras file of the model, where it is one layer"
)
FUSED = "the nearest is UNIDIRECTIONAL_SEQUENCE_LSTM"
VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")  # Keras' dropout leaves unused ones
HINTS = {
    **dict.fromkeys(("RSQRT", "SQRT", "SQUARED_DIFFERENCE", "SQUARE"), NORMALISED),
    **dict.fromkeys(("LSTM", "RNN", "SVDF", "BIDIRECTIONAL_SEQUENCE_RNN"), FUSED),
}


def unsupported(graphs: Sequence[Graph], known: Collection[str]) -> None:
    """Raises ToolkitError, naming all operators that are not `known`, once each."""
    found: dict[str, Operator] = {}
    for graph in graphs:
        for op in graph.operators:
            if op.name not in (*known, *VARIABLES):
                found.setdefault(op.name, op)
    if found:
        hints = dict.fromkeys(HINTS.get(name, SUPPORTED) for name in found)
        where = ", ".join(op.where for op in list(found.values())[:8])
        raise ToolkitError(f"{where}{' and others' if len(found) > 8 else ''}: not supported; {'; '.join(hints)}")


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """One graph on its way: `values` by tensor."""

    graphs: tuple[Graph, ...]
    graph: Graph
    builder: Builder
    values: dict[int, Value]
    depth: int

    def value(self, tensor: int) -> Value | None:
        """What a tensor is; None: it is not given (an optional input).

        Raises: ToolkitError where it is nothing yet."""
        if tensor < 0:
            return None
        found = self.values.get(tensor)
        t = self.graph.tensors[tensor]
        if found is None and t.data is not None:
            found = self.values[tensor] = dequantized(t)
        if found is None and t.variable:
            return np.zeros(0)  # the state of a fused layer, which begins with zeros
        if found is None:
            raise ToolkitError(f'tensor {tensor} ("{t.name}") is read before anything gives it a value')
        return found


def walk(graphs: tuple[Graph, ...], number: int, inputs: Sequence[Value], builder: Builder, depth: int) -> list[Value]:
    """The outputs of a graph. depth: of loops around it.

    Raises: ToolkitError, naming the operator, where it is not supported."""
    from toolkit.importers.tflite_operators import OPERATORS

    graph = graphs[number]
    if len(inputs) != len(graph.inputs):
        raise ToolkitError(f"graph {number} takes {len(graph.inputs)} inputs and is given {len(inputs)}")
    w = Walk(graphs, graph, builder, dict(zip(graph.inputs, inputs, strict=True)), depth)
    for op in graph.operators:
        args: list[Value | None] = [Refused(f"{op.where}: {IN_VARIABLES}")]
        if op.name not in VARIABLES:
            args = [w.value(t) for t in op.inputs]
        refused = [v for v in args if isinstance(v, Refused)]
        try:
            made = refused[:1] * len(op.outputs) if refused else OPERATORS[op.name](w, op, args)
        except (IndexError, ValueError, TypeError) as e:
            raise ToolkitError(f"{op.where}: its inputs do not fit it ({e}); is the file damaged?") from None
        except ToolkitError as e:
            raise (e if str(e).startswith("operator ") else ToolkitError(f"{op.where}: {e}")) from None
        outputs = made if isinstance(made, list) else [made]
        if len(outputs) < len(op.outputs):
            raise ToolkitError(f"{op.where}: {len(op.outputs)} outputs; expected {len(outputs)}")
        for tensor, v in zip(op.outputs, outputs, strict=False):
            w.values[tensor] = v
            if isinstance(v, Line) and len(v.sources) == 1 and not depth:
                builder.tensors.setdefault(v.sources[0], (tensor, v))
    return [v for v in map(w.value, graph.outputs) if v is not None]


def used(value: Value) -> Value:
    """A value that is asked for.

    Raises: ToolkitError where it must not be used."""
    if isinstance(value, Refused):
        raise ToolkitError(value.why)
    return value


# --- values ---


def constant(op: Operator, value: Value | None, what: str) -> np.ndarray:
    """A value that must be a constant."""
    if not isinstance(value, np.ndarray):
        raise ToolkitError(f"{op.where}: {what} must be a constant")
    return value


def integers(op: Operator, value: Value | None, what: str) -> list[int]:
    """A constant vector of integers, or one."""
    found = constant(op, value, what)
    if found.dtype.kind not in "iu" or found.size > 16:
        raise ToolkitError(f"{op.where}: {what} must be integers")
    return [int(v) for v in found.reshape(-1)]


def vector(a: Affine, shape: Sequence[int]) -> Affine:
    """The same vector as a tensor of a shape."""
    if math.prod(shape) != a.width or sum(n != 1 for n in shape) > 1:
        raise ToolkitError(f"a vector of {a.width} values as a tensor of shape {list(shape)}: not supported")
    return replace(a, shape=tuple(shape))


def per_step(builder: Builder, value: Value | None, op: Operator) -> Line | Affine:
    """A value whose last axis is its features."""
    if isinstance(value, Affine):
        return value
    if not isinstance(value, Line):
        raise ToolkitError(f"{op.where}: not supported on {_named(value)}")
    unpadded(op, value)
    if value.axes and value.axes[-1] == "t" and value.width == 1:
        return flattened(builder, value, op)
    if not value.axes or value.axes[-1] == "t":
        raise ToolkitError(f"{op.where}: works along the time of a sequence; not supported")
    return value


def _named(value: Value | None) -> str:
    return "a constant" if isinstance(value, np.ndarray) else "nothing" if value is None else "a loop's own values"


def unpadded(op: Operator, line: Line) -> Line:
    """A line that no PAD came before."""
    if line.pad != (0, 0):
        raise ToolkitError(f"{op.where}: behind PAD, which is supported before a convolution only")
    return line


def in_time_order(op: Operator, line: Line) -> Line:
    """A line that is not turned, for what depends on the order."""
    if line.turned:
        raise ToolkitError(f"{op.where}: on a sequence that runs backwards; not supported: reverse it again before")
    return line


def flattened(builder: Builder, line: Line, op: Operator) -> Affine:
    """All steps of a line one after the other."""
    in_time_order(op, unpadded(op, line))
    made = builder.emit("flatten", [line], {}, time=1, width=line.time * line.width)
    return replace(builder.step(replace(made, axes=("1", "f")), 0), shape=(1, made.width))


def activate(w: Walk, name: str, value: Line | Affine) -> Line | Affine:
    """An activation; "" is none."""
    if not name:
        return value
    if isinstance(value, Affine):
        return replace(cell.activated(name, value), shape=value.shape)
    return w.builder.emit("activation", [value], {}, time=value.time, width=value.width, activations=(name,))


def as_line(w: Walk, value: Line | Affine) -> Line:
    """A vector as a line of one step."""
    if isinstance(value, Line):
        return value
    unrolled.find(w.builder, [value])
    line = w.builder.line(value)
    axes = tuple("f" if n != 1 else "1" for n in value.shape)
    return replace(line, axes=axes if "f" in axes else (*axes[:-1], "f"))


def bounded(shape: Sequence[int]) -> Sequence[int]:
    """The shape of a constant that is computed.

    Raises: ToolkitError where it is larger than any real one."""
    if min(shape, default=0) < 0 or math.prod(shape) > LARGEST:
        raise ToolkitError(
            f"a constant of shape {list(shape)}: expected at most {LARGEST} values; is the file damaged?"
        )
    return shape


def axis_of(op: Operator, axis: int, rank: int) -> int:
    """An axis from 0 on."""
    if not -rank <= axis < rank:
        raise ToolkitError(f"{op.where}: axis {axis} of {rank}; is the file damaged?")
    return axis % rank


def shape_of(op: Operator, v: Value | None) -> tuple[int, ...]:
    """A value's shape."""
    if isinstance(v, np.ndarray | Line | Affine):
        return v.shape
    raise ToolkitError(f"{op.where}: not supported on a loop's own values")
