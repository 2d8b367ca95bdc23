"""Builds that are kept: used again when nothing changed, made anew after any change, never kept when they failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import kept
from tests.conftest import needs
from toolkit import build
from toolkit.build import build_host
from toolkit.errors import ToolkitError

C = '#include "x.h"\nTL_API int answer(void);\nint answer(void)\n{\n    return X;\n}\n'


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The folders in which SCons ran."""
    folders: list[Path] = []

    def real(plan: build.Plan, folder: Path, scons=kept.REAL) -> str:  # type: ignore[no-untyped-def]
        folders.append(folder)
        return str(scons(plan, folder))

    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(kept, "REAL", real)
    monkeypatch.setattr(build, "_scons", kept.scons)
    return folders


def write(folder: Path, value: str) -> Path:
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "x.c").write_text(C)
    (folder / "c" / "x.h").write_text(f"#define X {value}\n")
    return folder / "c"


def test_built_once_and_anew_after_a_change(made: list[Path], tmp_path: Path) -> None:
    needs("host-cc")
    for name, value, runs in (("a", "1", 1), ("b", "1", 1), ("c", "2", 2)):
        library = build_host(write(tmp_path / name, value), tmp_path / name / "out")
        assert library.is_file() and len(made) == runs, name
    inode = library.stat().st_ino
    held = library.open("rb")  # as a process that has loaded it
    assert build_host(tmp_path / "c" / "c", tmp_path / "c" / "out").stat().st_ino != inode and len(made) == 2
    held.close()
    build_host(tmp_path / "a" / "c", tmp_path / "d", sanitize=None)
    assert len(made) == 2
    (tmp_path / "a" / "c" / "x.h").write_text("#define X 2 + 1\n")
    build_host(tmp_path / "a" / "c", tmp_path / "d")
    assert len(made) == 3


def test_what_failed_is_not_kept(made: list[Path], tmp_path: Path) -> None:
    needs("host-cc")
    c_dir = write(tmp_path, "nothing_that_is_declared")
    for runs in (1, 2):
        with pytest.raises(ToolkitError, match="does not build"):
            build_host(c_dir, tmp_path / "out")
        assert len(made) == runs
