"""The kernels of v6m and v7m against the reference kernel and the oracle; as machine code, with those of rv32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest

from tests import kernels, steps
from tests import small_layers as small
from tests.conftest import needs
from tests.machines import CORES
from tests.parity import Bench
from tests.thumb import Kernel, compile_kernel
from toolkit.codegen.pack import lstm_ref
from toolkit.codegen.pack_small import lstm_v6m, lstm_v7m

PACK = {"v6m": lstm_v6m, "v7m": lstm_v7m}
ARGUMENTS = "(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const"
CDEF = f"""
typedef struct {{ const int8_t *wh; const int16_t *wx16; const int8_t *wx8; const int32_t *b; const int16_t *m;
    uint16_t inputs, hidden, units; uint8_t t, f, frac; }} tl_lstm_w8a16;
typedef struct {{ const uint32_t *w; uint16_t inputs, hidden, units, first; uint8_t wide, t, f, frac, reset_after; }}
    tl_lstm_w8a16_v6m;
typedef tl_lstm_w8a16_v6m tl_lstm_w8a16_v7m;
void tl_lstm_step_w8a16_ref{ARGUMENTS} tl_lstm_w8a16 *p);
void tl_lstm_step_w8a16_v6m{ARGUMENTS} tl_lstm_w8a16_v6m *p);
void tl_lstm_step_w8a16_v7m{ARGUMENTS} tl_lstm_w8a16_v7m *p);
"""


@pytest.fixture(scope="module")
def ffi() -> Any:
    f = cffi.FFI()
    f.cdef(CDEF)
    return f


@pytest.fixture(scope="module")
def library(ffi: Any) -> Any:
    return ffi.dlopen(str(kernels.library()))


@pytest.mark.parametrize("target", ["v6m", "v7m"])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("extreme", [True, False])
def test_equals_ref_and_oracle(ffi: Any, library: Any, target: str, wide: bool, extreme: bool) -> None:
    rng = np.random.default_rng([wide, extreme])
    shapes = [(1, 1), (2, 2), (1, 3), (3, 1), (7, 8), (8, 9), (9, 7), (20, 140), (16, 33)]
    shapes += [(int(rng.integers(1, 21)), int(rng.integers(1, 141))) for _ in range(40)]
    for inputs, hidden in shapes:
        q = small.random_layer(rng, inputs, hidden, wide=wide, extreme=extreme)
        state = small.random_state(rng, q, extreme=extreme)
        want = small.expected(q, state)
        ref = small.call(ffi, library.tl_lstm_step_w8a16_ref, lstm_ref(q), state)
        got = small.call(ffi, getattr(library, f"tl_lstm_step_w8a16_{target}"), PACK[target](q), state)
        for a, b, c in zip(want, ref, got, strict=True):
            assert np.array_equal(a, b) and np.array_equal(a, c), (inputs, hidden)


@pytest.mark.parametrize("kind", ["gcc", "zig"])
@pytest.mark.parametrize(("target", "core"), [("v6m", "cortex-m0"), ("v7m", "cortex-m3"), ("rv32", "rv32im")])
def test_instructions(target: str, core: str, kind: str, tmp_path: Path) -> None:
    """Every op, at every edge of a block, in slices, too."""
    needs("zig" if kind == "zig" else "riscv-gcc" if target == "rv32" else "arm-gcc", "unicorn")
    steps.check(Bench(CORES[core], tmp_path, kind), target)


def test_what_a_step_costs_at_most(tmp_path: Path) -> None:
    """M3, (16,64): 2.6 instructions per multiply-accumulate, the bar. M0+, (8,32): 27 000 estimated cycles, the bar;
    int8 inputs take 26 450."""
    needs("arm-gcc", "unicorn")
    rng = np.random.default_rng(0)
    for target, core, inputs, hidden in (("v7m", "cortex-m3", 16, 64), ("v6m", "cortex-m0plus", 8, 32)):
        kernel = Kernel(compile_kernel(core, f"tl_{target}.c", tmp_path, "gcc", "-O2")[0], core)
        for wide in (True, False):
            q = small.typical_layer(rng, inputs, hidden, wide=wide)
            state = small.random_state(rng, q, extreme=False)
            cost = kernel.step(f"tl_lstm_step_w8a16_{target}", PACK[target](q), state, shift=0, count=True)[2]
            assert cost.stack <= 240
            if target == "v7m":
                assert cost.instructions <= 2.6 * 4 * hidden * (inputs + hidden)
            else:
                assert cost.cycles <= (27_000 if wide else 26_450)
