"""Instruction sets: what the check of a linked image refuses is what GNU as refuses for that core; data is no code."""

from __future__ import annotations

import os
import re
import subprocess
from bisect import bisect_right
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.test_build import COMPILERS, build
from toolkit import cpu, elf, isa
from toolkit.boards import board_names, load_board
from toolkit.disassembly import Foreign, foreign
from toolkit.errors import CheckFailed, ToolkitError
from toolkit.targets import TARGETS
from toolkit.toolchain import cross_toolchain

GNU = {  # (core, fpu): what GNU as is told
    ("cortex-m0", "none"): "-mcpu=cortex-m0 -mfpu=softvfp",
    ("cortex-m3", "none"): "-mcpu=cortex-m3 -mfpu=softvfp",
    ("cortex-m4", "none"): "-mcpu=cortex-m4 -mfpu=softvfp",
    ("cortex-m4", "fpv4-sp-d16"): "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
    ("cortex-m7", "fpv5-sp-d16"): "-mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
    ("cortex-m7", "fpv5-d16"): "-mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard",
    ("cortex-m33", "fpv5-sp-d16"): "-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
    ("cortex-m55", "fpv5-d16"): "-march=armv8.1-m.main+mve.fp+fp.dp -mfloat-abi=hard",
}
FORMS = {
    "v6m": "nop; movs r0, #1; muls r1, r0; bl .; push {r4, lr}; pop {r4, pc}; rev r0, r1; sxth r0, r1; dmb; isb; dsb; "
    "mrs r0, primask; msr psp, r0; cpsid i; bkpt #171; wfi; svc #0; udf #1; blx r3; ldm r0!, {r1}; ldr r0, [pc, #8]",
    "v7m": "cbz r0, .+8; ite eq\nmoveq r0, #1\nmovne r0, #2; udiv r0, r1, r2; mla r0, r1, r2, r3; mul r0, r1, r2; "
    "ssat r0, #8, r1; usat r0, #8, r1, lsl #2; smull r0, r1, r2, r3; umlal r0, r1, r2, r3; sxtb.w r0, r1, ror #8; "
    "movw r0, #4660; b.w .; beq.w .+400; tbb [pc, r0]; ldrd r0, r1, [r2]; rbit r0, r1; clz r0, r1; bfi r0, r1, #1, #2; "
    "ldrex r0, [r1]; clrex; pld [r0]; nop.w; ldr.w r8, [r1, #4]; orrs.w r0, r1, r2",
    "dsp": "smlad r0, r1, r2, r3; smuad r0, r1, r2; sxtab16 r0, r1, r2; sxtb16 r0, r1; sxtab r0, r1, r2; "
    "uxtah r0, r1, r2; ssat16 r0, #8, r1; usat16 r0, #8, r1; smulbb r0, r1, r2; smlabt r0, r1, r2, r3; "
    "smulwb r0, r1, r2; qadd r0, r1, r2; qadd16 r0, r1, r2; sadd16 r0, r1, r2; shadd8 r0, r1, r2; sel r0, r1, r2; "
    "pkhbt r0, r1, r2; umaal r0, r1, r2, r3; usad8 r0, r1, r2; usada8 r0, r1, r2, r3; smmul r0, r1, r2; "
    "smlald r0, r1, r2, r3; smlalbb r0, r1, r2, r3; uqsub8 r0, r1, r2",
    "fp": "vadd.f32 s0, s1, s2; vfma.f32 s0, s1, s2; vmov r0, s1; vmov r0, r1, d0; vsqrt.f32 s0, s1; vcmp.f32 s0, s1; "
    "vldr s0, [r0]; vldr d0, [r0]; vpush {d8}; vmrs apsr_nzcv, fpscr; vcvtb.f32.f16 s0, s1; vmov.f32 s0, #1.0",
    "fpv5": "vseleq.f32 s0, s1, s2; vselgt.f32 s0, s1, s2; vrinta.f32 s0, s1; vrintr.f32 s0, s1",
    "fp64": "vadd.f64 d0, d1, d2; vmul.f64 d0, d1, d2; vmov.f64 d0, #1.0; vcvt.f32.f64 s0, d1",
    "v8m": "lda r0, [r1]; stl r0, [r1]; ldaex r0, [r1]; tt r0, r1; tta r0, r1; sg; bxns lr; blxns r3",
    "v81m": "vldrb.u8 q0, [r0]; vldrw.u32 q0, [r0]; vstrb.8 q0, [r0]; vmladava.s8 r0, q0, q1; vadd.i32 q0, q1, q2; "
    "vmlaldava.s16 r0, r1, q0, q1; vctp.8 r0; vpst\nvaddt.i32 q0, q1, q2; csel r0, r1, r2, eq; cinc r0, r1, eq; "
    "vdup.8 q0, r0; lsll r0, r1, #3; asrl r0, r1, #3; sqrshrl r0, r1, #64, r2; vqrdmulh.s16 q0, q1, q2; clrm {r0, r1}; "
    "vpsel q0, q1, q2; vldrh.s32 q0, [r0, q1, uxtw #1]; dls lr, r0\n2: nop\nle lr, 2b; wls lr, r0, .+8; "
    "vadd.f16 s0, s1, s2; vldr.16 s0, [r0]",
}
BOARD_OF = [name for name in board_names() if load_board(name).memory is not None]


def assembled(forms: list[str], options: str, folder: Path) -> set[int]:
    """Which of these instructions GNU as refuses; a.o has each in a function of its own, f0, f1 ..., if all pass."""
    lines = [".syntax unified", ".thumb"]
    starts = []
    for i, form in enumerate(forms):
        lines += [f".type f{i}, %function", f"f{i}:"]
        starts.append(len(lines))
        lines += form.split("\n")
    (folder / "a.s").write_text("\n".join(lines) + "\n")
    command = ["arm-none-eabi-as", "-mthumb", *options.split(), "-o", "a.o", "a.s"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    wrong = [int(n) for n in re.findall(r"^a\.s:(\d+): Error", done.stderr, re.M)]
    assert (done.returncode == 0) == (not wrong), done.stderr
    return {bisect_right(starts, line - 1) - 1 for line in wrong}


@pytest.mark.parametrize("kind", FORMS)
def test_the_check_refuses_what_gnu_as_refuses(kind: str, tmp_path: Path) -> None:
    needs("arm-gcc")
    forms = FORMS[kind].split("; ")
    whole = "-mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard"
    whole = {"v8m": GNU["cortex-m33", "fpv5-sp-d16"], "v81m": GNU["cortex-m55", "fpv5-d16"]}.get(kind, whole)
    assert not assembled(forms, whole, tmp_path)
    found = {key: {int(f.symbol[1:]) for f in foreign(tmp_path / "a.o", isa.features(*key))} for key in GNU}
    for key, options in GNU.items():
        refused = assembled(forms, options, tmp_path)
        assert {forms[i] for i in found[key]} == {forms[i] for i in refused}, key


OTHERS = [  # target of zig, its features, instructions that need each
    (
        "riscv32-freestanding",
        "-mcpu=generic_rv32+m+a+f+d+c",
        {
            "rv32": "add a0, a1, a2; lw a0, 4(a1); ecall; csrr a0, mcycle; fence",
            "rvm": "mul a0, a1, a2; divu a0, a1, a2",
            "rvc": "c.addi a0, 1; c.lw a0, 4(a1)",
            "rva": "lr.w a0, (a1); amoadd.w a0, a1, (a2)",
            "rvf": "fadd.s fa0, fa1, fa2; flw fa0, 8(a0)",
            "rvd": "fadd.d fa0, fa1, fa2",
        },
    ),
    (
        "aarch64-freestanding",
        "-mcpu=generic",
        {
            "a64": "add x0, x1, x2; ldp x0, x1, [sp]; b .; paciasp; bti c",
            "neon": "smlal v0.4s, v1.4h, v2.4h; ld1 {v0.16b}, [x0]; fadd v0.4s, v1.4s, v2.4s",
            "a64crc": "crc32b w0, w1, w2",
            "armv8.2": "sdot v0.4s, v1.16b, v2.16b; udot v0.4s, v1.16b, v2.4b[1]; ldadd w0, w1, [x2]; "
            "sqrdmlah v0.4s, v1.4s, v2.4s",
            "fp16": "fadd v0.8h, v1.8h, v2.8h; fmul h0, h1, h2",
            "unknown": "smmla v0.4s, v1.16b, v2.16b; usdot v0.4s, v1.16b, v2.16b; add z0.s, z1.s, z2.s; "
            "aese v0.16b, v1.16b; cntb x0",
        },
    ),
]


@pytest.mark.parametrize("triple, options, forms", OTHERS)
def test_other_machines(triple: str, options: str, forms: dict[str, str], tmp_path: Path) -> None:
    needs("zig")
    zig = cross_toolchain("zig")
    arch = ".arch armv8.6-a+dotprod+i8mm+crypto+sve+fp16\n" if "aarch64" in triple else ""
    text = [form for kind in forms.values() for form in kind.split("; ")]
    (tmp_path / "a.s").write_text(f"{arch}.text\n.type f, %function\nf: .option push\n" if not arch else f"{arch}f:\n")
    with (tmp_path / "a.s").open("a") as f:
        f.write("\n".join(text) + "\n.4byte 0x12345678\n")
    command = [*zig.cc, "-target", triple, options, "-c", "-o", str(tmp_path / "a.o"), str(tmp_path / "a.s")]
    subprocess.run(command, check=True, env={**os.environ, **zig.env})
    every = {f.address: f.needs for f in foreign(tmp_path / "a.o", frozenset())}
    kinds = [kind for kind, some in forms.items() for _ in some.split("; ")]
    assert len(every) == len(kinds)
    for kind, form, found in zip(kinds, text, every.values(), strict=True):
        assert kind in found, (form, found)


def planted(tmp_path: Path, board: str, compiler: str, word: str, symbol: str = "planted") -> str:
    """What the build of an image says that has the instruction `word`, as .inst takes it, in a function of its own."""
    extra = (
        f'\nvoid {symbol}(void);\n__attribute__((noinline, section(".text.{symbol}"), used)) void {symbol}(void) '
        f'{{ __asm__ volatile("{word}"); }}\nvoid (*const keep_{symbol})(void) '
        f'__attribute__((section(".vectors"), used)) = {symbol};\n'
    )
    with pytest.raises(CheckFailed) as caught:
        build(tmp_path, board=board, compiler=compiler, extra=extra)
    assert not (tmp_path / "build" / "build.json").exists()
    return str(caught.value)


@pytest.mark.parametrize("compiler, tool", COMPILERS)
@pytest.mark.parametrize(
    "board, word, says",
    [
        ("microbit", ".inst.w 0xfb213002", ("cortex-m0", "smlad r0, r1, r2, r3", "the DSP extension")),
        ("microbit", ".inst.w 0xf3ef8011", ("cortex-m0", "mrs r0, basepri", "Armv7-M")),  # which GNU as lets through
        ("mps2_an386", ".inst.w 0xf3ef800a", ("cortex-m4", "mrs r0, msplim", "Armv8-M")),  # and this
        ("netduinoplus2", ".inst.w 0xeea10b02", ("cortex-m4", "vfma.f64 d0, d1, d2", "double precision")),  # and this
        ("microbit", ".inst.n 0xb110", ("cortex-m0", "cbz r0", "Armv7-M")),
        ("mps2_an385", ".inst.w 0xfb213002", ("cortex-m3", "smlad r0, r1, r2, r3", "the DSP extension")),
        ("mps2_an385", ".inst.w 0xee300a81", ("cortex-m3", "vadd.f32 s0, s1, s2", "an FPU")),
        ("netduinoplus2", ".inst.w 0xfe800a81", ("cortex-m4", "vmaxnm.f32", "version 5")),
        ("mps2_an500", ".inst.w 0xee310b02", ("cortex-m7", "vadd.f64 d0, d1, d2", "double precision")),
        ("mps2_an505", ".inst.w 0xec811f00", ("cortex-m33", "Helium")),
    ],
)
def test_a_planted_instruction_is_found_and_named(
    board: str, word: str, says: tuple[str, ...], compiler: str, tool: str, tmp_path: Path
) -> None:
    needs(tool)
    message = planted(tmp_path, board, compiler, word)
    assert message.startswith(f"{board}: instructions that a {says[0]} does not have: `") and "\n" not in message
    assert " in planted (needs " in message and all(text in message for text in says)
    image = tmp_path / "build" / "firmware.elf"
    address = next(s.address for s in elf.symbols(image) if s.name == "planted")
    at = int(message.split(" at 0x")[1][:8], 16)
    assert address <= at <= address + 16


@pytest.mark.parametrize("compiler, tool", COMPILERS)
@pytest.mark.parametrize("board", [name for name in BOARD_OF if not name.startswith("pc_uefi")])  # no data there
def test_data_between_code_is_no_code(board: str, compiler: str, tool: str, tmp_path: Path) -> None:
    """A literal that would be a foreign instruction, and a jump table, pass."""
    needs(tool)
    load = 'uint32_t v; __asm__ volatile("ldr %0, 1f\\n b 2f\\n .balign 4\\n 1: .word 0x3002fb21\\n 2:" : "=l"(v));'
    if "cortex-m" not in load_board(board).core:
        load = "uint32_t v = 0x3002fb21u;"
    extra = f"\nuint32_t fake_data(void);\nuint32_t fake_data(void) {{ {load} return v; }}\n"
    keep = '\nuint32_t (*const keep)(void) __attribute__((section(".vectors"), used)) = fake_data;\n'
    build(tmp_path, board=board, compiler=compiler, extra=extra + keep)


def test_an_image_without_mapping_symbols_is_refused(tmp_path: Path) -> None:
    needs("arm-gcc")
    build(tmp_path, compiler="gcc")
    image = tmp_path / "build" / "firmware.elf"
    subprocess.run(["arm-none-eabi-objcopy", "-w", "--strip-symbol=$*", str(image)], check=True)
    with pytest.raises(ToolkitError, match=r"\.text does not say what in it is code"):
        foreign(image, isa.features("cortex-m0", "none"))


def test_every_target_says_what_it_needs() -> None:
    for name in TARGETS:
        assert name in isa.NEEDS or name in cpu.FEATURES, f"{name}: say in toolkit/isa.py what its kernels need"
    for features in (*isa.NEEDS.values(), *(c.features for c in isa.CORES.values()), *isa.FPUS.values()):
        assert features <= set(isa.MEANING)
    assert {fpu for core in isa.CORES.values() for fpu in core.fpus} == set(isa.FPUS)


def test_a_message_names_all_that_is_lacking() -> None:
    assert str(Foreign(4, "f", "nop", ("dsp", "fp"))) == "`nop` at 0x00000004 in f (needs the DSP extension, an FPU)"
