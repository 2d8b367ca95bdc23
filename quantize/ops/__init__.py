"""One file per op; OPS is the registry that quantize, oracle, codegen and tests read."""

from __future__ import annotations

from types import ModuleType

from quantize.ops import dense, gru, lstm

OPS: dict[str, ModuleType] = {"lstm": lstm, "gru": gru, "dense": dense}
