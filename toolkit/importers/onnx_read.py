"""An ONNX file, read and checked: what the walk gets is a graph in order, with every constant there and finite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError

LARGEST = 256 << 20
"""Bytes of a file and of its external data; no microcontroller holds a hundredth of it."""
FIRST_OPSET = 7
FLOATS = (1, 11)
"""Types that the sequence may have: float32 and double. Narrower ones round between layers."""
_LENGTH, _VARINT = 2, 0
_FIELDS = {1: _VARINT, 2: _LENGTH, 3: _LENGTH, 4: _LENGTH, 5: _VARINT, 6: _LENGTH, 7: _LENGTH, 8: _LENGTH}
_FIELDS |= {14: _LENGTH, 20: _LENGTH, 25: _LENGTH, 26: _LENGTH}  # onnx.proto, message ModelProto


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator of the graph."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]
    opset: int

    def refuse(self, found: str, instead: str) -> ToolkitError:
        """The error that names the operator and the node, and says what is supported instead."""
        label = f' "{self.name}"' if self.name else f" that makes {', '.join(filter(None, self.outputs))}"
        return ToolkitError(f"{self.op}{label}: {found}; {instead}")


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A checked graph. `inputs`: name -> dimensions, None where the file leaves it open."""

    nodes: tuple[Node, ...]
    constants: dict[str, np.ndarray]
    inputs: dict[str, tuple[int | None, ...]]
    types: dict[str, int]  # of the inputs, as onnx.TensorProto counts them
    outputs: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    proto: Any = None


def looks_like_model(head: bytes) -> bool:
    """Whether the first bytes are those of a ModelProto: it has no magic number, so its fields are followed."""
    at, seen = 0, set()
    while at < len(head):
        tag, at = _varint(head, at)
        number, wire = tag >> 3, tag & 7
        if _FIELDS.get(number) != wire:
            return False
        seen.add(number)
        size, at = _varint(head, at)
        at += size if wire == _LENGTH else 0
    return bool(seen & {1, 7, 8})


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for k, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << (7 * k)
        if byte < 128:
            return value, at + k + 1
    return value, len(data)


def load(path: Path) -> Any:
    """The file as a ModelProto, with its external data and without functions of its own.

    Raises: ToolkitError."""
    import onnx

    if path.stat().st_size > LARGEST:
        raise ToolkitError(f"larger than {LARGEST >> 20} MiB, which no microcontroller can hold")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as e:  # protobuf's own errors have no common class
        raise ToolkitError(f"not a complete ONNX file ({_line(e)}); export it again") from None
    _external(model, path)
    if model.functions:
        import onnx.inliner

        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as e:
            raise ToolkitError(f"its functions cannot be written out: {_line(e)}; export it again") from None
    return model


def _line(e: Exception) -> str:
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    return " ".join(lines)[:200].encode("ascii", "replace").decode() or type(e).__name__


def tensors(model: Any) -> Iterator[Any]:
    """Every tensor that the file holds: initialisers and the attributes of nodes, subgraphs left out."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors


def _external(model: Any, path: Path) -> None:
    """Loads tensors kept beside the file; each file's name is checked before it is opened."""
    left = LARGEST
    for tensor in tensors(model):
        if tensor.data_location != 1:  # EXTERNAL
            continue
        entry = {e.key: e.value for e in tensor.external_data}
        name = entry.get("location", "")
        place = path.parent / name
        here = path.parent.resolve()
        if not name or not place.resolve().is_relative_to(here) or not place.is_file():
            raise ToolkitError(
                f'tensor "{tensor.name}" is kept in "{name}": expected a file beside the model, in its folder'
            )
        try:
            offset, length = int(entry.get("offset", "0")), int(entry.get("length", "-1"))
        except ValueError:
            offset, length = -1, -1
        size = place.stat().st_size
        length = size - offset if length < 0 else length
        left -= length
        if offset < 0 or length < 0 or offset + length > size or left < 0:
            raise ToolkitError(f'tensor "{tensor.name}": {name} has {size} bytes; expected those from {offset}')
        with place.open("rb") as f:
            f.seek(offset)
            tensor.raw_data = f.read(length)
        tensor.data_location = 0
        del tensor.external_data[:]


def constant(tensor: Any, what: str) -> np.ndarray:
    """A TensorProto as an array; what it claims is held against what it has, and every number must be one.

    Raises: ToolkitError."""
    from onnx import numpy_helper

    claimed = 1
    for size in tensor.dims:
        if size < 0:
            raise ToolkitError(f"{what}: a dimension of {size}; export the model again")
        claimed *= size
    held = max(len(tensor.raw_data) * 4, tensor.ByteSize() * 8)  # no type has more than 4 values a byte
    if claimed > held:
        raise ToolkitError(f"{what}: claims {claimed} values and holds {tensor.ByteSize()} bytes; export it again")
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as e:
        raise ToolkitError(f"{what}: not a tensor that onnx can read ({_line(e)}); export it again") from None
    if array.dtype.kind in "fV" and np.isnan(array.astype(np.float32)).any():  # V: bfloat16 and smaller, of ml_dtypes
        raise ToolkitError(f"{what}: a weight is NaN; train the model or export it again")
    return array


def graph(model: Any) -> Graph:
    """The checked model as nodes in order and constants.

    Raises: ToolkitError for another opset, a cycle, a missing tensor, an operator that is not ONNX's own."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if not FIRST_OPSET <= opset <= newest:
        raise ToolkitError(f"opset {opset}; expected {FIRST_OPSET} to {newest}: convert or export it again")
    g = model.graph
    if g.sparse_initializer:
        raise ToolkitError("sparse initialisers; export it with dense ones")
    constants = {t.name: constant(t, f'tensor "{t.name}"') for t in g.initializer}
    inputs = {i.name: _dimensions(i) for i in g.input if i.name not in constants}
    types = {i.name: i.type.tensor_type.elem_type for i in g.input if i.name in inputs}
    nodes = [_node(n, opset) for n in g.node]
    _in_order(nodes, {*constants, *inputs}, [o.name for o in g.output])
    try:
        onnx.checker.check_model(model)
    except Exception as e:  # ours come first: they say what to do
        raise ToolkitError(f"onnx.checker refuses it: {_line(e)}; export it again") from None
    metadata = {p.key: p.value for p in model.metadata_props}
    return Graph(tuple(nodes), constants, inputs, types, tuple(o.name for o in g.output), metadata, model)


def _dimensions(value: Any) -> tuple[int | None, ...]:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise ToolkitError(f'input "{value.name}": no tensor with a shape; export it with one')
    return tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim
    )


def _node(n: Any, opset: int) -> Node:
    import onnx

    if n.domain not in ("", "ai.onnx"):
        raise ToolkitError(
            f'{n.domain}.{n.op_type} "{n.name}": an operator of {n.domain}; expected ONNX\'s own: '
            "export without runtime-specific fusion or quantization"
        )
    attrs: dict[str, Any] = {}
    for a in n.attribute:
        try:
            value = onnx.helper.get_attribute_value(a)
        except ValueError:
            raise ToolkitError(f'{n.op_type} "{n.name}": attribute {a.name} has no value; export it again') from None
        if a.type in (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS):
            value = _shortest(value)
        if isinstance(value, onnx.TensorProto):
            value = constant(value, f'{n.op_type} "{n.name}", attribute {a.name}')
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, list) and value and isinstance(value[0], bytes):
            value = [v.decode("utf-8", "replace") for v in value]
        attrs[a.name] = value
    return Node(n.op_type, n.name, tuple(n.input), tuple(n.output), attrs, opset)


def _shortest(value: Any) -> Any:
    """float32 attributes in the fewest digits that give the same float32: what was meant, 0.2 and not 0.20000000298."""
    return [_shortest(v) for v in value] if not isinstance(value, float) else float(str(np.float32(value)))


def _in_order(nodes: list[Node], known: set[str], outputs: list[str]) -> None:
    """Raises ToolkitError where a node reads what no node before it makes: a cycle, or a lost initialiser."""
    made = {o for n in nodes for o in n.outputs}
    for n in nodes:
        for name in n.inputs:
            if name and name not in known:
                why = "made after it: the graph has a cycle" if name in made else "which is nowhere in the file"
                raise ToolkitError(f'{n.op} "{n.name}" reads "{name}", {why}; export it again')
        known |= set(n.outputs)
    for name in outputs:
        if name not in known:
            raise ToolkitError(f'the output "{name}" is made by no node; export it again')


def needed(nodes: tuple[Node, ...], output: str) -> list[Node]:
    """The nodes that `output` depends on, in order."""
    wanted, kept = {output}, []
    for n in reversed(nodes):
        if wanted & set(n.outputs):
            wanted |= set(n.inputs)
            kept.append(n)
    return kept[::-1]
