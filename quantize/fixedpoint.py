"""The scalar steps of the integer arithmetic, on int64 arrays that hold int32 values: the twin of csrc/tl_math.h.

`>>` is an arithmetic shift (rounds towards minus infinity) here and there. The definition: docs/arithmetic.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

ARITHMETIC = 1  # the number of this definition; stored in every quantized model, another number is refused
AMPLITUDE = 32640  # 1.0 of an activation: int16 with room for the identities of the fast kernels
INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)

_NODES = json.loads((Path(__file__).parent / "nodes.json").read_text())
SIGMOID_NODES = np.array(_NODES["sigmoid"], np.int64)  # [257] 32768 * sigmoid(z), z = -8 .. 8
TANH_NODES = np.array(_NODES["tanh"], np.int64)  # [257] 32640 * tanh(z * 32768 / 32640), z = -8 .. 8
SIGMOID_NODES.setflags(write=False)
TANH_NODES.setflags(write=False)


def sat16(v: np.ndarray) -> np.ndarray:
    """Saturates to int16."""
    return np.clip(v, -32768, 32767)


def wrap32(v: np.ndarray) -> np.ndarray:
    """What int32 addition leaves of a sum: v modulo 2**32."""
    return ((v + 2**31) & 0xFFFF_FFFF) - 2**31


def mulw(a: np.ndarray, m: np.ndarray | int) -> np.ndarray:
    """(a * m) >> 16: int32 by int16, the instruction SMULWB."""
    return (a * m) >> 16


def requantize(acc: np.ndarray, m: np.ndarray, t: int) -> np.ndarray:
    """Accumulator (int32) -> gate input, Q3.12 in int16. `m`: 1 .. 32767 per row, `t`: 0 .. 15 per layer."""
    return sat16(mulw(acc, m) >> t)


def lookup(nodes: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Linear interpolation in a table of 257 nodes; z int16, Q3.12 (-8 .. 8)."""
    i = (z + 32768) >> 8
    fraction = ((z & 255) << 7) | 1  # Q0.15, odd: the half step that a packed table gets for nothing
    return nodes[i] + (((nodes[i + 1] - nodes[i]) * fraction) >> 15)


def lookup_packed(words: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The same bits from a packed table (one uint32 per interval), as the fast kernels compute them."""
    word = words[(z + 32768) >> 8]
    slope = ((word & 0xFFFF) ^ 0x8000) - 0x8000
    fraction = (((z << 7) & 0xFFFF) ^ 0x8000) - 0x8000
    word = (word ^ 0x80000000) - 0x80000000
    return (word + slope * fraction) >> 16


def packed(nodes: np.ndarray) -> np.ndarray:
    """257 nodes -> 256 words base << 16 | uint16(2 * slope); an odd interval is based on its upper node.

    A slope of 1 in an even interval adds less than 1: it is stored as 0. So the outermost intervals are flat, and a
    kernel may saturate the index alone: whatever the fraction is then, the result is the end's."""
    i = np.arange(256)
    odd = i & 1 == 1
    slope = nodes[i + 1] - nodes[i]
    slope = np.where(~odd & (slope == 1), 0, slope)
    return ((np.where(odd, nodes[i + 1], nodes[i]) & 0xFFFF) << 16) | ((2 * slope) & 0xFFFF)


def lines(nodes: np.ndarray) -> np.ndarray:
    """The same with each base moved to z = 0, modulo 2**16: word + 2 * slope * z * 128, modulo 2**32."""
    word = packed(nodes)
    slope = (word & 0xFFFF ^ 0x8000) - 0x8000
    return (word - (slope * (np.arange(-127, 129) >> 1) << 16)) & 0xFFFF_FFFF


def cell(f: np.ndarray, c: np.ndarray, i: np.ndarray, g: np.ndarray, frac: int) -> np.ndarray:
    """c' = f c + i g: gates Q0.15, c int16 with `frac` fractional bits (0 .. 12). |sum| < 2**31."""
    return sat16((f * c + ((i * g) >> (15 - frac)) + (1 << 14)) >> 15)


def hidden(o: np.ndarray, c: np.ndarray, frac: int) -> np.ndarray:
    """h' = o tanh(c): |h'| <= 32629, in 1/32640."""
    return (o * lookup(TANH_NODES, sat16(c << (12 - frac))) + (1 << 14)) >> 15


def blend(z: np.ndarray, h: np.ndarray, n: np.ndarray) -> np.ndarray:
    """h' = n + z (h - n) of a GRU; z in Q0.15, h and n within +-32640: so is h'. |product| < 2**31 - 2**14."""
    return n + ((z * (h - n) + (1 << 14)) >> 15)


def scale_in(raw: np.ndarray, low: int, high: int, offset: int, k: int, m: int, s: int) -> np.ndarray:
    """Raw fixed point (int32) -> x_q: clamp to low .. high, less offset, times m * 2**(k-16-s), half up."""
    d = (np.clip(raw, low, high) - offset) << k
    return np.clip((mulw(d, m) + (1 << (s - 1))) >> s, -AMPLITUDE, AMPLITUDE)


def scale_out(y: np.ndarray, offset: int, m: int, s: int) -> np.ndarray:
    """Head output (int32) -> raw fixed point (int32): scale by m * 2**(-16-s), round half up, add, saturate."""
    return np.clip(((mulw(y, m) + (1 << (s - 1))) >> s) + offset, INT32_MIN, INT32_MAX)


def interpolate(last: np.ndarray, new: np.ndarray, k: int, reciprocal: int) -> np.ndarray:
    """Lost sample k of n between two inputs; `reciprocal` = round(32768 / (n + 1)), k <= n <= 255."""
    return last + ((mulw((new - last) * k * 128, reciprocal) + 32) >> 6)


def fit_nodes() -> dict[str, list[int]]:
    """How nodes.json was made: the integers with the least sum of (error ** 4) over all 65 536 inputs.

    A chord errs to one side of its curve by up to h^2/8 f''; the start moves a node by half of that, and a descent by
    single nodes then also takes out the half step that the truncating shift of `lookup` loses."""
    z = np.arange(-32768, 32768) / 4096
    sigmoid = _descend(32768 / (1 + np.exp(-z)), 32767)
    tanh = _descend(AMPLITUDE * np.tanh(z * 32768 / AMPLITUDE), AMPLITUDE)
    return {"sigmoid": sigmoid, "tanh": tanh}


def _descend(wanted: np.ndarray, top: int) -> list[int]:
    z = np.arange(-32768, 32768)
    samples = np.append(wanted[::256], 2 * wanted[-1] - wanted[-2])
    bend = np.diff(samples, 2, prepend=samples[0], append=samples[-1])
    nodes = np.clip(np.floor(samples - bend / 16 + 0.5), -top, top).astype(np.int64)

    def cost(trial: np.ndarray, span: slice) -> float:
        return float(np.sum((lookup(trial, z[span]) - wanted[span]) ** 4))

    moved = True
    while moved:
        moved = False
        for i in range(257):
            span = slice(max(0, 256 * (i - 1)), 256 * (i + 1))
            low, high = (nodes[i - 1] if i else -top), (nodes[i + 1] if i < 256 else top)
            for step in (-1, 1):  # nodes stay in order: a packed word cannot hold a negative slope
                trial = nodes.copy()
                trial[i] = np.clip(trial[i] + step, low, high)
                if cost(trial, span) < cost(nodes, span) * (1 - 1e-9):
                    nodes, moved = trial, True
    return [int(n) for n in nodes]
