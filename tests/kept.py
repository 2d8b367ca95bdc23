"""Builds kept from test to test, from worker to worker and from run to run, by what they were made from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from toolkit import build
from toolkit.build import Plan
from toolkit.targets import ROOT, SHIMS
from toolkit.toolchain import CACHE

FOLDER = CACHE / "tests" / "kept"
DAYS = 3  # without use
REAL = build._scons


def digest(text: str, folders: Iterable[Path], files: Iterable[Path]) -> str:
    """Of a text, of all C in folders and of files: what a build is made from. text: the commands and the compiler."""
    key = hashlib.sha256(text.encode())
    sources = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if p.suffix in (".c", ".h")]
    for path in (*sources, *files):
        key.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        key.update(path.read_bytes())
    return key.hexdigest()


def once(key: str, folder: Path, names: Sequence[str], make: Callable[[], str]) -> str:
    """The files `names` of a folder as `make` left them there, in whatever folder, under the same key; what it said.

    make: returns an empty string when all went well; nothing is kept of what failed."""
    kept = FOLDER / key
    if kept.is_dir():
        os.utime(kept)
        _copy(kept, folder, names)
        return ""
    said = make()
    if not said:
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as work:
            _copy(folder, Path(work) / "files", names)
            with contextlib.suppress(OSError):  # another process may have been first
                os.rename(Path(work) / "files", kept)
    return said


def _copy(source: Path, to: Path, names: Sequence[str]) -> None:
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).unlink(missing_ok=True)  # not into a library that this process has loaded
        shutil.copy2(source / name, to / name)


def anonymous(text: str, folders: Iterable[Path]) -> str:
    """A text with the paths of the test's own folders taken out."""
    for k, path in sorted(enumerate(folders), key=lambda item: -len(str(item[1]))):
        text = text if path == ROOT or ROOT in path.parents else text.replace(str(path), f"<folder {k}>")
    return text


def scons(plan: Plan, folder: Path) -> str:
    """toolkit.build._scons for all tests but those of the build; a build inside build/ keeps itself."""
    folder = folder.resolve()
    if CACHE in folder.parents:
        return REAL(plan, folder)
    include = [p.resolve() for p in plan.include]
    text = anonymous(plan.text(), [folder, *include, *(s.resolve().parent for s, _, _ in plan.objects)])
    folders = [*include, *([SHIMS] if str(SHIMS) in text else [])]
    key = digest(text, folders, [ROOT / "SConstruct", *(s for s, _, _ in plan.objects), *plan.depends])
    made = [o for _, o, _ in plan.objects] + [plan.output]
    return once(key, folder, [str(p.resolve().relative_to(folder)) for p in made], lambda: REAL(plan, folder))


def forget() -> None:
    """Removes what no run has used for days."""
    for path in FOLDER.iterdir() if FOLDER.is_dir() else ():
        with contextlib.suppress(OSError):  # another process may remove it, too
            if path.stat().st_mtime < time.time() - DAYS * 86400:
                shutil.rmtree(path)
