"""PyTorch's weights: .pt, .pth and .safetensors -> Network. The structure is inferred or told; no code is run.

torch is asked for only where the rebuilt model is compared with ours."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from quantize.network import Layer
from toolkit.errors import ToolkitError
from toolkit.importers import Imported, Options, Original
from toolkit.importers.finish import finished
from toolkit.importers.torch_file import Saved, is_safetensors, is_torch, read_tensors
from toolkit.importers.torch_layers import build
from toolkit.importers.torch_rebuilt import rebuilt
from toolkit.importers.torch_structure import Part, infer, parse, write
from toolkit.importers.zipped import ZIP

_STREAM_PROBE = 16  # steps of the comparison, where a stream has no window


def recognises(path: Path, head: bytes) -> bool:
    """Whether torch.save or safetensors wrote the file; a zip that Keras wrote is not ours."""
    if head.startswith(ZIP) and b"config.json" in head:
        return False
    return is_torch(path, head) or is_safetensors(path, head)


def read(path: Path, options: Options) -> Imported:
    """The network of a state_dict.

    Raises: ToolkitError, one line, naming the tensor, layer or object that is not taken."""
    saved = read_tensors(path)
    told = options.structure
    if told is not None:
        parts, steps = parse(_text(told), str(told))
    elif saved.structure:
        parts, steps = parse(saved.structure, f"{path}: structure in its metadata")
    else:
        parts, steps = infer(saved.tensors, ordered=saved.ordered, path=path), None
    steps = options.steps or steps or (_STREAM_PROBE if options.stream else None)
    if steps is None:
        raise ToolkitError(f"{path}: a state_dict does not say how many steps a window has; add --steps N or --stream")
    layers, ends, shown = build(parts, saved.tensors, path)
    network = finished(options.name, layers, ends, inputs=_inputs(layers), steps=steps)
    notes = saved.notes
    if told is None and not saved.structure:
        inferred = write(parts, None if options.stream else steps).splitlines()
        notes += (
            "structure inferred from names and shapes; copy, change, and give it with --structure FILE:",
            *inferred,
        )
    original, runtime = _original(parts, saved, shown)
    return Imported(network, original, runtime, structure="assumed", notes=notes)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        why = getattr(e, "strerror", None) or "not UTF-8 text"
        raise ToolkitError(f"{path}: cannot read: {why}; expected the TOML of a structure") from None


def _inputs(layers: Sequence[Layer]) -> int:
    """How many features the first layer with weights takes; there is one, as every tensor has found its layer."""
    first = next(x for x in layers if x.weights)
    w = next(first.weights[key] for key in ("w_ih", "w", "gain") if key in first.weights)
    return int(w.shape[min(1, w.ndim - 1)] * first.options.get("groups", 1))


def _original(parts: Sequence[Part], saved: Saved, shown: Mapping[int, str]) -> tuple[Original | None, str]:
    if not importlib.util.find_spec("torch"):
        return None, "torch is not installed (pip install torch)"
    return rebuilt(parts, saved.tensors, shown), f"torch {importlib.metadata.version('torch')}"
