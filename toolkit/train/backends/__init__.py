"""The backends of training, by name."""

from __future__ import annotations

from toolkit.train.backends.contract import Backend, Batch
from toolkit.train.backends.reference import NumpyBackend

__all__ = ["BACKENDS", "Backend", "Batch"]
BACKENDS = {"numpy": NumpyBackend}
