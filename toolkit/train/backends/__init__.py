"""The backends of training, by name. Each is made from [train], [model] and a seed."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.config import Model, Train
from toolkit.errors import ToolkitError
from toolkit.train.backends.contract import Backend, Batch
from toolkit.train.backends.native import NativeBackend
from toolkit.train.backends.reference import NumpyBackend

__all__ = ["BACKENDS", "Backend", "Batch"]


def _torch(learning: Train, model: Model, seed: int) -> Backend:
    try:
        from toolkit.train.backends.torch_backend import TorchBackend
    except ImportError:
        raise ToolkitError('train.backend = "torch": PyTorch is not installed: pip install torch') from None
    return TorchBackend(learning, model, seed)


BACKENDS: dict[str, Callable[[Train, Model, int], Backend]] = {
    "native": NativeBackend,
    "numpy": NumpyBackend,
    "torch": _torch,
}
