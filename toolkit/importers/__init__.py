"""Trained models of other frameworks -> Network. FORMATS is the registry; a file's content decides which reads it.

An importer is a module with

    recognises(path, head) -> bool     `head`: the file's first HEAD bytes
    read(path, options) -> Imported
    refusals(path) -> tuple of lines   optional: all the operators that `read` would refuse, where it names the first

that raises ToolkitError, one line, for what it does not take: the node or layer, its operator, the nearest supported
form. It checks every size that a file claims against the file's own length before it allocates."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from quantize.network import Column, Layer, Network
from quantize.qnetwork import QNetwork
from toolkit.codegen.lower import C_WORDS, HEADERS, LOCALS
from toolkit.codegen.render_f32 import OWN
from toolkit.errors import ToolkitError

HEAD = 4096
RESERVED = C_WORDS | HEADERS | LOCALS | OWN
FORMATS = {"onnx": "onnx_", "tflite": "tflite_", "pytorch": "torch_", "keras": "keras_"}
"""Format -> module of this package; imported when a file is read, so that a framework is asked for only then."""
Original = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Options:
    """`name` of the network; `steps`, `batch` fix what a file leaves open (None: it must say); `stream`: to be
    deployed as one endless stream; `structure`: the TOML that tells what a bare state_dict is."""

    name: str
    steps: int | None
    batch: int | None
    stream: bool
    structure: Path | None


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """What an importer makes of a file.

    `original` runs the file in its own runtime: x float32 [batch, time, in] -> layer name -> [batch, time', out], for
    every layer that the runtime can show; "" is the model's output. Of an int8 file (`q`), x and the outputs are its
    int8 values. None: no runtime, and `runtime` says why. `structure` "assumed": the file held weights only."""

    network: Network
    original: Original | None
    runtime: str
    q: QNetwork | None = None
    structure: str = "proven"
    notes: tuple[str, ...] = ()


def format_of(path: Path) -> str:
    """A key of FORMATS.

    Raises: ToolkitError when the file is missing, empty or of no known format."""
    try:
        with path.open("rb") as f:
            head = f.read(HEAD)
    except FileNotFoundError:
        raise ToolkitError(f"{path}: no such file; expected a model of {', '.join(FORMATS)}") from None
    except OSError as e:
        raise ToolkitError(f"{path}: cannot read: {e.strerror}; expected a model file") from None
    for name in FORMATS:
        if importer(name).recognises(path, head):
            return name
    raise ToolkitError(
        f"{path}: {'empty' if not head else 'not recognised by its content'}; expected ONNX, TFLite, "
        f"a PyTorch state_dict (.pt, .pth, .safetensors) or Keras (.keras, .h5)"
    )


def importer(name: str) -> ModuleType:
    """The module that reads a format."""
    return importlib.import_module(f"{__name__}.{FORMATS[name]}")


def columns(prefix: str, count: int, *, horizon: int) -> tuple[Column, ...]:
    """Columns of a model that says nothing of its units: mean 0, deviation 1, four decimals."""
    return tuple(Column(f"{prefix}{j}", "", 4, 0.0, 1.0, horizon) for j in range(count))


def network_of(name: str, layers: tuple[Layer, ...], *, inputs: int, outputs: int, steps: int) -> Network:
    """A window network of imported layers; every output step is the network's (head "all")."""
    return Network(
        name=name,
        layers=layers,
        inputs=columns("x", inputs, horizon=0),
        outputs=columns("y", outputs, horizon=0),
        mode="window",
        window=steps,
        warmup=steps,
        horizon=0,
        period=0.0,
        missing="hold",
        max_gap=0,
        head="all",
    )


def identifier(text: str, default: str) -> str:
    """A name for a model or layer that the generated C takes, made of any text; `default` goes before what cannot be
    one by itself."""
    made = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:31]
    if (
        re.fullmatch(r"[a-z][a-z0-9_]*", made)
        and made not in RESERVED
        and not made.endswith("_t")
        and not made.startswith(("tl_", "mem"))
    ):
        return made
    return f"{default}_{made}"[:31].rstrip("_")
