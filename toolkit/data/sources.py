"""The tables of [data]: a demo series, a CSV file, a file of several series, or a folder of files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.config import Data
from toolkit.data.csvfile import Table, read_csv
from toolkit.data.demo import read_demo
from toolkit.data.made import MADE
from toolkit.errors import ToolkitError, nearest

DEMO: dict[str, dict[str, Any]] = {
    "glucose": {
        "file": "CGM.csv.gz",
        "date": "datetime",
        "inputs": ("glucose",),
        "units": {"glucose": "mg/dL", "isig": "nA"},
    },
    "sea": {
        "file": "sea_surface_temperature.csv.gz",
        "date": "time (UTC)",
        "inputs": ("temperature (celsius)",),
        "units": {"temperature (celsius)": "°C"},
        "missing": "drop",
    },
    "stocks": {
        "file": "stocks.csv.gz",
        "date": "Date",
        "inputs": ("Adj Close",),
        "units": {"Adj Close": "$"},
        "series_column": "Ticker",
        "gaps": False,
    },
    "sequences": {"date": "time", "inputs": ("value",)},
    "sine": {"date": "", "inputs": ("value",)},
    "fibonacci": {"date": "time", "inputs": ("ratio",)},
}
"""What [data] is, where a demo series is asked for and the file does not say otherwise; without `file` it is made."""


def read_tables(data: Data) -> tuple[dict[str, Table], Data]:
    """(series name -> its table, [data] with what a demo series brings along). One series has the name "".

    Raises: ToolkitError, one line, for a file or folder that is missing, empty or not CSV, or an unknown series."""
    if data.series:
        data = _with_defaults(data)
        table = MADE[data.series]() if data.series in MADE else read_demo(DEMO[data.series]["file"])
        tables = split_by_column(table, data.series_column)
    elif Path(data.path).is_dir():
        files = sorted(Path(data.path).glob("*.csv"))
        if not files:
            raise ToolkitError(
                f"{data.path}: no .csv file in this folder; set data.path to a CSV file or such a folder"
            )
        tables = {f.stem: read_csv(f, delimiter=data.delimiter, header=data.header) for f in files}
        for name, table in tables.items():
            first = tables[files[0].stem]
            if table.names != first.names:
                raise ToolkitError(f"{table.source}: columns {', '.join(table.names)}; {first.source} has others")
            if data.series_column:
                raise ToolkitError(f"data.series_column: {data.path} is a folder: each file is one series ({name})")
    else:
        table = read_csv(data.path, delimiter=data.delimiter, header=data.header)
        tables = split_by_column(table, data.series_column)
    for name in data.only:
        if name not in tables:
            raise ToolkitError(f'data.only: no series "{name}"{nearest(name, tables)}')
    return {k: t for k, t in tables.items() if not data.only or k in data.only}, data


def _with_defaults(data: Data) -> Data:
    brings = DEMO[data.series]
    inputs = data.inputs or brings["inputs"]
    return replace(
        data,
        date=data.date or brings["date"],
        inputs=inputs,
        targets=data.targets or (() if len(inputs) == 1 else brings["inputs"]),
        units={**brings.get("units", {}), **data.units},
        repeats="drop",
        missing=data.missing if data.missing != "error" else brings.get("missing", "error"),
        series_column=data.series_column or brings.get("series_column", ""),
        gaps=brings.get("gaps", data.gaps),
    )


def split_by_column(table: Table, column: str) -> dict[str, Table]:
    """One table for each value of the column, in the order of their first rows; without a column, the table itself."""
    if not column:
        return {"": table}
    names = table.column(column, key="data.series_column")
    parts: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        parts.setdefault(name, []).append(k)
    return {
        name: Table(f"{table.source}, {name}", table.names, [table.rows[k] for k in at], [table.lines[k] for k in at])
        for name, at in parts.items()
    }
