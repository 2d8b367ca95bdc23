"""Dense layers below the head: plain integers, C, boards, and the networks of importers that have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize import fixedpoint as fp
from quantize import oracle, ptq
from quantize.deployable import deployable
from quantize.errors import QuantizeError
from quantize.float_graph import evaluate
from quantize.network import Layer, Network, layer
from quantize.ops import dense_hidden
from quantize.qnetwork import QNetwork, save_qnetwork
from quantize.verify import verify_qnetwork
from tests.conftest import needs
from tests.models import assert_same, compile_all, random_calls
from tests.nets import Shape, random_dense_hidden, random_qnetwork
from tests.test_float_graph import act, dense, lstm, net, scale
from toolkit.boards import load_board
from toolkit.stages.firmware import Job, run
from toolkit.stages.generate import generate_c

RNG = np.random.default_rng(9)


@pytest.mark.parametrize("seed", range(12))
def test_the_step_in_plain_integers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, units = int(rng.integers(1, 18)), int(rng.integers(1, 9))
    q = random_dense_hidden(rng, "d", inputs, units)
    x = rng.choice([-32640, 32640, 0, 1, -1, 777], (4, inputs))
    h, _ = dense_hidden.int_step(q, x, {}, None)
    for k, row in enumerate(x.tolist()):
        for u in range(units):
            acc = int(q.arrays["b"][u]) + sum(int(w) * v for w, v in zip(q.arrays["w"][u], row, strict=True))
            assert abs(acc) < 2**31
            z = min(max(((acc * int(q.arrays["m"][u])) >> 16) >> q.params["t"], -32768), 32767)
            want = {
                0: min(max(z, -32640), 32640),
                1: min(max(z, 0), 32640),
                2: int(fp.lookup(fp.TANH_NODES, np.array(z))),
                3: (int(fp.lookup(fp.SIGMOID_NODES, np.array(z))) * 32640 + 16384) >> 15,
            }[q.params["function"]]
            assert h[k, u] == want


def networks() -> list[QNetwork]:
    """Below, between and above recurrent layers; streams and windows."""
    rng, out = np.random.default_rng(3), []
    orders = (("dense_hidden", "lstm"), ("lstm", "dense_hidden"), ("gru", "dense_hidden", "lstm", "dense_hidden"))
    for k in range(9):
        ops, (mode, window) = orders[k % 3], (("stateful", 0), ("window", 3))[k % 2]
        sizes = tuple(int(v) for v in rng.integers(1, 18, len(ops)))
        shape = Shape(int(rng.integers(1, 5)), sizes, 2, (16,) * len(ops), mode, window, "hold", 3, ops)
        out.append(random_qnetwork(rng, shape, f"hidden{k}"))
    return out


@pytest.mark.parametrize("sanitize", [None, "undefined"])
def test_the_c_is_the_oracle(tmp_path: Path, sanitize: str | None) -> None:
    needs("host-cc")
    compiled = compile_all(networks(), tmp_path, sanitize=sanitize)
    for k, q in enumerate(compiled.networks):
        verify_qnetwork(q)
        assert_same(q, compiled.host(q), random_calls(np.random.default_rng(k), q, 25))


TAKE = layer("take", "take", {})
IMPORTED: dict[str, list[Layer]] = {
    "relu between": [lstm("a", 3, 8), TAKE, dense("d", 8, 6), act("r", "relu"), dense("second", 6, 2)],
    "tanh at the end": [lstm("a", 3, 8), TAKE, dense("d", 8, 2), act("t", "tanh")],
    "a probability": [lstm("a", 3, 8), TAKE, dense("y", 8, 1), act("s", "sigmoid")],
    "no head": [lstm("a", 3, 5), TAKE],
    "dense first": [dense("d", 3, 4), lstm("a", 4, 8), TAKE, dense("y", 8, 2)],
    "squashed inputs": [act("t", "tanh"), lstm("a", 3, 4), TAKE, dense("y", 4, 2)],
    "scaled between": [lstm("a", 3, 4), act("r", "relu"), scale("s", 4), lstm("b", 4, 4), TAKE, dense("y", 4, 1)],
}


def quantized(n: Network) -> tuple[Network, QNetwork, np.ndarray]:
    made, _ = deployable(n)
    made = replace(made, outputs=tuple(replace(c, decimals=6) for c in made.outputs))
    x = np.random.default_rng(1).normal(size=(300, n.window, 3)).round(4)
    return made, ptq.quantize(made, [x], ptq.Options(), "0" * 64), x


@pytest.mark.parametrize("name", IMPORTED)
def test_an_imported_network_stays_near_its_float_form(name: str) -> None:
    n = net(*IMPORTED[name])
    made, q, x = quantized(n)
    np.testing.assert_allclose(evaluate(made, x)[""], evaluate(n, x)[""], atol=1e-6)
    y, _, _ = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, x)))
    got, want = oracle.from_raw(q.outputs, oracle.scale_outputs(q, y))[:, -1], evaluate(n, x)[""][:, -1]
    assert np.sqrt(np.square(got - want).mean()) < 0.02 * want.std()


def test_softmax_is_left_to_the_caller_and_said() -> None:
    n = net(lstm("a", 3, 8), TAKE, dense("y", 8, 4), act("p", "softmax"))
    made, notes = deployable(n)
    assert made.output == "class" and "softmax" in notes[0]
    x = RNG.normal(size=(50, 5, 3))
    np.testing.assert_array_equal(evaluate(made, x)[""].argmax(-1), evaluate(n, x)[""].argmax(-1))


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([lstm("a", 3, 4, activations=("sigmoid", "relu", "tanh")), TAKE, dense("y", 4, 1)], "a: activations"),
        ([lstm("a", 3, 4, weights={"h0": np.ones(4)}), TAKE, dense("y", 4, 1)], "a: a first state h0"),
        ([lstm("a", 3, 4), layer("f", "flatten", {}), dense("y", 20, 1)], 'f: op "flatten"'),
        ([lstm("a", 3, 4), TAKE, dense("d", 4, 3), act("g", "gelu"), dense("y", 3, 1)], "d: gelu has no integer form"),
    ],
)
def test_what_has_no_integer_form_is_named(layers: list[Layer], text: str) -> None:
    with pytest.raises(QuantizeError, match=text):
        quantized(net(*layers))


@pytest.mark.parametrize("board", ["mps2_an386", "microbit"])
def test_it_runs_on_a_board(board: str, tmp_path: Path) -> None:
    needs("unicorn", "zig")
    _, q, _ = quantized(net(*IMPORTED["relu between"]))
    save_qnetwork(q, tmp_path / "model.q.safetensors")
    generate_c(tmp_path, load_board(board), None, float_api=False, target=None, optimize="speed", say=lambda s: None)
    for pieces in (None, 3):
        result = run(Job(tmp_path, load_board(board), 40, slice=pieces), say=lambda s: None)
        assert result["passed"] and result["steps"] == 40
