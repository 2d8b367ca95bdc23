"""The parameter structs of the cells of ref, v6m, v7m and rv32 as bytes of a 32-bit core."""

from __future__ import annotations

from collections.abc import Mapping

from toolkit.codegen.pack import Packed

_ROWS = ("wh", "wx16", "wx8")
_V6M = ("w", "inputs", "hidden", "units", "first", "wide", "t", "f", "frac", "reset_after")
_LAYOUTS = {
    **{f"tl_{op}_w8a16_{target}": _V6M for op in ("lstm", "gru") for target in ("v6m", "v7m")},
    **{
        f"tl_{op}_w8a16_rv32": (*_ROWS, "bm", "inputs", "hidden", "units", "first", "f", "frac", "t", "reset_after")
        for op in ("lstm", "gru")
    },
    "tl_lstm_w8a16": (*_ROWS, "b", "m", "inputs", "hidden", "units", "t", "f", "frac"),
    "tl_gru_w8a16": (*_ROWS, "b", "m", "inputs", "hidden", "units", "first", "t", "f", "reset_after"),
}
_BYTES = {**dict.fromkeys(("w", *_ROWS, "b", "m", "bm"), 4), **dict.fromkeys(("inputs", "hidden", "units", "first"), 2)}


def struct_bytes(packed: Packed, addresses: Mapping[str, int]) -> bytes:
    """A layer's struct; addresses: "@<suffix>" -> where that array lies. What the layer does not say is 0."""
    fields = dict(packed.fields)
    block = b""
    for name in _LAYOUTS[packed.struct]:
        value = fields.pop(name, "0")
        number = addresses[value] if value.startswith("@") else int(value)
        block += number.to_bytes(_BYTES.get(name, 1), "little")
    assert not fields, "a field without a place"
    return block
