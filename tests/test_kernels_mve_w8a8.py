"""The w8a8 kernel of `mve` returns the bits of the oracle with the real instructions, in QEMU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from tests.conftest import needs
from tests.litert_lstm import qlayer, random_lstm
from tests.qemu_call import Caller, build
from tests.test_w8a8 import SIZES, extreme_layer
from toolkit.boards import load_board
from toolkit.codegen.packers import pack
from toolkit.toolchain import cross_toolchain

BOARD = load_board("mps3_an547")


@pytest.fixture(scope="module", params=["gcc", "zig"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("qemu", "arm-gcc" if request.param == "gcc" else "zig", "host-cc")
    return build(BOARD, tmp_path_factory.mktemp("image"), cross_toolchain(request.param))


def call(m: Caller, rng: np.random.Generator, q: QLayer) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """A random step that the next run makes -> where its state will be, and what it must be."""
    size, inputs = lstm_w8a8.hidden_size(q), lstm_w8a8.input_size(q)
    x = rng.integers(-128, 128, inputs)
    state = {"h": rng.integers(-128, 128, size), "c": rng.choice([-32768, 32767, 0, 1234, -20000], size)}
    _, want = lstm_w8a8.int_step(q, x[None], {k: v[None] for k, v in state.items()}, None)
    new, c = m.array(np.zeros(size, np.int8), 1), m.array(state["c"].astype(np.int16), 2)
    h, sample = m.array(state["h"].astype(np.int8), 3), m.array(x.astype(np.int8), 5)
    m.call("tl_lstm_step_w8a8_mve", new, c, h, sample, m.layer(pack(q, "mve")))
    return {"h": new, "c": c}, {"h": want["h"][0].astype(np.int8), "c": want["c"][0].astype(np.int16)}


def test_instructions_equal_the_oracle(image: Path, tmp_path: Path) -> None:
    m, rng, todo = Caller(image, BOARD), np.random.default_rng(1), []
    for inputs, hidden in (*SIZES, *((17, h) for h in range(1, 18))):
        for q in (
            extreme_layer(rng, inputs, hidden, True, 128),
            qlayer(random_lstm(rng, inputs, hidden, 4, 0.0), table=True),
        ):
            todo.append(call(m, rng, q))
    m.run(tmp_path)
    for at, want in todo:
        for name, values in want.items():
            np.testing.assert_array_equal(m.get(at[name], values), values)
    assert max(m.stack) <= 640


def test_what_a_step_costs_at_most(image: Path, tmp_path: Path) -> None:
    """(16,64): 0.35 instructions per multiply-accumulate is the bar."""
    m, rng = Caller(image, BOARD), np.random.default_rng(2)
    q = qlayer(random_lstm(rng, 16, 64, 4, 0.0), table=True)
    call(m, rng, q)
    _, spent = m.run(tmp_path)
    assert sum(n for (name, _), (n, _) in spent.cells.items() if name != "run") <= 0.35 * 4 * 64 * (16 + 64)


def test_a_step_costs_the_same_whatever_the_data(image: Path, tmp_path: Path) -> None:
    m, rng = Caller(image, BOARD), np.random.default_rng(3)
    q = qlayer(random_lstm(rng, 3, 9, 4, 0.0), table=True)
    for _ in range(1000):
        call(m, rng, q)
    counts, _ = m.run(tmp_path)
    assert counts.calls == 1000 and counts.min == counts.max
