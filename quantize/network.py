"""The float network: plain data, and its file.

A safetensors file: float32 arrays named `<layer>.<parameter>`, and the description as JSON in the metadata with a
SHA-256 digest of both, so that a truncated or edited file is told apart from a good one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from quantize.errors import QuantizeError
from quantize.features import Front, front_from

MODES = ("window", "stateful")
MISSING = ("hold", "reset", "interpolate")
HEADS = ("last", "final_states", "all", "mean")
"""`last`: the last step; `final_states`: each direction's own last step; `all`: every step; `mean`: over the steps."""
TRAINING = ("dropout", "recurrent_dropout", "state_dropout")
"""Options that only training has (toolkit/nn/dropout.py): the deployed network is the one without them."""
OUTPUTS = ("value", "quantile", "gaussian", "class")
"""`gaussian`: mean and log(sigma) of each value, in normalised units; `class`: a logit each."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One raw input or output. Normalised value = (raw - mean) / std.

    `decimals`: digits after the point that the fixed-point API carries; `mean` is a multiple of 10**-decimals.
    `horizon`: steps ahead of an output, 0 of an input."""

    name: str
    unit: str
    decimals: int
    mean: float
    std: float
    horizon: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer of a sequence [time, in] -> [time', out]: weights float32 and read-only, options numbers (0 or absent:
    off), activations of `quantize.activations` (none: the op's own).

    lstm: `w_ih [4H, in]`, `w_hh [4H, H]`, `b [4H]`, rows in the gate order i, f, g, o; with `p [3H]` peepholes i, f, o.
        Options `preact_clip` (bounds the gates' inputs), `cell_clip` (bounds c), `input_forget` (f = 1 - i).
        Activations: of the gates i, f, o, of the candidate g, of the cell that h is made from.
    lstm_norm: the LSTM with layer normalisation: `w_ih`, `w_hh` as above, `b_ih [4H]`, `b_hh [4H]`, gain and offset of
        the norms `norm_x [2, 4H]` over W x + b_ih, `norm_c [2, H]` over c', `norm_h [2, H]` over h' (epsilon 1e-5).
    gru: `w_ih [3H, in]`, `w_hh [3H, H]`, rows r, z, n; `b [4H]` r, z, nx, nh: reset after, or `b [3H]`: reset before.
        Activations: of r and z, of n. Option `preact_clip`.
    rnn: `w_ih [H, in]`, `w_hh [H, H]`, `b [H]`; tanh, or option `relu`, or one activation. Option `preact_clip`.
    A recurrent layer may begin at `h0 [H]` (and `c0 [H]`) in place of zeros.
    dense: `w [out, in]`, `b [out]`, at most one activation; dense_hidden: the same, as `quantize.deployable` names one
        that is not the head.  activation: no weights, one activation.
    scale: `gain [n]`, `offset [n]`: gain x + offset.
    norm: layer normalisation over the features, `gain [n]`, `offset [n]`, option `epsilon`.
    conv: over time, `w [out, in / groups, kernel]`, `b [out]`; options `stride`, `dilation`, `groups` (absent: 1),
        `pad_before`, `pad_after` (zeros).
    pool: over time, average or option `max`; options `kernel` (absent: all of the time), `stride` (absent: 1),
        `pad_before`, `pad_after`, `count_pad` (the average divides by the kernel's size at the borders, too).
    add, mul: no weights, sum or product of the sources, elementwise.  flatten: [time, n] -> [1, time n].
    take: the step `at` (from the end where negative), [1, n].  pick: `count` features from `first` on.
    Options of TRAINING are rates, of any layer.

    `sources`: the layers whose outputs, one after the other, are its input; "" is the network's input. () means the
    layer before, or the input. `reverse`: it runs over the window from its last step to its first (window mode)."""

    name: str
    op: str
    weights: Mapping[str, np.ndarray]
    options: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    sources: tuple[str, ...] = ()
    reverse: bool = False
    activations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A trained or imported network: layers from input to output, and what the raw columns mean."""

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    mode: str  # "window": reset before each window; "stateful": one endless stream. Deployed as trained.
    window: int  # steps of a window (window mode), 0 when stateful
    warmup: int  # steps after a reset before the forecast is to be trusted (window mode: = window)
    horizon: int  # steps ahead
    period: float  # seconds between two samples, 0 = unknown
    missing: str  # what predict_missing does: "hold" | "reset" | "interpolate"
    max_gap: int  # after more lost samples in a row than this the state is reset
    head: str = "last"  # what the last layer sees of a window: one of HEADS; a stream has only "last"
    output: str = "value"  # what the outputs are: one of OUTPUTS
    levels: tuple[float, ...] = ()  # of "quantile": the outputs are target by target, horizon by horizon, these levels
    front: Front | None = None  # None: the raw samples are the inputs, and the outputs the forecasts


def layer(
    name: str,
    op: str,
    weights: Mapping[str, np.ndarray],
    *,
    options: Mapping[str, float] | None = None,
    sources: tuple[str, ...] = (),
    reverse: bool = False,
    activations: tuple[str, ...] = (),
) -> Layer:
    """A Layer whose arrays are float32, contiguous and read-only."""
    arrays = frozen_arrays({k: np.asarray(v, np.float32) for k, v in weights.items()})
    return Layer(name, op, arrays, MappingProxyType(dict(options or {})), sources, reverse, activations)


def frozen_arrays(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The same arrays, contiguous and read-only."""
    out = {}
    for key, value in arrays.items():
        array = np.array(value, order="C")
        array.setflags(write=False)
        out[key] = array
    return MappingProxyType(out)


def save_network(network: Network, path: str | Path) -> str:
    """Writes `model.safetensors`, whole or not at all. Returns the digest (hex SHA-256)."""
    description = {f: getattr(network, f) for f in SCALARS}
    description["inputs"] = [asdict(c) for c in network.inputs]
    description["outputs"] = [asdict(c) for c in network.outputs]
    description["layers"] = [_described(x) for x in network.layers]
    description["front"] = asdict(network.front) if network.front else None
    arrays = {f"{x.name}.{k}": v for x in network.layers for k, v in x.weights.items()}
    return write_file(path, "tealight-network", description, arrays)


SCALARS = ("name", "mode", "window", "warmup", "horizon", "period", "missing", "max_gap", "head", "output", "levels")


def _described(x: Layer) -> dict[str, Any]:
    made = {"name": x.name, "op": x.op, "weights": sorted(x.weights), "options": dict(x.options)}
    functions = {"activations": list(x.activations)} if x.activations else {}
    return {**made, "sources": list(x.sources), "reverse": x.reverse, **functions}


def load_network(path: str | Path) -> Network:
    """Reads `model.safetensors`.

    Raises: QuantizeError when the file is missing, truncated, edited or of another kind."""
    d, arrays, _ = read_file(path, "tealight-network")
    d = {"head": "last", "output": "value", "levels": [], "front": None, **d}  # files of 0.1 have none of these
    layers = tuple(
        layer(
            x["name"],
            x["op"],
            {k: arrays[f"{x['name']}.{k}"] for k in x["weights"]},
            options=x.get("options", {}),
            sources=tuple(x.get("sources", ())),
            reverse=x.get("reverse", False),
            activations=tuple(x.get("activations", ())),
        )
        for x in d["layers"]
    )
    inputs, outputs = (tuple(Column(**c) for c in d[side]) for side in ("inputs", "outputs"))
    outputs = tuple(c if c.horizon else replace(c, horizon=d["horizon"]) for c in outputs)
    plain = {**{f: d[f] for f in SCALARS}, "levels": tuple(d["levels"])}
    return Network(layers=layers, inputs=inputs, outputs=outputs, front=front_from(d["front"]), **plain)


def network_digest(network_file: str | Path) -> str:
    """Hex SHA-256 of a saved network or quantized network (description and arrays)."""
    _, _, digest = read_file(network_file, None)
    return digest


def write_file(path: str | Path, kind: str, description: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Safetensors with `kind`, `description` (JSON) and `digest` in the metadata; appears whole or not at all."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=True)
    digest = _digest(kind, text, arrays)
    blob = _in_order(save(dict(arrays), {"kind": kind, "description": text, "digest": digest}))
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as e:
        raise QuantizeError(
            f"{path}: cannot write: {e.strerror}; choose a folder that exists and is writable"
        ) from None
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(blob)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as e:
        if isinstance(e, OSError):
            e.filename = str(path)  # a full disk: of which file
        with contextlib.suppress(FileNotFoundError):  # Ctrl-C just after it was renamed
            os.unlink(temporary)
        raise
    return digest


def _in_order(blob: bytes) -> bytes:
    """The same file with a sorted header: safetensors writes the metadata in random order."""
    size = int.from_bytes(blob[:8], "little")
    header = json.dumps(json.loads(blob[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + blob[8 + size :]


def read_file(path: str | Path, kind: str | None) -> tuple[dict[str, Any], dict[str, np.ndarray], str]:
    """The description, the arrays and the digest of a file that `write_file` wrote (`kind` None: any kind).

    Raises: QuantizeError, one line, when the file is missing, truncated, edited or of another kind."""
    try:
        with safe_open(str(path), framework="numpy") as f:
            metadata = f.metadata() or {}
            arrays = {key: f.get_tensor(key) for key in f.keys()}
    except FileNotFoundError:
        raise QuantizeError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise QuantizeError(f"{path}: is a folder; expected a .safetensors file") from None
    except (SafetensorError, OSError, ValueError, KeyError) as e:
        raise QuantizeError(f"{path}: not a complete safetensors file ({e}); make it again") from None
    found = metadata.get("kind")
    if found is None or "description" not in metadata:
        raise QuantizeError(f"{path}: a safetensors file, but not one of Tealight's (no `kind` in its metadata)")
    if kind is not None and found != kind:
        raise QuantizeError(f"{path}: holds a {found}; expected a {kind}")
    if _digest(found, metadata["description"], arrays) != metadata.get("digest"):
        raise QuantizeError(
            f"{path}: contents do not match their digest: the file was edited or damaged; make it again"
        )
    return json.loads(metadata["description"]), arrays, metadata["digest"]


def _digest(kind: str, description: str, arrays: Mapping[str, np.ndarray]) -> str:
    sha = hashlib.sha256(f"{kind}\n{description}\n".encode())
    for key in sorted(arrays):
        sha.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}\n".encode())
        sha.update(np.ascontiguousarray(arrays[key]).tobytes())
    return sha.hexdigest()
