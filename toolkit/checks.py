"""What a linked image must meet: symbols of our own, instructions that the core has, and room on the chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit import elf, isa
from toolkit.boards import Board, Memory
from toolkit.errors import CheckFailed


def nothing_missing(board: Board, objects: Sequence[Path]) -> None:
    """Raises: CheckFailed when our objects need a symbol that is not our own: the link takes in no library."""
    missing = elf.missing_symbols(objects, "__tl_")
    if missing:
        users = "; ".join(f"{name} (used by {', '.join(sorted(set(by)))})" for name, by in missing.items())
        raise CheckFailed(f"{board.name}: library code is needed: {users}; only mem* and __aeabi_mem* may be")


def nothing_foreign(board: Board, objects: Sequence[Path], image: Path) -> None:
    """Raises: CheckFailed when the image holds a symbol that is not our own."""
    foreign = elf.foreign_symbols(image, objects)
    if foreign:
        raise CheckFailed(f"{board.name}: symbols that are not ours: {', '.join(foreign)}; only mem* may be")


def instructions(board: Board, image: Path) -> None:
    """Raises: CheckFailed when the image holds instructions that the board's core does not have."""
    from toolkit.disassembly import foreign  # here, because loading it takes its time

    found = foreign(image, isa.features(board.core, board.fpu))
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise CheckFailed(f"{board.name}: instructions that a {board.core} does not have: {found[0]}{more}")


def room(board: Board, memory: Memory, image: Path, sizes: Mapping[str, int]) -> None:
    """Raises: CheckFailed with the table of what takes the room when the image is over the chip or the budget."""
    wants = (
        ("flash", sizes["flash"], memory.flash.length, "the chip has"),
        ("ram", sizes["ram"] + memory.stack, memory.ram.length, f"with {memory.stack} of stack; the chip has"),
        ("flash", sizes["flash"], board.budget.flash, "the budget allows"),
        ("ram", sizes["ram"], board.budget.ram, "without the stack; the budget allows"),
    )
    over = [f"{what} {used} bytes, {why} {most}" for what, used, most, why in wants if most is not None and used > most]
    if not over:
        return
    kinds = ("weights", "tables", "code", "vectors", "firmware", "data", "bss")
    lines = [f"{board.name}: the image does not fit: {'; '.join(over)}"]
    lines += [f"  {kind:<24}{sizes[kind]:>10}" for kind in kinds]
    lines += ["  the largest symbols:"]
    for symbol in elf.largest(image, 10):
        lines.append(
            f"    {symbol.name:<22}{symbol.size:>10}  {'flash' if symbol.kind in ('code', 'const') else 'ram'}"
        )
    raise CheckFailed("\n".join(lines))
