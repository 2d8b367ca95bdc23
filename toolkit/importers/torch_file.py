"""The tensors of a .pt, .pth or .safetensors file by name, in the file's order; no code is run and torch not needed.

Formats: torch/serialization.py (zip since 1.6, the legacy stream of pickles before), and safetensors' own."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from toolkit.errors import ToolkitError
from toolkit.importers.torch_pickle import ADVICE, Storage, Tensor, load
from toolkit.importers.zipped import ZIP, Members

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the legacy format
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_MOST = 1 << 18  # values in a checkpoint
_SAFE = {
    "F32": "<f4",
    "F64": "<f8",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """Arrays by name; `ordered`: in the order in which the model registered them. `structure`: TOML, "" of most."""

    tensors: Mapping[str, np.ndarray]
    ordered: bool
    structure: str
    notes: tuple[str, ...]


def is_safetensors(path: Path, head: bytes) -> bool:
    """Whether the file begins with a length and a JSON object that fit."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


def is_torch(path: Path, head: bytes) -> bool:
    """Whether it is what torch.save writes, or a pickle of something else, which is refused by name."""
    if head.startswith(ZIP):
        return b"data.pkl" in head or b"constants.pkl" in head or b"/version" in head or path.suffix in (".pt", ".pth")
    return head.startswith(_PICKLES)


def read_tensors(path: Path) -> Saved:
    """The state_dict in a file.

    Raises: ToolkitError, one line, when it is damaged, or holds anything but data."""
    with path.open("rb") as f:
        head = f.read(16)
    if head.startswith(ZIP):
        return _state_dict(*_zip(path), path)
    if is_safetensors(path, head):
        return _safetensors(path)
    return _state_dict(*_legacy(path), path)


def _zip(path: Path) -> tuple[Any, dict[str, bytes]]:
    with Members(path) as members:
        folder = next((n.removesuffix("data.pkl") for n in members.names if n.endswith("/data.pkl")), None)
        if any(n.endswith("/constants.pkl") or "/code/" in n for n in members.names):
            raise ToolkitError(f"{path}: a TorchScript archive, which is code; {ADVICE}")
        if folder is None:
            raise ToolkitError(f"{path}: a zip archive without data.pkl; expected what torch.save writes")
        if f"{folder}byteorder" in members.names and members.read(f"{folder}byteorder") != b"little":
            raise ToolkitError(f"{path}: saved on a big-endian machine; save it on a little-endian one")
        value = load(io.BytesIO(members.read(f"{folder}data.pkl")), str(path))
        place = f"{folder}data/"
        return value, {n.removeprefix(place): members.read(n) for n in members.names if n.startswith(place)}


def _legacy(path: Path) -> tuple[Any, dict[str, bytes]]:
    """Five pickles (magic number, version, machine, object, storage keys), and of each storage count and bytes."""
    file = io.BytesIO(path.read_bytes())
    where = str(path)
    magic = load(file, where)
    if magic != MAGIC:
        raise ToolkitError(f"{path}: a pickle, but not one of torch.save (no magic number); {ADVICE}")
    version, machine = load(file, where), load(file, where)
    if version != 1001 or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ToolkitError(f"{path}: legacy format {version!r} of {machine!r}; expected 1001, little-endian")
    value, keys = load(file, where), load(file, where)
    sizes = {s.key: np.dtype(_numpy(s.dtype)).itemsize for s in _storages(value, path)}
    blobs: dict[str, bytes] = {}
    for key in keys if isinstance(keys, list) else ():
        count = int.from_bytes(_exactly(file, 8, path), "little")
        if str(key) not in sizes:
            raise ToolkitError(f"{path}: storage {key!r} belongs to no tensor; save it again")
        blobs[str(key)] = _exactly(file, count * sizes[str(key)], path)
    return value, blobs


def _exactly(file: io.BytesIO, count: int, path: Path) -> bytes:
    left = file.getbuffer().nbytes - file.tell()
    if count > left:
        raise ToolkitError(f"{path}: a storage claims {count} bytes and {left} are left; it is cut off: save it again")
    return file.read(count)


def _tensors(value: Any, prefix: str, path: Path) -> dict[str, Tensor]:
    """Every tensor in nested dicts, by its dotted name."""
    found: dict[str, Tensor] = {}
    waiting, seen = [(prefix, value, 0)], 0
    while waiting:
        name, v, depth = waiting.pop()
        seen += 1
        if depth > 8 or seen + len(waiting) > _MOST:
            raise ToolkitError(f"{path}: dicts in dicts without end at {name}; {ADVICE}")
        if isinstance(v, Tensor):
            found[name] = v
        elif isinstance(v, dict):
            children = [(f"{name}.{k}" if name else str(k), child, depth + 1) for k, child in v.items()]
            waiting.extend(reversed(children))
        elif isinstance(v, list | tuple):
            waiting.extend((f"{name}.{k}", child, depth + 1) for k, child in reversed(list(enumerate(v))))
    return found


def _storages(value: Any, path: Path) -> list[Storage]:
    return [t.storage for t in _tensors(value, "", path).values()]


def _state_dict(value: Any, blobs: Mapping[str, bytes], path: Path) -> Saved:
    """The state_dict itself: the file's own dict, or the one in a checkpoint that has the usual name."""
    notes: tuple[str, ...] = ()
    if isinstance(value, dict) and not any(isinstance(v, Tensor) for v in value.values()):
        usual = [k for k in _USUAL if isinstance(value.get(k), dict)]
        if not usual:
            inside = ", ".join(repr(k) for k in list(value)[:8])
            raise ToolkitError(f"{path}: a dict of {inside or 'nothing'}, and none is a state_dict; {ADVICE}")
        value, notes = value[usual[0]], (f'the weights are those of "{usual[0]}" in this checkpoint',)
    if not isinstance(value, dict):
        raise ToolkitError(f"{path}: holds a {type(value).__name__}; expected a state_dict: {ADVICE}")
    found = _tensors(value, "", path)
    if not found:
        raise ToolkitError(f"{path}: no tensors in it; {ADVICE}")
    return Saved({k: _array(k, t, blobs, path) for k, t in found.items()}, True, "", notes)


def _numpy(dtype: str) -> str:
    return "<u2" if dtype == "bfloat16" else dtype


def _array(name: str, t: Tensor, blobs: Mapping[str, bytes], path: Path) -> np.ndarray:
    """A tensor's values, its claims checked against the bytes that are there."""
    blob, item = blobs.get(t.storage.key), np.dtype(_numpy(t.storage.dtype))
    if blob is None or t.storage.numel * item.itemsize > len(blob):
        there = "none" if blob is None else f"{len(blob)} bytes"
        raise ToolkitError(f"{path}: {name}: {t.storage.numel} elements claimed, {there} there; save it again")
    memory = np.frombuffer(blob, item, len(blob) // item.itemsize)
    base = 0
    if t.storage.view is not None:
        base, count = t.storage.view
        memory = memory[base : base + count]
    last = t.offset + sum((n - 1) * s for n, s in zip(t.size, t.stride, strict=True))
    count = int(np.prod([float(n) for n in t.size])) if t.size else 1
    if count and (last >= len(memory) or count > len(memory)):
        raise ToolkitError(f"{path}: {name} {list(t.size)} does not fit its {len(memory)} stored values; save it again")
    strides = [s * item.itemsize for s in t.stride] if count else None
    view = np.ndarray(t.size, item, memory, t.offset * item.itemsize if count else 0, strides)
    return _plain(view, t.storage.dtype)


def _plain(values: np.ndarray, dtype: str) -> np.ndarray:
    """float32 of any kind of float, integers as they are."""
    if dtype == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused with its layer
        return np.ascontiguousarray(values.astype(np.float32) if values.dtype.kind == "f" else values)


def _safetensors(path: Path) -> Saved:
    blob = path.read_bytes()
    try:
        found = deserialize(blob)  # type: ignore[no-untyped-call]  # it is Rust
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
    except (SafetensorError, ValueError, struct.error, RecursionError) as e:
        raise ToolkitError(f"{path}: not a complete safetensors file ({e}); save it again") from None
    metadata = header.get("__metadata__") or {}
    if "kind" in metadata:
        raise ToolkitError(f"{path}: one of Tealight's own files ({metadata['kind']}); nothing to import")
    tensors: dict[str, np.ndarray] = {}
    for name, t in sorted(found, key=lambda pair: pair[0]):  # they come in random order
        if t["dtype"] not in _SAFE:
            raise ToolkitError(f"{path}: {name} is {t['dtype']}; expected one of {', '.join(_SAFE)}")
        values = np.frombuffer(t["data"], _numpy(_SAFE[t["dtype"]])).reshape(t["shape"])
        tensors[name] = _plain(values, _SAFE[t["dtype"]])
    if not tensors:
        raise ToolkitError(f"{path}: no tensors in it; expected a state_dict: {ADVICE}")
    return Saved(tensors, False, str(metadata.get("structure", "")), ())
