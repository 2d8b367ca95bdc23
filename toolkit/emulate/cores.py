"""What an instruction costs on each core: the timing tables of Arm's Technical Reference Manuals, by instruction class.

All tables assume zero wait states. They are estimates: what they leave out is said in docs/profile.md. Where a manual
gives a range because the time depends on the operands, the table takes the upper end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

CLASSES = (
    "alu",
    "mul",
    "mla",
    "mull",
    "mlal",
    "dsp_mul",
    "div",
    "load",
    "store",
    "loads",
    "stores",
    "branch",
    "call",
    "branch_reg",
    "load_pc",
    "loads_pc",
    "table",
    "it",
    "system",
    "fp",
    "fp_mla",
    "fp_div",
    "fp_move2",
    "fp_memory",
)
"""Order as tl_class in thumb.h, where each is explained."""


@dataclass(frozen=True, slots=True)
class Core:
    """Cycles by class: `fixed`, 1 where a class is not named; and `each` for every register moved.

    taken: beside these, when the next instruction that runs is not the following one.
    pipelined: what a load of one register saves directly behind another.
    level: a core runs the code of those with a level up to its own, CODE_LEVEL.
    """

    name: str
    manual: str
    level: int
    fixed: Mapping[str, int]
    each: Mapping[str, int]
    taken: Mapping[str, int]
    pipelined: int
    note: str


_ONE_EACH = dict.fromkeys(("loads", "stores", "loads_pc"), 1)

_M0 = Core(
    name="cortex-m0",
    manual="Cortex-M0 Technical Reference Manual r0p0, Arm DDI 0432C, 3.3, table 3-1",
    level=0,
    # B 1, taken 3; BL 4; BX, BLX, MOV PC 3; LDM, STM, PUSH, POP 1 + N; POP with PC 4 + N
    fixed={"load": 2, "store": 2, "system": 4},
    each=_ONE_EACH,
    taken={"branch": 2, "call": 3, "branch_reg": 2, "loads_pc": 3},
    pipelined=0,
    note="multiplier of 1 cycle",
)
_M0PLUS = Core(
    name="cortex-m0plus",
    manual="Cortex-M0+ Technical Reference Manual r0p1, Arm DDI 0484C, 3.3, table 3.1",
    level=0,
    # B 1, taken 2; BL 3; BX, BLX, MOV PC 2; LDM, STM, PUSH, POP 1 + N; POP with PC 3 + N
    fixed={"load": 2, "store": 2, "system": 3},
    each=_ONE_EACH,
    taken={"branch": 1, "call": 2, "branch_reg": 1, "loads_pc": 2},
    pipelined=0,
    note="multiplier of 1 cycle; no load or store goes to the single-cycle I/O port",
)
_REFILL = 2  # P: the manuals give 1 to 3
_M4 = Core(
    name="cortex-m4",
    manual="Cortex-M4 Technical Reference Manual r0p1, Arm 100166_0001_00, 3.3 with table 3-1; FPU: chapter 7",
    level=2,
    # B 1, taken 1 + P; BL, BX, BLX 1 + P; LDR to PC, TBB 2 + P; LDM, STM, LDRD, STRD 1 + N; with PC 1 + N + P
    fixed={"div": 12, "load": 2, "load_pc": 2, "table": 2, "system": 2, "fp_mla": 3, "fp_div": 14, "fp_move2": 2},
    each={**_ONE_EACH, "fp_memory": 1},
    taken=dict.fromkeys(("branch", "call", "branch_reg", "load_pc", "loads_pc", "table"), _REFILL),
    pipelined=1,
    note="refill P = 2; a load directly behind a load takes 1; stores go to the write buffer",
)
_M3 = replace(
    _M4,
    name="cortex-m3",
    manual="Cortex-M3 Technical Reference Manual r2p1, Arm DDI 0337I, 3.3 with table 3-1",
    level=1,
    fixed={"mla": 2, "mull": 5, "mlal": 7, "div": 12, "load": 2, "load_pc": 2, "table": 2, "system": 2},
    each=_ONE_EACH,
)
_SLOW = "multiplier of 32 cycles"

CORES: dict[str, Core] = {
    core.name: core
    for core in (
        _M0,
        replace(_M0, name="cortex-m0-mul32", fixed={**_M0.fixed, "mul": 32}, note=_SLOW),
        _M0PLUS,
        replace(_M0PLUS, name="cortex-m0plus-mul32", fixed={**_M0PLUS.fixed, "mul": 32}, note=_SLOW),
        _M3,
        _M4,
    )
}


CODE_LEVEL = {"cortex-m0": 0, "cortex-m0plus": 0, "cortex-m3": 1, "cortex-m4": 2, "cortex-m7": 2}
"""Cores of boards -> the level that a core needs to run their code."""


def cycles_of(table: Mapping[str, int], absent: int) -> bytes:
    """A table as the hook takes it: one byte per class."""
    assert set(table) <= set(CLASSES)
    return bytes(table.get(name, absent) for name in CLASSES)
