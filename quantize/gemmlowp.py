"""The fixed point of TFLite's fused int8 LSTM, on int64 arrays: the twin of csrc/tl_w8a8.h.

Two pairs of sigmoid and tanh, int16 to int16. `tflite`: exp by range reduction and Newton's division, as the library
gemmlowp defines them. `tflm`: one table of sigmoid(i / 24), linear in between, as in TFLite Micro and CMSIS-NN.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from quantize.fixedpoint import sat16


def _nodes() -> np.ndarray:
    """65536 sigmoid(i / 24), i = 0 .. 256, each raised by half of what its chords are too low; tanh ends at 32767.

    The formula was found; the numbers are those of TFLite Micro's sigmoid_table_uint16, all 256."""
    s = 1 / (1 + np.exp(-np.arange(257) / 24))
    nodes = np.floor(65536 * (s - s * (1 - s) * (1 - 2 * s) / 24**2 / 16) + 0.5).astype(np.int64)
    nodes[255:] = 65535
    nodes.setflags(write=False)
    return nodes


SIGMOID_NODES = _nodes()


def high_mul(x: np.ndarray, m: np.ndarray | int) -> np.ndarray:
    """Upper half of twice the product, rounded half up: int32 by 0 <= m < 2**31."""
    return np.asarray((x * m + (1 << 30)) >> 31)


def rounding_shift(x: np.ndarray, n: int) -> np.ndarray:
    """x / 2**n, rounded half away from zero."""
    return (x + (1 << n >> 1) - ((x < 0) & (n > 0))) >> n


def multiply(x: np.ndarray, m: int, s: int) -> np.ndarray:
    """x * m * 2**(s - 31) with two roundings; |x| << s must fit int32."""
    return rounding_shift(high_mul(x << max(s, 0), m), max(-s, 0))


def multiply_once(x: np.ndarray, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    """x * m * 2**(s - 31) with one rounding, half up; s <= 0."""
    return np.asarray((x * m + (1 << (30 - s))) >> (31 - s))


def multiplier(scale: float) -> tuple[int, int]:
    """m, s with m * 2**(s - 31) nearest to scale, 2**30 <= m < 2**31."""
    mantissa, s = np.frexp(scale)
    m = int(np.floor(float(mantissa) * 2.0**31 + 0.5))
    return (m // 2, int(s) + 1) if m == 2**31 else (m, int(s))


# --- tflite ---


def _product(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """int16 by int16, both fractions: only -1 times -1 would not fit, and does not occur."""
    return np.asarray((a * b + (1 << 14)) >> 15)


def _exp(a: np.ndarray, bits: int) -> np.ndarray:
    """exp(a), Q0.15, of a <= 0 with `bits` integer bits: a series below 1/4, times one constant per bit above."""
    fraction = 15 - bits
    low = (a & ((1 << (fraction - 2)) - 1)) - (1 << (fraction - 2))
    rest = low - a
    x = (low << bits) + (1 << 12)
    x2 = _product(x, x)
    x3, x4 = _product(x2, x), _product(x2, x2)
    series = rounding_shift(_product(rounding_shift(x4, 2) + x3, 10923) + x2, 1)
    y = sat16(28918 + _product(x + series, 28918))
    for k, constant in enumerate((25520, 19875, 12055, 4435, 600, 11, 0)):
        if bits > k - 2:
            y = np.where(rest & (1 << (fraction + k - 2)), _product(y, constant), y)
    if bits > 5:
        y = np.where(a < -(32 << fraction), 0, y)
    return np.where(a == 0, 32767, y)


def _reciprocal(e: np.ndarray) -> np.ndarray:
    """2 / (1 + e), Q2.13, of e in 0 .. 1, Q0.15: three steps of Newton's method."""
    half = (e + 32768) >> 1
    x = 23130 + _product(half, -15420)
    for _ in range(3):
        x = x + sat16(_product(x, 8192 - _product(half, x)) << 2)
    return x


@lru_cache
def _gemmlowp(function: str, bits: int) -> np.ndarray:
    """All 65 536 values, z = -32768 .. 32767 with `bits` integer bits."""
    z = np.arange(-32768, 32768)
    if function == "sigmoid":
        y = sat16(_reciprocal(_exp(-np.abs(z), bits)) << 1)
        return np.where(z == 0, 16384, np.where(z > 0, y, 32767 - y))
    y = sat16((_reciprocal(_exp(-np.abs(z), bits + 1)) - 8192) << 2)
    return np.where(z == 0, 0, np.where(z < 0, -y, y))


# --- tflm ---


def table_sigmoid(z: np.ndarray) -> np.ndarray:
    """sigmoid of z in Q3.12, Q0.15: the table goes in steps of 512/3."""
    t = 3 * np.abs(z)
    n = SIGMOID_NODES[t >> 9]
    y = (n + ((SIGMOID_NODES[(t >> 9) + 1] - n) * (t & 511) >> 9) + 1) >> 1
    return np.where(z < 0, 32768 - y, y)


def table_tanh(z: np.ndarray, bits: int) -> np.ndarray:
    """tanh of z with `bits` integer bits (0 .. 6), Q0.15: 2 sigmoid(2 z) - 1."""
    t = 3 * z << max(bits - 3, 0)
    if bits < 3:
        t = (t + (1 << (2 - bits))) >> (3 - bits)
    a = np.minimum(np.abs(t), 65535)
    n = SIGMOID_NODES[a >> 8]
    y = n - 32768 + (((SIGMOID_NODES[(a >> 8) + 1] - n) * (a & 255) + 128) >> 8)
    return np.where(t < 0, -y, y)


def sigmoid(z: np.ndarray, *, table: bool) -> np.ndarray:
    """Gate input, Q3.12 -> Q0.15."""
    return table_sigmoid(z) if table else _gemmlowp("sigmoid", 3)[z + 32768]


def tanh(z: np.ndarray, bits: int, *, table: bool) -> np.ndarray:
    """int16 with `bits` integer bits -> Q0.15."""
    return table_tanh(z, bits) if table else _gemmlowp("tanh", bits)[z + 32768]
