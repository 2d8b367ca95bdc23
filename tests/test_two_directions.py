"""Windows that a network reads in both directions: float against PyTorch, integers against the C, and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize import oracle, ptq
from quantize.calibrate import float_run
from quantize.errors import QuantizeError
from quantize.network import Column, Layer, Network, layer
from quantize.qnetwork import QNetwork, load_qnetwork, save_qnetwork
from quantize.verify import verify_network, verify_qnetwork
from tests.conftest import needs
from tests.models import Compiled, assert_same, compile_all, random_calls
from tests.nets import two_directions, with_front
from toolkit.boards import load_board
from toolkit.errors import ToolkitError
from toolkit.host import HostModel
from toolkit.stages.firmware import Job, run
from toolkit.stages.generate import generate_c

NETWORKS = 14


def networks() -> list[QNetwork]:
    rng = np.random.default_rng(5)
    made = [two_directions(rng, f"two{k}", joined=bool(k % 2)) for k in range(NETWORKS)]
    return [with_front(rng, q) if k % 4 == 3 else q for k, q in enumerate(made)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    needs("host-cc")
    return compile_all(networks(), tmp_path_factory.mktemp("two"))


def test_every_call_is_the_oracle_s(compiled: Compiled) -> None:
    for k, q in enumerate(compiled.networks):
        verify_qnetwork(q)
        assert_same(q, compiled.host(q), random_calls(np.random.default_rng(k), q, 40))


def test_a_window_by_hand() -> None:
    """One layer each way, by the ops' own steps."""
    q = next(q for q in networks() if len(q.layers) == 3 and not q.front)
    x = np.random.default_rng(0).integers(-32640, 32641, (2, 5, len(q.inputs)))
    ends = []
    for one, order in zip(q.layers[:2], (range(5), range(4, -1, -1)), strict=True):
        op = oracle.OPS[one.op]
        state = {k: np.zeros((2, op.output_size(one)), np.int64) for k in op.STATE}
        for t in order:
            h, state = op.int_step(one, x[:, t], state, None)
        ends.append(h)
    y, _ = oracle.OPS["dense"].int_step(q.layers[2], np.hstack(ends), {}, None)
    assert (oracle.run(q, x)[0][:, 0] == y).all()


def torch_network(rng: np.random.Generator, *, count: int, hidden: int) -> tuple[Network, object]:
    """A `joined` LSTM with PyTorch's weights, and PyTorch's own."""
    needs("torch")
    import torch

    torch.manual_seed(0)
    theirs = torch.nn.LSTM(2, hidden, count, bidirectional=True, batch_first=True).double()
    layers: list[Layer] = []
    below: tuple[str, ...] = ("",)
    for k in range(count):
        names = []
        for suffix in ("", "_reverse"):
            w = {n: getattr(theirs, f"{n}_l{k}{suffix}").detach().numpy() for n in ("weight_ih", "weight_hh")}
            b = sum(getattr(theirs, f"{n}_l{k}{suffix}").detach().numpy() for n in ("bias_ih", "bias_hh"))
            names.append(f"lstm{k}{suffix}")
            weights = {"w_ih": w["weight_ih"], "w_hh": w["weight_hh"], "b": b}
            layers.append(layer(names[-1], "lstm", weights, sources=below, reverse=bool(suffix)))
        below = tuple(names)
    w = rng.normal(size=(1, 2 * hidden)) / hidden
    layers.append(layer("head", "dense", {"w": w, "b": np.zeros(1)}, sources=below))
    columns = tuple(Column(c, "", 2, 0.0, 1.0) for c in "ab")
    network = Network("n", tuple(layers), columns, columns[:1], "window", 9, 9, 1, 0.0, "hold", 3, "final_states")
    return network, theirs


@pytest.mark.parametrize("count", [1, 2])
def test_the_float_network_is_pytorch_s_and_the_quantized_one_is_close(count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    network, theirs = torch_network(rng, count=count, hidden=6)
    import torch

    verify_network(network)
    x = rng.normal(size=(200, 9, 2)).round(2)
    _, (h, _) = theirs(torch.tensor(x))  # type: ignore[operator]
    ends = torch.cat([h[-2], h[-1]], 1).detach().numpy()
    want = ends @ network.layers[-1].weights["w"].T
    got = float_run(network, x)
    assert got.shape == (200, 1, 1) and np.abs(got[:, 0] - want).max() < 1e-6
    q = save_qnetwork(ptq.quantize(network, [x], ptq.Options(), "0" * 64), tmp_path / "model.q.safetensors")
    y, _, _ = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, x)))
    integers = oracle.from_raw(q.outputs, oracle.scale_outputs(q, y))
    assert np.abs(integers - got).max() < 0.02 and load_qnetwork(tmp_path / "model.q.safetensors").head == q.head


@pytest.mark.parametrize(("board", "joined"), [("mps2_an386", True), ("microbit", False)])
def test_it_runs_on_a_board(board: str, joined: bool, tmp_path: Path) -> None:
    needs("unicorn", "zig")
    q = two_directions(np.random.default_rng(8 + joined), "two", joined=joined)
    save_qnetwork(q, tmp_path / "model.q.safetensors")
    generate_c(tmp_path, load_board(board), None, float_api=False, target=None, optimize="speed", say=lambda s: None)
    result = run(Job(tmp_path, load_board(board), 60), say=lambda s: None)
    assert result["passed"] and result["steps"] == 60
    with pytest.raises(ToolkitError, match="two directions, so no single steps"):
        run(Job(tmp_path, load_board(board), 60, slice=4), say=lambda s: None)


def test_what_cannot_be_done_is_refused(compiled: Compiled) -> None:
    rng = np.random.default_rng(2)
    q = two_directions(rng, "two", joined=True)
    stateful = replace(q, mode="stateful", window=0)
    with pytest.raises(QuantizeError, match="a stream has no end to begin a reverse layer at"):
        verify_qnetwork(stateful)
    with pytest.raises(QuantizeError, match="the reverse direction has seen one sample"):
        verify_qnetwork(replace(q, head="last"))
    with pytest.raises(QuantizeError, match='head = "mean"'):
        verify_qnetwork(replace(q, head="mean"))
    first = replace(q.layers[0], sources=("nowhere",))
    with pytest.raises(QuantizeError, match='fed by "nowhere", which is no layer before it'):
        verify_qnetwork(replace(q, layers=(first, *q.layers[1:])))
    x = np.zeros(len(q.inputs), np.int64)
    plain = compiled.networks[0]
    hosts: list[HostModel | oracle.Stream] = [compiled.host(plain), oracle.Stream(plain)]
    for stream in hosts:
        with pytest.raises((ToolkitError, QuantizeError), match="has no single step; use predict"):
            stream.step(x)
        with pytest.raises((ToolkitError, QuantizeError), match="has no single step; use predict"):
            stream.run(x[None])
