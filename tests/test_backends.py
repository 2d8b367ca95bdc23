"""The backends against one another: the reference in float64, the native kernels of every width, torch's autograd."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import needs
from tests.training_nets import FREE, MODELS, STREAM, batches, network
from toolkit.config import Train
from toolkit.errors import ToolkitError
from toolkit.nn.network import INPUT, Node, parameters
from toolkit.train.backends import BACKENDS
from toolkit.train.backends.native import NativeBackend, build
from toolkit.train.backends.native.calls import Call
from toolkit.train.backends.native.engine import Engine, slices
from toolkit.train.backends.native.plan import Plan
from toolkit.train.backends.reference import NumpyBackend


@pytest.fixture(scope="module", params=[*build.LEVELS])
def door(request: pytest.FixtureRequest) -> build.Door:
    needs("host-cc")
    if request.param not in build.levels():
        pytest.skip(f"SKIPPED: this processor is not {request.param}")
    return build.door(request.param, "auto" if request.param == build.levels()[0] else "cffi")


def error(found: np.ndarray, true: np.ndarray) -> float:
    """The largest difference, over the largest value."""
    return float(np.abs(found - true).max() / np.abs(true).max())


@pytest.mark.parametrize("name", MODELS)
def test_native_gradients_are_the_references(name: str, door: build.Door) -> None:
    """From the same weights, states and masks in every step; norms amplify the rounding of float32."""
    model, net = MODELS[name][0], network(name)
    exact, single = (NumpyBackend(FREE, model, 3, dtype) for dtype in (np.float64, np.float32))
    native = Engine(door, FREE, model, 3)
    for backend in (exact, single, native):
        backend.load(net)
    for batch in batches(name, 3):
        losses = [backend.step(batch, 1e-3) for backend in (exact, single, native)]
        assert losses[2] == pytest.approx(losses[0], rel=1e-6)
        own = error(single.gradient.flat, exact.gradient.flat)
        assert error(native.workers[0].gradient.flat, exact.gradient.flat) < max(1e-6, 3 * own)
        for mine, true in zip(native.states, exact.states, strict=True):
            for k in true if batch.carry else ():
                np.testing.assert_allclose(mine[k], true[k], rtol=0, atol=3e-6)
        assert native.evaluate(batch) == pytest.approx(exact.evaluate(batch), rel=1e-4)
        for backend in (single, native):
            backend.restore({k: v.astype(np.float32) if v.dtype == float else v for k, v in exact.state().items()})
        exact.restore({k: v.astype(float) if v.dtype == np.float32 else v for k, v in single.state().items()})


@pytest.mark.parametrize("name", MODELS)
def test_torch_gradients_are_the_references(name: str) -> None:
    """Autograd over a second writing of the forward pass, float64 against float64."""
    needs("torch")
    from toolkit.train.backends.torch_backend import TorchBackend

    model, net = MODELS[name][0], network(name)
    exact, theirs = NumpyBackend(FREE, model, 3, np.float64), TorchBackend(FREE, model, 3, np.float64)
    for backend in (exact, theirs):
        backend.load(net)
    for batch in batches(name, 2):
        assert theirs.step(batch, 1e-3) == pytest.approx(exact.step(batch, 1e-3), rel=1e-9)
        assert error(theirs.gradient.flat, exact.gradient.flat) < 1e-9
        assert theirs.evaluate(batch) == pytest.approx(exact.evaluate(batch), rel=1e-9)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("other", ["native", "torch"])
def test_the_loss_curve_is_the_references(other: str, optimiser: str) -> None:
    """Two layers, dropout, carried states, clipping: twelve steps from the same weights and the same seed."""
    needs("host-cc")
    if other == "torch":
        needs("torch")
    learning = Train(optimiser=optimiser, clip=0.5, weight_decay=0.1, segment=0)
    curves, ends = [], []
    for backend in (BACKENDS[k](learning, MODELS["gru, dropout"][0], 4) for k in ("numpy", other)):
        backend.load(network("gru, dropout"))
        curves.append([backend.step(batch, 3e-3) for batch in batches("gru, dropout", 12)])
        ends.append(parameters(backend.network(), np.float64).flat)
    np.testing.assert_allclose(*curves, rtol=1e-5)
    assert error(*ends) < 2e-5


def test_a_number_of_threads_is_repeatable() -> None:
    needs("host-cc")
    name, best = "lstm, stream", build.door(build.levels()[0], "auto")

    def trained(threads: int) -> np.ndarray:
        backend = Engine(best, replace(FREE, threads=threads), MODELS[name][0], 1)
        backend.load(network(name))
        for batch in batches(name, 4, columns=150):
            backend.step(batch, 1e-2)
        return parameters(backend.network(), np.float32).flat

    one, three = trained(1), trained(3)
    assert np.array_equal(three, trained(3)) and not np.array_equal(one, three)
    np.testing.assert_allclose(one, three, rtol=0, atol=2e-5)


def test_more_threads_than_columns() -> None:
    """A thread without columns leaves no gradient of the batch before."""
    needs("host-cc")
    name, best = "lstm, stream", build.door(build.levels()[0], "auto")
    many, one = (Engine(best, replace(FREE, threads=k), MODELS[name][0], 1) for k in (4, 1))
    for backend in (many, one):
        backend.load(network(name))
    first, *_ = batches(name, 1, columns=64)
    small, *_ = batches(name, 1, columns=5)
    for batch in (first, small):
        assert many.step(batch, 1e-2) == pytest.approx(one.step(batch, 1e-2), rel=1e-5)
    np.testing.assert_allclose(many.weights.flat, one.weights.flat, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "columns, threads, widths",
    [(1, 1, [[1]]), (64, 1, [[64]]), (65, 1, [[48, 17]]), (150, 2, [[48, 32], [48, 22]]), (32, 4, [[16], [16]])],
)
def test_slices(columns: int, threads: int, widths: list[list[int]]) -> None:
    parts = slices(columns, threads)
    assert [[p.stop - p.start for p in some] for some in parts] == widths
    assert [p.start for some in parts for p in some] == list(np.cumsum([0, *(w for some in widths for w in some)])[:-1])


@pytest.mark.parametrize("kind", ["numpy", "native", "torch"])
def test_a_restored_backend_goes_on_bit_for_bit(kind: str) -> None:
    needs("host-cc")
    if kind == "torch":
        needs("torch")
    name = "gru, dropout"
    whole, begun, resumed = (BACKENDS[kind](Train(), MODELS[name][0], 4) for _ in range(3))
    for backend in (whole, begun, resumed):
        backend.load(network(name))
    for k, batch in enumerate(batches(name, 6)):
        loss = whole.step(batch, 1e-2)
        if k == 3:
            resumed.restore(begun.state())
        assert (begun if k < 3 else resumed).step(batch, 1e-2) == loss
    a, b = whole.state(), resumed.state()
    assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_one_backend_goes_on_where_another_stopped() -> None:
    needs("host-cc")
    name = "gru, dropout"
    first, then, check = (BACKENDS[k](Train(), MODELS[name][0], 4) for k in ("numpy", "native", "numpy"))
    for backend in (first, then, check):
        backend.load(network(name))
    for k, batch in enumerate(batches(name, 4)):
        loss = check.step(batch, 1e-2)
        if k == 2:
            then.restore(first.state())
        assert (first if k < 2 else then).step(batch, 1e-2) == pytest.approx(loss, rel=1e-6)


def test_both_doors_give_the_same_bits() -> None:
    needs("host-cc")
    name, level, weights = "lstm, stream", build.levels()[0], []
    for binding in ("Cython", "cffi"):
        if binding == "Cython" and not build.can_cython():
            pytest.skip("SKIPPED: no Python headers, or no Cython")
        backend = Engine(build.door(level, binding), FREE, MODELS[name][0], 1)
        backend.load(network(name))
        for batch in batches(name, 2):
            backend.step(batch, 1e-2)
        weights.append(backend.weights.flat)
    assert np.array_equal(*weights)


def test_tanh_and_sigmoid(door: build.Door) -> None:
    """A layer of one unit without recurrence: y = tanh(x); its state after many steps of a GRU's gate: sigmoid."""
    x = np.concatenate([np.linspace(-30, 30, 9000), np.logspace(-30, 1, 1000)]).astype(np.float32)
    node, head = Node("rnn", (INPUT,), False, {}, 1), Node("dense", (0,), False, {}, 1)
    w, dense = np.array([[0, 1, 0]], np.float32), np.array([[1, 0]], np.float32)
    plan = Plan(
        [node, head], [(w,), (dense,)], [(w,), (dense,)], head="last", inputs=1, time=625, batch=16, outputs=625
    )
    plan.load(x.reshape(16, 625, 1), None, ())
    door.run(plan.forward.address, plan.forward.length)
    found, true = plan.head.at[1:, 0].T.ravel().astype(float), np.tanh(x.astype(float))
    assert np.abs(found / true - 1).max() < 3.5e-7 and np.abs(found).max() <= 1
    gru = Node("gru", (INPUT,), False, {}, 1)  # h' = (1 - sigmoid(x)) * tanh(20)
    w = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 20]], np.float32)
    plan = Plan([gru, head], [(w,), (dense,)], [(w,), (dense,)], head="last", inputs=1, time=1, batch=16, outputs=1)
    for some in x.reshape(-1, 16):
        plan.load(some.reshape(16, 1, 1), None, ())
        door.run(plan.forward.address, plan.forward.length)
        true = 1 / (1 + np.exp(some.astype(float)))
        assert np.abs(plan.head.at[1, 0] - true).max() < 4e-7


def test_a_nan_is_not_hidden(door: build.Door) -> None:
    backend = Engine(door, FREE, MODELS["lstm, stream"][0], 1)
    backend.load(network("lstm, stream"))
    batch, *_ = batches("lstm, stream", 1)
    batch.x[3, 2, 0] = np.nan
    assert np.isnan(backend.step(batch, 1e-3))


def test_no_compiler_trains_in_numpy_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> build.Door:
        raise ToolkitError("no C compiler: install gcc or clang, or zig (pip install ziglang)")

    monkeypatch.setattr(build, "door", missing)
    backend = NativeBackend(Train(), STREAM, 1)
    backend.load(network("lstm, stream"))
    said = capsys.readouterr().err
    assert isinstance(backend.chosen, NumpyBackend)
    assert said.startswith("native backend: no C compiler") and "NumPy trains instead" in said and said.count("\n") == 1


def test_what_native_lacks_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    backend = NativeBackend(Train(segment=3), STREAM, 1)
    backend.load(network("lstm, stream"))
    assert isinstance(backend.chosen, NumpyBackend)
    assert capsys.readouterr().err.startswith("native backend: no train.segment; NumPy trains instead")


def test_windows_do_not_carry() -> None:
    backend = BACKENDS["native"](FREE, MODELS["last, reverse"][0], 1)
    backend.load(network("last, reverse"))
    batch, *_ = batches("last, reverse", 1)
    with pytest.raises(ToolkitError, match="a batch with carry in window mode: the native backend starts every window"):
        backend.step(replace(batch, carry=True), 1e-3)


def test_torch_that_is_missing_or_has_no_such_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "toolkit.train.backends.torch_backend", raising=False)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        with pytest.raises(ToolkitError, match="PyTorch is not installed: pip install torch"):
            BACKENDS["torch"](Train(), STREAM, 1)
    needs("torch")
    for device in ("cuda:99", "toaster"):
        with pytest.raises(ToolkitError, match=f'train.device = "{device}": PyTorch has no such device here') as e:
            BACKENDS["torch"](Train(device=device), STREAM, 1)
        assert "\n" not in str(e.value)


def test_a_call_wants_exactly_its_fields() -> None:
    with pytest.raises(TypeError, match=r"add_to: \['from'\]: missing or unknown"):
        Call("add_to", size=16, to=np.zeros(16, np.float32))
