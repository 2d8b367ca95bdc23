"""Layers with hand-written forward and backward, losses and optimisers (NumPy; float32 or float64), and the models
that are made of them from Python: toolkit.nn.sequential has an example."""

from toolkit.config import Data
from toolkit.nn.dataset import Dataset, batches, judged, load_dataset
from toolkit.nn.layers import GRU, LSTM, RNN, Bidirectional, Dense, Dropout, LSTMNorm, Residual, init_network
from toolkit.nn.network import forward
from toolkit.nn.sequential import Sequential

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "Data",
    "Dataset",
    "Dense",
    "Dropout",
    "LSTMNorm",
    "Residual",
    "Sequential",
    "batches",
    "forward",
    "init_network",
    "judged",
    "load_dataset",
]
