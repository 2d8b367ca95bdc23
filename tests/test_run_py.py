"""run.py: its parts, its messages, and the pins it installs. None of this makes an environment."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
WHEEL = b"not really a wheel"
UNREACHABLE = "http://127.0.0.1:9/simple"


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """run.py as a module whose checkout is a temporary folder, and that sees no pip.conf."""
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pins = tmp_path / "toolkit" / "constraints.txt"
    pins.parent.mkdir()
    pins.write_text("numpy==2.2.6\npip==26.3\n")
    for name, value in {"ROOT": tmp_path, "VENV": tmp_path / ".venv", "PINS": pins}.items():
        monkeypatch.setattr(module, name, value)
    for variable in [v for v in os.environ if v.startswith("PIP_") or v.endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", UNREACHABLE)
    return module


@pytest.fixture
def local_index(tmp_path: Path, door: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Serves an index page for pip from a folder; `{}` in the page becomes the folder's URL."""

    def serve(page: str) -> None:
        (tmp_path / "pip-26.3-py3-none-any.whl").write_bytes(WHEEL)
        (tmp_path / "page.html").write_text(page.format(tmp_path.as_uri()))
        monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
        opener = door.urllib.request.urlopen

        def urlopen(url: str, **options: object) -> object:
            return opener(url.replace("/pip/", "/page.html"), **options)

        monkeypatch.setattr(door.urllib.request, "urlopen", urlopen)

    return serve


def test_index_page(door: ModuleType) -> None:
    page = """<a href="../files/pip-26.3.tar.gz#sha256=aa">x</a>
        <a data-yanked="bad" href="/y/pip-26.3-py3-none-any.whl">y</a>
        <a href="../../files/pip-26.3-py3-none-any.whl#sha256=bb" data-requires-python="&gt;=3.10">pip</a>"""
    assert door.find_wheel(page, base="https://index/simple/pip/", version="26.3") == (
        "https://index/files/pip-26.3-py3-none-any.whl",
        "bb",
    )
    with pytest.raises(door.SetupError, match=r"no wheel of pip 99\.0 there: set PIP_INDEX_URL"):
        door.find_wheel(page, base="https://index/simple/pip/", version="99.0")


def test_pip_settings_come_from_environment_then_files(door: ModuleType, tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = https://file/simple\ncert = /a.pem\n")
    nowhere = {"HOME": str(tmp_path / "nobody")}
    assert door.pip_settings({**nowhere, "PIP_CONFIG_FILE": str(conf)}) == {
        "index-url": "https://file/simple",
        "cert": "/a.pem",
    }
    both = {**nowhere, "PIP_CONFIG_FILE": str(conf), "PIP_INDEX_URL": "https://env/simple"}
    assert door.pip_settings(both)["index-url"] == "https://env/simple"
    user = tmp_path / ".config" / "pip"
    user.mkdir(parents=True)
    conf.rename(user / "pip.conf")
    assert door.pip_settings({"HOME": str(tmp_path)})["index-url"] == "https://file/simple"


def test_pip_is_downloaded_and_checked(door: ModuleType, local_index: Callable[[str], None], tmp_path: Path) -> None:
    link = '<a href="{}/pip-26.3-py3-none-any.whl#sha256=%s">pip</a>'
    local_index(link % hashlib.sha256(WHEEL).hexdigest())
    into = tmp_path / "into"
    into.mkdir()
    assert door.download_pip(into).read_bytes() == WHEEL
    (tmp_path / "page.html").write_text((link % ("0" * 64)).format(tmp_path.as_uri()))
    with pytest.raises(door.SetupError, match="its sha256 is not the index's"):
        door.download_pip(into)


def test_stamp(door: ModuleType, tmp_path: Path) -> None:
    assert door.stamp_of() is None
    python = door.venv_python()
    assert python.is_relative_to(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    wanted = door.wanted_stamp()
    (door.VENV / door.STAMP).write_text(wanted)
    assert door.stamp_of() == wanted
    door.PINS.write_text("numpy==2.2.7\n")
    changed = door.wanted_stamp()
    assert changed != wanted and changed.partition("\n")[0] == wanted.partition("\n")[0]
    python.unlink()
    assert door.stamp_of() == door.UNFINISHED


def test_no_network_is_one_line_and_leaves_no_finished_environment(
    door: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    assert door.main(["demo"]) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert re.match(r"error: no answer from http://127\.0\.0\.1:9/simple/pip/: connect to", errors[0])
    assert door.stamp_of() == door.UNFINISHED


def test_somebody_elses_venv_is_left_alone(door: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    door.VENV.mkdir()
    (door.VENV / "precious").touch()
    assert door.main(["demo"]) == 1
    assert "was not made by run.py: move it away" in capsys.readouterr().err
    assert (door.VENV / "precious").exists()


def test_pytest_arguments(door: ModuleType) -> None:
    environment: dict[str, str] = {}
    pytest_2 = ["-m", "pytest", "-n", "2", "--dist", "worksteal"]
    assert door.pytest_arguments(["-k", "x"], environment) == [*pytest_2, "-k", "x"]
    assert environment == {}
    long = door.pytest_arguments(["--long", "--seconds", "60", "-x"], environment)
    assert long == [*pytest_2, "-rP", "tests/long", "-x"]
    assert environment == {"TEALIGHT_LONG_SECONDS": "60"}
    with pytest.raises(door.SetupError, match='--seconds "soon": expected whole seconds'):
        door.pytest_arguments(["--long", "--seconds", "soon"], environment)


def test_no_arguments_shows_the_usage(door: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main([]) == 2
    assert "python3 run.py demo" in capsys.readouterr().out


def test_old_python_gets_one_line() -> None:
    program = "import sys; sys.version_info, sys.version = (3, 6, 15), '3.6.15 (old)'; exec(open('run.py').read())"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: this is Python 3.6.15; Tealight needs 3.10 or newer: try python3.12 run.py\n"


def test_verbs_reach_toolkit() -> None:
    result = subprocess.run([sys.executable, "-m", "toolkit", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.startswith("usage: run.py")


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_the_pins_are_what_pyproject_asks_for(python: str) -> None:
    """Every core, demo and test dependency is pinned once for each Python, within its bounds."""
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = (ROOT / "toolkit" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    here = {"python_version": python, "sys_platform": "linux"}

    def applying(texts: list[str]) -> list[Requirement]:
        return [r for r in map(Requirement, texts) if r.marker is None or r.marker.evaluate(here)]

    pins = applying([line for line in lines if line and not line.startswith("#")])
    versions = {r.name: str(r.specifier).removeprefix("==") for r in pins}
    assert len(versions) == len(pins)
    for wanted in applying([*project["dependencies"], *extras["demo"], *extras["test"]]):
        assert wanted.name in versions and wanted.specifier.contains(versions[wanted.name]), wanted


def test_the_environment_lacks_nothing_its_packages_ask_for() -> None:
    """--no-deps installs exactly the pins, so the pins must be closed; bokeh-sampledata is the meant exception."""
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not in the environment of run.py")
    result = subprocess.run([sys.executable, "-m", "pip", "check"], cwd=ROOT, capture_output=True, text=True)
    missing = [line for line in result.stdout.splitlines() if not line.startswith(("bokeh-sampledata ", "No broken"))]
    assert not missing, "\n".join(missing)
