"""Builds with SCons: the image for a board, the host library of a model, the kernel test library, the native hook."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from toolkit import checks, cpu, elf, images
from toolkit.boards import Board, Memory
from toolkit.errors import ToolkitError, write_whole
from toolkit.targets import CSRC, F32, LAYERS_F32, PORTABLE, ROOT, SHARED_SOURCES, TARGETS, W8A8, FloatTarget, Target
from toolkit.toolchain import (
    CACHE,
    SUFFIX,
    Toolchain,
    board_flags,
    core_flags,
    cross_toolchain,
    host_flags,
    host_toolchain,
    no_loop_calls,
    spelled,
)

FIRMWARE = ROOT / "firmware"
_VISIBLE = "__declspec(dllexport)" if sys.platform == "win32" else '__attribute__((visibility("default")))'
EXPORT = f"-DTL_API={_VISIBLE}"
_UNDEFINED = ("undefined reference", "undefined symbol")  # GNU ld, lld
_STARTS = {  # by a board's toolchain: what starts and ends a program where its HAL does not
    "arm-none-eabi": ("startup", "exit"),
    "aarch64-linux": (),
    "aarch64": ("exit",),
    "riscv32": ("startup_riscv",),
    "x86_64-uefi": (),
}
_PAGED = ("aarch64-linux", "x86_64-uefi")  # a system loads the program and protects its pages
IMAGES = {  # what an image is for -> its files of firmware/ beside those of every image
    "replay": ("main", "replay"),
    "serve": ("main", "serve", "wire", "cycles"),
    "replay_serve": ("main", "replay", "serve", "wire", "cycles"),
    "replay_f32": ("main_f32",),
}
_COMMON = ("print", "probe")
_ROOM = 0x0800_0000  # region length to link against, so that what does not fit still links and can be shown


@dataclass(frozen=True, slots=True)
class Plan:
    """One link: everything that SConstruct needs. objects: (source, object, flags beside `flags`)."""

    toolchain: Toolchain
    flags: Sequence[str]
    include: Sequence[Path]
    objects: Sequence[tuple[Path, Path, Sequence[str]]]
    output: Path
    link: Sequence[str]
    depends: Sequence[Path]

    def text(self) -> str:
        """The plan as JSON, paths absolute."""
        return json.dumps(
            {
                "cc": list(self.toolchain.cc),
                "version": self.toolchain.version,
                "env": dict(self.toolchain.env),
                "flags": list(self.flags),
                "include": [str(p.resolve()) for p in self.include],
                "objects": [
                    {"source": str(s.resolve()), "object": str(o.resolve()), "flags": list(f)}
                    for s, o, f in self.objects
                ],
                "output": str(self.output.resolve()),
                "link": list(self.link),
                "depends": [str(p.resolve()) for p in self.depends],
            },
            indent=1,
        )


def _scons(plan: Plan, folder: Path) -> str:
    """Runs SCons on a plan. Returns the whole output when the build failed, else an empty string."""
    write_whole(folder / "plan.json", plan.text())
    command = [sys.executable, "-m", "SCons", "-Q", f"-j{os.cpu_count() or 1}", "-f", str(ROOT / "SConstruct")]
    command += [f"plan={folder / 'plan.json'}"]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    except OSError as e:
        raise ToolkitError(f"SCons does not start: {e.strerror}") from None
    log = done.stdout + done.stderr
    if "No module named SCons" in log:
        raise ToolkitError("SCons is not installed: pip install scons")
    write_whole(folder / "build.log", log)
    return log if done.returncode else ""


def _refuse(log: str, folder: Path) -> ToolkitError:
    """The compiler's complaint in one line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if any(word in line for word in ("error:", *_UNDEFINED))] or lines[-3:]
    return ToolkitError(f"the C does not build: {' | '.join(errors[:2])} (all of it in {folder / 'build.log'})")


def compiled(plan: Plan, folder: Path) -> None:
    """Runs SCons on a plan. Raises: ToolkitError when the C does not build."""
    log = _scons(plan, folder)
    if log:
        raise _refuse(log, folder)


def _sources(c_dir: Path) -> list[Path]:
    found = sorted(c_dir.glob("*.c")) if c_dir.is_dir() else []
    if not found:
        raise ToolkitError(f"{c_dir}: no C here; run `python3 run.py generate-c` first")
    return found


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ToolkitError(f"{path}: cannot write: {e.strerror}; choose a folder that is writable") from None
    return path.resolve()


def linker_script(memory: Memory, page: int = 4) -> str:
    """firmware/link.ld.in for a board's memory; constants begin on a multiple of `page`, which is 4 on a chip."""

    def room(origin: int, length: int) -> str:
        return hex(min(max(length, _ROOM), 2**32 - origin))

    return Template((FIRMWARE / "link.ld.in").read_text(encoding="utf-8")).substitute(
        flash_origin=hex(memory.flash.origin),
        flash_length=room(memory.flash.origin, memory.flash.length),
        ram_origin=hex(memory.ram.origin),
        ram_length=room(memory.ram.origin, memory.ram.length),
        stack=hex(memory.stack),
        page=page,
        constants=memory.constants.upper(),
    )


def _libc(board: Board, toolchain: Toolchain) -> list[Path]:
    """The folders with what a compiler lacks of a C library's headers."""
    bare = board.toolchain == "riscv32" and toolchain.kind == "gcc"
    return [FIRMWARE / "libc", *([FIRMWARE / "libc_gcc"] if bare else [])]


def board_hash(board: Board) -> int:
    """32 bits that tell whether an image was built for a board as its file is now."""
    what = (board.name, board.chip, board.core, board.fpu, board.target, board.cflags, board.clock_hz, board.memory)
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:4], "big")


def _defines(board: Board, purpose: str) -> list[str]:
    defines = [f"-DTL_CLOCK_HZ={board.clock_hz}u", f'-DTL_BOARD_NAME="{board.name}"']
    defines += [f"-DTL_REPLAY={int('replay' in IMAGES[purpose])}", f"-DTL_SERVE={int('serve' in IMAGES[purpose])}"]
    return [*defines, f"-DTL_BOARD_HASH=0x{board_hash(board):08x}u"]


def _firmware_plan(c_dir: Path, board: Board, out: Path, toolchain: Toolchain, purpose: str) -> Plan:
    model = [(p, out / "obj" / f"model_{p.stem}.o", TARGETS[board.target].flags) for p in _sources(c_dir)]
    own: list[tuple[Path, Path, Sequence[str]]] = []
    for stem in (*_STARTS[board.toolchain], *IMAGES[purpose], *_COMMON, "libmem", f"hal_{board.hal}"):
        flags = no_loop_calls(toolchain) if stem in ("startup", "startup_riscv", "libmem") else ()
        own.append((FIRMWARE / f"{stem}.c", out / "obj" / f"firmware_{stem}.o", flags))
    defines = [*_defines(board, purpose), f"-DTL_SEMIHOSTING={int(board.semihosting)}"]
    script = out / "link.ld"
    link = [*core_flags(board, toolchain), "-nostdlib", "-Wl,--gc-sections", "-Wl,--entry=tl_reset", "-T", str(script)]
    if board.toolchain == "x86_64-uefi":
        link += ["-static-pie", "-Wl,-z,norelro"]
    if toolchain.kind == "zig":
        link += ["-fno-sanitize=undefined"]  # else it looks for a run-time library
    return Plan(
        toolchain=toolchain,
        flags=[*board_flags(board, toolchain), *defines],
        include=[c_dir, FIRMWARE, *_libc(board, toolchain), out],
        objects=[*model, *own],
        output=out / "firmware.elf",
        link=link,
        depends=[script],
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_firmware(
    c_dir: Path, board: Board, out_dir: Path, *, toolchain: str, say: Callable[[str], None], purpose: str = "replay"
) -> dict[str, Any]:
    """Builds the image of a generated folder for a board, beside `model.h` and `vectors.h` in out_dir.

    toolchain: `auto`, `gcc` or `zig`. purpose: one of IMAGES.
    Writes firmware.elf, .bin, .hex, what else the board takes and, last, build.json, which it returns.
    Raises: ToolkitError when the C does not build; CheckFailed when the image fails a check of toolkit/checks.py."""
    memory = board.memory
    if memory is None:
        raise ToolkitError(f"board {board.name} has no [memory]: it takes no image; choose another board")
    out = _make_folder(out_dir)
    for name in ("model.h", *(["vectors.h"] if "replay" in purpose else [])):
        if not (out / name).is_file():
            raise ToolkitError(f"{out / name}: missing; `python3 run.py build` writes it before it compiles")
    for path in (out / "build.json", out / "run.json", *out.glob("firmware.*")):  # an image is linked anew
        path.unlink(missing_ok=True)
    compiler = cross_toolchain(toolchain, board.toolchain)
    say(f"build {board.name} with {compiler.version}")
    write_whole(out / "link.ld", linker_script(memory, 4096 if board.toolchain in _PAGED else 4))
    plan = _firmware_plan(c_dir, board, out, compiler, purpose)
    objects = [o for _, o, _ in plan.objects]
    log = _scons(plan, out)
    if log:
        if all(o.is_file() for o in objects) and any(word in log for word in _UNDEFINED):
            checks.nothing_missing(board, objects)
        raise _refuse(log, out)
    image = out / "firmware.elf"
    sizes = elf.measure(image, [o for o in objects if o.name.startswith("model_")])
    checks.nothing_foreign(board, objects, image)
    checks.instructions(board, image)
    if memory.constants == "ram":
        sizes["ram"] += elf.section_bytes(image, ".rodata")
    checks.room(board, memory, image, sizes)
    result = _build_result(board, memory, compiler, image, sizes)
    write_whole(out / "build.json", json.dumps(result, indent=1) + "\n")
    return result


def _build_result(
    board: Board, memory: Memory, compiler: Toolchain, image: Path, sizes: dict[str, int]
) -> dict[str, Any]:
    out = image.parent
    names = images.write_images(image, board)
    return {
        "board": board.name,
        "title": board.title,
        "toolchain": compiler.kind,
        "compiler": compiler.version,
        "sizes": sizes,
        "limits": {"flash": memory.flash.length, "ram": memory.ram.length, "stack": memory.stack},
        "symbols": [{"name": s.name, "size": s.size, "kind": s.kind} for s in elf.symbols(image)],
        "images": {name: {"bytes": (out / name).stat().st_size, "sha256": _sha256(out / name)} for name in names},
    }


def _library(
    sources: Sequence[tuple[Path, Sequence[str]]],
    include: Sequence[Path],
    output: Path,
    flags: Sequence[str],
    sanitize: str | None,
) -> Path:
    """Builds a shared library for this computer."""
    compiler = host_toolchain("auto")
    folder = _make_folder(output.parent)
    link = ["-shared"] + ([f"-fsanitize={sanitize}"] if sanitize else [])
    if compiler.kind == "zig" and sys.platform == "linux":
        link += ["-nostdlib"]  # mem* comes from the process; zig would first build a C library, up to 20 s
    plan = Plan(
        toolchain=compiler,
        flags=[*host_flags(compiler, sanitize), "-DTL_HOST=1", EXPORT, *flags],
        include=include,
        objects=[(s, folder / "obj" / f"{s.stem}.o", spelled(f, compiler)) for s, f in sources],
        output=output,
        link=link,
        depends=[],
    )
    compiled(plan, folder)
    return output


def build_host(c_dir: Path, out_dir: Path, *, sanitize: str | None = None) -> Path:
    """Builds a generated folder as a shared library whose only visible functions are those marked TL_API.

    sanitize: None, `address`, `undefined` or both with a comma. Raises: ToolkitError."""
    flags = {t.source: t.host_flags for t in (*TARGETS.values(), *W8A8.values(), *PORTABLE.values())}
    flags |= {t.source: t.host_flags for t in F32.values()}
    sources = [(p, flags.get(p.name, ())) for p in _sources(c_dir)]
    return _library(sources, [c_dir], out_dir / f"model{SUFFIX}", [], sanitize)


def build_host_firmware(c_dir: Path, board: Board, out_dir: Path, *, sanitize: str | None = None) -> Path:
    """Builds a generated folder as a program that serves the protocol on its standard input and output.

    out_dir has `model.h`. sanitize: as of `build_host`. Raises: ToolkitError."""
    compiler = host_toolchain("auto")
    out = _make_folder(out_dir)
    flags = {t.source: t.host_flags for t in (*TARGETS.values(), *W8A8.values(), *PORTABLE.values())}
    own = [FIRMWARE / f"{stem}.c" for stem in (*IMAGES["serve"], *_COMMON, "hal_host")]
    plan = Plan(
        toolchain=compiler,
        flags=[*host_flags(compiler, sanitize), "-DTL_HOST=1", "-DTL_HOSTED=1", *_defines(board, "serve")],
        include=[c_dir, FIRMWARE, out],
        objects=[
            *(
                (p, out / "obj" / f"model_{p.stem}.o", spelled(flags.get(p.name, ()), compiler))
                for p in _sources(c_dir)
            ),
            *((p, out / "obj" / f"firmware_{p.stem}.o", ()) for p in own),
        ],
        output=out / ("firmware.exe" if sys.platform == "win32" else "firmware"),
        link=[f"-fsanitize={sanitize}"] if sanitize else [],
        depends=[],
    )
    log = _scons(plan, out)
    if log:
        raise _refuse(log, out)
    return plan.output


def build_kernels(
    out_dir: Path,
    *,
    extra: Sequence[Path] = (),
    extra_flags: Sequence[str] = (),
    sanitize: str | None = None,
    targets: Collection[str] = tuple({**TARGETS, **F32}),
) -> Path:
    """Builds those of `targets` that this computer can, the shared files and `extra`, as one library.

    Raises: ToolkitError."""
    here = [t for t in targets if t not in cpu.FEATURES or cpu.is_x86()]
    sources: list[tuple[Path, Sequence[str]]] = [(CSRC / name, ()) for name in SHARED_SOURCES]
    registries: tuple[Mapping[str, Target | FloatTarget], ...] = (TARGETS, W8A8, F32)
    sources += [(CSRC / s[t].source, s[t].host_flags) for s in registries for t in here if t in s]
    sources += [(CSRC / t.source, t.host_flags) for t in PORTABLE.values()]
    sources += [(CSRC / name, ()) for name in LAYERS_F32]
    sources += [(path, extra_flags) for path in extra]
    return _library(sources, [CSRC], out_dir / f"kernels{SUFFIX}", ["-fvisibility=default", "-DTL_KERNEL="], sanitize)


def native_hook() -> Path:
    """The library that counts instructions inside unicorn, built once per source and compiler.

    Raises: ToolkitError when there is no C compiler."""
    return _native("hook", ("hook.c", "thumb.h"), [])


def qemu_plugin(version: int) -> Path:
    """The plugin that counts instructions inside QEMU, for a version of QEMU's interface, built likewise."""
    return _native("qemu_count", ("qemu_count.c",), [f"-DTL_QEMU_API={version}"])


def _native(name: str, sources: tuple[str, ...], flags: Sequence[str]) -> Path:
    folder = Path(__file__).with_name("emulate")
    text = b"".join((folder / source).read_bytes() for source in sources) + " ".join(flags).encode()
    key = hashlib.sha256(text + host_toolchain("auto").version.encode()).hexdigest()[:16]
    output = _make_folder(CACHE / "hook") / f"{name}-{key}{SUFFIX}"
    if not output.is_file():
        with tempfile.TemporaryDirectory(dir=output.parent) as work:  # two processes may build it at once
            built = _library([(folder / sources[0], ())], [], Path(work) / output.name, flags, None)
            os.replace(built, output)
    return output
