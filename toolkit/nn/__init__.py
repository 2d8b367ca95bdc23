"""Layers with hand-written forward and backward, losses and optimisers. NumPy; float32 or float64."""

from toolkit.nn.layers import GRU, LSTM, RNN, Bidirectional, Dense, Dropout, LSTMNorm, Residual, init_network
from toolkit.nn.network import forward

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "Dense",
    "Dropout",
    "LSTMNorm",
    "Residual",
    "forward",
    "init_network",
]
