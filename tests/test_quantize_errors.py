"""What quantization refuses: one line each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantize import ptq
from quantize.errors import QuantizeError
from quantize.network import Column, Network, layer
from quantize.ops import lstm
from quantize.qnetwork import quantize_input
from tests.nets import series
from tests.test_quantize import SOURCE, quantized, small


def with_weight(name: str, key: str, value: float) -> Callable[[Network], Network]:
    def change(network: Network) -> Network:
        layers = []
        for x in network.layers:
            if x.name == name:
                w = {k: v.copy() for k, v in x.weights.items()}
                w[key].flat[0] = value
                x = layer(x.name, x.op, w)
            layers.append(x)
        return replace(network, layers=tuple(layers))

    return change


def first_column(**changes: Any) -> Callable[[Network], Network]:
    return lambda n: replace(n, inputs=(replace(n.inputs[0], **changes), *n.inputs[1:]))


def output_column(**changes: Any) -> Callable[[Network], Network]:
    return lambda n: replace(n, outputs=(replace(n.outputs[0], **changes), *n.outputs[1:]))


def layers(*names: int) -> Callable[[Network], Network]:
    return lambda n: replace(n, layers=tuple(n.layers[k] for k in names))


def renamed(n: Network) -> Network:
    return replace(n, layers=tuple(replace(x, name="same") for x in n.layers))


def other_op(n: Network) -> Network:
    return replace(n, layers=(replace(n.layers[0], op="rnn"), *n.layers[1:]))


def cut_bias(n: Network) -> Network:
    x = n.layers[0]
    return replace(n, layers=(layer(x.name, x.op, {**x.weights, "b": x.weights["b"][:-1]}), *n.layers[1:]))


ERRORS: list[tuple[Callable[[Network], Network], str]] = [
    (with_weight("lstm0", "w_hh", math.nan), "lstm0: a weight is NaN or infinite"),
    (with_weight("lstm1", "b", math.inf), "lstm1: a weight is NaN or infinite"),
    (with_weight("dense0", "w", math.nan), "dense0: a weight is NaN or infinite"),
    (first_column(decimals=9, std=1e6), 'input "in0": 9 decimals do not fit'),
    (first_column(decimals=-1), 'input "in0": decimals = -1: expected 0 .. 9'),
    (first_column(std=math.nan), 'input "in0": mean .* std nan: expected finite'),
    (output_column(std=0.0), 'output "out0": mean .* std 0.0: expected finite'),
    (output_column(decimals=9, std=1e6), 'output "out0": 9 decimals do not suit its range; use fewer'),
    (output_column(decimals=0, std=1e-8, mean=0.0), 'output "out0": 0 decimals do not suit its range; use more'),
    (output_column(mean=1e9), 'output "out0": mean 1000000000.0 does not fit int32'),
    (
        layers(0, 1),
        "layers lstm -> lstm: expected one or more lstm or lstm_norm or gru or dense_hidden and then one",
    ),
    (layers(2), "layers dense: expected one or more lstm"),
    (layers(), r"layers \(none\): expected"),
    (layers(0, 2), "dense0: takes 5 values, but 6 come in"),
    (renamed, "two have the same name"),
    (other_op, 'lstm0: op "rnn" has no integer form; there is: lstm, lstm_norm, gru, dense'),
    (cut_bias, r"lstm0: arrays b \[23\], .*expected b \[24\]"),
    (lambda n: replace(n, outputs=n.outputs[:1]), "dense0: gives 2 values for 1 output columns"),
    (lambda n: replace(n, max_gap=256), "max_gap .* = 256: expected 0 .. 255"),
    (lambda n: replace(n, warmup=0), "warmup .* = 0: expected 1 .. "),
    (lambda n: replace(n, window=3), r"window \(stateful mode\) = 3: expected 0 .. 0"),
    (lambda n: replace(n, mode="window"), r"window \(window mode\) = 0: expected 1 .. 32767"),
    (lambda n: replace(n, mode="weird"), '^model.mode = "weird": expected window or stateful'),
    (lambda n: replace(n, missing="zero"), '^deploy.missing = "zero": expected hold or reset or interpolate'),
    (lambda n: replace(n, head="mean"), '^model.head = "mean": expected last or final_states or all'),
    (lambda n: replace(n, warmup=31), "no calibration sequence is longer than the warm-up of 31"),
]


@pytest.mark.parametrize(("change", "message"), ERRORS, ids=[m for _, m in ERRORS])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_errors_are_one_line(change: Callable[[Network], Network], message: str) -> None:
    with pytest.raises(QuantizeError, match=message) as e:
        data = series(np.random.default_rng(1), small(), 6, 30)
        ptq.quantize(change(small()), [data], ptq.Options(), SOURCE)
    assert "\n" not in str(e.value)


def test_decimals_that_cannot_tell_values_apart() -> None:
    with pytest.raises(QuantizeError, match='input "x": 0 decimals cannot tell its values apart; use more'):
        quantize_input(Column("x", "", 0, 0.0, 1e-9), 2.0)


@pytest.mark.parametrize("size", [0.0, 1e-8, 1e-4, 3e-3])
def test_weights_so_small_that_the_shift_ends(size: float) -> None:
    """t stops at 15; a layer of small weights beside an ordinary bias is no error."""
    rng = np.random.default_rng(0)
    w = {"w_ih": rng.normal(0, size, (16, 2)), "w_hh": rng.normal(0, size, (16, 4)), "b": rng.normal(0, 1, 16)}
    q = lstm.quantize(layer("lstm0", "lstm", w), np.full(2, 1e-4), {"c": 1.0}, 16)
    assert q.params["t"] <= 15 and lstm.fits(q).all()
    trace: dict[str, np.ndarray] = {}
    lstm.int_step(
        q, np.zeros((1, 2), np.int64), {"h": np.zeros((1, 4)).astype(int), "c": np.zeros((1, 4)).astype(int)}, trace
    )
    gain = np.repeat([1, 1, 32640 / 32768, 1], 4)
    np.testing.assert_allclose(trace["lstm0.z"][0] / 4096, w["b"] * gain, atol=2 / 4096)


def test_bad_calibration_data() -> None:
    network = small()
    data = series(np.random.default_rng(1), network, 6, 30)
    data[0, 0, 0] = math.nan
    with pytest.raises(QuantizeError, match="calibration data hold NaN"):
        ptq.quantize(network, [data], ptq.Options(), SOURCE)
    data[:, :, 0] = network.inputs[0].mean
    with pytest.raises(QuantizeError, match='input "in0": constant in the calibration data'):
        ptq.quantize(network, [data], ptq.Options(), SOURCE)


def test_weights_too_large_for_any_requantization() -> None:
    with pytest.raises(QuantizeError, match=r"lstm0: row 0 \(i0\): weights up to 100000, bias .* too large"):
        quantized(with_weight("lstm0", "w_hh", 1e5)(small()))
