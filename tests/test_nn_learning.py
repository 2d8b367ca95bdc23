"""Losses against differences and torch, optimisers against torch.optim, schedules against their shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import needs
from tests.test_nn_layers import differences, network
from toolkit.config import Train
from toolkit.errors import ToolkitError
from toolkit.nn import LSTM, Bidirectional, Dense, LSTMNorm
from toolkit.nn.losses import Loss, loss_of
from toolkit.nn.network import decays, parameters, parted
from toolkit.nn.optimisers import Sgd, clip_norm, optimiser
from toolkit.nn.schedules import SCHEDULES, learning_rate

STEPS, VALUES, BATCH = 3, 2, 4
LEVELS = (0.1, 0.5, 0.8)
PER = {"mse": 1, "mae": 1, "huber": 1, "quantile": len(LEVELS), "gaussian": 2, "crossentropy": 5}


def made(name: str, seed: int) -> tuple[Loss, np.ndarray, np.ndarray]:
    """(loss, y, target)"""
    rng = np.random.default_rng(seed)
    y, target = rng.normal(size=(STEPS, VALUES * PER[name], BATCH)), rng.normal(size=(STEPS, VALUES, BATCH))
    if name == "crossentropy":
        target = rng.integers(0, PER[name], target.shape).astype(float)
    return loss_of(name, levels=LEVELS, huber_delta=0.7), y, target


@pytest.mark.parametrize("name", PER)
@pytest.mark.parametrize("weights", ["steps", "elements"])
def test_the_gradient_of_every_loss(name: str, weights: str) -> None:
    loss, y, target = made(name, 1)
    rng = np.random.default_rng(2)
    weight = rng.uniform(0.1, 2, (STEPS, 1 if weights == "steps" else VALUES, BATCH))
    weight[1, 0, :2] = 0
    value, dy = loss(y, target, weight)
    assert dy.shape == y.shape and dy.dtype == y.dtype
    numeric = differences(y, lambda: loss(y, target, weight)[0], step=1e-4)
    np.testing.assert_allclose(dy, numeric, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(loss(y, target, 3 * weight)[0], value)
    single, dy32 = loss(y.astype(np.float32), target.astype(np.float32), weight.astype(np.float32))
    assert dy32.dtype == np.float32
    np.testing.assert_allclose(single, value, rtol=1e-5)
    np.testing.assert_allclose(dy32, dy, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PER)
def test_nothing_that_counts_is_no_loss(name: str) -> None:
    loss, y, target = made(name, 3)
    value, dy = loss(y, target, np.zeros((STEPS, 1, BATCH)))
    assert value == 0 and not dy.any()


def torch_losses(torch: Any) -> dict[str, Callable[[Any, Any], Any]]:
    """[steps, values, outputs of a value, batch], [steps, values, batch] -> loss"""
    f = torch.nn.functional
    level = torch.tensor(LEVELS, dtype=torch.float64)[:, None]

    def pinball(y: Any, t: Any) -> Any:
        e = t[:, :, None] - y
        return torch.maximum(level * e, (level - 1) * e).mean()

    return {
        "mse": lambda y, t: f.mse_loss(y[:, :, 0], t),
        "mae": lambda y, t: f.l1_loss(y[:, :, 0], t),
        "huber": lambda y, t: f.huber_loss(y[:, :, 0], t, delta=0.7),
        "quantile": pinball,
        "gaussian": lambda y, t: f.gaussian_nll_loss(y[:, :, 0], t, torch.exp(2 * y[:, :, 1]), full=True, eps=0),
        "crossentropy": lambda y, t: f.cross_entropy(y.movedim(2, 1), t.long()),
    }


def needs_torch() -> Any:
    needs("torch")
    import torch

    return torch


@pytest.mark.parametrize("name", PER)
def test_losses_are_those_of_torch(name: str) -> None:
    torch = needs_torch()
    loss, y, target = made(name, 4)
    value, dy = loss(y, target, np.ones((STEPS, 1, BATCH)))
    theirs_y = torch.tensor(y.reshape(STEPS, VALUES, -1, BATCH), requires_grad=True)
    theirs = torch_losses(torch)[name](theirs_y, torch.tensor(target))
    theirs.backward()
    np.testing.assert_allclose(value, theirs.item(), rtol=1e-12)
    np.testing.assert_allclose(dy, theirs_y.grad.numpy().reshape(dy.shape), rtol=1e-9, atol=1e-14)


def test_an_unknown_loss_offers_the_nearest() -> None:
    with pytest.raises(ToolkitError, match=r"loss 'hubber'.*huber"):
        loss_of("hubber", levels=(), huber_delta=1)


OPTIMISERS = {
    "sgd": Train(optimiser="sgd", momentum=0.0, nesterov=False),
    "momentum": Train(optimiser="sgd", momentum=0.9, nesterov=False),
    "nesterov": Train(optimiser="sgd", momentum=0.9, nesterov=True),
    "adam": Train(optimiser="adam"),
    "adamw": Train(optimiser="adamw", weight_decay=0.1),
    "rmsprop": Train(optimiser="rmsprop"),
}


def theirs_of(torch: Any, name: str, flat: np.ndarray, decayed: np.ndarray) -> tuple[Any, list[Any]]:
    """torch's, with the decayed and the other elements apart."""
    parts = [torch.nn.Parameter(torch.tensor(flat[m])) for m in (decayed, ~decayed)]
    t = OPTIMISERS[name]
    if t.optimiser == "sgd":
        return torch.optim.SGD(parts, lr=0.1, momentum=t.momentum, nesterov=t.nesterov), parts
    if name == "rmsprop":
        return torch.optim.RMSprop(parts, lr=0.1), parts
    if name == "adam":
        return torch.optim.Adam(parts, lr=0.1), parts
    groups = [{"params": parts[:1], "weight_decay": 0.1}, {"params": parts[1:], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.1), parts


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_are_those_of_torch(name: str) -> None:
    torch = needs_torch()
    p = parameters(network([LSTM(3, peephole=True), Dense(2)]), np.float64)
    ours, decayed = optimiser(OPTIMISERS[name], p), decays(p)
    theirs, parts = theirs_of(torch, name, p.flat, decayed)
    rng = np.random.default_rng(5)
    for step in range(12):
        g, lr = rng.normal(size=len(p.flat)), 0.1 / (1 + step)
        for group in theirs.param_groups:
            group["lr"] = lr
        for part, mask in zip(parts, (decayed, ~decayed), strict=True):
            part.grad = torch.tensor(g[mask])
        theirs.step()
        ours.update(p.flat, g, lr)
        for part, mask in zip(parts, (decayed, ~decayed), strict=True):
            np.testing.assert_allclose(p.flat[mask], part.detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_restored_optimiser_goes_on_bit_for_bit(name: str) -> None:
    p = parameters(network([LSTM(3), Dense(2)]), np.float32)
    rng = np.random.default_rng(6)
    gradients = rng.normal(size=(8, len(p.flat))).astype(np.float32)
    one, flat = optimiser(OPTIMISERS[name], p), p.flat.copy()
    for k, g in enumerate(gradients):
        if k == 4:
            kept, state = flat.copy(), one.state()
        one.update(flat, g, 0.01)
    other = optimiser(OPTIMISERS[name], p)
    other.restore(state)
    for g in gradients[4:]:
        other.update(kept, g, 0.01)
    assert np.array_equal(flat, kept) and flat.dtype == np.float32
    assert not np.array_equal(flat, p.flat)
    for k, v in one.state().items():
        assert np.array_equal(v, other.state()[k])


def test_decay_is_for_matrices_only() -> None:
    p = parameters(network([Bidirectional(LSTM(3, peephole=True)), LSTMNorm(2), Dense(2)]), np.float32)
    p.flat[:] = decays(p)
    for weights in parted(p):
        for name, w in weights.items():
            assert (w == (name in ("w", "w_ih", "w_hh"))).all(), name


def test_the_norm_is_over_all_weights() -> None:
    g = np.full(4, 3.0, np.float32)
    assert clip_norm(g, 3) == 6 and np.allclose(g, 1.5)


def test_momentum_of_a_known_step() -> None:
    flat, one = np.zeros(1), Sgd(1, np.float64, momentum=0.5, nesterov=True)
    for _ in range(2):
        one.update(flat, np.ones(1), 1.0)
    assert flat[0] == -((1 + 0.5) + (1 + 0.5 * 1.5))


def rates(schedule: str, **keys: Any) -> list[float]:
    """The factor at the start of each of 20 epochs."""
    train = Train(lr=1.0, epochs=20, schedule=schedule, **keys)
    history = [1.0, 0.8, 0.9, 0.9, 0.9, 0.7, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75, *[0.6 - k / 100 for k in range(8)]]
    return [learning_rate(train, done, history[:done]) for done in range(20)]


def test_schedules() -> None:
    assert rates("constant") == [1.0] * 20
    assert rates("step", decay=0.1, step_epochs=8) == [1.0] * 8 + [0.1] * 8 + [0.1**2] * 4
    np.testing.assert_allclose(rates("exponential", decay=0.9), 0.9 ** np.arange(20))
    np.testing.assert_allclose(rates("cosine"), 0.5 + 0.5 * np.cos(np.pi * np.arange(20) / 20))
    # the third epoch in a row that is not better halves it: losses 0.9 after 0.8, then twice in the run of 0.75
    assert rates("plateau", decay=0.5, step_epochs=3) == [1.0] * 5 + [0.5] * 4 + [0.25] * 3 + [0.125] * 8
    one = rates("onecycle")
    assert max(one) == one[6] == 1.0 and one[-1] < 0.05
    assert one[:7] == sorted(one[:7]) and one[6:] == sorted(one[6:], reverse=True)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_warms_up(schedule: str) -> None:
    warm = rates(schedule, warmup_epochs=4)
    np.testing.assert_allclose(warm[:4], [0.2, 0.4, 0.6, 0.8])
    train = Train(lr=1.0, epochs=16, schedule=schedule)
    assert warm[4] == learning_rate(train, 0, []) and warm[5] == learning_rate(train, 1, [0.9])
    assert learning_rate(Train(lr=1.0, epochs=16, warmup_epochs=4), 0.5, []) == pytest.approx(0.3)


def test_onecycle_is_that_of_torch() -> None:
    """Its first rate, its peak and its last; in between torch's peak is at step 0.3 * total - 1."""
    torch = needs_torch()
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=1.0, total_steps=21, cycle_momentum=False)
    seen = []
    for _ in range(20):
        seen.append(theirs.param_groups[0]["lr"])
        theirs.step()
        schedule.step()
    train = Train(lr=1.0, epochs=20, schedule="onecycle")
    assert seen[0] == pytest.approx(learning_rate(train, 0, []))
    assert theirs.param_groups[0]["lr"] == pytest.approx(learning_rate(train, 20, []))
    assert max(seen) == pytest.approx(learning_rate(train, 6, []), rel=1e-2)
