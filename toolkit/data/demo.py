"""The demo series, from the package bokeh_sampledata (read, not imported)."""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path

from toolkit.data.csvfile import Table, parse_csv
from toolkit.errors import ToolkitError

INSTALL = "pip install --no-deps bokeh_sampledata==2026.1"


def read_demo(name: str) -> Table:
    """A gzipped CSV file of the package.

    Raises: ToolkitError when the package is not installed or its file is damaged."""
    spec = importlib.util.find_spec("bokeh_sampledata")
    if spec is None or not spec.submodule_search_locations:
        raise ToolkitError(f"the demo series needs the package bokeh_sampledata: {INSTALL}")
    path = Path(next(iter(spec.submodule_search_locations))) / "_data" / name
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        raise ToolkitError(f"bokeh_sampledata holds no readable {name}; install it again: {INSTALL}") from None
    return parse_csv(text, f"bokeh_sampledata {name}", delimiter=",", header="yes")
