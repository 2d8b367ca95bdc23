"""Counts the instructions of every step inside QEMU, on any core: the plugin qemu_count.c, its table and its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from toolkit import elf
from toolkit.build import qemu_plugin
from toolkit.emulate.counter import NO_FUNCTION, NO_LAYER, Profile
from toolkit.emulate.outcome import Counts
from toolkit.errors import ToolkitError

PROBES = ("tl_probe_begin", "tl_probe_end")


class Counter:
    """One run of an image. layers: name -> function that computes it, in the order in which a step calls them; version:
    what `qemu.version` says.

    The plugin sees no registers: of several layers with one function, the first call in a step is the first layer's."""

    def __init__(self, image: Path, folder: Path, layers: Mapping[str, str], version: str) -> None:
        code = [s for s in elf.symbols(image) if s.kind == "code"]
        ends = [*(s.address for s in code[1:]), code[-1].address + code[-1].size]
        self._functions = [s.name for s in code]
        self._layers = [name for f in self._functions for name, own in layers.items() if own == f]
        self._table, self._out = folder / "count.table", folder / "count.out"
        probes = {s.name: s.address for s in code}
        lines = [[*(probes.get(name, 0) for name in PROBES), len(code), len(self._layers)]]
        first = 0
        for s, end in zip(code, ends, strict=True):
            own = sum(f == s.name for f in layers.values())
            lines.append([s.address, s.address + s.size if s.size else end, first, first + own])
            first += own
        self._table.write_text("".join(" ".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")
        self._plugin = qemu_plugin(2 if int(version.split()[-1].split(".")[0]) >= 9 else 1)

    def arguments(self) -> list[str]:
        """What to add to QEMU's command line."""
        return ["-plugin", f"{self._plugin},table={self._table},out={self._out}"]

    def read(self) -> tuple[Counts, Profile]:
        """What a run that has ended counted. Raises: ToolkitError when it counted nothing."""
        lines = self._out.read_text(encoding="utf-8").splitlines() if self._out.is_file() else []
        if not lines:
            raise ToolkitError("QEMU counted nothing: it refused the plugin, or it was killed")
        names, layers = [*self._functions, NO_FUNCTION], [NO_LAYER, *self._layers]
        cells: dict[tuple[str, str], tuple[int, int]] = {}
        entries = {}
        for kind, *words in map(str.split, lines[1:]):
            numbers = [int(word) for word in words]
            if kind == "cell":
                key = names[numbers[0]], layers[numbers[1]]
                cells[key] = (cells.get(key, (0, 0))[0] + numbers[2], 0)  # two static functions may have one name
            else:
                entries[layers[numbers[0]]] = numbers[1]
        return Counts(*map(int, lines[0].split())), Profile(cells, entries, (0, 0, 0))
