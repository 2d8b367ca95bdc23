"""Writes docs/config.md: every key of a run.toml, from the dataclasses of toolkit/config.py and their comments."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from toolkit.config import SECTIONS

PAGE = Path(__file__).resolve().parent / "config.md"


def page() -> str:
    """The page's text."""
    lines = [
        "# The keys of a run.toml",
        "",
        "Made by `python docs/config.py` from `toolkit/config.py`. `name`, at the top, is the prefix of the C.",
        "A key is set in the file, by `TEALIGHT_SECTION__KEY=value` in the environment, or by",
        "`--set section.key=value`; the last wins. An unknown key is an error.",
    ]
    for name, kind in SECTIONS.items():
        notes = comments(kind)
        lines += [
            "",
            f"## [{name}]",
            "",
            f"{(kind.__doc__ or '').strip()}",
            "",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        for f in dataclasses.fields(kind):
            default = f.default if f.default is not dataclasses.MISSING else {}
            choices = ", ".join(f"`{c}`" for c in f.metadata["choices"] if c != "")
            meaning = "; ".join(t for t in (notes.get(f.name, ""), f"one of {choices}" if choices else "") if t)
            lines.append(f"| `{f.name}` | `{shown(default)}` | {meaning} |")
    return "\n".join(lines) + "\n"


def shown(default: object) -> str:
    """A default as TOML."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str):
        return f'"{default}"'
    return str(list(default)).replace("'", '"') if isinstance(default, tuple) else str(default)


def comments(kind: type) -> dict[str, str]:
    """Field name -> the comment at the end of its definition."""
    found, key = {}, ""
    for line in inspect.getsource(kind).splitlines():
        start = re.match(r"    (\w+): ", line)
        key = start[1] if start else key
        note = re.search(r"\s# (.*)$", line)
        if note and key:
            found[key] = note[1].replace("|", "\\|")
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
