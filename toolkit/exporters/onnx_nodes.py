"""An ONNX graph as it grows, for the exporters: nodes, constants, and weights that may be integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Integers:
    """Steps of a quantized network's values: `weights` by layer and array, one a row; `x` of each input, `h` of what
    every recurrent layer gives out."""

    weights: Mapping[tuple[str, str], np.ndarray]
    x: np.ndarray
    h: float


@dataclass(slots=True)
class Made:
    """The graph as it grows: nodes, and constants by name. `integers`: None, or what a quantized network is made of."""

    integers: Integers | None = None
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def node(self, op: str, inputs: Sequence[str], name: str, output: str = "", **attributes: Any) -> str:
        """Adds a node; the name of its output, which is the node's unless given."""
        from onnx import helper

        out = output or name
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=name, **attributes))
        return out

    def weight(self, name: str, value: np.ndarray) -> str:
        """Adds a float32 constant."""
        self.constants[name] = np.ascontiguousarray(value, np.float32)
        return name

    def rows(self, layer: str, key: str, name: str, value: np.ndarray, order: np.ndarray) -> str:
        """Adds a weight whose axis 1 are our rows in another order: float32, or the integers and their steps."""
        if self.integers is None:
            return self.weight(name, value)
        step = self.integers.weights[layer, key][order]
        found = np.rint(value / np.expand_dims(step, [k for k in range(value.ndim) if k != 1]))
        self.constants[f"{name}_int"] = found.astype(np.int8 if np.abs(found).max() < 128 else np.int16)
        self.weight(f"{name}_step", step)
        return self.node("DequantizeLinear", [f"{name}_int", f"{name}_step"], name, axis=1)

    def rounded(self, tensor: str, name: str) -> str:
        """What a layer gives out, to the nearest step of int16; as it is in a float network."""
        if self.integers is None:
            return tensor
        step = self.weight(f"{name}.step", np.array(self.integers.h))
        zero = f"{name}.zero"
        self.constants[zero] = np.array(0, np.int16)
        quantized = self.node("QuantizeLinear", [tensor, step, zero], f"{name}/int16")
        return self.node("DequantizeLinear", [quantized, step, zero], f"{name}/real")

    def whole(self, name: str, *values: int) -> str:
        """Adds an int64 constant, of axes, shapes and the like."""
        self.constants[name] = np.array(values, np.int64)
        return name
