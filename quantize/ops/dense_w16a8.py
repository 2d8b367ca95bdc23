"""Dense head on int8 h (scheme w8a8): y = W h + b. Arrays as in dense.py; `b` would carry the zero point of h."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantize.network import Column, Layer
from quantize.ops import dense
from quantize.qnetwork import QLayer, QOutput

KERNEL = "dense_w16a8"
STATE: dict[str, str] = {}
DTYPES, PARAMS = dense.DTYPES, dense.PARAMS
TOP = 128  # 1.0 of h
UNIT = 1 / TOP
output_size, input_size, shapes, macs, int_step = (
    dense.output_size,
    dense.input_size,
    dense.shapes,
    dense.macs,
    dense.int_step,
)


def quantize(layer: Layer, outputs: Sequence[Column]) -> tuple[QLayer, tuple[QOutput, ...]]:
    """As dense.quantize. Raises: QuantizeError."""
    return dense.quantize_for(layer, outputs, "dense_w16a8", TOP)


def bounds(q: QLayer) -> np.ndarray:
    """Largest possible |y| per row; must be < 2**31."""
    return dense.bounds_for(q, TOP)


def fits(q: QLayer) -> np.ndarray:
    """Rows whose accumulator provably fits int32."""
    return np.asarray(bounds(q) < 2**31)
