"""Builds csrc/train for this computer at its first use, and opens it: by Cython, or by cffi without Python's headers.

What was built lies in build/train/, in a folder named after the sources, the flags, the compiler and the Python."""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cffi

from toolkit import cpu
from toolkit.errors import ToolkitError
from toolkit.targets import CSRC
from toolkit.toolchain import CACHE, SUFFIX, Toolchain, common_flags, host_toolchain

SOURCES = CSRC / "train"
LEVELS: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "avx512": (frozenset({"avx512f"}), ("-DTL_BYTES=64", "-mavx512f")),
    "avx2": (frozenset({"avx2", "fma"}), ("-DTL_BYTES=32", "-mavx2", "-mfma")),
    "any": (frozenset(), ("-DTL_BYTES=16",)),
}
"""The processors, the fastest first: what one needs, in the words of /proc/cpuinfo, and the flags."""

Run = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Door:
    """The kernels, open. run(address, n): the calls of a `calls.Table`."""

    run: Run
    level: str  # of LEVELS
    binding: str  # "Cython" or "cffi"


def levels() -> list[str]:
    """What this processor can run, the fastest first."""
    has = cpu.features() if cpu.is_x86() else frozenset()
    return [name for name, (needed, _) in LEVELS.items() if needed <= has]


@functools.cache
def door(level: str, binding: str) -> Door:
    """The kernels for a level, built unless they are there. binding: "Cython", "cffi", or "auto": Cython if it can be.

    Raises: ToolkitError without a compiler."""
    if binding == "auto":
        binding = "Cython" if can_cython() else "cffi"
    toolchain = host_toolchain("auto")
    flags = [*common_flags(toolchain), "-O2", "-fPIC", "-fno-math-errno", "-ffp-contract=fast", *LEVELS[level][1]]
    if toolchain.kind == "zig":
        flags += ["-mcpu=baseline"]
    files = sorted(SOURCES.iterdir())
    python = f"{sys.implementation.cache_tag} {sys.base_prefix}" if binding == "Cython" else ""
    text = "\0".join([toolchain.version, python, *flags, *(f"{f.name}\0{f.read_text('utf-8')}" for f in files)])
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0] if binding == "Cython" else SUFFIX
    kept = CACHE / "train" / f"{level}-{hashlib.sha256(text.encode()).hexdigest()[:16]}" / f"native{suffix}"
    if not kept.is_file():
        print(f"compiling the training kernels for this processor ({level}), once", file=sys.stderr)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:  # two processes may build it at once
            os.replace(_build(Path(work), toolchain, flags, binding), kept)
    return Door(_open_cython(kept) if binding == "Cython" else _open_cffi(kept), level, binding)


def can_cython() -> bool:
    """Whether Python's headers and Cython are here; a Windows extension would also need Python's import library."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return sys.platform != "win32" and headers.is_file() and importlib.util.find_spec("Cython") is not None


def _build(work: Path, toolchain: Toolchain, flags: list[str], binding: str) -> Path:
    """The library, in `work`."""
    objects = [(f, work / f"{f.stem}.o", flags) for f in sorted(SOURCES.glob("*.c"))]
    if binding == "Cython":
        generated = work / "native.c"
        _do([sys.executable, "-m", "cython", "-o", str(generated), str(SOURCES / "native.pyx")], toolchain)
        objects.append((generated, work / "native.o", ["-O1", "-fPIC", "-w", f"-I{sysconfig.get_path('include')}"]))
    running = []
    for source, made, how in objects:
        running.append(_start([*toolchain.cc, *how, f"-I{SOURCES}", "-c", str(source), "-o", str(made)], toolchain))
    for process in running:
        _ended(process)
    library = work / "native.library"
    undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    _do([*toolchain.cc, "-shared", *undefined, *(str(o) for _, o, _ in objects), "-o", str(library)], toolchain)
    return library


def _start(command: list[str], toolchain: Toolchain) -> subprocess.Popen[str]:
    environment = {**os.environ, **toolchain.env}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _ended(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate()
    if process.returncode:
        raise ToolkitError(f"cannot compile csrc/train: {' '.join(said.split())[:300] or process.returncode}")


def _do(command: list[str], toolchain: Toolchain) -> None:
    _ended(_start(command, toolchain))


def _open_cython(path: Path) -> Run:
    spec = importlib.util.spec_from_file_location("native", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: Run = module.run
    return run


def _open_cffi(path: Path) -> Run:
    ffi = cffi.FFI()
    ffi.cdef("void tl_train_run(const void *calls, intptr_t n);")
    library = ffi.dlopen(str(path))

    def run(address: int, n: int) -> None:
        library.tl_train_run(ffi.cast("void *", address), n)

    return run
