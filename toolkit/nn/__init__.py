"""Layers with hand-written forward and backward, the loss and the optimiser. NumPy; float32 or float64."""

from toolkit.nn.network import forward, init_network

__all__ = ["forward", "init_network"]
