"""An ONNX file in onnxruntime, with the outputs of its layers: what an imported network is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from toolkit.importers import Original
from toolkit.importers.onnx_read import Graph
from toolkit.importers.onnx_walk import Line

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


def runtime() -> str:
    """`onnxruntime 1.31.1`, or why there is none."""
    try:
        return f"onnxruntime {metadata.version('onnxruntime')}"
    except metadata.PackageNotFoundError:
        return "no onnxruntime (pip install onnxruntime)"


def original(g: Graph, found: Any) -> Original:
    """The file as a function, x float32 [batch, time, in] -> layer -> [batch, time', out]; "" is the output.

    `found`: what the walk through the graph gave (onnx_.Found). The session is made at the first call."""
    lines = found.walk.lines
    layers = {x.name for x in found.layers}
    shown = {k: (tensor, _places(at, lines[k], found.roles.batch)) for k, (tensor, at) in found.walk.shown.items()}
    read = {k: (t, p) for k, (t, p) in shown.items() if p is not None and k in layers}
    read[""] = found.output
    sessions: list[Any] = []

    def run(x: np.ndarray) -> Mapping[str, np.ndarray]:
        if not sessions:
            sessions.append(_session(g, {tensor for tensor, _ in read.values()}))
        size = found.roles.batch
        padded = np.concatenate([x, np.zeros((-len(x) % size, *x.shape[1:]), x.dtype)])
        made: dict[str, list[np.ndarray]] = {k: [] for k in read}
        for chunk in np.split(padded, len(padded) // size):
            out = _run(sessions[0], found.input, found.roles.tensor(chunk), size)
            for k, (tensor, places) in read.items():
                made[k].append(out[tensor].ravel()[places])
        return {k: np.concatenate(v)[: len(x)] for k, v in made.items()}

    return run


def _places(at: np.ndarray, line: Line, batch: int) -> np.ndarray | None:
    """Where in a tensor, flat, the values [batch, steps, width] of a layer stand; None: not all of them."""
    size = batch * line.steps * line.width
    flat = at.ravel()
    here = np.flatnonzero((flat >= line.base) & (flat < line.base + size))
    values, first = np.unique(flat[here], return_index=True)
    return here[first].reshape(batch, line.steps, line.width) if len(values) == size else None


def _session(g: Graph, tensors: set[str]) -> Any:
    import onnx
    import onnxruntime

    model = onnx.ModelProto()
    model.CopyFrom(g.proto)
    kept = {o.name: o for o in model.graph.output}
    del model.graph.output[:]
    model.graph.output.extend(kept.get(t, onnx.ValueInfoProto(name=t)) for t in sorted(tensors))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(session: Any, name: str, x: np.ndarray, batch: int) -> dict[str, np.ndarray]:
    """x to the input `name`, zeros to the others."""
    feeds = {}
    for i in session.get_inputs():
        shape = [s if isinstance(s, int) else batch for s in i.shape]
        feeds[i.name] = (x if i.name == name else np.zeros(shape)).astype(TYPES.get(i.type, np.float32))
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))
