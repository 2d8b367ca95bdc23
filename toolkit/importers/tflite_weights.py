"""The constants of layers."""

from __future__ import annotations

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.importers.tflite_file import Operator
from toolkit.importers.tflite_graph import Walk, constant
from toolkit.importers.tflite_values import Value

Args = list[Value | None]
HYBRID = (
    "int8 weights with float activations (dynamic range): the interpreter quantizes the activations on the fly, so its "
    "results are not those of these weights; convert without optimizations (float), or with a representative dataset "
    "(full int8)"
)


def weights(w: Walk, op: Operator, args: Args, k: int) -> np.ndarray:
    """A constant matrix, float64."""
    found = constant(op, args[k] if k < len(args) else None, "the weights")
    if found.dtype.kind != "f":
        raise ToolkitError(f"{op.where}: weights without a scale; is the file damaged?")
    if w.graph.tensors[op.inputs[k]].kind == "int8" and w.graph.tensors[op.inputs[0]].kind == "float32":
        raise ToolkitError(f"{op.where}: {HYBRID}")
    return found


def bias(op: Operator, args: Args, k: int, size: int) -> np.ndarray:
    b = np.zeros(size) if len(args) <= k or args[k] is None else constant(op, args[k], "the bias").reshape(-1)
    if b.shape != (size,):
        raise ToolkitError(f"{op.where}: {len(b)} biases for {size} outputs")
    return b.astype(np.float64)
