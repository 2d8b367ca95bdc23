"""What `export --to onnx` puts into a model's metadata, read back: columns, period and the like."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

from quantize.features import front_from
from quantize.network import MISSING, OUTPUTS, Column, Network
from toolkit.errors import ToolkitError

KEY = "tealight"


def restored(network: Network, text: str) -> Network:
    """With the columns, the period and so on that our own exporter put into the metadata.

    Raises: ToolkitError where they do not fit."""
    try:
        d = json.loads(text)
        sides: dict[str, Any] = {side: tuple(Column(**c) for c in d[side]) for side in ("inputs", "outputs")}
        more = {k: d[k] for k in ("horizon", "period", "missing", "max_gap", "output")}
        made = replace(network, **sides, **more, levels=tuple(d["levels"]), front=front_from(d["front"]))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as e:
        raise ToolkitError(f'metadata "{KEY}" is damaged ({e}); export it again, or remove it') from None
    good = made.missing in MISSING and made.output in OUTPUTS and all(_good(c) for s in sides.values() for c in s)
    if not good or any(len(sides[s]) != len(getattr(network, s)) for s in sides):
        raise ToolkitError(f'metadata "{KEY}" does not describe this model; export it again, or remove it')
    return made


def _good(c: Column) -> bool:
    numbers = all(isinstance(v, int | float) and math.isfinite(v) for v in (c.mean, c.std, c.decimals, c.horizon))
    return numbers and c.std > 0 and isinstance(c.name, str) and isinstance(c.unit, str)
