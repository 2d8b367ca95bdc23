"""The native backend: fused kernels in C, opened by Cython or cffi; NumPy for what they lack."""

from __future__ import annotations

from toolkit.train.backends.native.engine import Engine
