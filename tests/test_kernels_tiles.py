"""The targets of csrc/tl_tiles.h return the bits of ref: by this processor's instructions, the others through shims."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

from quantize.ops import gru, rows
from quantize.qnetwork import QLayer
from tests.conftest import needs
from tests.kernels import Kernels, runnable
from toolkit.codegen.pack_tiles import FORMS
from toolkit.codegen.packers import PACKERS

HIDDEN = (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 97, 140)
SHAPES = [(inputs, hidden) for inputs in (1, 2, 3, 4, 5, 8, 13, 20) for hidden in HIDDEN]


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    needs("host-cc")
    return Kernels()


@pytest.fixture(params=FORMS)
def target(request: pytest.FixtureRequest) -> str:
    """A target that this computer runs."""
    if not runnable(request.param):
        pytest.skip(f"SKIPPED: this processor has no {request.param}")
    return str(request.param)


def layer(rng: np.random.Generator, op: str, inputs: int, hidden: int, *, wide: bool, extreme: bool) -> QLayer:
    """Random weights up to the proof of tl_kernels.h: 32640 sum|wh| + (32640 sum|wx| >> f) + 1 + |b| < 2^31.

    op: `lstm`, or `gru` with either reset mode."""
    after = bool(rng.integers(2))
    count = (4 if op == "lstm" else 3) * hidden

    def weights(columns: int, top: int) -> np.ndarray:
        shape = (count, columns)
        return rng.choice([-top, top], shape) if extreme else rng.integers(-top, top + 1, shape)

    wh, wx, f = weights(hidden, 127), weights(inputs, 127), 0
    if wide:
        f = int(rng.integers(0, 16))
        top = min(32767, (2**31 - 1) // 32640 // inputs)
        while 32640 * 127 * hidden + (32640 * top * inputs >> f) + 2 >= 2**31:
            top -= 1 + top // 16
        wx = weights(inputs, top)
    arrays = {"wh": wh, "wx": wx, "b": np.zeros((3 + after) * hidden if op == "gru" else count, np.int64)}
    sums = gru.sums(QLayer("", op, arrays, {})) if op == "gru" else rows.joint(count)
    room = 2**31 - 2 - rows.row_bounds(arrays, f, sums)[0]
    narrow = {
        "wh": wh.astype(np.int8),
        "wx": wx.astype(np.int16 if wide else np.int8),
        "b": (rng.choice([-1, 1], len(room)) * (room if extreme else rng.integers(0, room + 1))).astype(np.int32),
        "m": (rng.choice([1, 32767], count) if extreme else rng.integers(1, 32768, count)).astype(np.int16),
    }
    # rows of a trained layer need t = 8 .. 11; below that nearly every gate saturates
    params = {"t": int(rng.integers(0, 16)), "f": f}
    return QLayer(f"{op}0", op, narrow, {**params, "frac": int(rng.integers(0, 13))} if op == "lstm" else params)


def activations(rng: np.random.Generator, n: int, *, extreme: bool) -> np.ndarray:
    return rng.choice([-32640, 32640], n) if extreme else rng.integers(-32640, 32641, n)


def check(c: Kernels, target: str, q: QLayer, rng: np.random.Generator, *, extreme: bool) -> None:
    """Three steps on exact-size buffers, ref and target from the same state."""
    inputs, hidden = rows.input_size(q), rows.hidden_size(q)
    ref, own = c.parameters(q, "ref"), c.parameters(q, target)
    state = {"h": activations(rng, hidden, extreme=extreme), "c": rng.integers(-32768, 32768, hidden)}
    for _ in range(3):
        x = activations(rng, inputs, extreme=extreme)
        wanted, got = c.cell("ref", q, ref, x, state), c.cell(target, q, own, x, state)
        for name, values in wanted.items():
            assert np.array_equal(values, got[name]), (name, inputs, hidden, q.op, q.params)
        state = wanted


@pytest.mark.parametrize("wide", [True, False], ids=["wx16", "wx8"])
@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
@pytest.mark.parametrize("op", ["lstm", "gru"])
def test_step_is_ref(kernels: Kernels, target: str, op: str, wide: bool, extreme: bool) -> None:
    rng = np.random.default_rng([wide, extreme])
    for inputs, hidden in SHAPES:
        q = layer(rng, op, inputs, hidden, wide=wide, extreme=extreme)
        check(kernels, target, q, rng, extreme=extreme)


def test_every_gate_input_is_looked_up_like_ref(kernels: Kernels, target: str) -> None:
    """All 65536 values of z pass through each gate: m = 32767, t = 15 and b choose z, the weights are zero."""
    rng = np.random.default_rng(0)
    z = np.arange(-32768, 32768).reshape(-1, 128)
    for block in z:
        b = np.concatenate([rng.permutation(block) for _ in range(4)]) << 16
        arrays = {
            "wh": np.zeros((512, 128), np.int8),
            "wx": np.zeros((512, 1), np.int8),
            "b": b.astype(np.int32),
            "m": np.full(512, 32767, np.int16),
        }
        q = QLayer("lstm0", "lstm", arrays, {"t": 15, "f": 0, "frac": 12})
        check(kernels, target, q, rng, extreme=False)
        check(kernels, target, QLayer("lstm0", "lstm", arrays, {**q.params, "t": 12}), rng, extreme=False)


@pytest.mark.parametrize("t", range(16))
def test_every_shift(kernels: Kernels, target: str, t: int) -> None:
    for frac in range(13):
        rng = np.random.default_rng([t, frac])
        q = layer(rng, "lstm", 3, 40, wide=True, extreme=False)
        check(kernels, target, QLayer(q.name, q.op, q.arrays, {**q.params, "t": t, "frac": frac}), rng, extreme=False)
        q = layer(rng, "gru", 3, 40, wide=True, extreme=False)
        check(kernels, target, QLayer(q.name, q.op, q.arrays, {**q.params, "t": t}), rng, extreme=False)


@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
def test_dense_is_ref(kernels: Kernels, target: str, extreme: bool) -> None:
    rng = np.random.default_rng(extreme)
    for outputs in (1, 2, 3, 5):
        for inputs in range(1, 141):
            top = min(32767, 65000 // inputs)
            shape = (outputs, inputs)
            w = rng.choice([-top, top], shape) if extreme else rng.integers(-top, top + 1, shape)
            b = rng.choice([-1, 1], outputs) * (2**31 - 1 - 32640 * np.abs(w).sum(1))
            q = QLayer("dense0", "dense", {"w": w.astype(np.int16), "b": b.astype(np.int32)}, {})
            h = activations(rng, inputs, extreme=extreme)
            assert np.array_equal(kernels.dense("ref", q, h), kernels.dense(target, q, h)), (outputs, inputs)


class Guarded:
    """Buffers that end where a page without access begins: reading or writing past one ends the process."""

    def __init__(self, ffi: Any) -> None:
        self._ffi = ffi
        self._maps: list[mmap.mmap] = []

    def new(self, kind: str, values: np.ndarray) -> Any:
        """A copy of the values as `kind *`."""
        data = np.ascontiguousarray(values).tobytes()
        room = -(-len(data) // mmap.PAGESIZE) * mmap.PAGESIZE
        pages = mmap.mmap(-1, room + mmap.PAGESIZE)
        self._maps.append(pages)
        pages[room - len(data) : room] = data
        base = self._ffi.cast("char *", self._ffi.from_buffer(pages))
        address = int(self._ffi.cast("uintptr_t", base))
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + room), mmap.PAGESIZE, 0) == 0
        return self._ffi.cast(f"{kind} *", base + room - len(data))


@pytest.mark.skipif(sys.platform == "win32", reason="SKIPPED: pages are guarded with mprotect")
@pytest.mark.parametrize("wide", [True, False], ids=["wx16", "wx8"])
@pytest.mark.parametrize("op", ["lstm", "gru"])
def test_nothing_behind_an_array_is_touched(kernels: Kernels, target: str, op: str, wide: bool) -> None:
    ffi, library = kernels.ffi, kernels.lib
    rng = np.random.default_rng(wide)
    for inputs, hidden in [(i, h) for i in range(1, 9) for h in (1, 2, 3, 4, 5, 16, 17, 31, 32, 33)]:
        room = Guarded(ffi)
        packed = PACKERS[op, target](layer(rng, op, inputs, hidden, wide=wide, extreme=False))
        assert packed is not None
        p = ffi.new(f"{packed.struct} *")
        arrays = {a.suffix: room.new(a.ctype.split()[-1], a.array) for a in packed.arrays}
        for field, value in packed.fields:
            setattr(p, field, arrays[value[1:]] if value.startswith("@") else int(value))
        h_new, c, h = (room.new("int16_t", np.zeros(hidden, np.int16)) for _ in range(3))
        x = room.new("int16_t", np.zeros(inputs, np.int16))
        getattr(library, f"tl_{op}_step_w8a16_{target}")(h_new, c, h, x, p)
        w, b, y = np.ones((2, hidden), np.int16), np.zeros(2, np.int32), room.new("int32_t", np.zeros(2, np.int32))
        fields = {"w": room.new("int16_t", w), "b": room.new("int32_t", b), "inputs": hidden, "outputs": 2}
        getattr(library, f"tl_dense_w16a16_{target}")(y, h, ffi.new("tl_dense_w16a16 *", fields))
