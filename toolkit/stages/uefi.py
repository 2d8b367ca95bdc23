"""The program of a run for any PC: built for three kinds of processor, on one USB disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from toolkit.boards import load_board
from toolkit.errors import write_whole
from toolkit.stages.firmware import Job, build
from toolkit.stages.generate import generate_c
from toolkit.uefi import KINDS, build_disk


def build_stick(job: Job, *, say: Callable[[str], None]) -> Path:
    """Builds the three programs, C included where it is not there yet, and firmware.img of the job's board from them.

    Raises: ToolkitError, CheckFailed."""
    programs = {}
    for kind, name in KINDS.items():
        one = replace(job, board=job.board if kind == "plain" else load_board(name))
        if not (job.run / "c" / one.board.name).is_dir():
            generate_c(job.run, one.board, None, float_api=False, target=None, optimize="speed", say=say)
        build(one, say=say)
        programs[kind] = one.folder / "firmware.efi"
    disk = build_disk(job.board, programs, job.folder / "disk", toolchain=job.toolchain)
    write_whole(job.folder / "firmware.img", disk.read_bytes())
    return job.folder / "firmware.img"
