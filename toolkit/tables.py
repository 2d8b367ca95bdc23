"""Reads tables of a TOML file key by key; every mistake is named with its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from toolkit.errors import ToolkitError, nearest


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


class Table:
    """One table of a TOML file: gives out values by kind and refuses what nobody asked for."""

    def __init__(self, path: str, prefix: str, values: Mapping[str, Any]) -> None:
        self.path, self.prefix, self.values = path, prefix, values
        self.asked: set[str] = set()

    def wrong(self, key: str, expected: str) -> NoReturn:
        found = self.values.get(key)
        shown = repr(found)
        if isinstance(found, (str, bool)):  # as TOML writes them
            shown = f'"{found}"' if isinstance(found, str) else shown.lower()
        raise ToolkitError(f"{self.path}: {self.prefix}{key} = {shown}: expected {expected}")

    def _take(self, key: str, good: Callable[[Any], bool], expected: str, absent: Any) -> Any:
        self.asked.add(key)
        if key not in self.values:
            if absent is ...:
                for near in difflib.get_close_matches(key, [k for k in self.values if k not in self.asked], 1, 0.6):
                    raise ToolkitError(f'{self.path}: unknown key {self.prefix}{near}; did you mean "{key}"?')
                raise ToolkitError(f"{self.path}: {self.prefix}{key} is missing: expected {expected}")
            return absent
        if not good(self.values[key]):
            self.wrong(key, expected)
        return self.values[key]

    def text(self, key: str, expected: str, absent: Any = ...) -> str:
        return str(self._take(key, lambda v: isinstance(v, str), expected, absent))

    def one_of(self, key: str, known: Collection[str], absent: Any = ...) -> str:
        value = self.text(key, f"one of {', '.join(sorted(known))}", absent)
        if value not in known and value != absent:
            raise ToolkitError(f'{self.path}: {self.prefix}{key} = "{value}": not known{nearest(value, known)}')
        return value

    def integer(self, key: str, expected: str, absent: Any = ...) -> Any:
        return self._take(key, lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0, expected, absent)

    def flag(self, key: str, absent: Any = ...) -> bool:
        return bool(self._take(key, lambda v: isinstance(v, bool), "true or false", absent))

    def texts(self, key: str, expected: str = 'e.g. ["-DX=1"]') -> tuple[str, ...]:
        found = self._take(key, lambda v: _list_of(str, v), expected, [])
        return tuple(found)

    def table(self, key: str, expected: str, absent: Any = ...) -> Table | None:
        found = self._take(key, lambda v: isinstance(v, dict), expected, absent)
        return None if found is None else Table(self.path, f"{self.prefix}{key}.", found)

    def tables(self, key: str, expected: str) -> list[Table]:
        found = self._take(key, lambda v: _list_of(dict, v), expected, [])
        return [Table(self.path, f"{self.prefix}{key}[{i}].", t) for i, t in enumerate(found)]

    def finish(self) -> None:
        for key in self.values:
            if key not in self.asked:
                raise ToolkitError(f"{self.path}: unknown key {self.prefix}{key}{nearest(key, self.asked)}")
