"""The target `mve` returns the oracle's bits: by the twins of its instructions here, by the instructions in QEMU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quantize.ops import OPS, rows
from quantize.qnetwork import QLayer
from tests import small_layers as small
from tests.conftest import needs
from tests.kernels import Kernels
from tests.nets import random_dense, random_gru, random_lstm, random_x
from tests.qemu_call import Caller, build
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.codegen.packers import pack
from toolkit.emulate.outcome import Counts
from toolkit.toolchain import cross_toolchain

BOARD = load_board("mps3_an547")
GOLDEN = Path(__file__).with_name("golden")
SHAPES = [(i, h) for i in (1, 7, 8, 9, 20) for h in (1, 2, 7, 8, 9, 15, 16, 17)] + [
    (3, 63),
    (16, 64),
    (5, 65),
    (2, 140),
]


def cells(rng: np.random.Generator, inputs: int, hidden: int) -> Iterator[QLayer]:
    """Layers of every kind that the target takes."""
    for bits in (8, 16):
        yield random_lstm(rng, "q", inputs, hidden, bits)
        for extreme in (True, False):
            yield small.random_layer(rng, inputs, hidden, wide=bits == 16, extreme=extreme)
        for after in (True, False):
            yield random_gru(rng, "q", inputs, hidden, bits, after=after)


def random_step(rng: np.random.Generator, q: QLayer) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """x and a state, at edges and between them."""
    size = rows.hidden_size(q)
    state = {"h": random_x(rng, (size,)), "c": rng.choice([-32768, 32767, 0, 5, *rng.integers(-32768, 32768, 9)], size)}
    return random_x(rng, (rows.input_size(q),)), {k: state[k] for k in OPS[q.op].STATE}


def expected(q: QLayer, x: np.ndarray, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    _, new = OPS[q.op].int_step(q, x[None], {k: v[None] for k, v in state.items()}, None)
    return {k: v[0] for k, v in new.items()}


def test_twins_equal_the_oracle() -> None:
    needs("host-cc")
    kernels, rng = Kernels(), np.random.default_rng(1)
    more = [(int(rng.integers(1, 21)), int(rng.integers(1, 141))) for _ in range(20)]
    for inputs, hidden in (*SHAPES, *more):
        for q in cells(rng, inputs, hidden):
            x, state = random_step(rng, q)
            got = kernels.cell("mve", q, kernels.parameters(q, "mve"), x, state)
            for name, want in expected(q, x, state).items():
                np.testing.assert_array_equal(got[name], want, err_msg=f"{q.op} {inputs} -> {hidden} {name}")


@pytest.fixture(scope="module", params=["gcc", "zig"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("qemu", "arm-gcc" if request.param == "gcc" else "zig", "host-cc")
    return build(BOARD, tmp_path_factory.mktemp("image"), cross_toolchain(request.param))


def call(m: Caller, q: QLayer, x: np.ndarray, state: dict[str, np.ndarray], last: str = "") -> dict[str, int]:
    """A step that the next run makes -> where its state will be. `last`: the array behind which memory ends."""

    def put(name: str, v: np.ndarray) -> int:
        return m.put_last(v.astype(np.int16)) if name == last else m.array(v.astype(np.int16), 2)

    at = {k: put(k, v) for k, v in state.items()}
    new, reset = (m.array(np.zeros(len(state["h"]), np.int16), 2) for _ in range(2))
    m.call(
        f"tl_{OPS[q.op].KERNEL}_mve",
        new,
        at.get("c", reset),
        at["h"],
        put("x", x),
        m.layer(pack(q, "mve")),
    )
    return {**at, "h": new}


def test_instructions_equal_the_oracle(image: Path, tmp_path: Path) -> None:
    m, rng, todo = Caller(image, BOARD), np.random.default_rng(2), []
    for inputs, hidden in SHAPES:
        for q in cells(rng, inputs, hidden):
            x, state = random_step(rng, q)
            todo.append((call(m, q, x, state), expected(q, x, state), f"{q.op} {inputs} -> {hidden}"))
    dense = []
    for inputs in range(1, 41):
        q, h = random_dense(rng, "q", inputs, 3), random_x(rng, (inputs,))
        y = m.array(np.zeros(3, np.int32))
        m.call("tl_dense_w16a16_mve", y, m.array(h.astype(np.int16), 2), m.layer(pack(q, "mve")))
        dense.append((y, OPS["dense"].int_step(q, h[None], {}, None)[0][0]))
    m.run(tmp_path)
    for at, want, shape in todo:
        for name, values in want.items():
            got = m.get(at[name], values.astype(np.int16))
            np.testing.assert_array_equal(got, values, err_msg=f"{shape} {name}")
    for y, values in dense:
        np.testing.assert_array_equal(m.get(y, values.astype(np.int32)), values)
    assert max(m.stack) <= 496


def test_nothing_is_read_behind_a_vector(image: Path, tmp_path: Path) -> None:
    """x, h or the state before ends where memory ends."""
    rng = np.random.default_rng(5)
    for inputs, hidden in ((1, 1), (7, 9), (9, 7)):
        grus = [random_gru(rng, "q", inputs, hidden, 8, after=after) for after in (True, False)]
        for q in (*grus, *(random_lstm(rng, "q", inputs, hidden, bits) for bits in (8, 16))):
            x, state = random_step(rng, q)
            for last in ("x", *state):
                m = Caller(image, BOARD)
                call(m, q, x, state, last)
                m.run(tmp_path)
    q = random_dense(rng, "q", 9, 1)
    m = Caller(image, BOARD)
    m.call(
        "tl_dense_w16a16_mve",
        m.array(np.zeros(1, np.int32)),
        m.put_last(np.zeros(9, np.int16)),
        m.layer(pack(q, "mve")),
    )
    m.run(tmp_path)
    m.put_last(np.zeros(8, np.int16))  # one too few
    m.calls[0][1][1] += 2
    with pytest.raises(AssertionError, match="FAULT"):
        m.run(tmp_path)


def cost(image: Path, folder: Path, q: QLayer, steps: int) -> tuple[Counts, int]:
    """What `steps` random steps cost with the call around them, and all their instructions in the kernel itself."""
    m, rng = Caller(image, BOARD), np.random.default_rng(3)
    for _ in range(steps):
        call(m, q, *random_step(rng, q))
    counts, spent = m.run(folder)
    return counts, sum(n for (name, _), (n, _) in spent.cells.items() if name != "run")


def test_what_a_step_costs_at_most(image: Path, tmp_path: Path) -> None:
    """(16,64): 0.50 instructions per multiply-accumulate is the bar."""
    rng = np.random.default_rng(0)
    for bits in (8, 16):
        q = random_lstm(rng, "q", 16, 64, bits)
        assert cost(image, tmp_path, q, 1)[1] <= 0.44 * OPS["lstm"].macs(q)
        for after in (True, False):
            q = random_gru(rng, "q", 16, 64, bits, after=after)
            assert cost(image, tmp_path, q, 1)[1] <= 0.50 * OPS["gru"].macs(q)


def test_a_step_costs_the_same_whatever_the_data(image: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    grus = (random_gru(rng, "q", 9, 7, 8, after=after) for after in (True, False))
    for q in (random_lstm(rng, "q", 3, 9, 16), *grus):
        counts, _ = cost(image, tmp_path, q, 1000)
        assert counts.calls == 1000 and counts.min == counts.max


@pytest.mark.parametrize("model", ["demo", "ring"])
def test_the_board_runs_the_model_whole_and_in_slices(model: str, tmp_path: Path) -> None:
    needs("qemu", "arm-gcc", "host-cc")
    shutil.copy(GOLDEN / f"{model}.q.safetensors", tmp_path / "model.q.safetensors")
    assert main(["generate-c", str(tmp_path), "--board", BOARD.name]) == 0
    for more in ([], ["--slice", "9"]):
        assert main(["run", str(tmp_path), "--board", BOARD.name, "--steps", "40", *more]) == 0
        ran = json.loads((tmp_path / "build" / BOARD.name / "run.json").read_text())
        assert ran["passed"] and ran["instructions_per_step"]["min"] > 0
