"""Names the first divergence of an image from the oracle: step, layer, unit, and the gate where its weights tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quantize import oracle
from quantize.errors import QuantizeError
from quantize.ops import OPS
from quantize.qnetwork import QLayer, QNetwork
from toolkit import elf
from toolkit.codegen.pack import PackedArray
from toolkit.codegen.packers import pack
from toolkit.errors import ToolkitError
from toolkit.vectors import MISSING, RESET


def name_divergence(
    q: QNetwork, mismatch: Mapping[str, Any], image: Path | None, kernels: Mapping[str, str], *, in_slices: bool
) -> str:
    """One line. `mismatch`: the image's dump of the step that differed; the oracle runs it again.

    `image`: None where there is no file of it; `kernels`: layer -> target; `in_slices`: the input went to step."""
    step = mismatch["step"]
    stream = oracle.Stream(q)
    got = oracle.Stream(q)
    try:
        stream.restore(bytes.fromhex(mismatch["previous"]))
        got.restore(bytes.fromhex(mismatch["got"]))
    except QuantizeError as e:
        return f"step {step}: the image's state cannot be read back: {e}"
    if mismatch["op"] == RESET:
        stream.reset()
    raw = np.array(mismatch["input"])
    if in_slices:
        forecast = stream.step(raw)
    else:
        forecast = stream.predict_missing() if mismatch["op"] == MISSING else stream.predict(raw)
    where = _first_state(q, stream.state, got.state)
    if where is not None:
        layer, unit = where
        found = _state_text(stream, got, layer, unit)
        return f"step {step}: layer {layer.name}, unit {unit}: {found}; {_cause(layer, kernels.get(layer.name), image)}"
    if list(forecast) != list(mismatch["output"]):
        row = int(np.flatnonzero(forecast != np.array(mismatch["output"]))[0])
        head = q.layers[-1]
        found = f"{mismatch['output'][row]}, expected {forecast[row]}"
        return f"step {step}: layer {head.name}, output {row}: {found}; {_cause(head, kernels.get(head.name), image)}"
    if stream.save() != bytes.fromhex(mismatch["got"]):
        return f"step {step}: the layers agree, but the counters or the remembered samples do not"
    return f"step {step}: the image agrees with the oracle: its test vector is wrong (build it again)"


def _first_state(q: QNetwork, want: oracle.State, got: oracle.State) -> tuple[QLayer, int] | None:
    """The first layer, and its first unit, whose c or h differs."""
    for layer in q.layers:
        differs = [np.flatnonzero((want[layer.name][k] != got[layer.name][k])[0]) for k in want[layer.name]]
        units = np.concatenate([np.empty(0, np.int64), *differs])
        if len(units):
            return layer, int(units.min())
    return None


def _state_text(want: oracle.Stream, got: oracle.Stream, layer: QLayer, unit: int) -> str:
    both = ((k, int(got.state[layer.name][k][0, unit]), int(v[0, unit])) for k, v in want.state[layer.name].items())
    return ", ".join(f"{k} = {a}, expected {b}" for k, a, b in both if a != b)


def _cause(layer: QLayer, target: str | None, image: Path | None) -> str:
    """Where the image's copy of the layer, in the target's layout, differs from the model; or that it does not."""
    if image is None or target is None:
        return "there is no image here to compare the weights of"
    packed = pack(layer, target)
    for part in packed.arrays:
        symbol, array = f"{layer.name}_{part.suffix}", part.array
        try:
            held = np.frombuffer(elf.read_symbol(image, symbol), array.dtype)
        except ToolkitError:
            return f"the image has no symbol {symbol} to compare"
        if held.size != array.size:
            return f"{symbol} has {held.size} values in the image, {array.size} in the model"
        wrong = np.argwhere(held.reshape(array.shape) != array)
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            index = "".join(f"[{i}]" for i in at)
            found, wanted = held.reshape(array.shape)[at], array[at]
            return (
                f"weight {symbol}{index} ({_row(layer, part, at[0])}) is {found} in the image, {wanted} in the model, "
                f"{len(wrong)} such"
            )
    return "the image's weights are the model's: the arithmetic differs (compiler or kernel)"


def _row(layer: QLayer, part: PackedArray, row: int) -> str:
    """What a row of an array belongs to: a gate and a unit, an output, or what the layout calls it."""
    gates, size = getattr(OPS[layer.op], "GATES", ""), OPS[layer.op].output_size(layer)
    if gates and len(part.array) == len(gates) * size:
        return f"gate {gates[row // size]}, unit {row % size}"
    return part.rows[row] if part.rows else f"row {row}"
