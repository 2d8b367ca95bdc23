"""Random quantized LSTM layers that reach every limit of the kernels' contract, and a call of a kernel here."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantize.network import Layer
from quantize.ops import lstm
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed

TOP = 32640


def random_layer(rng: np.random.Generator, inputs: int, hidden: int, *, wide: bool, extreme: bool) -> QLayer:
    """A layer whose rows fit int32, as the generator proves; extreme: weights of +-127 and +-32767, any m, t, frac."""
    shape = (4 * hidden, hidden)
    wh = rng.choice([-127, 127], shape) if extreme else rng.integers(-127, 128, shape)
    if wide:
        wx = rng.choice([-32767, 32767], (4 * hidden, inputs)) if extreme else rng.normal(0, 4000, (4 * hidden, inputs))
        wx = np.trunc(wx / np.maximum(1, np.abs(wx).sum(1, keepdims=True) / 65500))
    else:
        wx = (
            rng.choice([-127, 127, 0], (4 * hidden, inputs))
            if extreme
            else rng.integers(-127, 128, (4 * hidden, inputs))
        )
    f = int(rng.integers(0, 16)) if wide else 0
    if wide and f == 0:
        wx = np.trunc(wx / 2)  # leaves the recurrent sum its room
    m = rng.choice([1, 2, 9, 2000, 32767], 4 * hidden) if extreme else rng.integers(1, 32768, 4 * hidden)
    room = 2**31 - 2 - TOP * np.abs(wh).sum(1) - (TOP * np.abs(wx).sum(1).astype(np.int64) >> f)
    b = rng.choice([-1, 0, 1], 4 * hidden) * room if extreme else rng.integers(-room // 8, room // 8)
    arrays = {
        "wh": wh.astype(np.int8),
        "wx": wx.astype(np.int16 if wide else np.int8),
        "b": b.astype(np.int32),
        "m": m.astype(np.int16),
    }
    t = int(rng.integers(0, 16)) if extreme else int(rng.integers(8, 12))
    q = QLayer("lstm0", "lstm", arrays, {"t": t, "f": f, "frac": int(rng.integers(0, 13))})
    assert lstm.fits(q).all()
    return q


def random_state(rng: np.random.Generator, q: QLayer, *, extreme: bool) -> dict[str, np.ndarray]:
    """h, c and x within their ranges; extreme: at their ends."""

    def draw(n: int, top: int) -> np.ndarray:
        v = rng.choice([-top, top, 0, -1], n) if extreme else rng.integers(-top, top + 1, n)
        return np.ascontiguousarray(v, np.int16)

    hidden = lstm.hidden_size(q)
    return {"h": draw(hidden, TOP), "c": draw(hidden, 32767), "x": draw(lstm.input_size(q), TOP)}


def expected(q: QLayer, state: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The oracle's h' and c'."""
    rows = {k: v.astype(np.int64)[None] for k, v in state.items()}
    _, new = lstm.int_step(q, rows["x"], {"h": rows["h"], "c": rows["c"]}, None)
    return new["h"][0].astype(np.int16), new["c"][0].astype(np.int16)


def struct(ffi: Any, packed: Packed) -> tuple[Any, list[Any]]:
    """The parameter struct of a packed layer, and what keeps its arrays alive."""
    arrays = {a.suffix: ffi.from_buffer(f"{a.ctype}[]", np.ascontiguousarray(a.array)) for a in packed.arrays}
    values = {k: arrays[v[1:]] if v.startswith("@") else int(v) for k, v in packed.fields}
    return ffi.new(f"{packed.struct} *", values), list(arrays.values())


def call(ffi: Any, function: Any, packed: Packed, state: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """h' and c' of one step on this computer, in buffers of exactly their size."""
    p, _alive = struct(ffi, packed)
    c, h_new = state["c"].copy(), np.empty_like(state["h"])
    function(*(ffi.cast("int16_t *", a.ctypes.data) for a in (h_new, c, state["h"], state["x"])), p)
    return h_new, c


def typical_layer(rng: np.random.Generator, inputs: int, hidden: int, *, wide: bool) -> QLayer:
    """A layer as training leaves it: gates spread over the whole of the tables, few of them saturated."""
    s = 2 / np.sqrt(hidden)
    weights = {
        "w_ih": rng.normal(0, s, (4 * hidden, inputs)),
        "w_hh": rng.normal(0, s, (4 * hidden, hidden)),
        "b": rng.normal(0, 1, 4 * hidden),
    }
    x_scale = np.full(inputs, 4 * 3 / 32767 if wide else 1 / TOP)
    return lstm.quantize(Layer("lstm0", "lstm", weights), x_scale, {"c": 2.0}, 16 if wide else 8)
