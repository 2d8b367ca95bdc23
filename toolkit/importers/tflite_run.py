"""A .tflite file in its own interpreter: ai-edge-litert, or tflite-runtime where that is not there."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quantize.network import Network
from toolkit.errors import ToolkitError
from toolkit.importers import Original
from toolkit.importers.tflite_file import Graph
from toolkit.importers.tflite_int8 import ends
from toolkit.importers.tflite_values import Builder, Line

RUNTIMES = (("ai_edge_litert.interpreter", "ai-edge-litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


def _module() -> tuple[Any, str] | None:
    for module, package in RUNTIMES:
        try:
            return importlib.import_module(module), f"{package} {importlib.metadata.version(package)}"
        except ImportError:
            continue
    return None


def runtime() -> str:
    """The interpreter and its version, or how to get one."""
    found = _module()
    return found[1] if found else 'no interpreter: pip install "tealight[tflite]"'


def original(path: Path, main: Graph, x: Line, y: Line, builder: Builder, network: Network) -> Original | None:
    """What runs the file: x [batch, time, in] -> every layer that is a tensor of its own, and "" the output."""
    found = _module()
    if found is None:
        return None
    names = {k.name for k in network.layers}
    shown = {name: place for name, place in builder.tensors.items() if name in names}

    def run(values: np.ndarray) -> Mapping[str, np.ndarray]:
        interpreter = _interpreter(found[0], path, main, x, "BUILTIN_WITHOUT_DEFAULT_DELEGATES")
        rows: dict[str, list[np.ndarray]] = {name: [] for name in ("", *shown)}
        for window in values:
            _invoke(interpreter, path, main, window.reshape(x.shape))
            rows[""].append(interpreter.get_tensor(main.outputs[0]).reshape(y.time, y.width))
            for name, (tensor, line) in shown.items():
                rows[name].append(_as_line(interpreter.get_tensor(tensor), line))
        return {name: np.stack(v) for name, v in rows.items()}

    return run


def original_int8(path: Path, main: Graph, x: Line, y: Line) -> Original | None:
    """The same of a full integer file: x and the output are the int8 values of its chain's first and last tensor.

    Run by the reference kernels: the optimised ones of FULLY_CONNECTED round twice on some processors."""
    found = _module()
    if found is None:
        return None
    first, last = ends(main)

    def run(values: np.ndarray) -> Mapping[str, np.ndarray]:
        interpreter, rows = _interpreter(found[0], path, main, x, "BUILTIN_REF"), []
        (scale,), (zero,) = main.tensors[first].scale, main.tensors[first].zero
        for window in values:
            real = ((window.astype(np.float64) - zero) * scale).astype(np.float32)
            _invoke(interpreter, path, main, (window if first == main.inputs[0] else real).reshape(x.shape))
            rows.append(interpreter.get_tensor(last).reshape(y.time, y.width))
        return {"": np.stack(rows)}

    return run


def _interpreter(module: Any, path: Path, main: Graph, x: Line, resolver: str) -> Any:
    """Ready to run windows as long as x; nothing is left out that a layer can be compared with.

    Raises: ToolkitError when the interpreter does not take the file."""
    plain = getattr(module.OpResolverType, resolver)
    try:
        made = module.Interpreter(
            str(path), experimental_op_resolver_type=plain, experimental_preserve_all_tensors=True, num_threads=1
        )
        if tuple(main.tensors[main.inputs[0]].shape) != x.shape:
            made.resize_tensor_input(main.inputs[0], x.shape)
        made.allocate_tensors()
    except (RuntimeError, ValueError) as e:
        raise ToolkitError(f"{path}: its own interpreter does not take it: {str(e).splitlines()[0]}") from None
    return made


def _invoke(interpreter: Any, path: Path, main: Graph, x: np.ndarray) -> None:
    """One window, from the first state.

    Raises: ToolkitError when the interpreter fails."""
    try:
        interpreter.reset_all_variables()
        interpreter.set_tensor(main.inputs[0], np.ascontiguousarray(x))
        interpreter.invoke()
    except (RuntimeError, ValueError) as e:
        raise ToolkitError(f"{path}: its own interpreter fails: {str(e).splitlines()[0]}") from None


def _as_line(tensor: np.ndarray, line: Line) -> np.ndarray:
    """[time, width] in the order of time."""
    axes = [a for a in line.axes if a != "1"]
    v = tensor.reshape([line.time if a == "t" else line.width for a in axes])
    v = v.T if axes == ["f", "t"] else v
    return v.reshape(line.time, line.width)[:: -1 if line.turned else 1]
