"""Which hashes were compared, and whether they are equal. True is said only of what was compared."""

from __future__ import annotations

from typing import Any

from toolkit.report.files import BoardFiles


def mark(found: dict[str, Any] | None) -> tuple[int, str] | None:
    """(steps, run hash) of a vectors.json, host.json or run.json; None unless it has both."""
    if found is None or not found.get("hash") or not found.get("steps"):
        return None
    return int(found["steps"]), str(found["hash"])


def host_parity(files: BoardFiles) -> bool:
    """The folder's C, compiled for this computer, against the oracle."""
    return files.host is not None and bool(files.host.get("equal")) and _equal(files.vectors, files.host)


def board_parity(files: BoardFiles) -> bool:
    """The image against the oracle: it passed, over as many steps as were asked, with the oracle's run hash."""
    ran = files.ran
    if ran is None or not ran.get("passed") or ran.get("steps") != ran.get("steps_asked"):
        return False
    return _equal(files.vectors, ran)


def parity(boards: dict[str, BoardFiles], wanted: tuple[str, ...]) -> dict[str, Any]:
    """The report's `parity`. `equal` needs the host, and every board that ran, equal to one and the same oracle run."""
    oracles = [m for b in boards.values() if (m := mark(b.vectors))]
    hosts = [m for name in sorted(boards, key=lambda n: n != "host") if (m := mark(boards[name].host))]
    ran = [n for n, b in boards.items() if b.ran is not None or "run.json" in b.stale]
    hosted = [n for n, b in boards.items() if b.host is not None or "host.json" in b.stale]
    host_fine = bool(hosted) and all(host_parity(boards[n]) for n in hosted)
    fine = host_fine and all(board_parity(boards[n]) for n in ran)
    marks = {m for b in boards.values() for m in (mark(b.vectors), mark(b.host), mark(b.ran)) if m}
    return {
        "oracle": oracles[0][1] if oracles else None,
        "host": hosts[0][1] if hosts else None,
        "steps": oracles[0][0] if oracles else None,
        "equal": bool(fine and oracles and len(marks) == 1),
        "compared": [*(["host"] if host_fine else []), *(n for n in ran if n != "host" and board_parity(boards[n]))],
        "not_run": [n for n in dict.fromkeys((*wanted, *boards)) if n not in ran and n not in hosted],
    }


def _equal(oracle: dict[str, Any] | None, other: dict[str, Any]) -> bool:
    return mark(oracle) is not None and mark(oracle) == mark(other)
