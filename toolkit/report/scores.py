"""The metrics of each target and horizon, of the network beside every baseline: for report.json and for the page."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from toolkit.report.files import RunFiles

ORDER = ("persistence", "seasonal", "linear_ar", "float", "quantized")
VALUES = ("mae", "rmse", "mase", "smape", "r2", "direction")
CLASSES = ("accuracy", "f1")
HEADINGS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "mase": "MASE",
    "smape": "sMAPE, %",
    "r2": "R²",
    "direction": "Direction, %",
    "accuracy": "Accuracy, %",
    "f1": "F1, macro",
}


def scores(files: RunFiles) -> list[dict[str, Any]]:
    """An entry for each target, horizon and method; with the quantized network once there is one."""
    found = (files.quantize or {}).get("metrics") or (files.train or {}).get("metrics") or []
    return [
        {
            "target": row["name"],
            "unit": row["unit"],
            "horizon": row["horizon"],
            "method": method,
            **{k: row[method].get(k) for k in (*VALUES, *CLASSES)},
            **({"direction": None} if method == "persistence" else {}),  # it tells no change
            "skill": [{"over": k, **row[method]["skill"][k]} for k in ORDER if k in row[method].get("skill", {})],
            "quantiles": row[method].get("quantiles", []),
        }
        for row in found
        for method in ORDER
        if method in row
    ]


def tables(rows: list[dict[str, Any]], labels: dict[str, str]) -> list[dict[str, Any]]:
    """A table for each target, of texts: `columns`, and `groups`, a horizon's rows each; of levels the same."""
    return [_table(name, list(mine), labels) for name, mine in groupby(rows, lambda r: str(r["target"]))]


def _table(name: str, rows: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, Any]:
    keys = [k for k in (*VALUES, *CLASSES) if any(r[k] is not None for r in rows)]
    groups, levels = list[dict[str, Any]](), list[dict[str, Any]]()
    for horizon, some in groupby(rows, lambda r: int(r["horizon"])):
        mine = [(labels[r["method"]], r) for r in some]
        lines = [(label, [*(_cell(k, r[k]) for k in keys), _skill(r)]) for label, r in mine]
        groups.append({"horizon": horizon, "rows": lines})
        of_levels = [(label, cells) for label, r in mine for cells in _levels(r)]
        if of_levels:
            levels.append({"horizon": horizon, "rows": of_levels})
    return {"name": name, "columns": [_heading(k, rows[0]["unit"]) for k in keys], "groups": groups, "levels": levels}


def _heading(key: str, unit: str) -> str:
    return f"{HEADINGS[key]} {unit}".strip() if key in ("mae", "rmse") else HEADINGS[key]


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    if key in ("direction", "accuracy"):
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if key in ("r2", "mase", "f1") else f"{value:.4g}"


def _skill(row: dict[str, Any]) -> str:
    """Over the last value, with its interval; – for a baseline."""
    s = next((s for s in row["skill"] if s["over"] == "persistence"), None)
    return "–" if s is None else f"{100 * s['skill']:.1f} ({100 * s['low']:.1f} to {100 * s['high']:.1f})"


def _levels(row: dict[str, Any]) -> list[list[str]]:
    return [[f"{q['level']:g}", f"{q['pinball']:.4g}", f"{100 * q['coverage']:.1f}"] for q in row["quantiles"]]
