"""The flatbuffer of a .tflite file: tables read in place, every offset and size checked against the file's length.

The numbers of the fields are those of TensorFlow Lite's schema.fbs. A reader of our own because the generated classes
of the packages (700 KB) follow a damaged offset anywhere and copy what a vector's count claims."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError

MAGIC = b"TFL3"  # at byte 4
_KINDS = "float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64".split()
TYPES = {k: name for k, name in enumerate(_KINDS) if name not in ("string", "complex64")}
OPERATORS = """ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP
    FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF
    TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
    BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
    BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
    ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE
    TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK
    LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD
    RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N
    GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
    NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
    PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE
    HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE
    ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU
    DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
    UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT""".split()
FUSED = ("", "relu", "relu_n1_to_1", "relu6", "tanh", "sign_bit")
_POOL = "padding:b stride_w:i stride_h:i width:i height:i fused:b"
_FIELDS = {  # of an operator's options, in order: name:struct code, =default where it is not 0
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "fused:b cell_clip:f proj_clip:f time_major:b",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "fused:b cell_clip:f proj_clip:f merge:b time_major:b=1",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "time_major:b fused:b",
    "FULLY_CONNECTED": "fused:b weights_format:b keep_dims:b",
    "BATCH_MATMUL": "adj_x:b adj_y:b",
    "CONV_2D": "padding:b stride_w:i stride_h:i fused:b dilation_w:i=1 dilation_h:i=1",
    "DEPTHWISE_CONV_2D": "padding:b stride_w:i stride_h:i multiplier:i fused:b dilation_w:i=1 dilation_h:i=1",
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "MEAN": "keep_dims:b",
    "REDUCE_MAX": "keep_dims:b",
    "SOFTMAX": "beta:f",
    "LEAKY_RELU": "alpha:f",
    "GELU": "approximate:b",
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV"), "fused:b"),
    "CONCATENATION": "axis:i fused:b",
    "STRIDED_SLICE": "begin_mask:i end_mask:i ellipsis:i new_axis:i shrink:i",
    "SPLIT": "num:i",
    "UNPACK": "num:i axis:i",
    "PACK": "num:i axis:i",
    "GATHER": "axis:i batch_dims:i",
    "WHILE": "cond:i body:i",
}
Field = tuple[str, str, float]  # name, struct code, default


def _fields(text: str) -> tuple[Field, ...]:
    parts = (word.replace("=", ":").split(":") for word in text.split())
    return tuple((name, code, float(default[0]) if default else 0.0) for name, code, *default in parts)


OPTIONS = {name: _fields(text) for name, text in _FIELDS.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """`shape` as stored, `signature` with -1 for what is open; `data`: None, or a constant's array as stored."""

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    kind: str
    data: np.ndarray | None
    scale: np.ndarray  # [] or one, or one per index of `axis`
    zero: np.ndarray
    axis: int
    variable: bool


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One operator of a graph: `index` in it, tensors by index (-1: none)."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]
    intermediates: tuple[int, ...]

    @property
    def where(self) -> str:
        """What an error calls it."""
        return f"operator {self.index} ({self.name})"

    @property
    def fused(self) -> str:
        """The activation that is part of it, or ""."""
        code = int(self.options.get("fused", 0))
        if not 0 <= code < len(FUSED) or FUSED[code] in ("relu_n1_to_1", "sign_bit"):
            raise ToolkitError(f"{self.where}: fused activation {code} is not supported; there is relu, relu6 and tanh")
        return FUSED[code]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A subgraph: its tensors, which of them go in and out, and its operators in order."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


class _File:
    """The bytes, and how many elements of vectors may still be read: a damaged file that points many times at the
    same long vector ends here."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left = 8 * len(data) + 4096

    def number(self, at: int, code: str) -> Any:
        """The number at a byte."""
        if not 0 <= at <= len(self.data) - struct.calcsize(f"<{code}"):
            raise self.damaged(f"an offset points to byte {at} of {len(self.data)}")
        return struct.unpack_from(f"<{code}", self.data, at)[0]

    def damaged(self, why: str) -> ToolkitError:
        return ToolkitError(f"damaged or truncated: {why}; expected a whole .tflite file")


class _Table:
    """A table of the flatbuffer."""

    def __init__(self, file: _File, at: int) -> None:
        self.file, self.at = file, at
        self.fields = at - file.number(at, "i")
        self.end = file.number(self.fields, "H")

    def _place(self, field: int) -> int:
        """Where a field lies; 0: it is absent."""
        slot = 4 + 2 * field
        offset = self.file.number(self.fields + slot, "H") if slot + 2 <= self.end else 0
        return self.at + offset if offset else 0

    def number(self, field: int, code: str, default: Any = 0) -> Any:
        at = self._place(field)
        return self.file.number(at, code) if at else default

    def table(self, field: int) -> _Table | None:
        at = self._place(field)
        return _Table(self.file, at + self.file.number(at, "I")) if at else None

    def vector(self, field: int, kind: str) -> np.ndarray:
        """A vector of numbers, in place; empty where absent."""
        at = self._place(field)
        size = np.dtype(kind).itemsize
        if not at:
            return np.zeros(0, kind)
        at += self.file.number(at, "I")
        count = self.file.number(at, "I")
        if count * size > len(self.file.data) - at - 4:
            raise self.file.damaged(f"a vector of {count} values at byte {at} of {len(self.file.data)}")
        return np.frombuffer(self.file.data, np.dtype(kind).newbyteorder("<"), count, at + 4)

    def numbers(self, field: int, kind: str) -> tuple[Any, ...]:
        """A short vector as a tuple."""
        found = self.vector(field, kind)
        self.file.left -= len(found)
        if self.file.left < 0:
            raise self.file.damaged("its vectors overlap")
        return tuple(found.tolist())

    def tables(self, field: int) -> list[_Table]:
        at = self._place(field)
        if not at:
            return []
        start = at + self.file.number(at, "I") + 4
        return [_Table(self.file, start + 4 * k + v) for k, v in enumerate(self.numbers(field, "uint32"))]

    def text(self, field: int) -> str:
        """A string of at most 100 bytes, fit for a message."""
        text = bytes(self.vector(field, "uint8")[:100]).decode("utf-8", "replace")
        return "".join(c if c.isprintable() else "?" for c in text)


def recognises(head: bytes) -> bool:
    """Whether a file that begins so is a TFLite model."""
    return head[4:8] == MAGIC


def read_graphs(path: Path) -> tuple[Graph, ...]:
    """The subgraphs of a file, the main one first.

    Raises: ToolkitError, one line, when the file is damaged or of another version."""
    data = path.read_bytes()
    file = _File(data)
    root = _Table(file, file.number(0, "I"))
    version = root.number(0, "I")
    if version != 3:
        raise ToolkitError(f"TFLite schema version {version}; expected 3; convert the model again")
    codes = [_operator_name(code) for code in root.tables(1)]
    buffers = [_buffer(file, table) for table in root.tables(4)]
    graphs = root.tables(2)
    if not graphs:
        raise file.damaged("no graph")
    return tuple(_graph(file, table, codes, buffers) for table in graphs)


def _operator_name(table: _Table) -> str:
    code = max(table.number(0, "B"), table.number(3, "i"))
    if code == OPERATORS.index("CUSTOM"):
        return f"CUSTOM {table.text(1)}"
    return OPERATORS[code] if 0 <= code < len(OPERATORS) else f"operator code {code}"


def _buffer(file: _File, table: _Table) -> np.ndarray:
    offset, size = table.number(1, "Q"), table.number(2, "Q")
    if offset <= 1:
        return table.vector(0, "uint8")
    if offset + size > len(file.data):
        raise file.damaged(f"a buffer of {size} bytes at byte {offset} of {len(file.data)}")
    return np.frombuffer(file.data, np.uint8, size, offset)


def _graph(file: _File, table: _Table, codes: list[str], buffers: list[np.ndarray]) -> Graph:
    tensors = tuple(_tensor(file, x, buffers) for x in table.tables(0))
    inputs, outputs = table.numbers(1, "int32"), table.numbers(2, "int32")
    operators = tuple(_operator(file, k, x, codes) for k, x in enumerate(table.tables(3)))
    used = (*inputs, *outputs, *(t for op in operators for t in (*op.inputs, *op.outputs, *op.intermediates)))
    made = [t for op in operators for t in op.outputs]
    if any(not -1 <= t < len(tensors) for t in used) or min((0, *inputs, *outputs, *made)) < 0:
        raise file.damaged("an operator names a tensor that is not there")
    return Graph(tensors, inputs, outputs, operators)


def _operator(file: _File, index: int, table: _Table, codes: list[str]) -> Operator:
    code = table.number(0, "I")
    if code >= len(codes):
        raise file.damaged(f"operator {index} has code {code} of {len(codes)}")
    name, options = codes[code], table.table(4)
    fields = OPTIONS.get(name, ())
    values = {k: options.number(j, code, d) if options else d for j, (k, code, d) in enumerate(fields)}
    if not all(math.isfinite(v) for v in values.values()):
        raise file.damaged(f"operator {index} ({name}) has an option that is NaN or infinite")
    tensors = [table.numbers(field, "int32") for field in (1, 2, 8)]
    return Operator(index, name, tensors[0], tensors[1], values, tensors[2])


def _tensor(file: _File, table: _Table, buffers: list[np.ndarray]) -> Tensor:
    name, shape, code, buffer = table.text(3), table.numbers(0, "int32"), table.number(1, "b"), table.number(2, "I")
    kind = TYPES.get(code, f"type {code}")
    if buffer >= len(buffers):
        raise file.damaged(f'tensor "{name}" has buffer {buffer} of {len(buffers)}')
    raw, data = buffers[buffer], None
    if len(raw) and code in TYPES:
        expected = math.prod(shape) * np.dtype(kind).itemsize
        if min(shape, default=0) < 0 or len(raw) != expected:
            raise file.damaged(f'tensor "{name}" of shape {list(shape)} ({kind}) has {len(raw)} bytes')
        data = np.frombuffer(raw.tobytes(), np.dtype(kind).newbyteorder("<")).reshape(shape)
    if data is not None and data.dtype.kind == "f" and not np.isfinite(data).all():
        raise ToolkitError(f'tensor "{name}": a value is NaN or infinite; train or convert the model again')
    scales = table.table(4)
    scale = scales.vector(2, "float32").astype(np.float64) if scales else np.zeros(0)
    zero = scales.vector(3, "int64") if scales else np.zeros(0, np.int64)
    axis = scales.number(6, "i") if scales else 0
    if not (np.isfinite(scale).all() and (scale > 0).all()) or (len(scale) and len(zero) not in (0, 1, len(scale))):
        raise ToolkitError(f'tensor "{name}": scales {scale[:4].tolist()}: expected finite ones above 0')
    if len(scale) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scale)):
        raise ToolkitError(f'tensor "{name}": {len(scale)} scales for shape {list(shape)}, axis {axis}')
    signature = table.numbers(7, "int32") or shape
    signature = signature if len(signature) == len(shape) else shape
    return Tensor(name, shape, signature, kind, data, scale, zero, axis, bool(table.number(5, "b")))


def dequantized(tensor: Tensor) -> np.ndarray:
    """A constant's real values, float64; integers without a scale stay what they are."""
    assert tensor.data is not None
    if not len(tensor.scale):
        return tensor.data if tensor.data.dtype.kind in "iub" else tensor.data.astype(np.float64)
    shape = [-1 if k == tensor.axis else 1 for k in range(tensor.data.ndim)] if len(tensor.scale) > 1 else []
    zero = tensor.zero.astype(np.float64) if len(tensor.zero) else np.zeros(1)
    zero = np.broadcast_to(zero, tensor.scale.shape)
    scale = tensor.scale.reshape(shape) if shape else tensor.scale[0]
    return np.asarray((tensor.data - (zero.reshape(shape) if shape else zero[0])) * scale)
