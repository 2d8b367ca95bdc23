"""Images that hold all kernels of some targets and shims/stream.c, which runs networks as data."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests import kept
from toolkit import elf
from toolkit.build import FIRMWARE
from toolkit.targets import CSRC, SHARED_SOURCES, SHIMS, TARGETS, W8A8
from toolkit.toolchain import Toolchain, no_loop_calls

Code = Sequence[tuple[str, ...]]
"""C that was made for layers' shapes: functions {layer}_step."""
KERNELS = {"cell": ("lstm_step_w8a16", "gru_step_w8a16", "lstm_step_w8a8"), "head": ("dense_w16a16", "dense_w16a8")}
"""What shim_cells and shim_heads of stream.c hold."""
LISTS = """#include <stdint.h>
typedef void shim_cell(void *, int16_t *, const void *, const void *, const void *);
typedef void shim_head(int32_t *, const void *, const void *);
"""


def kernels(kind: str, targets: Iterable[str]) -> list[str]:
    """The functions that shim_cells or shim_heads of an image lists, in this order."""
    return [f"tl_{op}_{t}" for t in targets for op in KERNELS[kind] if op in _ops(t)]


def _ops(target: str) -> frozenset[str]:
    """Of both schemes."""
    return TARGETS[target].ops | (W8A8[target].ops if target in W8A8 else frozenset())


def functions(targets: Sequence[str]) -> list[str]:
    """Those of an image that may be called."""
    return ["shim_run", *(name for kind in KERNELS for name in kernels(kind, targets))]


def write_lists(folder: Path, targets: Sequence[str]) -> Path:
    """The C file with shim_cells and shim_heads."""
    text = LISTS
    for kind in KERNELS:
        names = ", ".join(kernels(kind, targets))
        text += f"extern shim_{kind} {names};\nextern shim_{kind} *const shim_{kind}s[];\n"
        text += f"shim_{kind} *const shim_{kind}s[] = {{{names}}};\n"
    (folder / "lists.c").write_text(text)
    return folder / "lists.c"


def _write_made(folder: Path, targets: Sequence[str], code: Code) -> Path:
    """The C file with the functions made for layers: made0_step and so on."""
    lines = [f'#include "{h}"' for t in targets for h in TARGETS[t].headers if h == f"tl_{t}.h"]
    lines += [f'#include "{W8A8[t].headers[0]}"' for t in targets if t in W8A8]
    lines += [line.replace("{layer}", f"made{k}") for k, made in enumerate(code) for line in made]
    lines += ["extern void (*const tl_made[])(void);", "void (*const tl_made[])(void) = {"]
    lines += [*(f"    (void (*)(void))made{k}_step," for k in range(len(code))), "};", ""]
    (folder / "made.c").write_text("\n".join(lines))
    return folder / "made.c"


def sources(folder: Path, targets: Sequence[str], code: Code) -> list[Path]:
    """All C files of an image but those that start it."""
    own = [write_lists(folder, targets), *([_write_made(folder, targets, code)] if code else [])]
    small = (W8A8[t].source for t in targets if t in W8A8)
    names = [*(TARGETS[t].source for t in targets), *small, *SHARED_SOURCES]
    return [*(CSRC / name for name in names), SHIMS / "stream.c", FIRMWARE / "libmem.c", *own]


def target_flags(targets: Sequence[str]) -> list[str]:
    """What the compiler needs beyond the board's own flags."""
    return [flag for t in targets for flag in TARGETS[t].flags]


def compile_image(
    tool: Toolchain, flags: Sequence[str], files: Sequence[Path], output: Path, link: Sequence[str]
) -> Path:
    """One call of the compiler, which says nothing; no kernel is left out."""
    include = [f"-I{folder}" for folder in (CSRC, FIRMWARE, FIRMWARE / "libc")]
    command = [*tool.cc, *flags, *no_loop_calls(tool), *include, *map(str, files), "-g"]
    command += ["-nostdlib", "-Wl,--no-gc-sections", *link, "-o", str(output)]

    def compiled() -> str:
        env = {**os.environ, **tool.env}
        done = subprocess.run(command, cwd=output.parent, capture_output=True, text=True, env=env)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return ""

    text = kept.anonymous("\n".join([tool.version, *command]), [output.parent])
    scripts = [Path(a) for a in link if a.endswith(".ld")]
    key = kept.digest(text, [CSRC, FIRMWARE, FIRMWARE / "libc", SHIMS], [*files, *scripts])
    kept.once(key, output.parent, [output.name], compiled)
    return output


def code_in(image: Path, code: Code, thumb: int) -> tuple[dict[str, int], dict[tuple[str, ...], int]]:
    """The functions of an image, and where those made for layers are. thumb: the lowest bit of an address."""
    at = {s.name: s.address | thumb for s in elf.symbols(image) if s.kind == "code"}
    return at, {made: at[f"made{k}_step"] for k, made in enumerate(code)}
