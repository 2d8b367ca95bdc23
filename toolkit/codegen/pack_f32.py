"""Weights for the float32 kernels of csrc/tl_f32.h, from the layers of a float network."""

from __future__ import annotations

import math

import numpy as np

from quantize.network import Layer
from quantize.ops import OPS, gru
from toolkit import cpu, isa
from toolkit.boards import Board
from toolkit.codegen.pack import Packed, PackedArray
from toolkit.targets import F32

KERNELS = {"lstm": "lstm_step_f32", "gru": "gru_step_f32", "dense": "dense_f32"}
GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}


def able(board: Board) -> list[str]:
    """The targets whose float32 kernels a board runs, the fastest first; none where its core has no FPU."""
    if board.toolchain == "host":
        return [t for t in F32 if t in cpu.host_targets()]
    has = isa.features(board.core, board.fpu)
    return [name for name, t in F32.items() if t.needs is not None and t.needs <= has]


def host_target() -> str:
    """The fastest target with float32 kernels that this computer runs."""
    return next(t for t in F32 if t in cpu.host_targets())


def place(layer: Layer, target: str) -> tuple[str, Packed]:
    """Whose kernel runs a layer, and the layer in its layout: `target`, or `ref` where that has no kernel for it."""
    if layer.op == "dense":
        return target if F32[target].dense else "ref", _dense(layer)
    if F32[target].units and (layer.op == "lstm" or gru.reset_after(layer)):
        return target, _tiles(layer, F32[target].units)
    return "ref", _rows(layer)


def _array(suffix: str, array: np.ndarray, meaning: str, rows: list[str] | None) -> PackedArray:
    return PackedArray(suffix, "float", np.ascontiguousarray(array, np.float32), meaning, rows)


def _dense(layer: Layer) -> Packed:
    w, b = layer.weights["w"], layer.weights["b"]
    rows = [f"y{row}" for row in range(len(b))]
    arrays = (_array("w", w, "weights [output][unit]", rows), _array("b", b, "biases [output]", None))
    return Packed(
        "tl_dense_f32", arrays, (("w", "@w"), ("b", "@b"), ("inputs", str(w.shape[1])), ("outputs", str(len(b))))
    )


def _sizes(layer: Layer) -> tuple[tuple[str, str], tuple[str, str]]:
    op = OPS[layer.op]
    return ("inputs", str(op.input_size(layer))), ("hidden", str(op.output_size(layer)))


def _rows(layer: Layer) -> Packed:
    """The reference layout: the network's own."""
    size = OPS[layer.op].output_size(layer)
    labels = [f"{gate}{unit}" for gate in GATES[layer.op] for unit in range(size)]
    arrays = (
        _array("w_ih", layer.weights["w_ih"], "input weights [row][input]", labels),
        _array("w_hh", layer.weights["w_hh"], "recurrent weights [row][unit]", labels),
        _array("b", layer.weights["b"], "biases [row]", None),
    )
    fields = [("w_ih", "@w_ih"), ("w_hh", "@w_hh"), ("b", "@b"), *_sizes(layer)]
    if layer.op == "gru":
        fields.append(("reset_after", str(int(gru.reset_after(layer)))))
    return Packed(f"tl_{layer.op}_f32", arrays, tuple(fields))


def _tiles(layer: Layer, wide: int) -> Packed:
    """tl_tiles_f32: per block of `wide` units the bias, the inputs and h, one column after the other."""
    size, weights = OPS[layer.op].output_size(layer), layer.weights
    scale = -math.log2(math.e)
    if layer.op == "lstm":
        factors = from_x = from_h = [scale, scale, 2 * scale, scale]
    else:
        factors = [scale, scale, 2 * scale, 2 * scale]  # r, z, nx, nh
        from_x, from_h = factors[:3], [*factors[:2], factors[3]]
    parts = [
        _columns(weights["b"][:, None], factors, size, wide),
        _columns(weights["w_ih"], from_x, size, wide),
        _columns(weights["w_hh"], from_h, size, wide),
    ]
    sections = "i, f, g, o" if layer.op == "lstm" else "r, z, nx or nh"
    meaning = f"[block][bias, inputs, h][{sections}][{wide} units], times -log2(e), g and n times -2 log2(e)"
    stream = PackedArray("w", "_Alignas(64) float", np.concatenate(parts, axis=1).reshape(-1), meaning, None)
    return Packed("tl_tiles_f32", (stream,), (("w", "@w"), *_sizes(layer)))


def _columns(w: np.ndarray, factors: list[float], size: int, wide: int) -> np.ndarray:
    """[sections * units, columns] -> [block, columns * sections * wide], scaled, padded with zeros."""
    columns, sections = w.shape[1], len(factors)
    blocks = -(-size // wide)
    padded = np.zeros((sections, blocks * wide, columns), np.float32)
    padded[:, :size] = w.reshape(sections, size, columns).astype(np.float64) * np.array(factors)[:, None, None]
    return padded.reshape(sections, blocks, wide, columns).transpose(1, 3, 0, 2).reshape(blocks, -1)
