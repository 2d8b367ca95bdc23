"""What a level model should be warned of before it is trained: values, or a level, that it never gets to see."""

from __future__ import annotations

from toolkit.data.prepared import Prepared

MUCH = 0.05  # of the test rows: of a series without trend, about its extremes


def unseen(prepared: Prepared) -> list[str]:
    """A sentence for each target whose level leaves its range of the training rows, or cannot be told at all."""
    if prepared.target != "level":
        return []
    said = []
    for k in prepared.targets:
        name = prepared.columns[k].name
        outside = {s: share for s, share in _outside(prepared, k).items() if share > MUCH}
        if outside:
            named = ", ".join(f"{s} {share:.0%}".strip() for s, share in outside.items())
            said.append(
                f'data.target = "level": {name} leaves its range of the training rows ({named} of the test rows): a '
                f'model of the level has seen no such value there; data.target = "difference" or "log_return" has none'
            )
        kinds = {f.kind for f in prepared.features if f.source == k}
        if kinds and not kinds & {"value", "lag", "mean"}:
            said.append(
                f'data.target = "level": data.features gives the network only {" and ".join(sorted(kinds))} of {name}, '
                f'from which no level can be told; add "{name}", or leave data.features out'
            )
    return said


def _outside(prepared: Prepared, column: int) -> dict[str, float]:
    """Series -> the share of its test rows beyond its own training rows, upward or downward."""
    found = {}
    for name, (a, b), (c, d) in zip(prepared.series, prepared.spans["train"], prepared.spans["test"], strict=True):
        known, new = prepared.values[a:b, column], prepared.values[c:d, column]
        found[name] = float(((new < known.min()) | (new > known.max())).mean()) if len(known) and len(new) else 0.0
    return found
