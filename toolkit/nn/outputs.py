"""A network's output columns: one for each number that the head gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quantize.network import Column


def output_columns(
    values: Sequence[Column], output: str, *, levels: Sequence[float], classes: Sequence[int]
) -> tuple[Column, ...]:
    """`values`: what is learnt, target by target, horizon by horizon; `output`: one of quantize.network.OUTPUTS.

    Of quantile a column for each level, of gaussian the value and its log(sigma) in normalised units, of class one for
    each of `classes`."""
    made: list[Column] = []
    for c in values:
        plain = replace(c, unit="", decimals=3, mean=0.0, std=1.0)
        if output == "quantile":
            made += [replace(c, name=f"{c.name}_q{100 * q:g}") for q in levels]
        elif output == "gaussian":
            made += [c, replace(plain, name=f"{c.name}_log_sigma")]
        elif output == "class":
            made += [replace(plain, name=f"{c.name}_is_{label}") for label in classes]
        else:
            made.append(c)
    return tuple(made)
