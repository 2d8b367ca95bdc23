"""The quantized network: integers only, and its file `model.q.safetensors`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from quantize.errors import QuantizeError
from quantize.features import Front, Raw, front_from
from quantize.fixedpoint import AMPLITUDE, ARITHMETIC, INT32_MAX, INT32_MIN
from quantize.network import Column, frozen_arrays, read_file, write_file

KIND = "tealight-qnetwork"
SCALARS = ("name", "mode", "window", "warmup", "horizon", "period", "missing", "max_gap", "source", "head")


@dataclass(frozen=True, slots=True, eq=False)
class QInput:
    """Raw fixed point (value * 10**decimals, int32) -> x_q: `quantize.fixedpoint.scale_in`."""

    name: str
    unit: str
    decimals: int
    low: int
    high: int
    offset: int
    k: int  # left shift before the multiply, 0 .. 29
    m: int  # 1 .. 32767
    s: int  # right shift after it, 1 .. 30

    @property
    def step(self) -> float:
        """Raw units of one step of x_q."""
        return float(2.0 ** (16 + self.s - self.k) / self.m / 10**self.decimals)


@dataclass(frozen=True, slots=True, eq=False)
class QOutput:
    """Head output (int32) -> raw fixed point: `quantize.fixedpoint.scale_out`."""

    name: str
    unit: str
    decimals: int
    offset: int
    m: int  # 1 .. 32767
    s: int  # 1 .. 30
    horizon: int  # steps ahead

    @property
    def step(self) -> float:
        """Raw units of one step of the head's output."""
        return float(self.m * 2.0 ** (-16 - self.s) / 10**self.decimals)


@dataclass(frozen=True, slots=True, eq=False)
class QLayer:
    """One layer: `op` is a key of `quantize.ops.OPS`, which says what the arrays and the parameters mean."""

    name: str
    op: str
    arrays: Mapping[str, np.ndarray]
    params: Mapping[str, int]
    sources: tuple[str, ...] = ()  # as in `quantize.network.Layer`
    reverse: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class QNetwork:
    """What oracle and C compute. Fields as in `quantize.network.Network`; `source`: the float file's digest."""

    name: str
    layers: tuple[QLayer, ...]
    inputs: tuple[QInput, ...]
    outputs: tuple[QOutput, ...]
    mode: str
    window: int
    warmup: int
    horizon: int
    period: float
    missing: str
    max_gap: int
    source: str
    digest: str  # of the saved file; "" before it is saved
    head: str = "last"  # "last" or "final_states": what the head is fed of a window
    front: Front | None = None  # None: the raw samples are the inputs, and the outputs the forecasts

    @property
    def raws(self) -> tuple[Raw, ...]:
        """The columns of a raw sample."""
        return self.front.raws if self.front else tuple(Raw(c.name, c.unit, c.decimals) for c in self.inputs)

    @property
    def forecasts(self) -> tuple[Raw, ...]:
        """The columns of a forecast."""
        if self.front and self.front.bases:
            return tuple(self.front.raws[k] for k in self.front.bases)
        return tuple(Raw(c.name, c.unit, c.decimals) for c in self.outputs)


def quantize_input(column: Column, absmax: float, *, full: float = 32767 / 4, top: int = AMPLITUDE) -> QInput:
    """absmax (normalised units) becomes `full`, nudged to an exact multiplier; beyond `top` the raw value is clamped.

    Raises: QuantizeError when the column's range or decimals do not fit int32 fixed point."""
    unit = 10.0**column.decimals
    offset = math.floor(column.mean * unit + 0.5)
    ratio = full / (absmax * column.std * unit)  # x_q per raw fixed-point unit, at most
    if ratio >= 2.0**16:
        raise QuantizeError(f'input "{column.name}": {column.decimals} decimals cannot tell its values apart; use more')
    limit = math.ceil((top + 1) / ratio)
    if limit >= 2**30 or not INT32_MIN <= offset <= INT32_MAX:
        raise QuantizeError(
            f'input "{column.name}": {column.decimals} decimals do not fit: offset {offset}, range +-{limit} '
            f"exceed int32; use fewer decimals"
        )
    k = 30 - limit.bit_length()
    s = 14 - math.floor(math.log2(ratio * 2.0 ** (16 - k)))
    m = math.floor(ratio * 2.0 ** (16 - k + s))
    limit = math.ceil((top + 1) * 2.0 ** (16 + s - k) / m)  # where x_q saturates, of the multiplier as it is now
    low, high = max(offset - limit, INT32_MIN), min(offset + limit, INT32_MAX)
    return QInput(column.name, column.unit, column.decimals, low, high, offset, k, m, s)


def offset_remainder(column: Column) -> float:
    """What rounding the mean to the column's decimals leaves behind, normalised units: a bias makes up for it."""
    unit = 10.0**column.decimals
    return (math.floor(column.mean * unit + 0.5) / unit - column.mean) / column.std


def input_scale(column: Column, q: QInput) -> float:
    """s_x: normalised units of one step of x_q, exactly as the integers make it."""
    return q.step / column.std


def quantize_output(column: Column, least_scale: float) -> tuple[QOutput, float]:
    """Output multiplier for a head row whose step must be at least `least_scale` (normalised units).

    Returns the column and the step that its multiplier makes exact, normalised units.
    Raises: QuantizeError when the decimals do not suit the column's range."""
    unit = 10.0**column.decimals
    least = least_scale * column.std * unit  # raw fixed-point units of one step of y, at least
    s = 14 - 16 - math.floor(math.log2(least))
    m = math.ceil(least * 2.0 ** (16 + s))
    if m > 32767:
        s, m = s - 1, math.ceil(least * 2.0 ** (16 + s - 1))
    if not 1 <= s <= 30:
        hint = "fewer" if s < 1 else "more"
        raise QuantizeError(f'output "{column.name}": {column.decimals} decimals do not suit its range; use {hint}')
    offset = math.floor(column.mean * unit + 0.5)
    if not INT32_MIN <= offset <= INT32_MAX:
        raise QuantizeError(f'output "{column.name}": mean {column.mean} does not fit int32; use fewer decimals')
    q = QOutput(column.name, column.unit, column.decimals, offset, m, s, column.horizon)
    return q, q.step / column.std


def save_qnetwork(q: QNetwork, path: str | Path) -> QNetwork:
    """Writes the file, whole or not at all; returns the same network with its digest."""
    description = {f: getattr(q, f) for f in SCALARS}
    description["arithmetic"] = ARITHMETIC
    description["inputs"] = [asdict(c) for c in q.inputs]
    description["outputs"] = [asdict(c) for c in q.outputs]
    description["layers"] = [
        {"name": x.name, "op": x.op, "arrays": sorted(x.arrays), "params": dict(x.params)}
        | {"sources": list(x.sources), "reverse": x.reverse}
        for x in q.layers
    ]
    description["front"] = asdict(q.front) if q.front else None
    arrays = {f"{x.name}.{k}": v for x in q.layers for k, v in x.arrays.items()}
    return replace(q, digest=write_file(path, KIND, description, arrays))


def load_qnetwork(path: str | Path) -> QNetwork:
    """Reads `model.q.safetensors`.

    Raises: QuantizeError when it is missing, damaged, of another kind or of another arithmetic."""
    from quantize.verify import verify_qnetwork  # here, because it knows the ops and they know this file

    d, arrays, digest = read_file(path, KIND)
    if d["arithmetic"] != ARITHMETIC:
        raise QuantizeError(
            f"{path}: arithmetic {d['arithmetic']}; this version computes {ARITHMETIC}; quantize it again"
        )
    missing = {"head", "front"} - set(d)
    if missing:
        raise QuantizeError(f"{path}: of an earlier version (no `{min(missing)}`); quantize it again")
    layers = tuple(
        QLayer(
            x["name"],
            x["op"],
            frozen_arrays({k: arrays[f"{x['name']}.{k}"] for k in x["arrays"]}),
            dict(x["params"]),
            tuple(x["sources"]),
            x["reverse"],
        )
        for x in d["layers"]
    )
    inputs = tuple(QInput(**c) for c in d["inputs"])
    outputs = tuple(QOutput(**c) for c in d["outputs"])
    q = QNetwork(
        layers=layers,
        inputs=inputs,
        outputs=outputs,
        digest=digest,
        front=front_from(d["front"]),
        **{f: d[f] for f in SCALARS},
    )
    try:
        verify_qnetwork(q)
    except QuantizeError as e:
        raise QuantizeError(f"{path}: {e}; quantize it again") from None
    return q
