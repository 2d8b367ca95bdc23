"""A CSV file as text columns: delimiter, header and the line number of each row."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import ToolkitError, nearest

DELIMITERS = (",", ";", "\t", "|", " ")
ENOUGH = 50  # lines looked at to find the delimiter


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text. `lines[k]` is the line of the file that row k ends on, 1-based."""

    source: str
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str, *, key: str) -> list[str]:
        """The cells of one column.

        Raises: ToolkitError when there is none of that name; `key` is the setting that asked for it."""
        if name not in self.names:
            raise ToolkitError(f"{self.source}: no column `{name}` (asked for by {key}){nearest(name, self.names)}")
        index = self.names.index(name)
        return [row[index] for row in self.rows]


def read_csv(path: str | Path, *, delimiter: str, header: str) -> Table:
    """Reads a CSV file. `delimiter` "auto" or one character; `header` "auto" | "yes" | "no".

    Raises: ToolkitError when the file is missing, unreadable, empty or ragged."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except FileNotFoundError:
        raise ToolkitError(f"{path}: no such file; set data.path to a CSV file") from None
    except UnicodeDecodeError as e:
        raise ToolkitError(f"{path}: not UTF-8 text (byte {e.start}); save it as UTF-8") from None
    except OSError as e:
        raise ToolkitError(f"{path}: cannot read: {e.strerror}") from None
    return parse_csv(text, str(path), delimiter=delimiter, header=header)


def parse_csv(text: str, source: str, *, delimiter: str, header: str) -> Table:
    """The same, from text; `source` is what messages name."""
    if not text.strip():
        raise ToolkitError(f"{source}: the file is empty")
    if delimiter == "auto":
        delimiter = _detect(text)
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as e:
        raise ToolkitError(f"{source}: row {reader.line_num}: not CSV: {e}") from None
    if header == "yes" or (header == "auto" and not any(_is_number(cell) for cell in rows[0])):
        names = tuple(rows.pop(0))
        lines.pop(0)
    else:
        names = tuple(f"column{k + 1}" for k in range(len(rows[0])))
    for name in names:
        if not name or names.count(name) > 1:
            raise ToolkitError(f"{source}: column name `{name}` is {'repeated' if name else 'empty'} in the header")
    if not rows:
        raise ToolkitError(f"{source}: a header but no rows")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise ToolkitError(
                f"{source}: row {line}: {len(row)} cells; expected {len(names)} ({', '.join(names)}), "
                f"delimiter {delimiter!r}; set data.delimiter if that is wrong"
            )
    return Table(source, names, rows, lines)


def _detect(text: str) -> str:
    """The delimiter that cuts the first lines into the same number of cells, the most of them."""
    head = io.StringIO(text).readlines(64 * ENOUGH)[:ENOUGH]
    best, most = ",", 1
    for delimiter in DELIMITERS:
        try:
            widths = {len(row) for row in csv.reader(head, delimiter=delimiter, skipinitialspace=True) if row}
        except csv.Error:
            continue
        if len(widths) == 1 and max(widths) > most:
            best, most = delimiter, max(widths)
    return best


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
