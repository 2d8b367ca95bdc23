"""The LSTM with layer normalisation: float against PyTorch, integers against plain Python, and the C."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize import norm, oracle, ptq
from quantize.calibrate import float_run
from quantize.network import Column, Layer, Network, layer
from quantize.ops import lstm_norm
from quantize.qnetwork import QNetwork, save_qnetwork
from quantize.verify import verify_qnetwork
from tests.conftest import needs
from tests.models import assert_same, compile_all, random_calls
from tests.nets import Shape, random_qnetwork
from toolkit.boards import load_board
from toolkit.stages.firmware import Job, run
from toolkit.stages.generate import generate_c

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64, 65, 140]


def cell(rng: np.random.Generator, name: str, inputs: int, hidden: int) -> Layer:
    """Weights as they may be after training."""
    top = 1 / math.sqrt(hidden)
    weights = {
        "w_ih": rng.uniform(-top, top, (4 * hidden, inputs)),
        "w_hh": rng.uniform(-top, top, (4 * hidden, hidden)),
    }
    weights |= {k: rng.normal(0, 0.3, 4 * hidden) for k in ("b_ih", "b_hh")}
    for k, n in (("norm_x", 4 * hidden), ("norm_c", hidden), ("norm_h", hidden)):
        weights[k] = np.stack([rng.normal(1, 0.2, n), rng.normal(0, 0.2, n)])
    return layer(name, "lstm_norm", weights)


def network(rng: np.random.Generator, hidden: int, layers: int = 2) -> Network:
    """Two inputs, one output."""
    made = [cell(rng, f"norm{k}", 2 if k == 0 else hidden, hidden) for k in range(layers)]
    head = layer("head", "dense", {"w": rng.normal(0, 1 / hidden, (1, hidden)), "b": np.zeros(1)})
    inputs = (Column("a", "", 3, 0.0, 1.0), Column("b", "", 3, 2.0, 3.0))
    outputs = (Column("y", "", 4, 1.0, 2.0),)
    return Network("n", (*made, head), inputs, outputs, "stateful", 0, 4, 1, 0.0, "hold", 3)


def test_the_float_step_is_burn_s_cell_in_pytorch() -> None:
    needs("torch")
    import torch
    from torch.nn.functional import layer_norm

    rng = np.random.default_rng(0)
    x_size, hidden, one = 3, 5, cell(rng, "n", 3, 5)
    w = {k: torch.tensor(v, dtype=torch.float64) for k, v in one.weights.items()}
    x = rng.normal(size=(6, 4, x_size))
    state = {"h": rng.normal(size=(4, hidden)), "c": rng.normal(size=(4, hidden))}
    h, c = (torch.tensor(state[k]) for k in "hc")
    for t in range(6):
        mine, state = lstm_norm.float_step(one, x[t], state)
        gates = layer_norm(torch.tensor(x[t]) @ w["w_ih"].T + w["b_ih"], (4 * hidden,), *w["norm_x"])
        i, f, g, o = (gates + h @ w["w_hh"].T + w["b_hh"]).chunk(4, 1)
        c = layer_norm(f.sigmoid() * c + i.sigmoid() * g.tanh(), (hidden,), *w["norm_c"])
        h = layer_norm(o.sigmoid() * c.tanh(), (hidden,), *w["norm_h"])
        assert np.abs(mine - h.numpy()).max() < 1e-12 and np.abs(state["c"] - c.numpy()).max() < 1e-12


def one_norm(v: list[int], m: int, e: int) -> list[int]:
    """`norm.normalise` in plain integers, from its definition."""
    n = len(v)
    k = 0
    while 1 << k < n:
        k += 1
    r, half = round((1 << (k + 14)) / n), (1 << k) // 2
    mean = ((sum((a + half) >> k for a in v) * r) >> 16) * 4
    d = [a - mean for a in v]
    down = max(1, (e + 16) // 2, *(a.bit_length() if a >= 0 else (-a - 1).bit_length() for a in d)) - 15
    small = [a >> down if down >= 0 else a << -down for a in d]
    assert all(-32768 <= a <= 32767 for a in small)
    w = ((sum((a * a + half) >> k for a in small) * r) >> 16) * 4
    shift = e - 2 * down
    w += m << shift if shift >= 0 else m >> min(-shift, 31)
    w, j = max(w, 1), 0
    assert w < 2**32
    while w << (2 * j + 2) < 2**32:
        j += 1
    a = w << (2 * j) >> 16
    y = 36045 - (a * 20480 >> 16)
    for _ in range(3):
        y = y * (49152 - (a * (y * y >> 14) >> 16)) >> 15
    return [min(max((s * y + (1 << (17 - j))) >> (18 - j), -32768), 32767) for s in small]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.integers(0, 30), st.integers(1, 32767), st.integers(-64, 46)
)
def test_the_normalisation_in_plain_integers(seed: int, n: int, bits: int, m: int, e: int) -> None:
    rng, top = np.random.default_rng(seed), 2**bits - 1
    v = rng.integers(-top, top, (3, n), endpoint=True)
    v[0] = rng.choice([-top, top], n)
    v[1] = top
    assert norm.normalise(v, (m, e)).tolist() == [one_norm(row, m, e) for row in v.tolist()]


@pytest.mark.parametrize("n", SIZES[1:])
def test_the_normalisation_is_near_the_real_one(n: int) -> None:
    v = np.random.default_rng(n).normal(3e6, 1e6, (500, n)).astype(np.int64)
    scale = 1e-6
    d = (v - v.mean(1, keepdims=True)) * scale
    want = d / np.sqrt(np.square(d).mean(1, keepdims=True) + norm.EPSILON)
    assert np.abs(norm.normalise(v, norm.epsilon(scale)) / 4096 - want).max() < 3e-3


def networks() -> list[QNetwork]:
    """At every block edge; random integers, two layers, streams and windows."""
    rng, out = np.random.default_rng(3), []
    for k, hidden in enumerate(SIZES):
        mode, window = (("stateful", 0), ("window", 3))[k % 2]
        sizes = (hidden, int(rng.integers(1, 9)))
        cells = ("lstm_norm", "lstm_norm" if k % 3 else "gru")
        shape = Shape(int(rng.integers(1, 4)), sizes, 1, (16, 8), mode, window, "hold", 3, cells)
        out.append(random_qnetwork(rng, shape, f"norm{k}"))
    return out


def test_the_c_is_the_oracle(tmp_path: Path) -> None:
    needs("host-cc")
    compiled = compile_all(networks(), tmp_path)
    for k, q in enumerate(compiled.networks):
        verify_qnetwork(q)
        assert_same(q, compiled.host(q), random_calls(np.random.default_rng(k), q, 25))


def test_the_c_is_clean_under_sanitizers(tmp_path: Path) -> None:
    needs("host-cc")
    made = networks()[::4]
    compiled = compile_all(made, tmp_path, sanitize="undefined")
    for k, q in enumerate(made):
        assert_same(q, compiled.host(q), random_calls(np.random.default_rng(k), q, 10))


@pytest.mark.parametrize("hidden", [4, 32])
def test_quantized_it_stays_near_the_float_network(hidden: int) -> None:
    rng = np.random.default_rng(1)
    net = network(rng, hidden)
    x = (rng.normal(size=(20, 80, 2)).cumsum(1) * [0.2, 0.5] + [0, 2]).round(3)
    q = ptq.quantize(net, [x], ptq.Options(), "0" * 64)
    y, _, _ = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, x)))
    got = oracle.from_raw(q.outputs, oracle.scale_outputs(q, y))
    want = float_run(net, ptq.normalised(net.inputs, x)) * 2 + 1
    assert np.sqrt(np.square(got - want).mean()) < 0.03 * want.std()


@pytest.mark.parametrize("board", ["mps2_an386", "microbit"])
def test_it_runs_on_a_board(board: str, tmp_path: Path) -> None:
    needs("unicorn", "zig")
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4, 40, 2)).round(3)
    q = replace(ptq.quantize(network(rng, 9), [x], ptq.Options(), "0" * 64), name="normed")
    save_qnetwork(q, tmp_path / "model.q.safetensors")
    generate_c(tmp_path, load_board(board), None, float_api=False, target=None, optimize="speed", say=lambda s: None)
    for pieces in (None, 3):
        result = run(Job(tmp_path, load_board(board), 60, slice=pieces), say=lambda s: None)
        assert result["passed"] and result["steps"] == 60
