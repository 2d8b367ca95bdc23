"""Quantization: every step of ARITHMETIC v1 recomputed naively, accuracy, reports."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantize import oracle, ptq
from quantize.calibrate import float_run, measure
from quantize.errors import QuantizeError
from quantize.network import Column, Network, layer
from quantize.ops import lstm
from quantize.qnetwork import (
    QNetwork,
    input_scale,
    quantize_input,
    quantize_output,
)
from quantize.verify import verify_qnetwork
from tests.nets import Shape, random_network, series

SHAPE = Shape(3, (6, 5), 2, (16, 8), "stateful", 0, "hold", 3)
SOURCE = "0" * 64


def small(seed: int = 0, **changes: Any) -> Network:
    return random_network(np.random.default_rng(seed), replace(SHAPE, **changes), "small")


def quantized(network: Network, refit: bool = True, deep: int = 8) -> QNetwork:
    data = series(np.random.default_rng(1), network, 6, max(network.window, 30))
    return ptq.quantize(network, [data], ptq.Options(refit, deep), SOURCE)


def half_up(v: float) -> int:
    return math.floor(v + 0.5)


# --- the steps of ARITHMETIC v1 ---


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("deep", [8, 16])
def test_steps_1_to_8_of_a_layer(seed: int, deep: int) -> None:
    """In plain Python numbers, from the float weights and the calibrated ranges."""
    network = small(seed)
    q = quantized(network, refit=False, deep=deep)
    ranges = measure(network, [ptq.normalised(network.inputs, series(np.random.default_rng(1), network, 6, 30))])
    s_h = 1 / 32640
    for depth, (x, got) in enumerate(zip(network.layers[:-1], q.layers[:-1], strict=True)):
        w_hh, w_ih, bias = (x.weights[k].astype(float).tolist() for k in ("w_hh", "w_ih", "b"))
        rows, size = len(bias), len(bias) // 4
        if depth == 0:
            s_x = [input_scale(c, i) for c, i in zip(network.inputs, q.inputs, strict=True)]  # step 1
            for scale, top in zip(s_x, ranges.x, strict=True):
                assert 4 * top / 32767 <= scale <= 4 * top / 32767 * (1 + 2**-13)
            bits = 16
        else:
            s_x, bits = [s_h] * len(w_ih[0]), deep
        gain = [4096 * 32640 / 32768 if row // size == 2 else 4096 for row in range(rows)]  # step 2
        tilde = [[w * s / s_h for w, s in zip(row, s_x, strict=True)] for row in w_ih]
        scale = []
        for row in range(rows):  # step 3
            top_h, top_x = max(map(abs, w_hh[row])), max(map(abs, tilde[row]))
            if bits == 16:
                scale.append(max(top_h / 127, top_x / 32767, sum(map(abs, tilde[row])) / 48000))
            else:
                scale.append(max(top_h, top_x) / 127)
        t = math.floor(
            math.log2(32767 / (65536 * max(s * s_h * g for s, g in zip(scale, gain, strict=True))))
        )  # step 4
        m = [min(max(math.ceil(s * s_h * g * 2 ** (16 + t)), 1), 32767) for s, g in zip(scale, gain, strict=True)]
        exact = [a / (2 ** (16 + t) * s_h * g) for a, g in zip(m, gain, strict=True)]
        ratio = [[w / s for w in row] for row, s in zip(tilde, exact, strict=True)]
        f = 0
        if bits == 16:  # step 5
            f = max(
                k
                for k in range(16)
                if max(abs(round(v * 2**k)) for row in ratio for v in row) <= 32767
                and max(sum(abs(round(v * 2**k)) for v in row) for row in ratio) <= 65500
            )
        assert (got.params["t"], got.params["f"]) == (t, f)
        assert got.arrays["m"].tolist() == m
        assert got.arrays["wh"].tolist() == [[round(w / s) for w in row] for row, s in zip(w_hh, exact, strict=True)]
        assert got.arrays["wx"].tolist() == [[round(v * 2**f) for v in row] for row in ratio]
        assert got.arrays["wx"].dtype == (np.int16 if bits == 16 else np.int8)
        if depth:  # step 6; the first layer's bias also takes what rounding the means leaves
            want = [
                round(b / (s * s_h) + 2 ** (15 + t) / a + (0.5 if f else 0))
                for b, s, a in zip(bias, exact, m, strict=True)
            ]
            assert got.arrays["b"].tolist() == want
        top_c = ranges.states[x.name]["c"]
        assert got.params["frac"] == min(12, 15 - math.ceil(math.log2(1.5 * top_c)))  # step 7
        assert 1.5 * top_c * 2 ** got.params["frac"] <= 32768
        for row in range(rows):  # step 8, as ARITHMETIC writes it
            sum_h, sum_x = (sum(abs(v) for v in got.arrays[k][row].tolist()) for k in ("wh", "wx"))
            assert 32640 * sum_h + (32640 * sum_x >> f) + abs(int(got.arrays["b"][row])) < 2**31
            assert 32640 * sum_x < 2**31


@pytest.mark.parametrize("frac", range(13))
def test_cell_bits_leave_room_for_half_again_the_range(frac: int) -> None:
    top = 2.0 ** (15 - frac) / 1.5
    assert lstm.cell_bits("l", top * 0.999) == frac
    if frac:
        assert lstm.cell_bits("l", top * 1.001) == frac - 1
    assert lstm.cell_bits("l", top * 0.51) == min(12, frac)
    assert lstm.cell_bits("l", 0.0) == 12


def test_a_cell_beyond_int16_is_refused() -> None:
    with pytest.raises(QuantizeError, match=r"lstm0: the cell reached 22000; .*retrain"):
        lstm.cell_bits("lstm0", 22000.0)


@pytest.mark.parametrize("seed", range(40))
def test_input_column_is_the_definition_for_every_int32(seed: int) -> None:
    """x_q = floor(x / s_x + 1/2) saturated to +-32640, whatever the column's mean, std and decimals."""
    rng = np.random.default_rng(seed)
    decimals = int(rng.integers(0, 5))
    std = float(10.0 ** rng.uniform(-decimals, 5 - decimals / 2))
    mean = float(rng.choice([0.0, rng.uniform(-1, 1) * 1000, rng.uniform(-1, 1) * 2**31 / 10**decimals * 0.99]))
    column = Column("x", "", decimals, mean, std)
    q = quantize_input(column, float(rng.uniform(0.6, 9)))
    assert 0 <= q.k <= 29 and 1 <= q.s <= 30 and 16384 <= q.m <= 32767
    assert max(q.high - q.offset, q.offset - q.low) << q.k < 2**31
    edges = [q.low - 1, q.low, q.low + 1, q.high - 1, q.high, q.high + 1, q.offset, -(2**31), 2**31 - 1]
    raws = np.clip(
        [*edges, *rng.integers(q.low, q.high, 200), *rng.integers(-(2**31), 2**31, 100)], -(2**31), 2**31 - 1
    )
    want = []
    for raw in raws.tolist():
        v = ((raw - q.offset) * q.m * 2**q.k + 2 ** (15 + q.s)) // 2 ** (16 + q.s)
        want.append(max(-32640, min(32640, v)))
    got = oracle.fp.scale_in(raws, q.low, q.high, q.offset, q.k, q.m, q.s)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("seed", range(20))
def test_output_column_keeps_its_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    column = Column("y", "", int(rng.integers(0, 4)), float(rng.uniform(-500, 500)), float(rng.uniform(1, 50)))
    least = float(2.0 ** rng.uniform(-28, -18))
    q, step = quantize_output(column, least)
    assert least <= step <= least * (1 + 2**-13) and 1 <= q.s <= 30 and 1 <= q.m <= 32767
    for y in (0, 1, -1, 10**6, -(10**6), 2**31 - 1, -(2**31)):
        got = int(oracle.fp.scale_out(np.array([y]), q.offset, q.m, q.s)[0])
        ideal = half_up(y * step * column.std * 10**column.decimals)
        assert abs(got - q.offset - ideal) <= 1 + abs(ideal) * 1e-9


# --- accuracy ---


@pytest.mark.parametrize("mode", ["stateful", "window"])
@pytest.mark.parametrize("hidden", [(8,), (6, 5), (4, 4, 4)])
def test_ner_and_refit(mode: str, hidden: tuple[int, ...]) -> None:
    """Close to float, refitted not worse than before on the calibration set."""
    network = small(5, hidden=hidden, bits=(16,) * len(hidden), mode=mode, window=20 if mode == "window" else 0)
    data = series(np.random.default_rng(2), network, 200, 20 if mode == "window" else 60)
    wanted = float_run(network, ptq.normalised(network.inputs, data))[:, -1]
    std, mean = ([getattr(c, k) for c in network.outputs] for k in ("std", "mean"))
    ner = []
    for refit in (False, True):
        q = ptq.quantize(network, [data], ptq.Options(refit), SOURCE)
        y, _, _ = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, data)))
        got = (oracle.from_raw(q.outputs, oracle.scale_outputs(q, y))[:, -1] - mean) / std
        ner.append(float(np.sqrt(((got - wanted) ** 2).mean()) / wanted.std()))
    assert ner[0] < 0.06
    assert ner[1] <= ner[0] * 1.03


def test_refit_minimises_what_it_says() -> None:
    """The refitted head has no larger squared error on the quantized hidden states than the head it began with."""
    network = small(3)
    data = series(np.random.default_rng(2), network, 50, 40)
    q = ptq.quantize(network, [data], ptq.Options(False), SOURCE)
    scaled = ptq.normalised(network.inputs, data)
    head = ptq._refit(network, q, [data], [scaled])
    h = ptq.hidden_states(q, data)[:, network.warmup - 1 :] / 32640
    want = float_run(network, scaled)[:, network.warmup - 1 :]
    errors = [((h @ w["w"].T + w["b"] - want) ** 2).sum() for w in (network.layers[-1].weights, head.weights)]
    assert errors[1] <= errors[0]


def test_reports() -> None:
    network = small()
    q = quantized(network)
    report = ptq.overflow_report(q)
    assert [r["layer"] for r in report] == ["lstm0", "lstm1", "dense0"]
    assert all(0 < float(r["of_int32"]) < 1 for r in report)
    far = np.full((1, 4, 3), 1e6)
    counts = ptq.saturation(q, far)
    assert counts["x"] == 12 and set(counts) == {"x", *(f"lstm{k}.{v}" for k in (0, 1) for v in "zc")}


def test_layers_that_are_all_zero() -> None:
    network = small()
    zero = [layer(x.name, x.op, {k: np.zeros_like(v) for k, v in x.weights.items()}) for x in network.layers[:-1]]
    q = quantized(replace(network, layers=(*zero, network.layers[-1])))
    verify_qnetwork(q)
