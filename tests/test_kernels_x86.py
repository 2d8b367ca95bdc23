"""The kernels of avx2 and avx512vnni return the bits of ref."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import cffi
import numpy as np
import pytest

from quantize.qnetwork import QLayer
from tests.conftest import needs
from toolkit import cpu
from toolkit.build import build_kernels
from toolkit.codegen import pack_x86
from toolkit.codegen.pack import Packed, lstm_ref

PACKERS = {"avx2": pack_x86.lstm_avx2, "avx512vnni": pack_x86.lstm_avx512vnni}
API = """
typedef struct { const int8_t *wh; const int16_t *wx16; const int8_t *wx8; const int32_t *b; const int16_t *m;
                 uint16_t inputs, hidden; uint8_t t, f, frac; } tl_lstm_w8a16;
typedef struct { const int16_t *w; const int32_t *b; uint16_t inputs, outputs; } tl_dense_w16a16;
void tl_lstm_step_w8a16_ref(int16_t *, int16_t *, const int16_t *, const int16_t *, const tl_lstm_w8a16 *);
void tl_dense_w16a16_ref(int32_t *, const int16_t *, const tl_dense_w16a16 *);
"""
API_TARGET = """
typedef struct { const int8_t *w8; const int16_t *wx16; const int32_t *b; const int32_t *m;
                 uint16_t inputs, hidden; uint8_t t, f, frac; } tl_lstm_w8a16_TARGET;
void tl_lstm_step_w8a16_TARGET(int16_t *, int16_t *, const int16_t *, const int16_t *, const tl_lstm_w8a16_TARGET *);
void tl_dense_w16a16_TARGET(int32_t *, const int16_t *, const tl_dense_w16a16 *);
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> tuple[cffi.FFI, Any]:
    """The library of all kernels."""
    needs("host-cc")
    if not cpu.is_x86():
        pytest.skip("SKIPPED: the kernels of x86-64 need such a computer")
    ffi = cffi.FFI()
    ffi.cdef(API + "".join(API_TARGET.replace("TARGET", name) for name in PACKERS))
    return ffi, ffi.dlopen(str(build_kernels(tmp_path_factory.mktemp("kernels"))))


@pytest.fixture(params=PACKERS)
def target(request: pytest.FixtureRequest) -> str:
    """A target of x86-64 that this computer runs."""
    if request.param not in cpu.host_targets():
        pytest.skip(f"SKIPPED: this processor has no {request.param}")
    return str(request.param)


def layer(rng: np.random.Generator, inputs: int, hidden: int, *, wide: bool, extreme: bool) -> QLayer:
    """Random weights that keep the proof of tl_kernels.h: 32640 sum|wh| + (32640 sum|wx| >> f) + 1 + |b| < 2^31."""
    rows = 4 * hidden

    def weights(columns: int, top: int) -> np.ndarray:
        shape = (rows, columns)
        return rng.choice([-top, top], shape) if extreme else rng.integers(-top, top + 1, shape)

    wh, wx, f = weights(hidden, 127), weights(inputs, 127), 0
    if wide:
        f = int(rng.integers(0, 16))
        top = min(32767, (2**31 - 1) // 32640 // inputs)
        while 32640 * 127 * hidden + (32640 * top * inputs >> f) + 2 >= 2**31:
            top -= 1 + top // 16
        wx = weights(inputs, top)
    room = 2**31 - 2 - 32640 * np.abs(wh).sum(1) - (32640 * np.abs(wx).sum(1) >> f)
    b = rng.choice([-1, 1], rows) * (room if extreme else rng.integers(0, room + 1))
    m = rng.choice([1, 32767], rows) if extreme else rng.integers(1, 32768, rows)
    arrays = {
        "wh": wh.astype(np.int8),
        "wx": wx.astype(np.int16 if wide else np.int8),
        "b": b.astype(np.int32),
        "m": m.astype(np.int16),
    }
    # rows of a trained layer need t = 8 .. 11; below that nearly every gate saturates
    return QLayer("lstm0", "lstm", arrays, {"t": int(rng.integers(0, 16)), "f": f, "frac": int(rng.integers(0, 13))})


class Guarded:
    """Buffers that end where a page without access begins: reading or writing past one ends the process."""

    def __init__(self, ffi: cffi.FFI) -> None:
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


def make(ffi: cffi.FFI, packed: Packed, keep: list[Any]) -> Any:
    """The parameter struct, over copies of exactly the arrays' sizes."""
    p = ffi.new(f"{packed.struct} *")
    buffers = {}
    for a in packed.arrays:
        kind = a.ctype.split()[-1]
        assert a.array.dtype == np.dtype(kind.removesuffix("_t"))
        buffers[a.suffix] = ffi.new(f"{kind}[]", a.array.size)
        ffi.buffer(buffers[a.suffix])[:] = a.array.tobytes()
    for field, value in packed.fields:
        setattr(p, field, buffers[value[1:]] if value.startswith("@") else int(value))
    keep.append(buffers)
    return p


def activations(rng: np.random.Generator, n: int, *, extreme: bool) -> np.ndarray:
    v = rng.choice([-32640, 32640], n) if extreme else rng.integers(-32640, 32641, n)
    return v.astype(np.int16)


def check(kernels: tuple[cffi.FFI, Any], target: str, q: QLayer, rng: np.random.Generator, *, extreme: bool) -> None:
    """Three steps on exact-size buffers, ref and target from the same state."""
    ffi, library = kernels
    inputs, hidden = q.arrays["wx"].shape[1], q.arrays["wh"].shape[1]
    keep: list[Any] = []
    steps = (
        (library.tl_lstm_step_w8a16_ref, make(ffi, lstm_ref(q), keep)),
        (getattr(library, f"tl_lstm_step_w8a16_{target}"), make(ffi, PACKERS[target](q), keep)),
    )
    h = activations(rng, hidden, extreme=extreme)
    c = rng.integers(-32768, 32768, hidden).astype(np.int16)
    for _ in range(3):
        x = activations(rng, inputs, extreme=extreme)
        seen = []
        for step, p in steps:
            buffers = [ffi.new("int16_t[]", v.tolist()) for v in (np.zeros_like(h), c, h, x)]
            step(*buffers, p)
            seen.append([np.frombuffer(ffi.buffer(buffer), np.int16).copy() for buffer in buffers])
        for name, wanted, got in zip(("h_new", "c", "h", "x"), *seen, strict=True):
            assert np.array_equal(wanted, got), (name, inputs, hidden, q.params, np.flatnonzero(wanted != got)[:8])
        h, c = seen[0][0], seen[0][1]


HIDDEN = (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 97, 140)
SHAPES = [(inputs, hidden) for inputs in (1, 2, 3, 4, 5, 8, 13, 20) for hidden in HIDDEN]


@pytest.mark.parametrize("wide", [True, False], ids=["wx16", "wx8"])
@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
def test_lstm_step_is_ref(kernels: tuple[cffi.FFI, Any], target: str, wide: bool, extreme: bool) -> None:
    rng = np.random.default_rng([wide, extreme])
    for inputs, hidden in SHAPES:
        check(kernels, target, layer(rng, inputs, hidden, wide=wide, extreme=extreme), rng, extreme=extreme)


def test_every_gate_input_is_looked_up_like_ref(kernels: tuple[cffi.FFI, Any], target: str) -> None:
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


@pytest.mark.parametrize("frac", range(13))
@pytest.mark.parametrize("t", range(16))
def test_every_shift(kernels: tuple[cffi.FFI, Any], target: str, t: int, frac: int) -> None:
    rng = np.random.default_rng([t, frac])
    q = layer(rng, 3, 40, wide=True, extreme=False)
    check(kernels, target, QLayer(q.name, q.op, q.arrays, {**q.params, "t": t, "frac": frac}), rng, extreme=False)


@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
def test_dense_is_ref(kernels: tuple[cffi.FFI, Any], target: str, extreme: bool) -> None:
    ffi, library = kernels
    rng = np.random.default_rng(extreme)
    for outputs in (1, 2, 3, 5):
        for inputs in range(1, 141):
            top = min(32767, 65000 // inputs)
            shape = (outputs, inputs)
            w = rng.choice([-top, top], shape) if extreme else rng.integers(-top, top + 1, shape)
            room = 2**31 - 1 - 32640 * np.abs(w).sum(1)
            b = rng.choice([-1, 1], outputs) * room
            h = ffi.new("int16_t[]", activations(rng, inputs, extreme=extreme).tolist())
            cw, cb = ffi.new("int16_t[]", w.ravel().tolist()), ffi.new("int32_t[]", b.tolist())
            p = ffi.new("tl_dense_w16a16 *", {"w": cw, "b": cb, "inputs": inputs, "outputs": outputs})
            wanted, got = ffi.new("int32_t[]", outputs), ffi.new("int32_t[]", outputs)
            library.tl_dense_w16a16_ref(wanted, h, p)
            getattr(library, f"tl_dense_w16a16_{target}")(got, h, p)
            assert list(wanted) == list(got), (outputs, inputs)


@pytest.mark.skipif(sys.platform == "win32", reason="SKIPPED: pages are guarded with mprotect")
@pytest.mark.parametrize("wide", [True, False], ids=["wx16", "wx8"])
def test_nothing_behind_an_array_is_touched(kernels: tuple[cffi.FFI, Any], target: str, wide: bool) -> None:
    ffi, library = kernels
    rng = np.random.default_rng(wide)
    for inputs, hidden in [(i, h) for i in range(1, 9) for h in (1, 2, 3, 4, 5, 16, 17, 31, 32, 33)]:
        room = Guarded(ffi)
        packed = PACKERS[target](layer(rng, inputs, hidden, wide=wide, extreme=False))
        p = ffi.new(f"{packed.struct} *")
        arrays = {a.suffix: room.new(a.ctype.split()[-1], a.array) for a in packed.arrays}
        for field, value in packed.fields:
            setattr(p, field, arrays[value[1:]] if value.startswith("@") else int(value))
        h_new, c, h = (room.new("int16_t", np.zeros(hidden, np.int16)) for _ in range(3))
        x = room.new("int16_t", np.zeros(inputs, np.int16))
        getattr(library, f"tl_lstm_step_w8a16_{target}")(h_new, c, h, x, p)
        w, b, y = np.ones((2, hidden), np.int16), np.zeros(2, np.int32), room.new("int32_t", np.zeros(2, np.int32))
        fields = {"w": room.new("int16_t", w), "b": room.new("int32_t", b), "inputs": hidden, "outputs": 2}
        getattr(library, f"tl_dense_w16a16_{target}")(y, h, ffi.new("tl_dense_w16a16 *", fields))


def test_host_targets_end_with_ref() -> None:
    targets = cpu.host_targets()
    assert targets[-1] == "ref"
    assert list(targets[:-1]) == [name for name in cpu.FEATURES if name in targets]


def test_a_processor_without_the_features_gets_ref(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "is_x86", lambda: True)
    for features, wanted in (
        (set(), ("ref",)),
        ({"avx2"}, ("ref",)),
        ({"avx2", "fma", "avx512f"}, ("avx2", "ref")),
        ({"avx2", "fma", *cpu.FEATURES["avx512vnni"]}, ("avx512vnni", "avx2", "ref")),
    ):
        monkeypatch.setattr(cpu, "_features", lambda found=features: frozenset(found))
        assert cpu.host_targets() == wanted
    monkeypatch.setattr(cpu, "is_x86", lambda: False)
    assert cpu.host_targets() == ("ref",)
