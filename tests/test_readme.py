"""README.md: its commands work, its tables are what the program says, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import needs
from toolkit.boards import board_names, load_board
from toolkit.cli import main
from toolkit.config import load_config
from toolkit.data.features import parse

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line.removeprefix("python3 run.py ")
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S)
    for line in block.splitlines()
]


def between(mark: str) -> str:
    found = re.search(f"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", TEXT, re.S)
    assert found, f"README.md has no {mark}"
    return found[1]


def test_the_commands_are_those_that_this_file_tries() -> None:
    verbs = [c.split()[0] for c in COMMANDS]
    own = [
        "train",
        "quantize",
        "generate-c",
        "run",
        "import",
        "quantize",
        "generate-c",
        "run",
        "fit",
        "export",
        "export",
    ]
    own += ["tune", "generate-c", "profile", "profile", "train", "quantize", "forecast"]
    assert verbs == ["demo", "test", *own]


def test_your_own_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The road of the README, word for word, in a folder of its own."""
    for name in ("docs", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS[2:]:
        if "pump" not in command:
            assert main(shlex.split(command)) == 0, command
    assert (tmp_path / "runs/room/report.html").is_file()
    assert (tmp_path / "runs/room/c/mps2_an386/room.h").is_file()


def test_a_model_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnx", "onnxruntime")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    commands = [c for c in COMMANDS if "pump" in c]
    assert len(commands) == 4
    for command in commands:
        assert main(shlex.split(command)) == 0, command


def test_the_demo_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo with one epoch: what it does, not how well it forecasts."""
    quick = ["--set", "train.epochs=1", "--set", "model.hidden=8", "--set", "model.layers=1"]
    assert main(["demo", "--out", str(tmp_path / "demo"), *quick]) == 0
    shown = capsys.readouterr().out
    for board in ("host", "mps2_an386", "netduinoplus2", "microbit"):
        assert board in shown and board in between("demo")


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_keys() -> None:
    assert (ROOT / "docs/config.md").read_text("utf-8") == script("config").page(), "run `python docs/config.py`"


def test_the_tables() -> None:
    module = script("readme")
    assert between("boards") == module.boards_table(), "run `python docs/readme.py`"
    assert between("layers") == module.layers_table(), "run `python docs/readme.py`"
    assert between("targets") == module.targets_table(), "run `python docs/readme.py`"


def test_the_page_of_every_board_has_every_board() -> None:
    for section in (ROOT / "docs/fit.md").read_text("utf-8").split("\n## ")[1:]:
        rows = {line.split()[0] for line in section.splitlines() if line.startswith(" ") and line.strip()}
        boards = {b.name for b in map(load_board, board_names()) if b.memory and b.toolchain != "aarch64-linux"}
        assert boards <= rows, "run `python -m docs.fit`"


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_keys_of_the_page_about_data(tmp_path: Path) -> None:
    """The example of docs/data.md is a valid run.toml."""
    block = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/data.md").read_text("utf-8"), re.S)[0]
    (tmp_path / "run.toml").write_text('name = "shops"\n' + block, "utf-8")
    data = load_config(tmp_path / "run.toml", sets=[], env={}).data
    assert data.horizon == (1, 3, 6) and not data.gaps
    assert [f.kind for f in parse(data.features, data.inputs, "data.md")] == ["value", "log_return", "mean", "lag"]


def test_the_page_of_training() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    assert (ROOT / "docs/training.md").read_text("utf-8") == script("training").page(), "run `python docs/training.py`"
