"""The NumPy integer oracle: what every C target must compute, bit for bit.

`run` computes sequences in batches. `Stream` is one stream with the whole API of the generated C: raw fixed point in
and out, lost samples, warm-up, and the state as bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from quantize import features, graph
from quantize import fixedpoint as fp
from quantize.errors import QuantizeError
from quantize.features import Raw
from quantize.ops import OPS
from quantize.qnetwork import QInput, QLayer, QNetwork, QOutput

MAGIC = b"TLST"
STATE_VERSION = 1
State = dict[str, dict[str, np.ndarray]]
HEADER = "<4sHH8sIHH"  # magic, version, zero, model, steps since reset, lost in a row, samples held


def zero_state(q: QNetwork, batch: int) -> State:
    """Layer name -> tensor name -> what it holds before the first step [batch, H]: zeros, or h's zero point."""
    return {
        x.name: {k: np.full((batch, OPS[x.op].output_size(x)), v, np.int64) for k, v in first_values(x).items()}
        for x in q.layers
    }


def first_values(x: QLayer) -> dict[str, int]:
    """Of each tensor of a layer's state."""
    return OPS[x.op].start(x) if "h_zero" in x.params else dict.fromkeys(OPS[x.op].STATE, 0)


def step(
    q: QNetwork, x: np.ndarray, state: State, trace: dict[str, np.ndarray] | None = None
) -> tuple[np.ndarray, State]:
    """x_q [batch, inputs] -> y [batch, outputs] (int32 values in int64) and the new state."""
    v, new = np.asarray(x, np.int64), {}
    for layer in q.layers:
        v, new[layer.name] = OPS[layer.op].int_step(layer, v, state[layer.name], trace)
    return v, new


def window(
    q: QNetwork, x: np.ndarray, each: Callable[[dict[str, np.ndarray]], None] = lambda trace: None
) -> tuple[np.ndarray, State]:
    """A window x_q [batch, time, inputs] of a layered network, from a zero state -> what the head is fed [batch, width]
    and the states; `each` receives the tensors of every layer and step."""

    def one(layer: QLayer, v: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        trace: dict[str, np.ndarray] = {}
        h, after = OPS[layer.op].int_step(layer, v, state, trace)
        each(trace)
        return h, after

    zero = zero_state(q, len(x))
    fed, states = graph.over_window(q.layers, np.asarray(x, np.int64), one, lambda layer: zero[layer.name])
    return fed, {**states, q.layers[-1].name: {}}


def run(
    q: QNetwork, x: np.ndarray, state: State | None = None, trace: bool = False
) -> tuple[np.ndarray, State, list[dict[str, np.ndarray]]]:
    """x_q [batch, time, inputs] -> y [batch, time, outputs], the last state, and every step's tensors with `trace`.

    Of a layered network: from a zero state, y only after the last step [batch, 1, outputs], and no tensors."""
    batch, steps, _ = x.shape
    if graph.layered(q):
        fed, now = window(q, x)
        y, _ = OPS[q.layers[-1].op].int_step(q.layers[-1], fed, {}, None)
        return y[:, None], now, []
    now = zero_state(q, batch) if state is None else state
    y = np.empty((batch, steps, len(q.outputs)), np.int64)
    traces: list[dict[str, np.ndarray]] = []
    for i in range(steps):
        tensors: dict[str, np.ndarray] | None = {} if trace else None
        y[:, i], now = step(q, x[:, i], now, tensors)
        if tensors is not None:
            traces.append(tensors)
    return y, now, traces


def to_raw(columns: Sequence[QInput | QOutput | Raw], values: np.ndarray) -> np.ndarray:
    """Real values [..., columns] -> int64 fixed point of the columns, rounded half up and saturated to int32."""
    unit = 10.0 ** np.array([c.decimals for c in columns])
    return np.clip(np.floor(values * unit + 0.5), fp.INT32_MIN, fp.INT32_MAX).astype(np.int64)


def from_raw(columns: Sequence[QInput | QOutput | Raw], raw: np.ndarray) -> np.ndarray:
    """int fixed point [..., columns] -> real values."""
    return np.asarray(raw / 10.0 ** np.array([c.decimals for c in columns]))


def quantize_inputs(q: QNetwork, raw: np.ndarray) -> np.ndarray:
    """Raw fixed point [..., inputs] -> x_q."""
    columns = [
        fp.scale_in(np.asarray(raw[..., j], np.int64), c.low, c.high, c.offset, c.k, c.m, c.s)
        for j, c in enumerate(q.inputs)
    ]
    return np.stack(columns, -1)


def scale_outputs(q: QNetwork, y: np.ndarray) -> np.ndarray:
    """Head output [..., outputs] -> raw fixed point."""
    return np.stack([fp.scale_out(y[..., j], c.offset, c.m, c.s) for j, c in enumerate(q.outputs)], -1)


def reciprocals(max_gap: int) -> list[int]:
    """round(32768 / (n + 1)) for n = 0 .. max_gap lost samples; entry 0 is never used (it would be 32768)."""
    return [0] + [(32768 + (n + 1) // 2) // (n + 1) for n in range(1, max_gap + 1)]


class Stream:
    """One stream, as the generated C computes it; method for function, field for field of the saved state."""

    def __init__(self, q: QNetwork) -> None:
        self.q = q
        self.layered = graph.layered(q)
        self.reset()

    def reset(self) -> None:
        """The state before the first sample."""
        self.state = zero_state(self.q, 1)
        self.steps = 0
        self.lost = 0
        self.held = 0  # samples in the ring, window mode
        self.last = np.zeros((max(self.q.window, 1), len(self.q.inputs)), np.int64)  # newest in the last row
        self.past = [np.zeros(n, np.int64) for n in _depths(self.q)]  # raw samples of each column, newest first
        self.trace: dict[str, np.ndarray] = {}

    @property
    def warmed_up(self) -> bool:
        """Whether the forecast is to be trusted yet."""
        return self.steps >= self.q.warmup

    def predict(self, raw: Sequence[int] | np.ndarray) -> np.ndarray:
        """One raw sample [raws] -> forecast [outputs], int32 fixed point."""
        x = self._take(np.asarray(raw, np.int64))
        if self.q.missing == "interpolate":
            last, r = self.last[-1].copy(), reciprocals(self.q.max_gap)[self.lost]
            for k in range(1, self.lost + 1):
                self._accept(fp.interpolate(last, x, k, r))
        self.lost = 0
        self._accept(x)
        return self._forecast()

    def step(self, x: Sequence[int] | np.ndarray) -> np.ndarray:
        """One step in integers: x_q [inputs] -> y [outputs] of the head. Window mode: the ring is left alone."""
        self._streams()
        v = np.asarray(x, np.int64)
        if self.q.mode == "window":
            _, self.state = step(self.q, v[None], self.state, self.trace)
        else:
            self.lost = 0
            self._accept(v)
        return self._readout()

    def run(self, x: np.ndarray) -> np.ndarray:
        """x_q [time, inputs] -> y [outputs] after the last step; window mode begins from a zero state."""
        self._streams()
        if self.q.mode == "window":
            self.state = zero_state(self.q, 1)
        for row in x:
            self.step(row)
        return self._readout()

    def _streams(self) -> None:
        if self.layered:
            raise QuantizeError(f"{self.q.name}: a network of two directions has no single step; use predict")

    def predict_missing(self) -> np.ndarray:
        """A lost sample: `hold` repeats the last one, `interpolate` waits for the next, `reset` starts anew."""
        if self.steps:
            self.lost += 1
            if self.q.missing == "reset" or self.lost > self.q.max_gap:
                self.reset()
            elif self.q.missing == "hold":
                again = self._take(np.array([p[0] for p in self.past])) if self.q.front else self.last[-1].copy()
                self._accept(again)
        return self._forecast()

    def _take(self, raw: np.ndarray) -> np.ndarray:
        """A raw sample -> x_q; remembered where features or the forecast need it."""
        if self.q.front is None:
            return quantize_inputs(self.q, raw)
        if not self.steps:
            self.past = [np.full_like(p, v) for p, v in zip(self.past, raw, strict=True)]
        made = features.now(self.q.front, raw, self.past)
        self.past = [np.concatenate([[v], p[:-1]]) for p, v in zip(self.past, raw, strict=True)]
        return quantize_inputs(self.q, made)

    def _accept(self, x: np.ndarray) -> None:
        self.steps = min(self.steps + 1, 2**32 - 1)
        if self.q.mode == "window":
            self.last = np.concatenate([self.last[1:], x[None]])
            self.held = min(self.held + 1, self.q.window)
        else:
            self.last = x[None]
            _, self.state = step(self.q, x[None], self.state, self.trace)

    def _forecast(self) -> np.ndarray:
        if self.q.mode == "window":
            self.state = zero_state(self.q, 1)
            held = self.last[len(self.last) - self.held :]
            if self.layered and self.held:
                _, self.state = window(self.q, held[None], self.trace.update)
            for x in () if self.layered else held:
                _, self.state = step(self.q, x[None], self.state, self.trace)
        y = np.asarray(scale_outputs(self.q, self._readout()))
        front = self.q.front
        if front is None or not front.bases:
            return y
        return features.undo(front.target, np.array([self.past[k][0] for k in front.bases]), y)

    def _readout(self) -> np.ndarray:
        head, fed = self.q.layers[-1], graph.sources(self.q.layers, len(self.q.layers) - 1)
        v = np.concatenate([self.state[name]["h"] for name in fed], axis=-1)
        y, _ = OPS[head.op].int_step(head, v, {}, self.trace)
        return np.asarray(y[0])

    def save(self) -> bytes:
        """The state as bytes, little-endian, in canonical order; the last four are the CRC-32 of all before."""
        model = bytes.fromhex(self.q.digest)[:8]
        blob = struct.pack(HEADER, MAGIC, STATE_VERSION, 0, model, self.steps, self.lost, self.held)
        for layer in self.q.layers:
            for key, tensor in self.state[layer.name].items():
                blob += tensor.astype(_stored(layer, key)).tobytes()
        blob += self.last.astype("<i2").tobytes() + b"".join(p.astype("<i4").tobytes() for p in self.past)
        return blob + struct.pack("<I", zlib.crc32(blob))

    def restore(self, blob: bytes) -> None:
        """Continues from `save`.

        Raises: QuantizeError when the bytes are damaged or another model's."""
        if len(blob) != save_bytes(self.q):
            raise QuantizeError(f"saved state: {len(blob)} bytes; expected {save_bytes(self.q)}; is it this model's?")
        magic, version, zero, model, steps, lost, held = struct.unpack_from(HEADER, blob)
        if magic != MAGIC or version != STATE_VERSION or zero != 0:
            raise QuantizeError(f"saved state: begins {blob[:8].hex()}; expected TLST version {STATE_VERSION}")
        if model != bytes.fromhex(self.q.digest)[:8]:
            raise QuantizeError(f"saved state: of model {model.hex()}; this one is {self.q.digest[:16]}")
        if struct.unpack("<I", blob[-4:])[0] != zlib.crc32(blob[:-4]):
            raise QuantizeError("saved state: CRC-32 does not match: the bytes are damaged")
        if lost > self.q.max_gap or held > self.q.window:
            raise QuantizeError(f"saved state: {lost} lost or {held} held samples are more than the model can have")
        state, at = zero_state(self.q, 1), struct.calcsize(HEADER)
        for layer in self.q.layers:
            for key, tensor in state[layer.name].items():
                values = np.frombuffer(blob, _stored(layer, key), tensor.size, at)
                state[layer.name][key] = values.astype(np.int64).reshape(tensor.shape)
                at += values.nbytes
        samples = np.frombuffer(blob, "<i2", self.last.size, at).astype(np.int64)
        past = np.frombuffer(blob[at + 2 * self.last.size : -4], "<i4").astype(np.int64)
        activations = [*(tensors["h"].ravel() for tensors in state.values() if tensors), samples]
        if np.abs(np.concatenate(activations)).max() > fp.AMPLITUDE:
            raise QuantizeError(f"saved state: h or a sample is beyond +-{fp.AMPLITUDE}, which the model cannot have")
        self.steps, self.lost, self.held = steps, lost, held
        self.state, self.last = state, samples.reshape(self.last.shape)
        self.past = np.split(past, np.cumsum(_depths(self.q))[:-1]) if self.past else []


def _stored(layer: QLayer, tensor: str) -> np.dtype[Any]:
    """How a tensor of the state lies in the saved bytes."""
    return np.dtype(OPS[layer.op].STATE[tensor]).newbyteorder("<")


def _depths(q: QNetwork) -> tuple[int, ...]:
    return q.front.depths if q.front else ()


def past_bytes(q: QNetwork) -> int:
    """Bytes of the raw samples that a stream remembers."""
    return 4 * sum(_depths(q))


def tensor_bytes(layer: QLayer) -> int:
    """Bytes of a layer's state."""
    return sum(np.dtype(kind).itemsize for kind in OPS[layer.op].STATE.values()) * OPS[layer.op].output_size(layer)


def save_bytes(q: QNetwork) -> int:
    """Size of a saved state."""
    samples = 2 * max(q.window, 1) * len(q.inputs)
    return struct.calcsize(HEADER) + sum(tensor_bytes(x) for x in q.layers) + samples + past_bytes(q) + 4


def state_hash(blob: bytes) -> int:
    """The hash of one step's state: the CRC-32 that ends the saved bytes."""
    return int(struct.unpack("<I", blob[-4:])[0])


def run_hash(hashes: Sequence[int]) -> int:
    """32-bit FNV-1a over the state hashes of a run."""
    value = 0x811C9DC5
    for byte in struct.pack(f"<{len(hashes)}I", *hashes):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value
