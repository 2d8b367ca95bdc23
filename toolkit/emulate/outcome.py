"""What an emulator saw, and what it means."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

_NUMBERS = ("steps", "hash_changes", "degenerate", "restore", "ram", "state_bytes", "changes", "worst_e9")
_STACK_NUMBERS = ("stack", "stack_save", "stack_total")
_MISMATCH_NUMBERS = ("mismatch_step", "op")
_MISMATCH_TEXTS = ("previous", "got", "got_hash", "expected_hash")
_MISMATCH_LISTS = ("input", "output", "expected")
_MISMATCH_FLOATS = ("output_f32", "expected_f32")


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions between tl_probe_begin and tl_probe_end, over all calls; total: since reset."""

    calls: int
    sum: int
    min: int
    max: int
    total: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """lines: the serial output; code: the semihosting exit code, None without; note: the emulator's own complaint."""

    lines: tuple[str, ...]
    code: int | None
    expired: bool
    note: str
    counts: Counts | None


def parse(lines: tuple[str, ...]) -> dict[str, Any]:
    """The key=value lines by key. The dump of a mismatch is gathered in `mismatch`, None where there was none."""
    fields: dict[str, Any] = {"model": "", "board": "", "hash": "", "state": ""}
    fields |= {"exit": None, "fault": None, "mismatch": None}
    mismatch: dict[str, Any] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if line.startswith("EXIT:"):
            fields["exit"] = int(line[5:]) if line[5:].isdigit() else None
        elif line.startswith("FAULT"):
            fields["fault"] = line
        elif key in _MISMATCH_NUMBERS and value.isdigit():
            mismatch["step" if key == "mismatch_step" else key] = int(value)
        elif key in _MISMATCH_TEXTS:
            mismatch[key] = value
        elif key in _MISMATCH_LISTS:
            mismatch[key] = [int(v) for v in value.split(",")]
        elif key in _MISMATCH_FLOATS:
            mismatch[key] = [struct.unpack(">f", bytes.fromhex(v))[0] for v in value.split(",")]
        elif key in (*_NUMBERS, *_STACK_NUMBERS) and value.isdigit():
            fields[key] = int(value)
        elif key in fields and key not in ("exit", "fault", "mismatch"):
            fields[key] = value
    fields["mismatch"] = mismatch if "step" in mismatch else None
    return fields


def problems(outcome: Outcome, fields: dict[str, Any], *, steps_asked: int, timeout_s: float, stack: int) -> list[str]:
    """Every reason why a run does not count as passed; empty when it does. stack: bytes that it may use."""
    found = []
    if fields["fault"]:
        found.append(f"the image faulted: {fields['fault']}")
    if outcome.expired:
        found.append(f"no EXIT line within {timeout_s:g} s: the image hangs or the emulator is too slow")
    elif fields["exit"] is None and not found:
        last = f', its last line was "{outcome.lines[-1][:80]}"' if outcome.lines else ", it printed nothing"
        found.append(f"the run ended without an EXIT line{last}" + (f" ({outcome.note})" if outcome.note else ""))
    if fields["mismatch"]:
        found.append(f"step {fields['mismatch']['step']} differs from the oracle")
    if "restore" in fields:
        found.append(f"the saved state was refused with reason {fields['restore']}")
    if fields["exit"] not in (0, None) and not found:
        found.append(f"the image says EXIT:{fields['exit']}")
    if outcome.code is not None and fields["exit"] is not None and outcome.code != fields["exit"]:
        found.append(f"EXIT:{fields['exit']} on the serial line but exit code {outcome.code}")
    if fields["exit"] == 0 and fields.get("steps") != steps_asked:
        found.append(f"{fields.get('steps', 0)} steps compared, {steps_asked} asked")
    if fields.get("hash_changes", 1) == 0:
        found.append("the state never changed")
    if fields.get("changes", 1) == 0:
        found.append("the forecast never changed")
    if fields.get("degenerate", 0) != 0:
        found.append("the states stayed zero, saturated or unmoved in every step")
    if not 0 < fields.get("stack_total", stack if fields["exit"] != 0 else 0) <= stack:
        found.append(f"{fields.get('stack_total', 0)} bytes of stack used, {stack} allowed")
    return found
