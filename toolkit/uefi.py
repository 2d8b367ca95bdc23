"""Builds BOOTX64.EFI with the same program for three kinds of processor, and the USB disk that starts it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from toolkit import fat, pe
from toolkit.boards import Board
from toolkit.build import FIRMWARE, Plan, compiled, linker_script
from toolkit.errors import write_whole
from toolkit.toolchain import board_flags, core_flags, cross_toolchain

KINDS = {"plain": "pc_uefi", "avx2": "pc_uefi_avx2", "avx512": "pc_uefi_avx512"}
"""What firmware/uefi_choose.c calls the program of a board."""


def build_disk(board: Board, programs: Mapping[str, Path], out: Path, *, toolchain: str) -> Path:
    """The disk image in the folder `out`. programs: the .efi of each of KINDS. Raises: ToolkitError."""
    assert board.memory is not None
    out = out.resolve()
    digest = hashlib.sha256()
    for kind in KINDS:
        data = programs[kind].read_bytes()
        digest.update(data)
        write_whole(out / f"{kind}.efi", data)
    compiler = cross_toolchain(toolchain, board.toolchain)
    write_whole(out / "link.ld", linker_script(board.memory, pe.PAGE))
    given = [f'-DTL_PROGRAMS="{out.as_posix()}"', f"-DTL_DIGEST=0x{digest.hexdigest()[:8]}"]  # SCons sees no .incbin
    link = [*core_flags(board, compiler), "-nostdlib", "-Wl,--entry=tl_reset", "-T", str(out / "link.ld")]
    link += ["-static-pie", "-Wl,-z,norelro", *(["-fno-sanitize=undefined"] if compiler.kind == "zig" else [])]
    plan = Plan(
        toolchain=compiler,
        flags=board_flags(board, compiler),
        include=[FIRMWARE],
        objects=[(FIRMWARE / "uefi_choose.c", out / "choose.o", given)],
        output=out / "choose.elf",
        link=link,
        depends=[out / "link.ld"],
    )
    compiled(plan, out)
    program = pe.application(out / "choose.elf", board.memory.flash.origin - pe.PAGE)
    write_whole(out / "disk.img", fat.disk_image({board.tools.boot: program}))
    return out / "disk.img"
