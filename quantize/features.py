"""Features of raw samples in integers, and the way back from a forecast difference or return to a raw value.

The twin of csrc/tl_features.h, bit for bit. Training computes its inputs with these same functions, so what a network
is trained on is what the chip computes. Raw samples are int32 fixed point; a history before the first sample of a
stream is that first sample, repeated.

log2 is found bit by bit by squaring (Turner 2010, "A Fast Binary Logarithm Algorithm", IEEE Signal Processing Magazine
27(5)); 2**x is the product of 2**(2**-k) over the bits of x. Both take the same time for every value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize import fixedpoint as fp
from quantize.errors import QuantizeError

KINDS = ("value", "difference", "lag", "mean", "log_return")
TARGETS = ("level", "difference", "log_return")
"""What a network forecasts: the value itself, value - last value, or log(value / last value)."""
LOG_DECIMALS = 7  # of a log return in fixed point
LONGEST = 255  # samples back

_LOG2_BITS = 24
_TO_RETURN = round(math.log(2) * 10**LOG_DECIMALS / 2**_LOG2_BITS * 65536)  # Q24 of log2 -> decimals of ln
_FROM_RETURN = round(2**_LOG2_BITS / (math.log(2) * 10**LOG_DECIMALS) / 8 * 65536)  # and back, of 8 times as much
_RETURN_LIMIT = 2**27  # |log return| <= 13.4: 8 times as much stays below 2**31
POWERS = np.array([round(2.0 ** (31 + 2.0**-k)) for k in range(1, _LOG2_BITS + 1)], np.uint64)
"""2**(2**-k), k = 1 .. 24, in Q31."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the network: `kind` of KINDS, of the raw column `source`, over `steps` samples.

    value: the sample itself (steps 0).  difference: less the one `steps` ago.  lag: the one `steps` ago.
    mean: the sum of the last `steps` samples, so that nothing need be divided: `steps` times the moving average.
    log_return: log of its ratio to the one `steps` ago, 7 decimals."""

    kind: str
    source: int
    steps: int


@dataclass(frozen=True, slots=True)
class Raw:
    """A raw column: int32 fixed point of `decimals` digits after the point."""

    name: str
    unit: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Front:
    """What stands between raw samples and a network that is not fed the samples themselves, or learns no level.

    `bases`: the raw column whose last value each output is a difference or return to; () of levels and classes."""

    raws: tuple[Raw, ...]
    features: tuple[Feature, ...]
    target: str
    bases: tuple[int, ...]

    @property
    def depths(self) -> tuple[int, ...]:
        """Samples of each raw column that a stream remembers."""
        return tuple(depth(self.features, k) for k in range(len(self.raws)))


def front_from(d: dict[str, Any] | None) -> Front | None:
    """From what `dataclasses.asdict` made of one."""
    if d is None:
        return None
    raws, made = tuple(Raw(**r) for r in d["raws"]), tuple(Feature(**f) for f in d["features"])
    return Front(raws, made, d["target"], tuple(d["bases"]))


def depth(features: Sequence[Feature], source: int) -> int:
    """Samples of a raw column that a stream remembers after it has taken them in; at least the last one."""
    reach = [f.steps - (f.kind == "mean") for f in features if f.source == source]
    return max(1, *reach) if reach else 1


def verify_front(front: Front, inputs: int, outputs: int, missing: str) -> None:
    """Raises QuantizeError when it is none that the C computes, or does not fit the network."""
    verify(front.features, len(front.raws))
    if len(front.features) != inputs:
        raise QuantizeError(f"{len(front.features)} features for {inputs} inputs")
    if front.target not in TARGETS or len(front.bases) != (0 if front.target == "level" else outputs):
        raise QuantizeError(f'target "{front.target}" with {len(front.bases)} bases for {outputs} outputs')
    if any(not 0 <= k < len(front.raws) for k in front.bases):
        raise QuantizeError(f"bases {list(front.bases)}: expected 0 .. {len(front.raws) - 1}")
    if missing == "interpolate":
        raise QuantizeError('missing = "interpolate" fills a gap of inputs, not of features; set hold or reset')


def verify(features: Sequence[Feature], raws: int) -> None:
    """Raises QuantizeError when a feature is none that the C computes."""
    for j, f in enumerate(features):
        low = 0 if f.kind == "value" else 1
        if f.kind not in KINDS or not 0 <= f.source < raws or not low <= f.steps <= (LONGEST if low else 0):
            raise QuantizeError(
                f"feature {j}: {f.kind}({f.steps}) of raw column {f.source}: expected {', '.join(KINDS)} over 1 .. "
                f"{LONGEST} samples (value: 0) of one of {raws} columns"
            )


def now(front: Front, raw: np.ndarray, past: Sequence[np.ndarray]) -> np.ndarray:
    """One sample raw [raws] after `past` (each raw column's samples, newest first) -> features [inputs]."""
    lines = [np.concatenate([[v], p])[::-1] for v, p in zip(raw, past, strict=True)]
    return np.array([_one(f, lines[f.source])[-1] for f in front.features], np.int64)


def over(features: Sequence[Feature], raw: np.ndarray) -> np.ndarray:
    """A gap-free stretch of raw samples [..., time, raws] int64 -> features [..., time, inputs] int64."""
    return np.stack([_one(f, raw[..., f.source]) for f in features], -1)


def _one(f: Feature, v: np.ndarray) -> np.ndarray:
    if f.kind == "value":
        return v
    if f.kind == "mean":
        return fp.wrap32(sum((_back(v, k) for k in range(f.steps)), np.zeros_like(v)))
    if f.kind == "lag":
        return _back(v, f.steps)
    return difference(v, _back(v, f.steps)) if f.kind == "difference" else log_return(v, _back(v, f.steps))


def _back(v: np.ndarray, steps: int) -> np.ndarray:
    """v `steps` samples ago; before the first one, the first one. [..., time]"""
    at = np.maximum(np.arange(v.shape[-1]) - steps, 0)
    return np.asarray(v[..., at])


def difference(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """now - before, saturated to int32."""
    return np.clip(now - before, fp.INT32_MIN, fp.INT32_MAX)


def log_return(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """log(now / before), 7 decimals; a sample below 1 counts as 1."""
    return fp.mulw(log2(now) - log2(before), _TO_RETURN)


def log2(v: np.ndarray) -> np.ndarray:
    """log2 of int32 v in Q24, rounded down: 0 .. 31 * 2**24; v below 1 counts as 1. Error below 2**-23."""
    v = np.maximum(v, 1).astype(np.uint64)
    whole = _top_bit(v)
    m = v << (31 - whole).astype(np.uint64)  # Q31 in [1, 2)
    out = whole
    for _ in range(_LOG2_BITS):
        m = _high(m, m)  # Q30 in [1, 4)
        bit = m >> np.uint64(31)
        m = m << (np.uint64(1) - bit)
        out = 2 * out + bit.astype(np.int64)
    return out


def price(last: np.ndarray, y: np.ndarray) -> np.ndarray:
    """last * exp(y / 10**7), rounded half up, saturated to int32; `last` below 1 counts as 1."""
    y = np.clip(y, -_RETURN_LIMIT, _RETURN_LIMIT)
    e = fp.mulw(y * 8, _FROM_RETURN) + (y >> 15)  # log2 in Q24; the second term is what 15 bits of the factor leave
    whole, rest = e >> _LOG2_BITS, (e & (2**_LOG2_BITS - 1)).astype(np.uint64)
    power = np.full(np.shape(e), 1 << 31, np.uint64)  # Q31 in [1, 2)
    for k, factor in enumerate(POWERS):
        bit = (rest >> np.uint64(_LOG2_BITS - 1 - k)) & np.uint64(1)
        power = np.where(bit == 1, _high(power, factor) << np.uint64(1), power)
    last = np.maximum(last, 1).astype(np.uint64)
    zeros = 31 - _top_bit(last)
    product = _high(last << zeros.astype(np.uint64), power).astype(np.int64)  # last * 2**(rest) in Q(zeros - 1)
    down = zeros - 1 - whole  # right shift to units; product >= 2**30, so a left shift saturates
    rounded = ((product >> np.clip(down - 1, 0, 33)) + 1) >> 1
    return np.asarray(np.where(down > 0, rounded, product << np.clip(-down, 0, 1)).clip(0, fp.INT32_MAX))


def _top_bit(v: np.ndarray) -> np.ndarray:
    """floor(log2(v)) of uint64 v, 1 .. 2**53."""
    return np.asarray(np.frexp(v.astype(np.float64))[1] - 1, np.int64)


def _high(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """High half of the product of two uint32."""
    return np.asarray((a * b) >> np.uint64(32))


def undo(target: str, last: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The raw forecast from the last raw value and the network's forecast y, all int32 fixed point."""
    if target == "level":
        return y
    return np.clip(last + y, fp.INT32_MIN, fp.INT32_MAX) if target == "difference" else price(last, y)
