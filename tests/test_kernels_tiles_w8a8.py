"""The targets of csrc/tl_tiles_w8a8.h return the bits of ref: own instructions as they are, others through shims."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quantize import gemmlowp
from quantize.network import frozen_arrays
from quantize.ops import dense_w16a8, lstm_w8a8
from quantize.qnetwork import QLayer
from tests.conftest import needs
from tests.kernels import runnable
from tests.test_kernels_tiles import Guarded
from tests.test_w8a8 import Kernels, extreme_layer
from toolkit.codegen.pack_w8a8 import FORMS
from toolkit.codegen.packers import PACKERS
from toolkit.targets import CSRC, W8A8
from toolkit.toolchain import SUFFIX, host_flags, host_toolchain, spelled

EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65)
ACTIVATIONS = """
#include "{source}"
void {target}_activations(int16_t *y, const int16_t *z, int kind, uint8_t table, uint8_t bits);
void {target}_activations(int16_t *y, const int16_t *z, int kind, uint8_t table, uint8_t bits)
{{
    for (uint32_t k = 0; k < 65536; k += BLOCK) {{
        const W v = load_units(z + k, BLOCK);
        D wide[2];
        products(v, splat16(1), &wide[0], &wide[1]);
        const W cell = table ? table_tanh_cell(v, wide[0], wide[1], bits) : gemmlowp_tanh(v, bits);
        store_units(y + k, kind == 0 ? sigmoid(v, table) : kind == 1 ? cell : table_tanh(v), BLOCK);
    }}
}}
"""


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


def test_activations_of_all_inputs(target: str, tmp_path: Path) -> None:
    """All 65536 numbers, both kinds, every number of integer bits: the target's file with a door to its vectors."""
    needs("host-cc")
    (tmp_path / "door.c").write_text(ACTIVATIONS.format(source=W8A8[target].source, target=target))
    tool = host_toolchain("auto")
    command = [*tool.cc, *host_flags(tool, None), "-fvisibility=default", *spelled(W8A8[target].host_flags, tool)]
    door = tmp_path / f"door{SUFFIX}"
    subprocess.run([*command, f"-I{CSRC}", "-shared", tmp_path / "door.c", "-o", door], check=True)
    z, y = np.arange(-32768, 32768, dtype=np.int16), np.empty(65536, np.int16)

    def found(kind: int, table: bool, bits: int) -> np.ndarray:
        pointers = [ctypes.c_void_p(v.ctypes.data) for v in (y, z)]
        ctypes.CDLL(str(door))[f"{target}_activations"](*pointers, kind, int(table), bits)
        return y

    for table in (False, True):
        np.testing.assert_array_equal(found(0, table, 3), gemmlowp.sigmoid(z.astype(np.int64), table=table))
        for bits in range(7):
            np.testing.assert_array_equal(found(1, table, bits), gemmlowp.tanh(z.astype(np.int64), bits, table=table))
    np.testing.assert_array_equal(found(2, True, 3), gemmlowp.tanh(z.astype(np.int64), 3, table=True))


@pytest.mark.parametrize("table", [False, True], ids=["tflite", "tflm"])
def test_step_is_the_oracle_at_every_edge(kernels: Kernels, target: str, table: bool) -> None:
    rng = np.random.default_rng(table)
    for inputs in EDGES[:9]:
        for hidden in EDGES:
            q = extreme_layer(rng, inputs, hidden, table, 127)
            x, h = rng.choice([-128, 127, 0, -1, 77], inputs), rng.integers(-128, 128, hidden)
            c = rng.choice([-32768, 32767, 0, 1234, -20000], hidden)
            _, want = lstm_w8a8.int_step(q, x[None], {"h": h[None], "c": c[None]}, None)
            new, cell = kernels.step(target, q, x, h, c)
            assert new.tolist() == want["h"][0].tolist() and cell.tolist() == want["c"][0].tolist(), (inputs, hidden)


@pytest.mark.parametrize("shift", range(-31, 8))
def test_every_shift(kernels: Kernels, target: str, shift: int) -> None:
    """Of both parts and of h, with sums up to what they leave room for."""
    rng = np.random.default_rng(shift + 31)
    inputs, hidden = 3, 33
    wx, wh = (rng.integers(-127, 128, (4 * hidden, n)) for n in (inputs, hidden))
    half, left = 1 << max(-shift, 0) >> 1, max(shift, 0)
    room = [((2**31 - 1 - half) >> left) - 128 * np.abs(w).sum(1) for w in (wx, wh)]
    bx, bh = (rng.integers(-v, v + 1) for v in room)
    m = rng.integers(0, 2**31, 9)
    s = np.array([*[shift] * 8, min(shift, 0)])
    kinds = {"wx": "int8", "wh": "int8", "bx": "int32", "bh": "int32", "m": "int32", "s": "int8"}
    arrays = {k: v.astype(kinds[k]) for k, v in {"wx": wx, "wh": wh, "bx": bx, "bh": bh, "m": m, "s": s}.items()}
    q = QLayer(
        "lstm0",
        "lstm_w8a8",
        frozen_arrays(arrays),
        {"table": 1, "bits": shift % 7, "clip": 0, "x_zero": 0, "h_zero": shift},
    )
    assert lstm_w8a8.fits(q).all()
    x, h, c = rng.integers(-128, 128, inputs), rng.integers(-128, 128, hidden), rng.integers(-32768, 32768, hidden)
    _, want = lstm_w8a8.int_step(q, x[None], {"h": h[None], "c": c[None]}, None)
    new, cell = kernels.step(target, q, x, h, c)
    assert new.tolist() == want["h"][0].tolist() and cell.tolist() == want["c"][0].tolist()


def test_dense_is_the_oracle(kernels: Kernels, target: str) -> None:
    rng = np.random.default_rng(3)
    for inputs in range(1, 141):
        w = rng.choice([-32767, 32767, 0, 1], (2, inputs))
        b = (2**31 - 1 - 128 * np.abs(w).sum(1)) * rng.choice([-1, 1], 2)
        q = QLayer("dense0", "dense_w16a8", frozen_arrays({"w": w.astype(np.int16), "b": b.astype(np.int32)}), {})
        for h in (rng.integers(-128, 128, inputs), -128 * np.sign(w[0])):
            want, _ = dense_w16a8.int_step(q, np.clip(h, -128, 127)[None], {}, None)
            assert kernels.dense(target, q, np.clip(h, -128, 127)).tolist() == want[0].tolist(), inputs


@pytest.mark.parametrize("field", ["s", "w"])
def test_what_a_kernel_cannot_take_is_ref_s(target: str, field: str) -> None:
    """A sum that the half of a shift does not fit beside; a weight of -128, where products of pairs overflow."""
    rng = np.random.default_rng(4)
    q = extreme_layer(rng, 3, 5, True, 127)
    arrays = {k: v.copy() for k, v in q.arrays.items()}
    if field == "s":
        arrays["s"][:8] = -31
        arrays["bx"][7] = 2**31 - 1 - 128 * np.abs(arrays["wx"][7].astype(int)).sum()
    else:
        arrays["wh"][19, 4], arrays["s"][:8], arrays["bh"][19] = -128, -9, 0
    q = QLayer(q.name, q.op, frozen_arrays(arrays), q.params)
    assert lstm_w8a8.fits(q).all()
    taken = PACKERS["lstm_w8a8", target](q) is not None
    assert taken == (field == "w" and FORMS[target].top == 128)


@pytest.mark.skipif(sys.platform == "win32", reason="SKIPPED: pages are guarded with mprotect")
def test_nothing_behind_an_array_is_touched(kernels: Kernels, target: str) -> None:
    rng = np.random.default_rng(5)
    for inputs, hidden in [(i, h) for i in range(1, 6) for h in (1, 2, 3, 4, 5, 16, 17, 31, 32, 33)]:
        room = Guarded(kernels.ffi)
        packed = PACKERS["lstm_w8a8", target](extreme_layer(rng, inputs, hidden, bool(hidden % 2), 127))
        assert packed is not None
        p = kernels.ffi.new(f"{packed.struct} *")
        arrays = {a.suffix: room.new(a.ctype.split()[-1], a.array) for a in packed.arrays}
        for field, value in packed.fields:
            setattr(p, field, arrays[value[1:]] if value.startswith("@") else int(value))
        h_new, h = (room.new("int8_t", np.zeros(hidden, np.int8)) for _ in range(2))
        c, x = room.new("int16_t", np.zeros(hidden, np.int16)), room.new("int8_t", np.zeros(inputs, np.int8))
        getattr(kernels.lib, f"tl_lstm_step_w8a8_{target}")(h_new, c, h, x, p)
        w, y = room.new("int16_t", np.ones((2, hidden), np.int16)), room.new("int32_t", np.zeros(2, np.int32))
        fields = {"w": w, "b": room.new("int32_t", np.zeros(2, np.int32)), "inputs": hidden, "outputs": 2}
        getattr(kernels.lib, f"tl_dense_w16a8_{target}")(y, h, kernels.ffi.new("tl_dense_w16a8 *", fields))
