"""The layout of csrc/tl_mve_w8a8.h: the weights of 8 units, gate after gate, in the order in which a step uses them."""

from __future__ import annotations

import numpy as np

from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices
from toolkit.codegen.pack_w8a8 import numbers, scales

UNITS, ROWS, COLUMNS = 8, 4, 16


def lstm_mve(q: QLayer) -> Packed | None:
    """None with gemmlowp's activations: the kernel has the table's alone."""
    if not q.params["table"]:
        return None
    size = lstm_w8a8.hidden_size(q)
    wx, wh, bx, bh = (q.arrays[k].reshape(4, size, -1) for k in ("wx", "wh", "bx", "bh"))
    w: list[np.ndarray] = []
    b: list[np.ndarray] = []
    for block in range(0, size, UNITS):
        for gate in range(4):
            for unit in range(block, min(block + UNITS, size), ROWS):
                units = slice(unit, unit + ROWS)
                w += [_rows(wx[gate, units], COLUMNS), _rows(wh[gate, units], COLUMNS)]
                b += [_rows(bx[gate, units], 1), _rows(bh[gate, units], 1)]
    order = "of 8 units: i, f, g, o; per 4 units of x, then of h"
    arrays = (
        PackedArray(
            "w", "int8_t", np.concatenate(w), f"weights {order}; per 16 columns, 16 of each; padded with 0", None
        ),
        PackedArray("b", "int32_t", np.concatenate(b), f"biases {order}", None),
        *scales(q),
    )
    groups = sum(-(-m.shape[2] // COLUMNS) for m in (wx, wh))  # of columns, in each row
    per_block = (("w", 4 * UNITS * COLUMNS * groups), ("b", 2 * 4 * UNITS))
    slices = Slices(UNITS, per_block, (("units", "uint16_t", 1),))
    return Packed("tl_lstm_w8a8_mve", arrays, (*((k, f"@{k}") for k in "wbms"), *numbers(q)), slices)


def _rows(w: np.ndarray, group: int) -> np.ndarray:
    """Up to 4 rows -> [group of columns, row, column], flat."""
    padded = np.zeros((ROWS, -(-w.shape[1] // group) * group), w.dtype)
    padded[: len(w), : w.shape[1]] = w
    return np.ascontiguousarray(padded.reshape(ROWS, -1, group).swapaxes(0, 1)).reshape(-1)
