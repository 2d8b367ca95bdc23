"""Everything that an HDF5 file holds, read by h5py in a process of its own: libhdf5 may crash, hang or fill the memory
on a damaged file, and must not take us along.

As a script it is that process: the file comes in, and a .npz of its arrays and, as JSON, the rest goes out."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

PATIENCE = 120  # seconds of the clock
_SPACE = 1 << 30  # bytes of memory


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Arrays by their path, and the attributes of each object: text, numbers and lists of them."""

    arrays: dict[str, np.ndarray]
    attributes: dict[str, dict[str, Any]]


class Damaged(Exception):
    """Why a file cannot be read."""


def read(blob: bytes) -> Contents:
    """All of a file.

    Raises: Damaged, in half a line; ImportError when h5py is not installed."""
    if not importlib.util.find_spec("h5py"):
        raise ImportError("h5py")
    try:
        made = subprocess.run(
            [sys.executable, __file__], input=blob, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Damaged(f"libhdf5 did not end in {PATIENCE} s") from None
    if made.returncode:
        lines = made.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Damaged(lines[-1][:160] if lines and made.returncode == 1 else "libhdf5 breaks off on it")
    try:
        with np.load(io.BytesIO(made.stdout), allow_pickle=False) as z:
            description = json.loads(bytes(z["description"]))
            return Contents({n: z[f"a{k}"] for k, n in enumerate(description["arrays"])}, description["attributes"])
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as e:
        raise Damaged(f"libhdf5 gives nonsense of it: {type(e).__name__}") from None


def _limit(size: int) -> None:
    """At most 1 GiB more than the file, and some seconds of computing."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limits = {"RLIMIT_AS": _SPACE + 4 * size, "RLIMIT_CPU": 2 + size // (1 << 24), "RLIMIT_CORE": 0}
    for name, limit in limits.items():
        most = resource.getrlimit(getattr(resource, name))[1]
        least = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(getattr(resource, name), (least, least))


def _read_all(blob: bytes) -> bytes:
    """The .npz: only arrays that lie in the file as they are; links to elsewhere are not followed."""
    import h5py

    size = len(blob)
    _limit(size)
    arrays: dict[str, np.ndarray] = {}
    attributes: dict[str, dict[str, Any]] = {}
    claimed = 0

    def visit(name: str, node: Any) -> None:
        nonlocal claimed
        attributes[name] = {k: _plain(v) for k, v in node.attrs.items()}
        if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "fiu":
            return
        if node.chunks is not None or node.external or node.is_virtual:
            raise ValueError(f"{name} is packed or outside the file; expected plain numbers")
        claimed += node.size * node.dtype.itemsize
        if claimed > size or node.size * node.dtype.itemsize > node.id.get_storage_size():
            raise ValueError(f"{name} claims {list(node.shape)} and the file has {size} bytes")
        arrays[name] = node[()]

    with h5py.File(io.BytesIO(blob), "r") as file:
        visit("", file)
        file.visititems(visit)
    text = json.dumps({"arrays": list(arrays), "attributes": attributes}).encode()
    made = io.BytesIO()
    values = {f"a{k}": v for k, v in enumerate(arrays.values())}
    np.savez(made, description=np.frombuffer(text, np.uint8), allow_pickle=False, **values)
    return made.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.ravel().tolist()]
    return value.item() if isinstance(value, np.generic) else value if isinstance(value, str | int | float) else None


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(_read_all(sys.stdin.buffer.read()))
    except Exception as e:  # whatever h5py makes of a damaged file: its last line is the message
        sys.exit(f"{type(e).__name__}: {' '.join(str(e).split())}")
