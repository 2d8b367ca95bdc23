"""Profiles: classes and cycles of instructions, loops counted by hand on every core, and sums that are exact."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import fake_model
from tests.conftest import needs
from tests.test_emulate import build, loop
from toolkit import elf, emulate
from toolkit.boards import load_board
from toolkit.cli import main
from toolkit.emulate import unicorn_
from toolkit.emulate.cores import CLASSES, CORES
from toolkit.emulate.counter import Counter, decode_block
from toolkit.errors import ToolkitError
from toolkit.stages.profile import choose_core, summary

ROOT = Path(__file__).resolve().parents[1]
M4 = CORES["cortex-m4"]

# class: instructions as GNU as writes them for a Cortex-M4F
FORMS = {
    "alu": "movs r0, #1; adds r0, r1, r2; add.w r0, r1, r2, lsl #3; cmp r8, r9; mov r8, r1; add r8, r1; "
    "movw r0, #4660; movt r0, #4660; ssat r0, #16, r1; ssat r0, #16, r1, asr #3; usat r0, #8, r1; ubfx r0, r1, #4, #8; "
    "sxtb16 r0, r1, ror #8; sxtab16 r0, r1, r2; pkhbt r0, r1, r2, lsl #16; qadd r0, r1, r2; sadd16 r0, r1, r2; "
    "clz r0, r1; rev r0, r1; sxth r0, r1; nop; nop.w; adr r0, .+4; sub sp, #8; add r0, sp, #16; rsbs r0, r1, #0; "
    "tst.w r0, #255; pld [r0]; asr.w r0, r1, r2; bfi r0, r1, #2, #3; sel r0, r1, r2",
    "mul": "muls r0, r1, r0; mul r0, r1, r2",
    "mla": "mla r0, r1, r2, r3; mls r0, r1, r2, r3",
    "mull": "smull r0, r1, r2, r3; umull r0, r1, r2, r3",
    "mlal": "smlal r0, r1, r2, r3; umlal r0, r1, r2, r3; umaal r0, r1, r2, r3",
    "dsp_mul": "smlad r0, r1, r2, r3; smuad r0, r1, r2; smulbb r0, r1, r2; smlabt r0, r1, r2, r3; "
    "smlawb r0, r1, r2, r3; smmul r0, r1, r2; smmlar r0, r1, r2, r3; smlald r0, r1, r2, r3; smlalbb r0, r1, r2, r3; "
    "smlsld r0, r1, r2, r3; "
    "smusdx r0, r1, r2",
    "div": "sdiv r0, r1, r2; udiv r0, r1, r2",
    "load": "ldr r0, [r1]; ldr r0, [r1, r2]; ldr r0, [sp, #8]; ldr r0, [pc, #8]; ldrb r0, [r1]; ldrsb r0, [r1, r2]; "
    "ldrh r0, [r1, #2]; ldrsh r0, [r1, r2]; ldrb r0, [r1, r2]; ldr.w r0, [r1, #400]; ldr r0, [r1], #4; "
    "ldrsb r0, [r1, #1]!; ldrh.w r8, [r1, r2, lsl #1]; ldrsh.w r0, [r1, #-2]; ldrex r0, [r1]; ldrexb r0, [r1]",
    "store": "str r0, [r1]; str r0, [r1, r2]; str r0, [sp, #8]; strb r0, [r1, #3]; strh r0, [r1, r2]; "
    "strb r0, [r1, r2]; strh r0, [r1], #2; str.w r8, [r1, #400]; strex r0, r1, [r2]",
    "loads3": "ldm r0!, {r1, r2, r3}; pop {r1, r2, r3}; ldmdb r0, {r1, r2, r8}; pop.w {r1, r2, lr}",
    "loads2": "ldrd r0, r1, [r2]; ldrd r0, r1, [r2], #8; ldrd r0, r1, [r2, #8]!",
    "stores3": "stm r0!, {r1, r2, r3}; push {r1, r2, lr}; stmdb r0!, {r1, r2, r8}",
    "stores2": "strd r0, r1, [r2]; strd r0, r1, [r2, #-8]!",
    "branch": "b .; beq .; b.w .; bne.w .+4000; cbz r0, .+8; cbnz r1, .+80",
    "call": "bl .; bl .+100000",
    "branch_reg": "bx lr; blx r3; mov pc, r0; add pc, r1; bx r12",
    "load_pc": "ldr pc, [r0]; ldr pc, [r0, r1, lsl #2]; ldr pc, [sp], #4",
    "loads_pc3": "pop {r0, r1, pc}; pop.w {r4, r8, pc}",
    "table": "tbb [r0, r1]; tbh [pc, r1, lsl #1]",
    "it": "it eq\nmoveq r0, #1",
    "system": "mrs r0, primask; msr primask, r0; cpsid i; dsb; isb; dmb",
    "fp": "vadd.f32 s0, s1, s2; vmul.f32 s0, s1, s2; vsub.f32 s17, s1, s2; vcvt.s32.f32 s0, s1; vmov s0, r1; "
    "vmov r1, s0; vabs.f32 s0, s1; vcmp.f32 s0, s1; vmrs APSR_nzcv, fpscr; vneg.f32 s1, s2; vmov.f32 s0, #1.0; "
    "vnmul.f32 s0, s1, s2",
    "fp_mla": "vmla.f32 s0, s1, s2; vfma.f32 s0, s1, s2; vmls.f32 s3, s1, s2; vfnms.f32 s0, s1, s2; "
    "vnmla.f32 s0, s1, s2",
    "fp_div": "vdiv.f32 s0, s1, s2; vsqrt.f32 s0, s1",
    "fp_move2": "vmov r0, r1, d0; vmov d0, r0, r1; vmov s0, s1, r0, r1",
    "fp_memory1": "vldr s0, [r0]; vstr s1, [r0, #8]",
    "fp_memory2": "vldr d0, [r0]; vstr d1, [r0, #8]; vldm r0!, {s0, s1}",
    "fp_memory8": "vpush {s16-s23}; vpop {d8-d11}",
}


def assemble(text: str, folder: Path) -> bytes:
    needs("arm-gcc")
    source, linked = folder / "a.s", folder / "a.elf"
    source.write_text(f".syntax unified\n.thumb\n.text\n{text}\n")
    flags = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-nostdlib", "-Wl,-Ttext=0,-e,0"]
    subprocess.run(["arm-none-eabi-gcc", *flags, "-o", str(linked), str(source)], check=True, capture_output=True)
    return b"".join(s.data for s in elf.segments(linked))[: elf.section_bytes(linked, ".text")]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_an_instruction_has_its_class(name: str, tmp_path: Path) -> None:
    kind = name.rstrip("0123456789") if name not in CLASSES else name
    count = int(name.removeprefix(kind) or 0)
    code, at = assemble(FORMS[name], tmp_path), 0
    for form in FORMS[name].split("; "):
        one = code[at : at + (2 if (code[at + 1] >> 3) < 0x1D else 4)]
        at += len(one)
        block = decode_block(M4, one)
        assert CLASSES[block.first] == CLASSES[block.last] == kind, form
        assert block.instructions == 1 and block.size == len(one)
        assert block.cycles == M4.fixed.get(kind, 1) + count * M4.each.get(kind, 0), form


def test_a_load_behind_a_load_takes_one_cycle(tmp_path: Path) -> None:
    cycles = {
        "ldr r0, [r1]": 2,
        "ldr r0, [r1]; ldrb r2, [r3]; ldrsh r4, [r1, r2]": 4,
        "ldr r0, [r1]; nop; ldr r0, [r1]": 5,
    }
    cycles |= {"ldm r0!, {r1, r2}; ldr r0, [r1]": 5, "ldr r0, [r1]; str r0, [r2]; ldr r0, [r1]": 5}
    for text, expected in cycles.items():
        code = assemble(text, tmp_path)
        assert decode_block(M4, code).cycles == expected, text
        assert decode_block(CORES["cortex-m3"], code).cycles == expected
    code = assemble("ldr r0, [r1]; ldr r2, [r3]; ldr r2, [r3]", tmp_path)
    assert decode_block(CORES["cortex-m0"], code).cycles == 6


def cost(folder: Path, board: str, core: str) -> tuple[emulate.outcome.Counts, emulate.Profile]:
    """What the image costs; the sums of its parts must be the whole."""
    _, counts, spent = emulate.profile(folder / "firmware.elf", load_board(board), core=CORES[core], layers={})
    assert sum(c[0] for c in spent.cells.values()) == counts.sum
    assert sum(c[1] for c in spent.cells.values()) == spent.cycles[0]
    return counts, spent


# rounds of a loop on a core of Armv6-M, counted by hand from the tables: M0, M0+, M3, M4
V6M = {
    "lsls r2, r2, #1; subs r3, #1; bne 1b": (3, (1 + 1 + 3, 1 + 1 + 2, 1 + 1 + 3, 1 + 1 + 3)),
    "mov r2, sp; ldr r1, [r2]; ldr r0, [r2, #4]; muls r1, r0; subs r3, #1; bne 1b": (
        6,
        (1 + 2 + 2 + 1 + 1 + 3, 1 + 2 + 2 + 1 + 1 + 2, 1 + 2 + 1 + 1 + 1 + 3, 1 + 2 + 1 + 1 + 1 + 3),
    ),
    "b 3f; 2: push {r4, lr}; pop {r4, pc}; 3: bl 2b; subs r3, #1; bne 1b": (
        6,
        (3 + 3 + 6 + 4 + 1 + 3, 2 + 3 + 5 + 3 + 1 + 2, 3 + 3 + 5 + 3 + 1 + 3, 3 + 3 + 5 + 3 + 1 + 3),
    ),
    "cmp r3, #0; beq 4f; push {r0, r1, r2}; pop {r0, r1, r2}; 4: subs r3, #1; bne 1b": (  # beq is never taken
        6,
        (1 + 1 + 4 + 4 + 1 + 3, 1 + 1 + 4 + 4 + 1 + 2, 1 + 1 + 4 + 4 + 1 + 3, 1 + 1 + 4 + 4 + 1 + 3),
    ),
}
V7M = {  # M3 (without the DSP extension: only what both have), M4
    "ldrd r0, r1, [sp]; smull r0, r1, r2, r3; mla r0, r1, r2, r3; subs r3, #1; bne 1b": (
        5,
        (3 + 5 + 2 + 1 + 3, 3 + 1 + 1 + 1 + 3),
    ),
    "str r0, [sp, #-4]!; ldr r0, [sp], #4; ldrh r1, [sp]; smlal r0, r1, r2, r3; udiv r0, r1, r3; subs r3, #1; bne 1b": (
        7,
        (1 + 2 + 1 + 7 + 12 + 1 + 3, 1 + 2 + 1 + 1 + 12 + 1 + 3),
    ),
    "cmp r3, #1; ite eq; moveq r0, #1; movne r0, #2; subs r3, #1; bne 1b": (6, (1 + 1 + 1 + 1 + 1 + 3,) * 2),
}
CASES = [("microbit", body, ("cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4"), *v) for body, v in V6M.items()]
CASES += [("mps2_an386", body, ("cortex-m3", "cortex-m4"), *v) for body, v in V7M.items()]


def rounds(body: str, times: int) -> str:
    """The loop before a statement of the fake model."""
    clobbers = '"r0", "r1", "r2", "r3", "r4", "lr", "cc", "memory"'
    text = f".syntax unified; ldr r3, ={times}; 1: {body}; b 9f; .ltorg; 9:".replace("; ", "\\n")
    return f'__asm__ volatile("{text}" ::: {clobbers}); s->steps++;'


@pytest.mark.parametrize("board, body, cores, instructions, cycles", CASES)
def test_loops_counted_by_hand(
    board: str, body: str, cores: tuple[str, ...], instructions: int, cycles: tuple[int, ...], tmp_path: Path
) -> None:
    needs("unicorn", "arm-gcc")
    folders = {}
    for times in (10, 210):
        text = rounds(body, times)
        out = tmp_path / str(times)
        folders[times] = build(out, board, fake_model.vectors(12), compiler="gcc", old="s->steps++;", new=text)
    for core, expected in zip(cores, cycles, strict=True):
        (few, few_cycles), (many, many_cycles) = (cost(folders[times], board, core) for times in (10, 210))
        for key in ("min", "max"):
            assert getattr(many, key) - getattr(few, key) == 200 * instructions, core
        assert many_cycles.cycles[0] - few_cycles.cycles[0] == 12 * 200 * expected, core


def test_a_slow_multiplier(tmp_path: Path) -> None:
    needs("unicorn", "arm-gcc")
    text = rounds("muls r2, r3, r2; subs r3, #1; bne 1b", 50)
    folder = build(tmp_path, "microbit", fake_model.vectors(5), compiler="gcc", old="s->steps++;", new=text)
    fast, slow = (cost(folder, "microbit", core)[1].cycles[0] for core in ("cortex-m0", "cortex-m0-mul32"))
    assert slow - fast >= 31 * 50 * 5 and (slow - fast) % 31 == 0


@pytest.mark.parametrize("filler, each", [("ldr r1, [sp]", 1), ("nop", 1), ("nop.w", 1), ("str r1, [sp]", 1)])
def test_code_that_unicorn_cuts_counts_once(filler: str, each: int, tmp_path: Path) -> None:
    needs("unicorn", "arm-gcc")
    totals = []
    for count in (1, 6001):  # more than fits in one translated block, and over two pages
        body = f".thumb_func; long_code: .rept {count}; {filler}; .endr; bx lr"
        body = f'.pushsection .text.long, \\"ax\\"; {body}; .popsection'
        text = f"{body}; bl long_code".replace("; ", "\\n")
        text = f'__asm__ volatile("{text}" ::: "r1", "lr", "memory"); s->steps++;'
        out = tmp_path / str(count)
        folder = build(out, "mps2_an386", fake_model.vectors(7), compiler="gcc", old="s->steps++;", new=text)
        counts, spent = cost(folder, "mps2_an386", "cortex-m4")
        totals.append((counts.sum, spent.cycles[0]))
    assert totals[1][0] - totals[0][0] == 7 * 6000
    assert totals[1][1] - totals[0][1] == 7 * 6000 * each


@pytest.mark.parametrize("board", ("mps2_an386", "microbit"))
def test_code_that_is_translated_again_counts_the_same(board: str, tmp_path: Path) -> None:
    needs("unicorn")
    image = build(tmp_path, board, fake_model.vectors(20)) / "firmware.elf"
    once = cost(image.parent, board, load_board(board).core)
    machine = unicorn_.Machine(image, load_board(board))
    counter = Counter(machine, image, CORES[load_board(board).core], {})
    for _ in range(2):
        assert machine.run(60.0)
        machine.uc.ctl_flush_tb()
    counts, spent = counter.counts(image), counter.profile()
    assert (counts.calls, counts.sum) == (2 * once[0].calls, 2 * once[0].sum)
    assert (counts.min, counts.max) == (once[0].min, once[0].max) and spent.cycles[1:] == once[1].cycles[1:]
    assert spent.cells == {key: (2 * i, 2 * c) for key, (i, c) in once[1].cells.items()}


def test_the_profile_counts_what_the_counter_counts(tmp_path: Path) -> None:
    needs("unicorn")
    folder = build(tmp_path, "netduinoplus2", fake_model.vectors(40))
    plain = unicorn_.run(folder / "firmware.elf", load_board("netduinoplus2"), 60.0, count=True).counts
    assert cost(folder, "netduinoplus2", "cortex-m4")[0] == plain
    _, counts, spent = emulate.profile(folder / "firmware.elf", load_board("netduinoplus2"), core=None, layers={})
    assert counts == plain and spent.cycles == (0, 0, 0)


def test_a_long_loop_is_profiled_whole(tmp_path: Path) -> None:
    """Forty million instructions; the speed is printed, not judged: machines are shared."""
    needs("unicorn")
    folder = build(tmp_path, "mps2_an386", fake_model.vectors(100), old="s->steps++;", new=loop(100_000))
    began = time.perf_counter()
    counts, _ = cost(folder, "mps2_an386", "cortex-m4")
    print(f"{counts.total / (time.perf_counter() - began) / 1e6:.0f} M instructions a second, blocks of four")
    assert counts.calls == 100 and 400_000 <= counts.min <= counts.max < 400_200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of two layers with C for two boards."""
    needs("unicorn")
    out = tmp_path_factory.mktemp("run") / "room"
    quick = ("--set", "train.epochs=1", "--set", "model.hidden=8", "--set", "model.layers=2")
    assert main(["train", str(ROOT / "docs/examples/room.toml"), "--out", str(out), *quick]) == 0
    assert main(["quantize", str(out)]) == 0
    for board in ("mps2_an386", "microbit"):
        assert main(["generate-c", str(out), "--board", board]) == 0
    return out


@pytest.mark.parametrize("board", ("mps2_an386", "microbit"))
def test_layers_and_functions_add_up(run: Path, board: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(run), "--board", board, "--steps", "60"]) == 0
    ran = json.loads((run / "build" / board / "run.json").read_text())
    capsys.readouterr()
    assert main(["profile", str(run), "--board", board, "--steps", "60", "--json"]) == 0
    p: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert p == json.loads((run / "build" / board / "profile.json").read_text())
    assert {k: p["instructions_per_step"][k] for k in ("mean", "min", "max")} == {
        k: ran["instructions_per_step"][k] for k in ("mean", "min", "max")
    }
    assert (p["steps"], p["stack"]["stack"], p["state_bytes"]) == (60, ran["stack"], ran["state_bytes"])
    for unit in ("instructions", "cycles"):
        total = p[f"{unit}_per_step"]["total"]
        for rows in ("functions", "layers"):
            assert sum(row[f"{unit}_total"] for row in p[rows]) == total
    lstm0, lstm1, head, rest = p["layers"]
    assert [x["layer"] for x in p["layers"]] == ["lstm0", "lstm1", "head", ""]
    assert 1 < lstm0["calls"] == lstm1["calls"] and head["calls"] == 1  # the window is replayed
    assert lstm1["macs"] == pytest.approx(lstm1["calls"] * 4 * 8 * 16) and head["macs"] == 8
    assert lstm0["cycles_per_mac"] == pytest.approx(lstm0["cycles_total"] / 60 / lstm0["macs"])
    assert {f["layer"] for f in p["functions"] if f["function"].startswith("tl_lstm_step_")} == {"lstm0", "lstm1"}
    assert p["constant"] is all(x["constant"] for x in p["layers"][:3]) and rest["constant"] is None
    for x in p["layers"][:3]:
        each = x["instructions_per_call"]
        assert each["min"] <= x["instructions_total"] / (x["calls"] * 60) <= each["max"]
        assert x["constant"] is (each["min"] == each["max"]) and (x["constant"] or board == "microbit")
    assert rest["share"] < 0.2
    assert p["milliseconds"]["max"] == p["cycles_per_step"]["max"] / p["clock_hz"] * 1e3
    assert p["largest_rate_hz"] == p["clock_hz"] / p["cycles_per_step"]["max"]
    flash = sum(s["bytes"] for s in p["sections"] if s["flash"])
    assert flash == p["sizes"]["flash"] and {s["name"] for s in p["sections"] if s["ram"]} >= {".stack", ".bss"}
    assert sum(s["bytes"] for s in p["sections"] if s["name"] in (".data", ".bss")) == p["sizes"]["ram"]


def test_the_table_for_the_terminal(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(run), "--board", "microbit", "--steps", "30", "--core", "cortex-m0plus"]) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 110 for line in text.splitlines())
    for part in ("lstm0", "outside", "total", "estimated, zero wait states", "DDI 0484C", "samples a second", ".bss"):
        assert part in " ".join(text.split())
    shares = [f["share"] for f in json.loads((run / "build/microbit/profile.json").read_text())["functions"]]
    assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 1) < 1e-9


@pytest.mark.parametrize("board", ("mps2_an500", "mps2_an505"))
def test_a_core_without_a_table_gets_instructions_only(run: Path, board: str) -> None:
    assert main(["generate-c", str(run), "--board", board]) == 0
    assert main(["run", str(run), "--board", board, "--steps", "20"]) == 0
    ran = json.loads((run / "build" / board / "run.json").read_text())
    assert main(["profile", str(run), "--board", board, "--steps", "20"]) == 0
    p = json.loads((run / "build" / board / "profile.json").read_text())
    assert p["cycles_per_step"] is None and p["milliseconds"] is None and p["manual"] == ""
    assert p["instructions_per_step"]["min"] == ran["instructions_per_step"]["min"] > 0
    assert "instructions only" in summary(p)


def test_what_cannot_be_profiled_is_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert main(["profile", *arguments]) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert 'core "cortex-m5"; did you mean' in refused(str(run), "--board", "microbit", "--core", "cortex-m5")
    message = refused(str(run), "--board", "mps2_an386", "--core", "cortex-m0")
    assert "cortex-m0 cannot run the code of mps2_an386, a cortex-m4" in message
    assert "board host cannot be profiled" in refused(str(run), "--board", "host")
    empty = tmp_path / "empty"
    shutil.copytree(run, empty, ignore=shutil.ignore_patterns("build"))
    assert "run `toolkit build" in refused(str(empty), "--board", "microbit", "--no-build")
    with pytest.raises(ToolkitError, match="cannot run the code"):
        choose_core(load_board("netduinoplus2"), "cortex-m3")


def test_an_image_that_fails_its_test_is_not_profiled(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    assert main(["build", str(copy), "--board", "microbit", "--steps", "20"]) == 0
    image = copy / "build/microbit/firmware.elf"
    elf.patch_symbol(image, "lstm0_w", 0, 0x40, image)
    assert main(["profile", str(copy), "--board", "microbit", "--no-build"]) == 3


def test_every_board_core_with_a_table_uses_known_classes() -> None:
    for core in CORES.values():
        assert set(core.fixed) | set(core.each) | set(core.taken) <= set(CLASSES)
        assert core.manual and core.note


def listed_cost(name: str, operands: str, jumped: bool, behind_load: bool) -> int:
    """Cycles on a Cortex-M4 of a line of objdump's listing of Armv6-M code: the table, written a second time."""
    registers = sum(
        int(b[1:] or a[1:]) - int(a[1:]) + 1 if b else 1
        for a, _, b in (r.strip().partition("-") for r in operands.partition("{")[2].strip("}").split(",") if r)
        for a in [a.replace("lr", "r14").replace("pc", "r15")]
    )
    refill = 2 if jumped else 0
    if name.startswith(("push", "pop", "stm", "ldm")):
        return 1 + registers + refill
    return refill + (2 if name.startswith("ldr") and not behind_load else 1)


def test_cycles_are_those_of_single_steps(tmp_path: Path) -> None:
    """Armv6-M code has no IT block, in which unicorn steps over what is not done."""
    needs("unicorn", "arm-gcc")
    import unicorn

    image = build(tmp_path, "microbit", fake_model.vectors(9), compiler="gcc") / "firmware.elf"
    counts, spent = cost(image.parent, "microbit", "cortex-m4")
    command = ["arm-none-eabi-objdump", "-d", "--no-show-raw-insn", str(image)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = (line.split(":\t", 1) for line in listing.splitlines() if ":\t" in line)
    code = {int(at, 16): text.replace(".n", "").partition("\t") for at, text in lines}
    machine = unicorn_.Machine(image, load_board("microbit"))
    trace: list[tuple[int, int]] = []
    machine.uc.hook_add(unicorn.UC_HOOK_CODE, lambda _uc, at, size, _user: trace.append((at, size)))
    assert machine.run(60.0)
    probes = {s.name: s.address for s in elf.symbols(image) if s.name.startswith("tl_probe_")}
    inside, load, steps, cycles = False, False, 0, 0
    for (at, size), (following, _) in pairwise(trace):
        inside = inside and at != probes["tl_probe_end"]
        if inside:
            name, _, operands = code[at]
            cycles += listed_cost(name, operands, following != at + size, load)
            steps += 1
            load = name.startswith("ldr")
        if at == probes["tl_probe_begin"]:
            inside, load = True, False
    assert (steps, cycles) == (counts.sum, spent.cycles[0])
