"""How a target lays out a layer's weights: arrays, and the fields of its parameter struct. The oracle never knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize import norm
from quantize.ops import dense_hidden, gru, lstm, lstm_norm, rows
from quantize.qnetwork import QLayer


@dataclass(frozen=True, slots=True, eq=False)
class PackedArray:
    """`static const <ctype> <layer>_<suffix>[...]`. `rows`: a label per row of a matrix, or None for a vector."""

    suffix: str
    ctype: str
    array: np.ndarray
    meaning: str
    rows: list[str] | None


@dataclass(frozen=True, slots=True)
class Slices:
    """How a kernel is given some of a layer's units: whole blocks of `block` units.

    `pointers`: (field, elements per block) that move on to the first block; `counts`: (field, C type, value per unit)
    that say how many units there are."""

    block: int
    pointers: tuple[tuple[str, int], ...]
    counts: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """`static const <struct> <layer> = { .<field> = <value>, ... }`; a value "@w" points to the array with suffix w.

    `slices` None: the kernel computes the whole layer or nothing.
    `code`: lines of C that the struct needs before it, such as a loop made for this shape. In these lines and in the
    fields' values "{layer}" stands for the layer's name."""

    struct: str
    arrays: tuple[PackedArray, ...]
    fields: tuple[tuple[str, str], ...]
    slices: Slices | None = None
    code: tuple[str, ...] = ()


def lstm_ref(q: QLayer) -> Packed:
    """The reference layout: rows i0 .. o[H-1], unpacked."""
    arrays, fields, slices = _rows_ref(q, lstm.GATES, lstm.gains(lstm.hidden_size(q)))
    return Packed("tl_lstm_w8a16", arrays, (*fields, ("frac", str(q.params["frac"]))), slices)


def gru_ref(q: QLayer) -> Packed:
    """The reference layout: rows r0 .. n[H-1], unpacked. Reset before needs every r first: no slices."""
    arrays, fields, slices = _rows_ref(q, gru.GATES, gru.gains(gru.hidden_size(q)))
    after = gru.reset_after(q)
    return Packed("tl_gru_w8a16", arrays, (*fields, ("reset_after", str(int(after)))), slices if after else None)


def _rows_ref(
    q: QLayer, gates: str, gains: np.ndarray
) -> tuple[tuple[PackedArray, ...], tuple[tuple[str, str], ...], Slices]:
    a, p, size = q.arrays, q.params, rows.hidden_size(q)
    scale = rows.row_scale(q, gains).tolist()  # Python's own floats are written three times as fast
    labels = [f"{gate}{unit}" for gate in gates for unit in range(size)]
    unit = 2.0 ** -p["f"]
    rows_h = [f"{label} {s:.7g}" for label, s in zip(labels, scale, strict=True)]
    rows_x = [f"{label} {s * unit:.7g}" for label, s in zip(labels, scale, strict=True)]
    wide = a["wx"].dtype == np.int16
    arrays = (
        PackedArray("wh", "int8_t", a["wh"], "recurrent weights [row][unit]; real = w * the row's number", rows_h),
        PackedArray(
            "wx",
            f"{a['wx'].dtype}_t",
            a["wx"],
            "input weights [row][input]; in normalised units, real = w * the row's number",
            rows_x,
        ),
        PackedArray("b", "int32_t", a["b"], "biases [row], with the rounding of the requantization", None),
        PackedArray("m", "int16_t", a["m"], "multipliers of the requantization [row]", None),
    )
    fields = (
        ("wh", "@wh"),
        ("wx16" if wide else "wx8", "@wx"),
        ("b", "@b"),
        ("m", "@m"),
        ("inputs", str(rows.input_size(q))),
        ("hidden", str(size)),
        ("units", str(size)),
        ("t", str(p["t"])),
        ("f", str(p["f"])),
    )
    inputs = ("wx16" if wide else "wx8", rows.input_size(q))
    return arrays, fields, Slices(1, (("wh", size), inputs, ("b", 1), ("m", 1)), (("units", "uint16_t", 1),))


def lstm_norm_ref(q: QLayer) -> Packed:
    """The reference layout, the only one. A norm needs every unit: no slices."""
    a, size = q.arrays, rows.hidden_size(q)
    labels = [f"{gate}{unit}" for gate in lstm_norm.GATES for unit in range(size)]
    meanings = {
        "wx": "input weights [row][input], one scale",
        "bx": "biases of the input part [row]",
        "wh": "recurrent weights [row][unit]",
        "b": "biases [row], with the offset of the norm of the input part",
        "m": "multipliers of the requantization [row]",
        "gx": "gains of the norm of the input part [row]",
        "gc": "gains of the norm of c [unit]",
        "gh": "gains of the norm of h [unit]",
        "oc": "offsets of the norm of c [unit]",
        "oh": "offsets of the norm of h [unit]",
    }
    arrays = tuple(
        PackedArray(k, f"{a[k].dtype}_t", a[k], text, labels if a[k].ndim == 2 else None)
        for k, text in meanings.items()
    )
    norms = {f"{v}{part}": number for part, n in (("x", 4 * size), ("h", size)) for v, number in _norm_size(n).items()}
    plain = {"inputs": rows.input_size(q), "hidden": size, **norms}
    plain |= {k: v for k, v in q.params.items() if k != "h_exp"}
    fields = (*((k, f"@{k}") for k in meanings), *((k, str(v)) for k, v in plain.items()))
    return Packed("tl_lstm_norm_w8a16", arrays, fields)


def _norm_size(n: int) -> dict[str, int]:
    return dict(zip("kr", norm.reciprocal(n), strict=True))


def dense_ref(q: QLayer) -> Packed:
    """The reference layout."""
    labels = [f"y{row}" for row in range(len(q.arrays["w"]))]
    return Packed(
        "tl_dense_w16a16",
        (
            PackedArray("w", "int16_t", q.arrays["w"], "weights [output][unit]", labels),
            PackedArray("b", "int32_t", q.arrays["b"], "biases [output]", None),
        ),
        (("w", "@w"), ("b", "@b"), ("inputs", str(q.arrays["w"].shape[1])), ("outputs", str(len(labels)))),
    )


def dense_hidden_ref(q: QLayer) -> Packed:
    """The reference layout, the only one."""
    size, inputs = q.arrays["w"].shape
    labels = [f"h{row}" for row in range(size)]
    return Packed(
        "tl_dense_hidden_w16a16",
        (
            PackedArray("w", "int16_t", q.arrays["w"], "weights [unit][input]", labels),
            PackedArray("b", "int32_t", q.arrays["b"], "biases [unit], with the rounding of the requantization", None),
            PackedArray("m", "int16_t", q.arrays["m"], "multipliers of the requantization [unit]", None),
        ),
        (
            *((k, f"@{k}") for k in "wbm"),
            ("inputs", str(inputs)),
            ("units", str(size)),
            ("t", str(q.params["t"])),
            ("function", f"TL_{(dense_hidden.FUNCTIONS[q.params['function']] or 'linear').upper()}"),
        ),
        Slices(1, (("w", inputs), ("b", 1), ("m", 1)), (("units", "uint16_t", 1),)),
    )
