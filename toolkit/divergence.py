"""Names the first divergence of an image from the oracle: step, layer, unit, and the gate where its weights tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quantize import oracle
from quantize.errors import QuantizeError
from quantize.ops import lstm
from quantize.qnetwork import QLayer, QNetwork
from toolkit import elf
from toolkit.errors import ToolkitError
from toolkit.vectors import MISSING, RESET


def name_divergence(q: QNetwork, mismatch: Mapping[str, Any], image: Path) -> str:
    """One line. `mismatch`: the image's dump of the step that differed; the oracle runs it again."""
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
    forecast = stream.predict_missing() if mismatch["op"] == MISSING else stream.predict(raw)
    where = _first_state(q, stream.state, got.state)
    if where is not None:
        layer, unit = where
        found = _state_text(stream, got, layer, unit)
        return f"step {step}: layer {layer.name}, unit {unit}: {found}; {_cause(layer, image)}"
    if list(forecast) != list(mismatch["output"]):
        row = int(np.flatnonzero(forecast != np.array(mismatch["output"]))[0])
        head = q.layers[-1]
        found = f"{mismatch['output'][row]}, expected {forecast[row]}"
        return f"step {step}: layer {head.name}, output {row}: {found}; {_cause(head, image)}"
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


def _cause(layer: QLayer, image: Path) -> str:
    """Where the image's copy of the layer differs from the model, or that it does not."""
    for name, array in layer.arrays.items():
        try:
            held = np.frombuffer(elf.read_symbol(image, f"{layer.name}_{name}"), array.dtype)
        except ToolkitError:
            return f"the image has no symbol {layer.name}_{name} to compare"
        if held.size != array.size:
            return f"{layer.name}_{name} has {held.size} values in the image, {array.size} in the model"
        wrong = np.argwhere(held.reshape(array.shape) != array)
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            size = lstm.hidden_size(layer) if layer.op == "lstm" else 0
            gate = f" (gate {lstm.GATES[at[0] // size]}, unit {at[0] % size})" if size else f" (output {at[0]})"
            index = "".join(f"[{i}]" for i in at)
            return (
                f"weight {layer.name}_{name}{index}{gate} is {held.reshape(array.shape)[at]} in the image, "
                f"{array[at]} in the model, {len(wrong)} such"
            )
    return "the image's weights are the model's: the arithmetic differs (compiler or kernel)"
