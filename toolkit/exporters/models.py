"""`export --to onnx | onnx-qdq | safetensors`: the network itself, for other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantize.network import load_network
from toolkit.errors import ToolkitError
from toolkit.exporters.onnx_ import export_onnx
from toolkit.exporters.onnx_qdq import export_qdq
from toolkit.exporters.pytorch import export_safetensors

FILES = {"onnx": "model.onnx", "onnx-qdq": "model.qdq.onnx", "safetensors": "model.pytorch.safetensors"}


def export_model(model: Path, out: Path | None, *, kind: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Writes a run's network, or that of a model.safetensors, in one of FILES; into <run>/export/ unless told.

    Raises: ToolkitError or QuantizeError, one line."""
    source = model / "model.safetensors" if model.is_dir() else model
    source = source.with_name(source.name.replace(".q.safetensors", ".safetensors"))
    path = out or source.parent / "export" / FILES[kind]
    if path.is_dir() or path == source:
        raise ToolkitError(f"{path}: expected a file to write, e.g. {FILES[kind]}")
    network = load_network(source)
    if kind == "onnx-qdq":
        result = export_qdq(source.with_name(source.name.replace(".safetensors", ".q.safetensors")), source, path)
    else:
        result = {"onnx": export_onnx, "safetensors": export_safetensors}[kind](network, path)
    normalised = any(c.mean != 0 or c.std != 1 for c in (*network.inputs, *network.outputs))
    how = f"; values are normalised: (raw - mean) / std of each column, as in {source}" if normalised else ""
    say(f"{path}: written{how}")
    return {**result, "kind": kind, "bytes": path.stat().st_size}
