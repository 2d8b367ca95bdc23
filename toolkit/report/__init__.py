"""The report of a run: report.json for programs, report.html and a summary for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from toolkit.errors import write_whole
from toolkit.report.files import read_run
from toolkit.report.gather import gather
from toolkit.report.page import page
from toolkit.report.terminal import summary

__all__ = ["summary", "write_report"]


def write_report(run: Path) -> dict[str, Any]:
    """Gathers what the stages of a run left, and writes report.json and report.html. Returns the former.

    The same files give the same bytes. Raises: ToolkitError or QuantizeError when a file is damaged."""
    files = read_run(run)
    report = gather(run, files)
    html = page(files, report)
    write_whole(run / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    write_whole(run / "report.html", html)
    return report
