"""Layer normalisation in integers (Ba, Kiros & Hinton 2016, "Layer Normalization"): the twin of csrc/tl_norm.h.

    u = (v - mean(v)) / sqrt(var(v) + epsilon)        over the n values of a layer

32-bit operations only, no division: 1/n is a constant, and the root's reciprocal takes three steps of Newton's method.
"""

from __future__ import annotations

import math

import numpy as np

from quantize import fixedpoint as fp

EPSILON = 1e-5
U_BITS = 12  # u is Q3.12: what is beyond 8 standard deviations saturates
LARGEST = 2**30  # |v| must be below


def reciprocal(n: int) -> tuple[int, int]:
    """(k, r): 2**k is the power of two from n on, r = 2**(k + 14) / n in 2**14 .. 2**15."""
    k = (n - 1).bit_length()
    return k, round(2 ** (k + 14) / n)


def epsilon(scale: float) -> tuple[int, int]:
    """EPSILON in steps of v squared (a step of v is `scale`) as m * 2**e, m in 2**14 .. 2**15."""
    e = math.floor(math.log2(EPSILON / scale**2)) - 14
    return min(round(EPSILON / scale**2 / 2.0**e), 32767), e


def normalise(v: np.ndarray, eps: tuple[int, int]) -> np.ndarray:
    """v [batch, n] int64, |v| < 2**30 -> u in Q3.12, int16 values."""
    n = v.shape[-1]
    k, r = reciprocal(n)
    half = (1 << k) >> 1
    mean = fp.mulw(((v + half) >> k).sum(-1, keepdims=True), r) * 4
    d = v - mean
    top = np.bitwise_or.reduce(d ^ (d >> 63), axis=-1, keepdims=True) | 1
    bits = np.maximum(np.frexp(top.astype(np.float64))[1].astype(np.int64), (eps[1] + 16) >> 1)
    down = bits - 15  # so that d >> down fits int16, and epsilon 2**30
    e = np.where(down >= 0, d >> np.maximum(down, 0), d << np.maximum(-down, 0))
    var = fp.mulw(((e * e + half) >> k).sum(-1, keepdims=True), r) * 4
    shift = eps[1] - 2 * down
    small = np.where(shift >= 0, eps[0] << np.maximum(shift, 0), eps[0] >> np.clip(-shift, 0, 31))
    w = np.maximum(var + small, 1)
    j = (32 - np.frexp(w.astype(np.float64))[1].astype(np.int64)) >> 1
    a = (w << (2 * j)) >> 16  # Q16 in 1/4 .. 1
    y = 36045 - ((a * 20480) >> 16)  # Q14: a line near 1 / sqrt(a)
    for _ in range(3):
        y = (y * (49152 - ((a * ((y * y) >> 14)) >> 16))) >> 15
    return fp.sat16((e * y + (np.int64(1) << (17 - j))) >> (18 - j))


def scaled(u: np.ndarray, gain: np.ndarray, shift: int) -> np.ndarray:
    """u times a gain, rounded half up: int32."""
    return (u * gain + (1 << (shift - 1))) >> shift


def quantize_gain(ratio: np.ndarray) -> tuple[np.ndarray, int]:
    """(int16 gains, shift 1 .. 30): u * ratio = (u * gain) >> shift, with as many bits as the largest allows."""
    shift = min(30, max(1, math.floor(math.log2(32767 / max(float(np.abs(ratio).max()), 2.0**-20)))))
    return np.clip(np.rint(ratio * 2.0**shift), -32767, 32767).astype(np.int16), shift
