"""Scheme w8a8: the oracle is ai-edge-litert byte for byte, the C is the oracle, every target's kernel is the C."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import cffi
import numpy as np
import pytest

from quantize import gemmlowp
from quantize.network import frozen_arrays, layer
from quantize.ops import dense_w16a8, lstm, lstm_w8a8
from quantize.qnetwork import QLayer
from tests.conftest import needs
from tests.kernels import library, runnable
from tests.litert_lstm import qlayer, random_lstm
from toolkit import cpu, tflite
from toolkit.codegen import pack_w8a8
from toolkit.codegen.packers import place
from toolkit.targets import CSRC, W8A8

SIZES = [(1, 1), (1, 32), (3, 4), (4, 3), (5, 31), (7, 33), (8, 32), (16, 64), (2, 65), (33, 17), (130, 5), (6, 140)]
HERE = [t for t in W8A8 if t not in cpu.FEATURES or cpu.is_x86()]
NODES_SHA256 = "c79a34d2c8c6e794fbb0207601538fe0169e968cd6d9d5ca65fff859dcd55183"
TWINS = """
void twin_high_mul(int32_t *y, const int32_t *x, const int32_t *m, uint32_t n);
void twin_rounding_shift(int32_t *y, const int32_t *x, const int8_t *s, uint32_t n);
void twin_activation(int16_t *y, int tanh, int table, uint8_t bits);
"""
CALLS = {
    "lstm_step_w8a8": "(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const void *p);",
    "dense_w16a8": "(int32_t *y, const int8_t *h, const void *p);",
}


class Kernels:
    """The library of kernels, with the w8a8 ones declared."""

    def __init__(self, sanitize: str | None = None) -> None:
        self.ffi = cffi.FFI()
        calls = "".join(f"void tl_{op}_{t}{CALLS[op]}" for t in HERE for op in sorted(W8A8[t].ops))
        self.ffi.cdef(TWINS + calls + self.structs())
        self.lib = self.ffi.dlopen(str(library(sanitize)))

    @staticmethod
    def structs() -> str:
        """The parameter structs, from the headers of csrc/."""
        names = dict.fromkeys(W8A8[t].headers[0] for t in HERE)
        text = "".join((CSRC / name).read_text("utf-8") for name in names)
        found = re.findall(r"typedef struct \w+ (\{.*?\}) (\w+);", re.sub(r"/\*.*?\*/", "", text, flags=re.S), re.S)
        return "".join(f"typedef struct {body} {kind};\n" for body, kind in found)

    def pointer(self, array: np.ndarray) -> Any:
        """A pointer to an array's own memory."""
        return self.ffi.cast(f"{array.dtype.name}_t *", array.ctypes.data)

    def parameters(self, q: QLayer, target: str) -> tuple[Any, list[np.ndarray]]:
        """A layer in a target's layout, and the arrays to keep alive."""
        packed = place(q, target)[1]
        kinds = {a.suffix: a.ctype.split()[-1].removesuffix("_t") for a in packed.arrays}
        arrays = {a.suffix: np.ascontiguousarray(a.array, kinds[a.suffix]) for a in packed.arrays}
        p = self.ffi.new(f"{packed.struct} *")
        for field, value in packed.fields:
            if "{layer}" in value:  # code made for the layer: the twins need none
                continue
            setattr(p, field, self.pointer(arrays[value[1:]]) if value.startswith("@") else int(value))
        return p, list(arrays.values())

    def step(
        self, target: str, q: QLayer, x: np.ndarray, h: np.ndarray, c: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step -> h', c'."""
        p, _keep = self.parameters(q, target)
        new, cell = np.empty(len(h), np.int8), c.astype(np.int16)
        before, sample = h.astype(np.int8), x.astype(np.int8)
        function = getattr(self.lib, f"tl_lstm_step_w8a8_{target}")
        function(self.pointer(new), self.pointer(cell), self.pointer(before), self.pointer(sample), p)
        return new.astype(np.int64), cell.astype(np.int64)

    def dense(self, target: str, q: QLayer, h: np.ndarray) -> np.ndarray:
        """A dense head -> y."""
        p, _keep = self.parameters(q, target)
        y, v = np.empty(len(q.arrays["b"]), np.int32), h.astype(np.int8)
        getattr(self.lib, f"tl_dense_w16a8_{target}")(self.pointer(y), self.pointer(v), p)
        return y.astype(np.int64)


@pytest.fixture(scope="module")
def c() -> Kernels:
    needs("host-cc")
    return Kernels()


def takes(target: str, q: QLayer) -> bool:
    """Whether a target's kernel computes this layer: `mve` has the table alone, products of pairs need |w| <= 127."""
    if target in pack_w8a8.FORMS:
        return max(abs(q.arrays[k].astype(int)).max() for k in ("wx", "wh")) <= pack_w8a8.FORMS[target].top
    return target == "ref" or bool(q.params["table"])


def extreme_layers(rng: np.random.Generator, inputs: int, hidden: int) -> Iterator[QLayer]:
    """Layers that TFLite's tools would make, and ones with every number at an edge of what the contract allows."""
    for table in (False, True):
        bits = int(rng.integers(0, 7))
        yield qlayer(random_lstm(rng, inputs, hidden, bits, float(rng.choice([0, 0.3 * 2.0**bits]))), table=table)
        for top in (127, 127, 128):
            yield extreme_layer(rng, inputs, hidden, table, top)


def extreme_layer(rng: np.random.Generator, inputs: int, hidden: int, table: bool, top: int) -> QLayer:
    """Multipliers 0, 2^31 - 1 and between, all shifts, biases up to the bound. top: of |w|."""
    wx, wh = (rng.choice([-top, -127, 127, 0, 5], (4 * hidden, n)) for n in (inputs, hidden))
    s = rng.choice([-31, -20, -9, -8, -1, 0, 1, 2], 9)
    s[8] = rng.choice([-31, -24, -23, -22, -9, 0])
    biases = []
    for w, part in ((wx, s[:4]), (wh, s[4:8])):
        left = np.repeat(np.maximum(part, 0), hidden)
        room = ((2**31 - 1 - 2**30) >> left) - 128 * np.abs(w).sum(1)  # the half of a shift by 31 fits, too
        assert (room > 0).all()
        biases.append(room * rng.choice([-1, 0, 1], 4 * hidden))
    arrays = {
        "wx": wx.astype(np.int8),
        "wh": wh.astype(np.int8),
        "bx": biases[0].astype(np.int32),
        "bh": biases[1].astype(np.int32),
        "m": rng.choice([0, 1, 2**30, 2**31 - 1, 1518500250], 9).astype(np.int32),
        "s": s.astype(np.int8),
    }
    params = {"table": int(table), "bits": int(rng.integers(0, 7)), "clip": int(rng.choice([0, 1, 20000, 32767]))}
    params |= {"x_zero": int(rng.integers(-128, 128)), "h_zero": int(rng.choice([-128, 127, 0, 3]))}
    q = QLayer("lstm0", "lstm_w8a8", frozen_arrays(arrays), params)
    assert lstm_w8a8.fits(q).all()
    return q


# --- oracle = LiteRT ---


@pytest.mark.parametrize("resolver", ["BUILTIN_REF", "AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("seed", range(12))
def test_oracle_is_litert_byte_for_byte(seed: int, resolver: str) -> None:
    needs("litert")
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    rng = np.random.default_rng(seed)
    inputs, hidden, steps, bits = (int(rng.integers(*r)) for r in ((1, 40), (1, 70), (3, 9), (0, 7)))
    v = random_lstm(rng, inputs, hidden, bits, float(rng.choice([0, 0.3 * 2.0**bits])))
    q = qlayer(v, table=False)
    model = Interpreter(
        model_content=tflite.int8(v, steps),
        experimental_op_resolver_type=OpResolverType[resolver],
        experimental_preserve_all_tensors=True,
    )
    model.allocate_tensors()
    index = {d["name"]: d["index"] for d in model.get_tensor_details()}
    state = {k: np.full((1, hidden), start) for k, start in lstm_w8a8.start(q).items()}
    for _ in range(2):  # the second call continues from the state of the first
        x = rng.integers(-128, 128, (1, steps, inputs))
        model.set_tensor(index["x"], x.astype(np.int8))
        model.invoke()
        y = []
        for t in range(steps):
            h, state = lstm_w8a8.int_step(q, x[:, t], state, None)
            y.append(h[0])
        np.testing.assert_array_equal(y, model.get_tensor(index["y"])[0])
        np.testing.assert_array_equal(state["h"], model.get_tensor(index["h"]))
        np.testing.assert_array_equal(state["c"], model.get_tensor(index["c"]))


# --- C = oracle ---


@pytest.mark.parametrize("target", HERE)
def test_at_the_bound_nothing_leaves_int32(c: Kernels, target: str) -> None:
    """Both parts of a gate as large as an int32 may be, of one sign: their sum saturates. (It once wrapped around.)"""
    if not runnable(target):
        pytest.skip(f"SKIPPED: this processor has no {target}")
    rng = np.random.default_rng(3)
    q = extreme_layer(rng, 3, 4, True, 127)
    one = {"s": np.array([*[0] * 8, -22], np.int8), "m": np.full(9, 2**31 - 1, np.int32)}
    rooms = {f"b{k}": 2**31 - 1 - 128 * np.abs(q.arrays[f"w{k}"].astype(np.int64)).sum(1) for k in "xh"}
    for sign in (-1, 1):
        biases = {k: (sign * v).astype(np.int32) for k, v in rooms.items()}
        edge = QLayer(q.name, q.op, frozen_arrays({**q.arrays, **one, **biases}), q.params)
        assert lstm_w8a8.fits(edge).all()
        x, h = (rng.integers(-128, 128, (1, n)) for n in (3, 4))
        state = {"h": h, "c": rng.integers(-32768, 32768, (1, 4))}
        want, after = lstm_w8a8.int_step(edge, x, state, None)
        got_h, got_c = c.step(place(edge, target)[0], edge, x[0], h[0], state["c"][0])
        assert got_h.tolist() == want[0].tolist() and got_c.tolist() == after["c"][0].tolist()


def test_high_mul(c: Kernels) -> None:
    rng = np.random.default_rng(0)
    edges = np.array([-(2**31), -(2**31) + 1, -65536, -65535, -1, 0, 1, 2, 65535, 65536, 2**30, 2**31 - 1])
    x = np.concatenate([np.repeat(edges, 12), rng.integers(-(2**31), 2**31, 200_000)])
    m = np.concatenate([np.tile(np.abs(edges).clip(0, 2**31 - 1), 12), rng.integers(0, 2**31, 200_000)])
    y, a, b = np.empty(len(x), np.int32), x.astype(np.int32), m.astype(np.int32)
    c.lib.twin_high_mul(c.pointer(y), c.pointer(a), c.pointer(b), len(x))
    np.testing.assert_array_equal(y, gemmlowp.high_mul(x, m))


@pytest.mark.parametrize("n", range(32))
def test_rounding_shift(c: Kernels, n: int) -> None:
    rng = np.random.default_rng(n)
    near = (np.arange(-50, 51) << max(n - 1, 0))[:, None] + np.arange(-2, 3)
    x = np.concatenate([near.ravel(), rng.integers(-(2**31), 2**31, 1000), [-(2**31), 2**31 - 1]])
    x = x[(x >= -(2**31)) & (x < 2**31)]
    y, a, s = np.empty(len(x), np.int32), x.astype(np.int32), np.full(len(x), n, np.int8)
    c.lib.twin_rounding_shift(c.pointer(y), c.pointer(a), c.pointer(s), len(x))
    np.testing.assert_array_equal(y, gemmlowp.rounding_shift(x, n))


@pytest.mark.parametrize("table", [0, 1, 2])
@pytest.mark.parametrize("bits", range(7))
def test_activations_of_all_inputs(c: Kernels, bits: int, table: int) -> None:
    z = np.arange(-32768, 32768)
    y = np.empty(65536, np.int16)
    c.lib.twin_activation(c.pointer(y), 0, table, bits)
    np.testing.assert_array_equal(y, gemmlowp.sigmoid(z, table=bool(table)))
    error = y / 32768 - 1 / (1 + np.exp(-z / 4096))
    assert np.abs(error).max() < (2 if table else 16) / 32768
    c.lib.twin_activation(c.pointer(y), 1, table, bits)
    np.testing.assert_array_equal(y, gemmlowp.tanh(z, bits, table=bool(table)))
    assert np.abs(y / 32768 - np.tanh(z * 2.0 ** (bits - 15))).max() < 17 / 32768 * (1 if bits > 2 else 8)


@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_step_is_the_oracle(c: Kernels, target: str, shape: tuple[int, int]) -> None:
    if not runnable(target):
        pytest.skip(f"SKIPPED: this processor has no {target}")
    inputs, hidden = shape
    rng = np.random.default_rng(1000 * inputs + hidden)
    for q in extreme_layers(rng, inputs, hidden):
        owner = place(q, target)[0]
        assert owner == (target if takes(target, q) else "ref")
        h, cell = rng.integers(-128, 128, hidden), rng.choice([-32768, 32767, 0, 1234, -20000], hidden)
        for _ in range(4):
            x = rng.choice([-128, 127, 0, -1, 77], inputs)
            wanted, state = lstm_w8a8.int_step(q, x[None], {"h": h[None], "c": cell[None]}, None)
            h, cell = c.step(owner, q, x, h, cell)
            np.testing.assert_array_equal(h, wanted[0])
            np.testing.assert_array_equal(cell, state["c"][0])


# --- quantization ---


@pytest.mark.parametrize("table", [False, True])
def test_quantized_layer_follows_the_float_one(table: bool) -> None:
    rng = np.random.default_rng(3)
    weights = {"w_ih": rng.normal(0, 0.5, (64, 3)), "w_hh": rng.normal(0, 0.25, (64, 16)), "b": rng.normal(0, 0.3, 64)}
    x = layer("lstm0", "lstm", weights)
    series = np.sin(np.arange(80)[:, None] * [0.1, 0.23, 0.31]) + 0.2
    x_scale = 1.3 / 127
    state = {k: np.zeros((1, 16)) for k in lstm.STATE}
    wanted, top = [], 0.0
    for v in series:
        h, state = lstm.float_step(x, v[None], state)
        wanted.append(h[0])
        top = max(top, float(np.abs(state["c"]).max()))
    q = lstm_w8a8.quantize(x, np.full(3, x_scale), {"c": top}, table=table)
    integers = {k: np.full((1, 16), v) for k, v in lstm_w8a8.start(q).items()}
    got = []
    for v in np.clip(np.rint(series / x_scale), -128, 127).astype(np.int64):
        h, integers = lstm_w8a8.int_step(q, v[None], integers, None)
        got.append(h[0] / 128)
    assert np.sqrt(np.mean((np.array(got) - wanted) ** 2)) < 0.02


# --- dense head ---


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (33, 5), (140, 1)], ids=str)
def test_dense_is_the_oracle(c: Kernels, shape: tuple[int, int]) -> None:
    inputs, outputs = shape
    rng = np.random.default_rng(inputs)
    w = rng.choice([-32767, 32767, 0, 1], (outputs, inputs))
    b = (2**31 - 1 - 128 * np.abs(w).sum(1)) * rng.choice([-1, 1], outputs)
    arrays = {"w": w.astype(np.int16), "b": b.astype(np.int32)}
    q = QLayer("dense0", "dense_w16a8", frozen_arrays(arrays), {})
    assert dense_w16a8.fits(q).all()
    for h in (rng.integers(-128, 128, inputs), -127 * np.sign(w[0]), 127 * np.sign(w[-1])):
        y = c.dense("ref", q, h)
        np.testing.assert_array_equal(y, dense_w16a8.int_step(q, h[None], {}, None)[0][0])
        assert y.tolist() == [
            sum(a * v for a, v in zip(row, h.tolist(), strict=True)) + k
            for row, k in zip(w.tolist(), b.tolist(), strict=True)
        ]


# --- the table's functions, in the form that TFLite Micro states them ---


def tflm_activation(z: int, multiplier: int, shift: int, *, tanh: bool) -> int:
    """int16 -> Q0.15: the table in steps of 512 (sigmoid) or 256 (tanh), result in Q10 or Q8 above it, then rounded."""
    t = (z * multiplier + ((1 << shift) >> 1)) >> shift
    bits = 8 if tanh else 9
    index, rest = abs(t) >> bits, abs(t) & ((1 << bits) - 1)
    n = gemmlowp.SIGMOID_NODES.tolist()
    if tanh:
        y = 0xFFFF << 8 if index >= 255 else (n[index] << 8) + rest * (n[index + 1] - n[index])
        y = y - (1 << 23) + 128 if t >= 0 else -y + (1 << 23) + 127
        return y >> 8
    y = 0x7FFF << 10 if index >= 255 else (n[index] << 9) + rest * (n[index + 1] - n[index])
    return (y + 512 if t >= 0 else (1 << 25) - y + 511) >> 10


def test_table_activations_are_tflite_micros() -> None:
    z = np.arange(-32768, 32768)
    assert gemmlowp.sigmoid(z, table=True).tolist() == [tflm_activation(v, 3, 0, tanh=False) for v in z.tolist()]
    for bits in range(7):
        multiplier, shift = (3 << (bits - 3), 0) if bits >= 3 else (3, 3 - bits)
        want = [tflm_activation(v, multiplier, shift, tanh=True) for v in z.tolist()]
        assert gemmlowp.tanh(z, bits, table=True).tolist() == want


def test_nodes_are_tflite_micros() -> None:
    n = gemmlowp.SIGMOID_NODES
    assert n[[0, 1, 2, 16, 64, 128, 254, 255]].tolist() == [32768, 33451, 34133, 43304, 61279, 65221, 65534, 65535]
    assert hashlib.sha256(n[:256].astype("<u2").tobytes()).hexdigest() == NODES_SHA256
