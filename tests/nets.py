"""Random networks for the tests: float ones, and quantized ones whose every number lies at an edge.

A seed makes the same network everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from quantize import fixedpoint as fp
from quantize.features import KINDS, TARGETS, Feature, Front, Raw
from quantize.network import Column, Layer, Network, frozen_arrays, layer
from quantize.ops import OPS, gru, rows
from quantize.qnetwork import QInput, QLayer, QNetwork, QOutput
from toolkit.codegen.lower import Destination
from toolkit.codegen.render import generate

HOST = Destination("host", "ref", "", "", True)
ROOM = 2**31 - 1  # what |accumulator| may reach
EXTREME = np.array([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 2, 2**31 - 1])


@dataclass(frozen=True, slots=True)
class Shape:
    """What a random network looks like. `bits`: 8 or 16 per layer of w_ih (the first may be 8 here, too)."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    bits: tuple[int, ...]
    mode: str
    window: int
    missing: str
    max_gap: int
    cells: tuple[str, ...] = ()  # ops of the layers; (): LSTM. lstm_w8a8 takes no other beside it

    @property
    def ops(self) -> tuple[str, ...]:
        """The op of each recurrent layer."""
        return self.cells or ("lstm",) * len(self.hidden)


def random_shape(rng: np.random.Generator) -> Shape:
    """1 to 3 layers, 1 to 20 inputs, 1 to 40 hidden units; small and edge sizes are likely."""
    layers = int(rng.integers(1, 4))
    windowed = bool(rng.integers(2))
    return Shape(
        inputs=int(rng.choice([1, 2, rng.integers(1, 21)])),
        hidden=tuple(int(rng.choice([1, 4, rng.integers(1, 41)])) for _ in range(layers)),
        outputs=int(rng.choice([1, 1, 2, 5])),
        bits=(16, *(int(rng.choice([8, 16])) for _ in range(layers - 1))),
        mode="window" if windowed else "stateful",
        window=int(rng.choice([1, 2, 3, rng.integers(1, 13)])) if windowed else 0,
        missing=str(rng.choice(["hold", "reset", "interpolate"])),
        max_gap=int(rng.choice([0, 1, 3, 255])),
        cells=tuple(str(rng.choice(["lstm", "gru"])) for _ in range(layers)),
    )


# --- quantized networks, straight from integers ---


def random_qnetwork(rng: np.random.Generator, shape: Shape, name: str) -> QNetwork:
    """Integers drawn over their whole range, but such that every row is proven to fit int32."""
    layers, width = [], shape.inputs
    for k, (cell, hidden, bits) in enumerate(zip(shape.ops, shape.hidden, shape.bits, strict=True)):
        layers.append(random_cell(rng, cell, f"{cell}{k}", width, hidden, bits))
        width = hidden
    head = "dense_w16a8" if {"lstm_w8a8", "dense_w8a8"} & set(shape.ops) else "dense"
    layers.append(random_dense(rng, "dense0", width, shape.outputs, head))
    q = QNetwork(
        name=name,
        layers=tuple(layers),
        inputs=tuple(_random_input(rng, j) for j in range(shape.inputs)),
        outputs=tuple(_random_output(rng, j) for j in range(shape.outputs)),
        mode=shape.mode,
        window=shape.window,
        warmup=int(rng.choice([1, 2, 5])),
        horizon=1,
        period=0.0,
        missing=shape.missing,
        max_gap=shape.max_gap,
        source="0" * 64,
        digest="",
    )
    return replace(q, digest=hashlib.sha256(name.encode() + rng.bytes(16)).hexdigest())


def random_lstm(rng: np.random.Generator, name: str, inputs: int, hidden: int, bits: int) -> QLayer:
    """An LSTM layer whose every number lies at an edge: see `random_rows`."""
    arrays, params = random_rows(rng, 4 * hidden, inputs, hidden, bits, rows.joint(4 * hidden))
    frac = int(rng.choice([0, 1, 8, 11, 12]))
    out = QLayer(name, "lstm", frozen_arrays(arrays), {**params, "frac": frac})
    assert OPS["lstm"].fits(out).all()
    return out


def random_gru(rng: np.random.Generator, name: str, inputs: int, hidden: int, bits: int, *, after: bool) -> QLayer:
    """The same of a GRU, with either reset mode."""
    template = QLayer(name, "gru", {"wh": np.empty((3 * hidden, hidden)), "b": np.empty((3 + after) * hidden)}, {})
    arrays, params = random_rows(rng, 3 * hidden, inputs, hidden, bits, gru.sums(template))
    out = QLayer(name, "gru", frozen_arrays(arrays), params)
    assert OPS["gru"].fits(out).all()
    return out


def random_lstm_norm(rng: np.random.Generator, name: str, inputs: int, hidden: int) -> QLayer:
    """The LSTM with layer normalisation, every number anywhere in its range."""
    rows_, frac = 4 * hidden, int(rng.choice([0, 1, 8, 11, 12]))
    arrays, params = random_rows(rng, rows_, 1, hidden, 8, rows.joint(rows_))
    wx = _weights(rng, (rows_, inputs), int(rng.choice([3, 900, 32767])))
    room = 2**30 - 1 - fp.AMPLITUDE * np.abs(wx).sum(1)
    wx = np.where((room < 0)[:, None], wx // (2 * inputs + 2), wx)
    room = 2**30 - 1 - fp.AMPLITUDE * np.abs(wx).sum(1)
    arrays |= {"wx": wx.astype(np.int16), "bx": (room * rng.choice([-1, 0, 1, 0.01], rows_)).astype(np.int32)}
    for key, n in (("gx", rows_), ("gc", hidden), ("gh", hidden), ("oc", hidden), ("oh", hidden)):
        arrays[key] = np.where(rng.random(n) < 0.2, 32767, rng.integers(-32767, 32768, n)).astype(np.int16)
    params = {"t": params["t"], "frac": frac, "h_exp": 3}
    for part in "xch":
        params |= {f"s{part}": int(rng.choice([1, 12, 15, 30])), f"e{part}m": int(rng.integers(1, 32768))}
        params[f"e{part}e"] = int(rng.choice([-64, 0, 17, 29, 46]))
    out = QLayer(name, "lstm_norm", frozen_arrays(arrays), params)
    assert OPS["lstm_norm"].fits(out).all()
    return out


def random_dense_hidden(rng: np.random.Generator, name: str, inputs: int, units: int) -> QLayer:
    """A dense layer below the head, of any function, with accumulators up to their limits."""
    arrays, params = random_rows(rng, units, inputs, 1, 16, rows.joint(units))
    arrays = {"w": arrays["wx"] >> 1, "b": arrays["b"] >> 1, "m": arrays["m"]}
    params = {"t": params["t"], "function": int(rng.integers(4)), "h_exp": int(rng.integers(-3, 4))}
    out = QLayer(name, "dense_hidden", frozen_arrays(arrays), params)
    assert OPS["dense_hidden"].fits(out).all()
    return out


def random_cell(rng: np.random.Generator, op: str, name: str, inputs: int, hidden: int, bits: int) -> QLayer:
    """A recurrent layer of any op."""
    if op == "lstm_norm":
        return random_lstm_norm(rng, name, inputs, hidden)
    if op == "dense_hidden":
        return random_dense_hidden(rng, name, inputs, hidden)
    if op == "lstm_w8a8":
        return random_lstm_w8a8(rng, name, inputs, hidden)
    if op == "dense_w8a8":
        return random_dense_w8a8(rng, name, inputs, hidden)
    if op == "gru":
        return random_gru(rng, name, inputs, hidden, bits, after=bool(rng.integers(2)))
    return random_lstm(rng, name, inputs, hidden, bits)


def random_dense_w8a8(rng: np.random.Generator, name: str, inputs: int, units: int) -> QLayer:
    """A dense layer from int8 to int8, multipliers and biases at edges."""
    w = np.where(rng.random((units, inputs)) < 0.1, -128, _weights(rng, (units, inputs), 127))
    room = 2**31 - 1 - 128 * np.abs(w).sum(1)
    arrays = {
        "w": w.astype(np.int8),
        "b": np.where(rng.random(units) < 0.7, rng.integers(-20000, 20000, units), room * rng.choice([-1, 1], units)),
        "m": np.where(rng.random(units) < 0.8, rng.integers(2**30, 2**31, units), rng.choice([0, 1, 2**31 - 1], units)),
        "s": rng.choice([0, -1, -2, -6, -7, -9, -31], units),
    }
    arrays = {k: v.astype(OPS["dense_w8a8"].DTYPES[k][0]) for k, v in arrays.items()}
    zero = int(rng.choice([-128, 127, 0, 5]))
    low = int(rng.choice([-128, zero]))
    out = QLayer(name, "dense_w8a8", frozen_arrays(arrays), {"h_zero": zero, "low": low, "high": 127})
    assert OPS["dense_w8a8"].fits(out).all()
    return out


def random_lstm_w8a8(rng: np.random.Generator, name: str, inputs: int, hidden: int) -> QLayer:
    """The same of the scheme w8a8, either activation: gates that move, or multipliers, shifts and biases at edges."""
    moves = bool(rng.integers(2))
    w = {"wx": _weights(rng, (4 * hidden, inputs), 127), "wh": _weights(rng, (4 * hidden, hidden), 127)}
    if rng.integers(4) == 0:
        w = {k: np.where(v == -127, -128, v) for k, v in w.items()}
    if moves:
        m, s = rng.integers(2**30, 2**31, 9), np.array([*rng.integers(-3, 2, 8), rng.integers(-23, -20)])
    else:
        m = rng.choice([0, 1, 2**30, 2**31 - 1, rng.integers(2**31)], 9)
        s = np.array([*rng.choice([-31, -20, -9, -8, -1, 0, 1, 7], 8), rng.choice([-31, -24, -23, -22, -9, 0])])
    arrays = {**w, "m": m, "s": s}
    for k, part in (("x", s[:4]), ("h", s[4:8])):
        room = (2**30 >> np.repeat(np.maximum(part, 0), hidden)) - 128 * np.abs(w[f"w{k}"]).sum(1)
        b = rng.integers(-20000, 20000, 4 * hidden) if moves else room * rng.choice([-1, 0, 1], 4 * hidden)
        arrays[f"b{k}"] = np.clip(b, -room, room)
    kinds = OPS["lstm_w8a8"].DTYPES
    params = {"table": int(rng.integers(2)), "bits": int(rng.integers(7)), "x_zero": 0}
    params["h_zero"] = int(rng.choice([0, 0, -128, 7]))
    params["clip"] = int(rng.choice([0, 1, 20000, 32767]))
    out = QLayer(name, "lstm_w8a8", frozen_arrays({k: v.astype(kinds[k][0]) for k, v in arrays.items()}), params)
    assert OPS["lstm_w8a8"].fits(out).all()
    return out


def random_rows(
    rng: np.random.Generator, count: int, inputs: int, hidden: int, bits: int, sums: rows.Sums
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """`wh`, `wx` dense, sparse, at their limits or zero; `b` anything that fits; m, t, f over their range."""
    f = int(rng.choice([0, 1, 4, 15])) if bits == 16 else 0
    wh = _weights(rng, (count, hidden), 127)
    wx = _weights(rng, (count, inputs), 32767 if bits == 16 else 127)
    sum_h = fp.AMPLITUDE * np.abs(wh).sum(1)
    most = np.minimum(65500, ((ROOM - 1 - sum_h) // fp.AMPLITUDE) << f)  # what sum|wx| may be
    total = np.maximum(np.abs(wx).sum(1), 1)
    wx = np.trunc(wx * np.minimum(1.0, most / total)[:, None]).astype(np.int64)
    arrays = {"wh": wh, "wx": wx, "b": np.zeros(len(sums.row), np.int64)}
    room = ROOM - rows.row_bounds(arrays, f, sums)[0]
    assert (room >= 0).all(), "the generator of test networks is wrong"
    if rng.integers(2):  # a network that moves: z spans a few units
        t = int(rng.integers(5, 12))
        m, b = rng.integers(1, 32768, count), rng.integers(-(2**22), 2**22, len(room))
    else:
        t = int(rng.choice([0, 1, 7, 15, rng.integers(16)]))
        m, b = rng.choice([1, 32767, 77], count), (rng.choice([-1, 1, 0], len(room)) * room)
    kind = np.int16 if bits == 16 else np.int8
    narrow = {"wh": wh.astype(np.int8), "wx": wx.astype(kind), "m": m.astype(np.int16)}
    return {**narrow, "b": np.clip(b, -room, room).astype(np.int32)}, {"t": t, "f": f}


def random_dense(rng: np.random.Generator, name: str, inputs: int, outputs: int, op: str = "dense") -> QLayer:
    """`w` over its range, scaled to fit; `b` what is left, often all of it."""
    top = round(1 / OPS[op].UNIT)
    w = _weights(rng, (outputs, inputs), 32767)
    total = np.maximum(np.abs(w).sum(1), 1)
    w = np.trunc(w * np.minimum(1.0, 65700 / total)[:, None]).astype(np.int64)
    room = ROOM - top * np.abs(w).sum(1)
    b = np.where(rng.integers(0, 2, outputs), room * rng.choice([-1, 1], outputs), rng.integers(-1000, 1000, outputs))
    arrays = {"w": w.astype(np.int16), "b": np.clip(b, -room, room).astype(np.int32)}
    out = QLayer(name, op, frozen_arrays(arrays), {})
    assert OPS[op].fits(out).all()
    return out


def _weights(rng: np.random.Generator, shape: tuple[int, int], top: int) -> np.ndarray:
    kind = rng.integers(6)
    w = rng.integers(-top, top, shape, endpoint=True)
    if kind == 0:
        w = top * rng.choice([-1, 1], shape)
    elif kind == 1:
        w = np.full(shape, top * rng.choice([-1, 1]))
    elif kind == 2:
        w = w * (rng.random(shape) < 0.2)
    elif kind == 3:
        w = rng.integers(-3, 3, shape, endpoint=True)
    w[rng.random(shape[0]) < 0.1] = 0
    return w


def _random_input(rng: np.random.Generator, j: int) -> QInput:
    k = int(rng.integers(0, 30))
    limit = 2**30 >> k
    offset = int(rng.choice([*EXTREME, rng.integers(-1000, 1000), rng.integers(-1000, 1000)]))
    low, high = max(offset - limit, fp.INT32_MIN), min(offset + limit, fp.INT32_MAX)
    return QInput(f"in{j}", "", j % 4, low, high, offset, k, int(rng.integers(1, 32768)), int(rng.integers(1, 15)))


def _random_output(rng: np.random.Generator, j: int) -> QOutput:
    offset = int(rng.choice([*EXTREME, rng.integers(-1000, 1000), rng.integers(-1000, 1000)]))
    return QOutput(f"out{j}", "", j % 4, offset, int(rng.integers(1, 32768)), int(rng.integers(1, 31)), 1)


def two_directions(rng: np.random.Generator, name: str, *, joined: bool) -> QNetwork:
    """A window through one to three layers in both directions; `joined`: each sees both of the layer below."""
    count, window, inputs = int(rng.integers(1, 4)), int(rng.choice([1, 2, 5])), int(rng.integers(1, 4))
    shape = Shape(inputs, (1,), int(rng.integers(1, 3)), (16,), "window", window, str(rng.choice(["hold", "reset"])), 3)
    layers, below, width = list[QLayer](), [("",), ("",)], [inputs, inputs]
    for k in range(count):
        made = []
        for d, suffix in enumerate(("", "_reverse")):
            op, hidden = str(rng.choice(["lstm", "gru", "lstm_norm"])), int(rng.choice([1, 4, rng.integers(1, 21)]))
            bits = 16 if k == 0 else int(rng.choice([8, 16]))
            x = random_cell(rng, op, f"{op}{k}{suffix}", width[d], hidden, bits)
            made.append(replace(x, sources=below[d], reverse=d == 1))
        layers += made
        names, sizes = [x.name for x in made], [OPS[x.op].output_size(x) for x in made]
        below = [tuple(names)] * 2 if joined else [(names[0],), (names[1],)]
        width = [sum(sizes)] * 2 if joined else sizes
    head = replace(random_dense(rng, "dense0", sum(sizes), shape.outputs), sources=tuple(names))
    q = random_qnetwork(rng, shape, name)
    return replace(q, layers=(*layers, head), head="final_states")


def with_front(rng: np.random.Generator, q: QNetwork) -> QNetwork:
    """The same network behind random features, forecasting a level, difference or log return of its raw columns."""
    raws = tuple(Raw(f"raw{k}", "", k % 4) for k in range(int(rng.integers(1, 5))))
    kinds = [str(rng.choice(KINDS)) for _ in q.inputs]
    steps = [0 if kind == "value" else int(rng.choice([1, 2, 5, rng.integers(1, 30)])) for kind in kinds]
    made = tuple(Feature(kind, int(rng.integers(len(raws))), n) for kind, n in zip(kinds, steps, strict=True))
    target = str(rng.choice(TARGETS))
    bases = () if target == "level" else tuple(int(rng.integers(len(raws))) for _ in q.outputs)
    return replace(q, front=Front(raws, made, target, bases))


def random_raw(rng: np.random.Generator, q: QNetwork, steps: int) -> np.ndarray:
    """Raw samples [steps, raws]: within a column's range, at its edges, and at the ends of int32."""
    if q.front:
        wide = np.exp2(rng.uniform(0, 31, (steps, len(q.raws)))).astype(np.int64) * rng.choice([1, 1, 1, -1])
        return np.where(rng.random(wide.shape) < 0.2, rng.choice(EXTREME, wide.shape), wide)
    raw = np.empty((steps, len(q.inputs)), np.int64)
    for j, c in enumerate(q.inputs):
        inside = rng.integers(c.low, c.high, steps, endpoint=True)
        near = c.offset + rng.integers(-3, 4, steps)
        edge = rng.choice([c.low, c.high, c.low - 1, c.high + 1, c.offset, *EXTREME], steps)
        raw[:, j] = np.choose(rng.choice(4, steps), [inside, inside, near, edge])
    return np.clip(raw, fp.INT32_MIN, fp.INT32_MAX)


def random_x(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """x_q, or any activation: over the whole range, with many at +-32640."""
    x = rng.integers(-fp.AMPLITUDE, fp.AMPLITUDE, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.3, rng.choice([-fp.AMPLITUDE, fp.AMPLITUDE], shape), x)


# --- float networks ---


def random_network(rng: np.random.Generator, shape: Shape, name: str) -> Network:
    """Weights as a trained network has them: uniform in +-1/sqrt(H), the forget gate biased open."""
    layers: list[Layer] = []
    width = shape.inputs
    for k, (cell, h) in enumerate(zip(shape.ops, shape.hidden, strict=True)):
        top, gates = 1.5 / np.sqrt(h), len(OPS[cell].GATES)
        b = rng.uniform(-top, top, 4 * h if cell == "lstm" or rng.integers(2) else 3 * h)
        if cell == "lstm":
            b[h : 2 * h] += 1
        w_ih, w_hh = (rng.uniform(-top, top, (gates * h, n)) for n in (width, h))
        layers.append(layer(f"{cell}{k}", cell, {"w_ih": w_ih, "w_hh": w_hh, "b": b}))
        width = h
    top = 1 / np.sqrt(width)
    w, b = rng.uniform(-top, top, (shape.outputs, width)), rng.uniform(-0.2, 0.2, shape.outputs)
    layers.append(layer("dense0", "dense", {"w": w, "b": b}))
    inputs = tuple(
        Column(f"in{j}", "", 2, float(rng.integers(-500, 500)) / 4, float(rng.uniform(1, 40)))
        for j in range(shape.inputs)
    )
    outputs = tuple(
        Column(f"out{j}", "", 2, float(rng.integers(-500, 500)) / 4, float(rng.uniform(1, 40)))
        for j in range(shape.outputs)
    )
    return Network(
        name=name,
        layers=tuple(layers),
        inputs=inputs,
        outputs=outputs,
        mode=shape.mode,
        window=shape.window,
        warmup=max(shape.window, 4),
        horizon=1,
        period=300.0,
        missing=shape.missing,
        max_gap=shape.max_gap,
    )


def series(rng: np.random.Generator, network: Network, batch: int, steps: int) -> np.ndarray:
    """Raw input values [batch, steps, inputs]: a few sines and noise, mean and std as the columns say."""
    phase = rng.uniform(0, 6.28, (batch, 1, len(network.inputs)))
    speed = rng.uniform(0.05, 0.6, (batch, 1, len(network.inputs)))
    wave = 1.3 * np.sin(phase + speed * np.arange(steps)[None, :, None])
    wave = wave + 0.3 * rng.standard_normal((batch, steps, len(network.inputs)))
    return np.asarray(wave * [c.std for c in network.inputs] + [c.mean for c in network.inputs])


def generated(q: QNetwork, to: Destination = HOST) -> dict[str, str]:
    """The folder of generated C."""
    return generate(q, to)
