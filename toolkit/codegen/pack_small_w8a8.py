"""The layouts of the scheme w8a8 on v6m and v7m (csrc/tl_v6m_w8a8.h) and on rv32 (csrc/tl_rv32_w8a8.h)."""

from __future__ import annotations

import numpy as np

from quantize.ops import lstm_w8a8
from quantize.qnetwork import QLayer
from toolkit.codegen.pack import Packed, PackedArray, Slices
from toolkit.codegen.pack_small import four_rows, units_of
from toolkit.codegen.pack_w8a8 import SCALED, numbers


def _fits(q: QLayer) -> bool:
    """Whether csrc/tl_unit_w8a8.h has the activations, and twice a sum fits int32."""
    return bool(q.params["table"]) and int(lstm_w8a8.bounds(q).max()) < 2**30


def _scaling(q: QLayer) -> PackedArray:
    s = q.arrays["s"].astype(np.int64)
    right = np.maximum(-s, 0)
    words = np.stack([q.arrays["m"].astype(np.int64), np.maximum(s, 0) + 1, right, 1 << right >> 1], axis=1)
    meaning = f"[multiplier, shift left + 1, shift right, half], {SCALED}"
    return PackedArray("m", "int32_t", words.reshape(-1).astype(np.int32), meaning, None)


def lstm_chain(q: QLayer) -> Packed | None:
    """The stream of csrc/tl_v6m_w8a8.h, one row per hidden unit. None: gemmlowp's activations, or sums beyond 2^30."""
    if not _fits(q):
        return None
    wx, wh, bx, bh = (units_of(q.arrays[k], 4) for k in ("wx", "wh", "bx", "bh"))
    stream = np.concatenate([four_rows(wx), bx[:, :, 0], four_rows(wh), bh[:, :, 0]], axis=1) & 0xFFFF_FFFF
    labels = [f"unit {unit}" for unit in range(len(stream))]
    meaning = "[unit]: x i << 24 | (f + 128) << 16 | (g + 128) << 8 | o + 128, 4 biases; h likewise"
    return Packed(
        "tl_lstm_w8a8_v6m",
        (PackedArray("w", "uint32_t", stream.astype(np.uint32), meaning, labels), _scaling(q)),
        (("w", "@w"), ("m", "@m"), *numbers(q)),
        Slices(1, (("w", stream.shape[1]),), (("units", "uint16_t", 1),)),
    )


def lstm_rv32(q: QLayer) -> Packed | None:
    """The blocks of csrc/tl_rv32_w8a8.h, two hidden units each. None as above."""
    if not _fits(q):
        return None
    size = lstm_w8a8.hidden_size(q)
    blocks = -(-size // 2)

    def tiles(name: str) -> np.ndarray:
        """[block][column][unit, gate], zeros behind an odd last unit."""
        padded = np.pad(units_of(q.arrays[name], 4), ((0, 2 * blocks - size), (0, 0), (0, 0)))
        return np.swapaxes(padded.reshape(blocks, 8, -1), 1, 2).reshape(blocks, -1)

    w, b = (np.concatenate([tiles(x), tiles(h)], axis=1) for x, h in (("wx", "wh"), ("bx", "bh")))
    pairs = [f"units {2 * k}, {2 * k + 1}" for k in range(blocks)]
    order = "i, f, g, o of a unit and of the next"
    return Packed(
        "tl_lstm_w8a8_rv32",
        (
            PackedArray("w", "int8_t", w.astype(np.int8), f"weights [block][column of x, of h]: {order}", pairs),
            PackedArray("b", "int32_t", b.astype(np.int32), f"biases [block][of x, of h]: {order}", pairs),
            _scaling(q),
        ),
        (*((k, f"@{k}") for k in "wbm"), *numbers(q)),
        Slices(2, (("w", w.shape[1]), ("b", 16)), (("units", "uint16_t", 1),)),
    )
