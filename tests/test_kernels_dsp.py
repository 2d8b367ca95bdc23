"""The target `dsp` returns the bits of `ref`: its twin on this computer, its instructions in unicorn."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import numpy as np
import pytest

from quantize.ops import gru, lstm
from quantize.qnetwork import QLayer
from tests import kernels
from tests.arm_call import Arm, build
from tests.conftest import needs
from tests.nets import random_gru, random_x
from toolkit.codegen.pack import Packed
from toolkit.codegen.pack_dsp import gru_dsp, lstm_dsp
from toolkit.toolchain import Toolchain, cross_toolchain

TOP = 32640


class Lstm(ctypes.Structure):
    """tl_lstm_w8a16_dsp"""

    _fields_ = [
        ("w", ctypes.c_void_p),
        ("step", ctypes.c_void_p),
        *((name, ctypes.c_uint16) for name in ("inputs", "hidden", "units", "first")),
        *((name, ctypes.c_uint8) for name in ("kind", "f", "shift", "reset_after")),
    ]


class LstmRef(ctypes.Structure):
    """tl_lstm_w8a16"""

    _fields_ = (
        [(name, ctypes.c_void_p) for name in ("wh", "wx16", "wx8", "b", "m")]
        + [(name, ctypes.c_uint16) for name in ("inputs", "hidden", "units")]
        + [(name, ctypes.c_uint8) for name in ("t", "f", "frac")]
    )


class Dense(ctypes.Structure):
    """tl_dense_w16a16"""

    _fields_ = [
        ("w", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("inputs", ctypes.c_uint16),
        ("outputs", ctypes.c_uint16),
    ]


def layer(
    rng: np.random.Generator, inputs: int, hidden: int, wide: bool, extreme: bool, f: int | None = None
) -> QLayer:
    """A layer that keeps the contract; extreme: weights at both ends as far as the sums allow."""
    f = 0 if not wide else int(rng.integers(0, 16)) if f is None else f
    top = 32767 if wide else 127
    rows = 4 * hidden
    if extreme:
        wh = rng.choice([-127, 127], (rows, hidden))
        wx = rng.choice([-top, top], (rows, inputs))
    else:
        wh = rng.integers(-127, 128, (rows, hidden))
        wx = rng.integers(-top, top + 1, (rows, inputs))
    if wide:
        total = np.abs(wx).sum(1, keepdims=True)
        wx = np.trunc(wx * np.minimum(1, 65000 / total)).astype(np.int64)
    for _ in range(64):
        sum_x = TOP * np.abs(wx).sum(1)
        over = TOP * np.abs(wh).sum(1) + (sum_x >> f) + 2 >= 2**31
        if not over.any():
            break
        wx = np.where(over[:, None], np.trunc(wx * 0.9), wx).astype(np.int64)
        wh = np.where(over[:, None], np.trunc(wh * 0.95), wh).astype(np.int64)
    room = 2**31 - 2 - TOP * np.abs(wh).sum(1) - (sum_x >> f)
    b = rng.choice([-1, 1], rows) * np.where(rng.random(rows) < 0.5, room, rng.integers(0, room + 1))
    t = int(rng.integers(0, 16))
    m = rng.choice([1, 2, 300, 9000, 32766, 32767], rows) if extreme else rng.integers(1, 32768, rows)
    arrays = {
        "wh": wh.astype(np.int8),
        "wx": wx.astype(np.int16 if wide else np.int8),
        "b": b.astype(np.int32),
        "m": m.astype(np.int16),
    }
    q = QLayer("q", "lstm", arrays, {"t": t, "f": f, "frac": int(rng.integers(0, 13))})
    assert lstm.fits(q).all()
    return q


def vectors(rng: np.random.Generator, q: QLayer, extreme: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """h, c, x"""
    hidden, inputs = lstm.hidden_size(q), lstm.input_size(q)
    if extreme:
        return tuple(  # type: ignore[return-value]
            rng.choice([-v, v - d, 0], n).astype(np.int16)
            for v, d, n in ((TOP, 0, hidden), (32768, 1, hidden), (TOP, 0, inputs))
        )
    return (
        rng.integers(-TOP, TOP + 1, hidden).astype(np.int16),
        rng.integers(-32768, 32768, hidden).astype(np.int16),
        rng.integers(-TOP, TOP + 1, inputs).astype(np.int16),
    )


def expected(q: QLayer, h: np.ndarray, c: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    state = {"h": h[None].astype(np.int64), "c": c[None].astype(np.int64)}
    new, state = lstm.int_step(q, x[None].astype(np.int64), state, None)
    return new[0], state["c"][0]


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(kernels.library()))


def pointer(a: np.ndarray) -> int:
    return int(a.ctypes.data)


def packed_dsp(q: QLayer) -> Packed:
    packed = gru_dsp(q) if q.op == "gru" else lstm_dsp(q)
    assert packed is not None
    return packed


def host_step(
    library: ctypes.CDLL, q: QLayer, h: np.ndarray, c: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    packed = packed_dsp(q)
    fields = {"first": "0", "reset_after": "0", **dict(packed.fields)}
    w = np.ascontiguousarray(packed.arrays[0].array)
    p = Lstm(pointer(w), None, *(int(fields[name]) for name, _ in Lstm._fields_[2:]))
    h_new, c_new = np.empty_like(h), c.copy()
    library.tl_lstm_step_w8a16_dsp(
        ctypes.c_void_p(pointer(h_new)), ctypes.c_void_p(pointer(c_new)), ctypes.c_void_p(pointer(h)),
        ctypes.c_void_p(pointer(x)), ctypes.byref(p),
    )  # fmt: skip
    return h_new, c_new


def ref_step(
    library: ctypes.CDLL, q: QLayer, h: np.ndarray, c: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    a = {k: np.ascontiguousarray(v) for k, v in q.arrays.items()}
    wide = a["wx"].dtype == np.int16
    p = LstmRef(
        pointer(a["wh"]), pointer(a["wx"]) if wide else None, None if wide else pointer(a["wx"]), pointer(a["b"]),
        pointer(a["m"]), len(x), len(h), len(h), q.params["t"], q.params["f"], q.params["frac"],
    )  # fmt: skip
    h_new, c_new = np.empty_like(h), c.copy()
    library.tl_lstm_step_w8a16_ref(
        ctypes.c_void_p(pointer(h_new)), ctypes.c_void_p(pointer(c_new)), ctypes.c_void_p(pointer(h)),
        ctypes.c_void_p(pointer(x)), ctypes.byref(p),
    )  # fmt: skip
    return h_new, c_new


def cases(seed: int, count: int, most_inputs: int, most_hidden: int) -> list[tuple[QLayer, np.random.Generator, bool]]:
    rng = np.random.default_rng(seed)
    edges_i, edges_h = (
        (1, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 30, 31, 68, 69, 133, 140),
        (1, 2, 3, 4, 5, 8, 63, 64, 65, 66, 67, 68, 69, 72, 128, 132, 133),
    )
    found = []
    for k in range(count):
        extreme = bool(rng.integers(0, 2))
        inputs = int(rng.choice(edges_i)) if k % 3 == 0 else int(rng.integers(1, most_inputs + 1))
        hidden = int(rng.choice(edges_h)) if k % 3 == 1 else int(rng.integers(1, most_hidden + 1))
        f = k % 5 if k % 2 == 0 else None
        found.append((layer(rng, inputs, hidden, bool(rng.integers(0, 2)), extreme, f), rng, extreme))
    return found


def test_lstm_twin(library: ctypes.CDLL) -> None:
    for q, rng, extreme in cases(1, 400, 20, 140):
        h, c, x = vectors(rng, q, extreme)
        want = ref_step(library, q, h, c, x)
        for got, w in zip(host_step(library, q, h, c, x), want, strict=True):
            np.testing.assert_array_equal(got, w, err_msg=f"{len(x)} -> {len(h)} {q.arrays['wx'].dtype} {q.params}")
        for got, w in zip(expected(q, h, c, x), want, strict=True):
            np.testing.assert_array_equal(got, w)


def test_dense_twin(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(2)
    for inputs in range(1, 40):
        w = rng.integers(-1600, 1601, (3, inputs)).astype(np.int16)
        h = rng.choice([-TOP, TOP, 1], inputs).astype(np.int16)
        b = rng.integers(-(2**20), 2**20, 3).astype(np.int32)
        y = np.empty(3, np.int32)
        p = Dense(pointer(w), pointer(b), inputs, 3)
        library.tl_dense_w16a16_dsp(ctypes.c_void_p(pointer(y)), ctypes.c_void_p(pointer(h)), ctypes.byref(p))
        np.testing.assert_array_equal(y, w.astype(np.int64) @ h + b)


def image_of(layers: list[QLayer], folder: Path, toolchain: Toolchain) -> Path:
    """The kernels and the steps of layers, layer k's called l<k>_step, as an image."""
    code = ['#include "tl_dsp.c"']
    for k, q in enumerate(layers):
        code += [line.replace("{layer}", f"l{k}") for line in packed_dsp(q).code]
    code.append("extern const tl_lstm_w8a16_dsp all[]; const tl_lstm_w8a16_dsp all[] = {")
    code += [f"    {{.step = l{k}_step}}," for k in range(len(layers))]
    source = folder / "layers.c"
    source.write_text("\n".join([*code, "};", ""]))
    return build(str(source), folder, toolchain)


def gru_cases(seed: int, count: int) -> list[QLayer]:
    rng = np.random.default_rng(seed)
    sizes = [(int(rng.integers(1, 20)), int(rng.integers(1, 80))) for _ in range(count)] + [(140, 133)] * 2
    sizes += [(inputs, hidden) for inputs in (1, 2, 5) for hidden in range(1, 10) for _ in range(2)]
    return [random_gru(rng, "q", *size, (8, 16)[k // 2 % 2], after=k % 2 == 0) for k, size in enumerate(sizes)]


CASES = cases(3, 150, 20, 140) + cases(5, 4, 150, 300)
GRU_CASES = gru_cases(6, 60)


@pytest.fixture(scope="module", params=["gcc", "zig"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("arm-gcc" if request.param == "gcc" else "zig", "unicorn")
    return image_of(
        [*(q for q, _, _ in CASES), *GRU_CASES], tmp_path_factory.mktemp("arm"), cross_toolchain(request.param)
    )


def arm_parameters(machine: Arm, k: int, q: QLayer, units: int, first: int) -> int:
    """The struct of some units of layer k of the image."""
    packed = packed_dsp(q)
    fields = {"reset_after": "0", **dict(packed.fields), "units": str(units), "first": str(first)}
    w = machine.array(packed.arrays[0].array) + 4 * first * packed.arrays[0].array.shape[1]
    step = machine.symbols[f"l{k}_step"] | 1
    return machine.put(struct.pack("<II4H4B", w, step, *(int(fields[name]) for name, _ in Lstm._fields_[2:])))


def arm_step(
    machine: Arm, k: int, q: QLayer, h: np.ndarray, c: np.ndarray, x: np.ndarray, skew: int
) -> tuple[np.ndarray, np.ndarray]:
    """One step of layer k of the image."""
    p = arm_parameters(machine, k, q, len(h), 0)
    h_at, c_at, x_at, new_at = (machine.array(v, skew) for v in (h, c, x, np.zeros_like(h)))
    machine.call(f"tl_{q.op}_step_w8a16_dsp", new_at, c_at, h_at, x_at, p)
    assert (machine.get(h_at, h) == h).all() and (machine.get(x_at, x) == x).all()
    return machine.get(new_at, h), machine.get(c_at, c)


def test_lstm_instructions(library: ctypes.CDLL, image: Path) -> None:
    machine = Arm(image)
    for k, (q, rng, extreme) in enumerate(CASES):
        machine.top = 0x2000_0000
        h, c, x = vectors(rng, q, extreme)
        want = ref_step(library, q, h, c, x)
        for got, w in zip(arm_step(machine, k, q, h, c, x, 2 * (k % 2)), want, strict=True):
            np.testing.assert_array_equal(got, w, err_msg=f"{len(x)} -> {len(h)} {q.arrays['wx'].dtype} {q.params}")


def test_gru_instructions(image: Path) -> None:
    """Whole steps and two slices, with the layers' symbols local: no C name is shadowed by the assembler's."""
    machine, rng = Arm(image), np.random.default_rng(7)
    assert all(name.startswith(("tl_", "l", "all", "$", "__")) for name in machine.symbols), machine.symbols.keys()
    for k, q in enumerate(GRU_CASES, len(CASES)):
        hidden, skew = gru.hidden_size(q), 2 * (k % 2)
        h, x = (random_x(rng, (n,)).astype(np.int16) for n in (hidden, gru.input_size(q)))
        want, _ = gru.int_step(q, x[None].astype(np.int64), {"h": h[None].astype(np.int64)}, None)
        cut, after = int(rng.integers(1, hidden + 1)), gru.reset_after(q)
        for first, units in ((0, hidden), (0, cut), (cut, hidden - cut)) if after else ((0, hidden),):
            machine.top = 0x2000_0000
            if units:
                p = arm_parameters(machine, k, q, units, first)
                h_at, x_at, new_at, reset_at = (machine.array(v, skew) for v in (h, x, np.zeros(units, np.int16), h))
                machine.call("tl_gru_step_w8a16_dsp", new_at, 0 if after else reset_at, h_at, x_at, p)
                got = machine.get(new_at, np.zeros(units, np.int16))
                np.testing.assert_array_equal(got, want[0, first : first + units], err_msg=f"{hidden} {q.params}")
                assert (machine.get(h_at, h) == h).all() and (machine.get(x_at, x) == x).all()
                machine.get(reset_at, h)


def test_dense_instructions(image: Path) -> None:
    machine, rng = Arm(image), np.random.default_rng(4)
    for inputs in range(1, 40):
        w = rng.integers(-1600, 1601, (3, inputs)).astype(np.int16)
        h = rng.choice([-TOP, TOP, 1], inputs).astype(np.int16)
        b = rng.integers(-(2**20), 2**20, 3).astype(np.int32)
        p = machine.put(struct.pack("<IIHH", machine.array(w), machine.array(b), inputs, 3))
        y = machine.array(np.zeros(3, np.int32))
        machine.call("tl_dense_w16a16_dsp", y, machine.array(h), p)
        np.testing.assert_array_equal(machine.get(y, b), w.astype(np.int64) @ h + b)
