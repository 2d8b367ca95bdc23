"""Full integer files: the chain of fused LSTM and dense layers with its own integers, as a QNetwork of scheme w8a8."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from quantize import gemmlowp
from quantize.errors import QuantizeError
from quantize.network import Column, Network, frozen_arrays
from quantize.ops import OPS
from quantize.qnetwork import QInput, QLayer, QNetwork, QOutput, quantize_input, quantize_output, save_qnetwork
from quantize.verify import verify_qnetwork
from toolkit.errors import ToolkitError
from toolkit.host import load_model
from toolkit.importers.tflite_file import Graph, Operator, Tensor

GATES = ("input", "forget", "cell", "output")
GAIN = 2**14  # of the head that hands h out: its steps must be small beside those of the raw outputs
PLAIN = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "STRIDED_SLICE", "SOFTMAX", "EXPAND_DIMS", "SQUEEZE"}
OPTIONAL = (9, 10, 11, 16, 17, 20, 21, 22, 23)  # peepholes, projection, layer normalisation
F32 = np.float32


def is_integer(main: Graph) -> bool:
    """Whether what flows through the main graph is int8."""
    made = [main.tensors[t] for op in main.operators for t in op.outputs]
    return any(t.kind == "int8" and t.data is None for t in made)


def check_operators(main: Graph) -> None:
    """Raises ToolkitError, naming it, at an operator that has no int8 form here."""
    for op in main.operators:
        if op.name not in (*PLAIN, "UNIDIRECTIONAL_SEQUENCE_LSTM", "FULLY_CONNECTED"):
            raise ToolkitError(
                f"{op.where}: has no int8 form here; there is UNIDIRECTIONAL_SEQUENCE_LSTM and FULLY_CONNECTED"
            )


def ends(main: Graph) -> tuple[int, int]:
    """The int8 tensors that the chain begins and ends with: behind QUANTIZE, before DEQUANTIZE or SOFTMAX."""
    first, last = main.inputs[0], main.outputs[0]
    for op in main.operators:
        if op.name == "QUANTIZE" and op.inputs[0] == first and main.tensors[first].kind == "float32":
            first = op.outputs[0]
    for op in reversed(main.operators):
        if op.outputs[0] == last and op.name in ("DEQUANTIZE", "SOFTMAX"):
            last = op.inputs[0]
    return first, last


def qnetwork(main: Graph, network: Network, head: str) -> QNetwork:
    """The integers of a file. head: "last" or "all", what the file gives of a window.

    Raises: ToolkitError, naming the operator, where the chain has no form in w8a8."""
    first, last = ends(main)
    layers: list[QLayer] = []
    now = first
    for op in main.operators:
        if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
            layers.append(_lstm(main, op, f"lstm{len(layers)}"))
        elif op.name == "FULLY_CONNECTED":
            layers.append(_dense(main, op, f"dense{len(layers)}"))
        if op.name not in ("QUANTIZE", "DEQUANTIZE", "SOFTMAX"):
            now = _follows(main, op, now)
        elif op.inputs[0] not in (main.inputs[0], last) and op.outputs[0] != main.outputs[0]:
            raise ToolkitError(f"{op.where}: between layers; supported is at the begin and the end")
    if now != last:
        raise ToolkitError("its int8 layers are no chain from the input to the output")
    x, y = main.tensors[first], main.tensors[last]
    if not any(k.op == "lstm_w8a8" for k in layers):
        raise ToolkitError("an int8 file without an LSTM; there is nothing recurrent in it")
    return _network(network, layers, x, y, head)


def _follows(main: Graph, op: Operator, now: int) -> int:
    """The chain's next tensor."""
    a, b = main.tensors[now], main.tensors[op.inputs[0]]
    if op.inputs[0] != now or _scale(op, a) != _scale(op, b) or b.kind != "int8":
        raise ToolkitError(
            f"{op.where}: is not fed by the layer before it; an int8 model of several branches has no form here"
        )
    return op.outputs[0]


def _scale(op: Operator, t: Tensor) -> tuple[float, int]:
    """An activation's scale and zero point."""
    if len(t.scale) != 1 or len(t.zero) != 1 or not -128 <= t.zero[0] <= 127:
        raise ToolkitError(f'{op.where}: tensor "{t.name}" has no scale and zero point')
    return float(t.scale[0]), int(t.zero[0])


def _array(main: Graph, op: Operator, k: int, kind: str, what: str) -> Tensor:
    """A constant input of a kind; weights are symmetric."""
    t = main.tensors[op.inputs[k]] if k < len(op.inputs) and op.inputs[k] >= 0 else None
    if t is None or t.data is None or t.kind != kind or not len(t.scale) or t.zero.any():
        raise ToolkitError(f"{op.where}: {what}: expected constant {kind} values with a scale and zero point 0")
    return t


# --- LSTM: tensorflow/lite/kernels/unidirectional_sequence_lstm.cc, the 8x8_16 path ---


def _lstm(main: Graph, op: Operator, name: str) -> QLayer:
    if any(k < len(op.inputs) and op.inputs[k] >= 0 for k in OPTIONAL):
        raise ToolkitError(f"{op.where}: int8 with peepholes, projection or layer normalisation: not supported")
    if op.fused != "tanh" or len(op.inputs) < 20 or len(op.intermediates) < 5 or min(op.inputs[18:20]) < 0:
        raise ToolkitError(f"{op.where}: not the full int8 form of converters (tanh, five intermediate tensors)")
    wx = [_array(main, op, 1 + k, "int8", f"weights of the {gate} gate") for k, gate in enumerate(GATES)]
    wh = [_array(main, op, 5 + k, "int8", f"recurrent weights of the {gate} gate") for k, gate in enumerate(GATES)]
    b = [_array(main, op, 12 + k, "int32", f"biases of the {gate} gate") for k, gate in enumerate(GATES)]
    if any(len(t.scale) != 1 for t in (*wx, *wh)):
        raise ToolkitError(f"{op.where}: scales per row; expected one per gate")
    (x_scale, x_zero), (h_scale, h_zero) = (_scale(op, main.tensors[op.inputs[k]]) for k in (0, 18))
    made = _scale(op, main.tensors[op.intermediates[4]])
    if {made, _scale(op, main.tensors[op.outputs[0]])} != {(h_scale, h_zero)}:
        raise ToolkitError(f"{op.where}: h, the state and the output have different scales; not supported")
    bits = _cell_bits(op, main.tensors[op.inputs[19]])
    scales = [float(F32(t.scale[0]) * F32(x_scale) / F32(2.0**-12)) for t in wx]
    scales += [float(F32(t.scale[0]) * F32(h_scale) / F32(2.0**-12)) for t in wh]
    scales.append(float(F32(2.0**-15 / float(F32(h_scale)) * 2.0**-15)))
    m, s = zip(*map(gemmlowp.multiplier, scales), strict=True)
    q_x, q_h, bias = (
        np.concatenate([t.data for t in part if t.data is not None]).astype(np.int64) for part in (wx, wh, b)
    )
    arrays = {"wx": q_x, "wh": q_h, "bx": bias - x_zero * q_x.sum(1), "bh": -h_zero * q_h.sum(1)}
    clip = int(np.clip(op.options["cell_clip"] / 2.0 ** (bits - 15), 0, 32767))
    params = {"table": 0, "bits": bits, "clip": clip, "x_zero": x_zero, "h_zero": h_zero}
    return _layer(op, name, "lstm_w8a8", {**arrays, "m": np.array(m), "s": np.array(s)}, params)


def _cell_bits(op: Operator, c: Tensor) -> int:
    """Integer bits of c.

    Raises: ToolkitError where its scale is not 2^-15 .. 2^-9: at 2^-16 the interpreter itself computes nonsense."""
    if len(c.scale) != 1 or c.kind != "int16" or c.zero.any():
        raise ToolkitError(f"{op.where}: the cell's state is not int16 with one scale")
    mantissa, exponent = math.frexp(float(c.scale[0]))
    bits = exponent - 1 + 15
    if mantissa == 0.5 and bits == -1:
        raise ToolkitError(
            f"{op.where}: its cell has the scale 2^-16, with which TFLite's own LSTM returns garbage (its tanh takes "
            f"at least 0 integer bits): calibrate with data on which |c| exceeds 0.5, or convert to float"
        )
    if mantissa != 0.5 or not 0 <= bits <= 6:
        raise ToolkitError(f"{op.where}: its cell has the scale {c.scale[0]:g}; expected a power of two, 2^-15 .. 2^-9")
    return bits


def _layer(op: Operator, name: str, kind: str, arrays: dict[str, np.ndarray], params: dict[str, int]) -> QLayer:
    """A layer whose numbers fit their types and whose accumulators fit int32.

    Raises: ToolkitError."""
    types = {k: np.dtype(v[0]) for k, v in OPS[kind].DTYPES.items()}
    for k, v in arrays.items():
        if v.size and (v.min() < np.iinfo(types[k]).min or v.max() > np.iinfo(types[k]).max):
            raise ToolkitError(f"{op.where}: a number of {k} does not fit {types[k].name}; is the file damaged?")
    q = QLayer(name, kind, frozen_arrays({k: v.astype(types[k]) for k, v in arrays.items()}), params)
    if {k: v.shape for k, v in q.arrays.items()} != OPS[kind].shapes(q):
        raise ToolkitError(f"{op.where}: its arrays have shapes that do not fit together")
    if not OPS[kind].fits(q).all():
        raise ToolkitError(f"{op.where}: an accumulator, or a scale, does not fit our int32 kernels")
    return q


# --- dense: tensorflow/lite/kernels/fully_connected.cc ---


def _dense(main: Graph, op: Operator, name: str) -> QLayer:
    w = _array(main, op, 1, "int8", "the weights")
    (x_scale, x_zero), (y_scale, y_zero) = (_scale(op, main.tensors[t]) for t in (op.inputs[0], op.outputs[0]))
    assert w.data is not None
    q_w = w.data.astype(np.int64)
    if q_w.ndim != 2 or (len(w.scale) > 1 and w.axis != 0):
        raise ToolkitError(f"{op.where}: weights of shape {list(q_w.shape)}, scales along axis {w.axis}; not supported")
    given = len(op.inputs) > 2 and op.inputs[2] >= 0
    b = _array(main, op, 2, "int32", "the biases").data if given else None
    bias = np.zeros(len(q_w), np.int64) if b is None else b.astype(np.int64)
    if bias.shape != (len(q_w),):
        raise ToolkitError(f"{op.where}: {bias.size} biases for {len(q_w)} outputs")
    one = len(w.scale) == 1  # one scale is multiplied in float32, many are in float64
    products = [float(F32(x_scale) * F32(v)) if one else float(F32(x_scale)) * float(F32(v)) for v in w.scale]
    m, s = zip(*(gemmlowp.multiplier(v / y_scale) for v in products), strict=True)
    arrays = {"w": q_w, "b": bias - x_zero * q_w.sum(1)}
    arrays |= {"m": np.resize(np.array(m), len(q_w)), "s": np.resize(np.array(s), len(q_w))}
    low, high = _limits(op, y_scale, y_zero)
    return _layer(op, name, "dense_w8a8", arrays, {"h_zero": y_zero, "low": low, "high": high})


def _limits(op: Operator, scale: float, zero: int) -> tuple[int, int]:
    """Where the fused activation clamps: CalculateActivationRangeQuantized."""
    if op.fused == "tanh":
        raise ToolkitError(f"{op.where}: int8 with a fused tanh; not supported")
    low = max(-128, zero) if op.fused else -128
    high = min(127, zero + round(6 / scale)) if op.fused == "relu6" else 127
    return low, high


# --- around the layers ---


def _network(network: Network, layers: list[QLayer], x: Tensor, y: Tensor, head: str) -> QNetwork:
    (x_scale, x_zero), (y_scale, y_zero) = ((float(t.scale[0]), int(t.zero[0])) for t in (x, y))
    try:
        inputs = tuple(_input(c, x_scale, x_zero) for c in network.inputs)
        made = [_output(c, y_scale) for c in network.outputs]
        size = len(made)
        w, b = np.eye(size, dtype=np.int16) * GAIN, np.full(size, -y_zero * GAIN, np.int32)
        last = QLayer("bytes", "dense_w16a8", frozen_arrays({"w": w.astype(np.int16), "b": b}), {})
        fields = {f: getattr(network, f) for f in ("name", "mode", "window", "warmup", "horizon", "period")}
        kept = {f: getattr(network, f) for f in ("missing", "max_gap")}
        q = QNetwork(
            layers=(*layers, last),
            inputs=inputs,
            outputs=tuple(made),
            source="0" * 64,
            digest="",
            head=head,
            **fields,
            **kept,
        )
        verify_qnetwork(q)
    except QuantizeError as e:
        raise ToolkitError(f"its int8 form: {e}") from None
    return q


def _input(column: Column, scale: float, zero: int) -> QInput:
    """Raw values in steps that are small beside those of x, whose 0 is `zero` steps off."""
    decimals = min(9, max(0, math.ceil(math.log10(100 / scale))))
    return quantize_input(replace(column, decimals=decimals, mean=-zero * scale), 127 * scale, full=127.0, top=128)


def _output(column: Column, scale: float) -> QOutput:
    decimals = min(6, max(0, math.floor(math.log10(GAIN / 8 / scale))))
    return quantize_output(replace(column, decimals=decimals), scale / GAIN)[0]


def bytes_of_c(q: QNetwork, x: np.ndarray) -> np.ndarray:
    """x int8 [batch, time, in] through the C of this computer's best kernels -> int8 [batch, time', out], the values of
    the file's own last int8 tensor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.q.safetensors"
        save_qnetwork(q, path)
        model = load_model(path)
    head = q.layers[-1].arrays
    gain = int(head["w"][0, 0])
    rows = []
    for window in x.astype(np.int16):
        model.reset()
        steps = [model.step(sample) for sample in window]
        rows.append(np.stack(steps if q.head == "all" else steps[-1:]))
    return np.asarray((np.stack(rows) - head["b"]) // gain).astype(np.int8)
