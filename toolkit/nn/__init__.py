"""Layers with hand-written forward and backward, losses and the optimiser. NumPy; float32 to train, float64 to check."""

from toolkit.nn.network import forward, init_network

__all__ = ["forward", "init_network"]
