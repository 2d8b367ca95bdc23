"""The float network that calibration runs (quantize.calibrate) is the one that was trained."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.calibrate import float_run
from quantize.network import Network
from tests.test_nn_layers import INPUTS, OUTPUTS, network
from toolkit.nn import GRU, LSTM, Bidirectional, Dense, Dropout, LSTMNorm
from toolkit.nn.network import forward

ONE = {"lstm": LSTM(3), "gru after": GRU(3), "gru before": GRU(3, reset="before"), "lstm_norm": LSTMNorm(3)}


def both_ways(net: Network) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).normal(size=(4, 6, INPUTS))
    return float_run(net, x), forward(net, x)[0]


@pytest.mark.parametrize("cell", ONE)
def test_a_stream(cell: str) -> None:
    net = network([ONE[cell], Dropout(0.3), GRU(2), Dense(OUTPUTS)], mode="stateful")
    oracle, trained = both_ways(net)
    assert oracle.shape == trained.shape == (4, 6, OUTPUTS)
    np.testing.assert_allclose(oracle, trained, atol=1e-12)


@pytest.mark.parametrize("cell", ONE)
@pytest.mark.parametrize("way", ["joined", "parallel"])
def test_both_directions_of_a_window(cell: str, way: str) -> None:
    parts = [Bidirectional(ONE[cell]), Bidirectional(GRU(2))] if way == "joined" else [Bidirectional(ONE[cell], GRU(2))]
    oracle, trained = both_ways(network([*parts, Dense(OUTPUTS)], head="final_states"))
    assert oracle.shape == trained.shape == (4, 1, OUTPUTS)
    np.testing.assert_allclose(oracle, trained, atol=1e-12)
