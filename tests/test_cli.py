"""The command line: the road from CSV to board, exit codes, one-line messages, and files left as they were."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.conftest import needs
from toolkit import elf
from toolkit.cli import main

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("--set", "train.epochs=3", "--set", "model.hidden=8")
EMULATED = ("mps2_an386", "netduinoplus2", "microbit")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and quantized run with C for every board; copied by tests that change it."""
    run = tmp_path_factory.mktemp("run") / "room"
    assert main(["train", str(ROOT / "docs/examples/room.toml"), "--out", str(run), *QUICK]) == 0
    assert main(["quantize", str(run)]) == 0
    for board in ("host", *EMULATED):
        assert main(["generate-c", str(run), "--board", board]) == 0
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` that the test may change."""
    return shutil.copytree(made, tmp_path / "room")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("board", EMULATED)
@pytest.mark.parametrize("emulator", ("qemu", "unicorn"))
def test_parity_on_boards(run: Path, board: str, emulator: str) -> None:
    needs(emulator)
    assert main(["run", str(run), "--board", board, "--steps", "120", "--emulator", emulator]) == 0
    seen = json.loads((run / "build" / board / "run.json").read_text())
    assert seen["steps"] == 120 and seen["passed"] and seen["hash_changes"] > 100
    host = json.loads((run / "build" / board / "host.json").read_text())
    assert host["hash"] == seen["hash"] and host["equal"]


def test_image_and_report_agree(run: Path) -> None:
    assert main(["run", str(run), "--board", "mps2_an386", "--steps", "60"]) == 0
    seen = json.loads((run / "build" / "mps2_an386" / "run.json").read_text())
    built = json.loads((run / "build" / "mps2_an386" / "build.json").read_text())
    report = json.loads((run / "report.json").read_text())
    assert report["memory"]["stack"] == seen["stack"]
    assert report["memory"]["ram"] == seen["ram"] == built["sizes"]["ram"]
    assert report["memory"]["state"] + report["memory"]["scratch"] == seen["state_bytes"] + 2 * 8


def test_a_state_saved_on_the_host_continues_on_the_board(run: Path, tmp_path: Path) -> None:
    whole, half, end = (tmp_path / name for name in ("whole.bin", "half.bin", "end.bin"))
    assert main(["run", str(run), "--board", "host", "--steps", "90", "--save-state", str(whole)]) == 0
    assert main(["run", str(run), "--board", "host", "--steps", "50", "--save-state", str(half)]) == 0
    again = ["--first", "50", "--steps", "40", "--state", str(half), "--save-state", str(end)]
    assert main(["run", str(run), "--board", "mps2_an386", *again]) == 0
    assert end.read_bytes() == whole.read_bytes() != half.read_bytes()


def test_a_flipped_weight_bit_is_found_and_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate-c", str(run), "--board", "mps2_an386", "--target", "ref"]) == 0
    assert main(["run", str(run), "--board", "mps2_an386", "--steps", "60"]) == 0
    image = run / "build" / "mps2_an386" / "firmware.elf"
    row, column, size = 2 * 8 + 5, 3, 8  # gate g, unit 5
    elf.patch_symbol(image, "lstm0_wh", row * size + column, 0x40, image)
    assert main(["run", str(run), "--board", "mps2_an386", "--steps", "60", "--no-build"]) == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("failed: mps2_an386") and "layer lstm0, unit 5" in message
    assert f"lstm0_wh[{row}][{column}] (gate g, unit 5)" in message and "step " in message
    seen = json.loads((run / "build" / "mps2_an386" / "run.json").read_text())
    assert not seen["passed"] and seen["lines"][-1] == "EXIT:1"
    report = json.loads((run / "report.json").read_text())
    assert report["parity"]["equal"] is False and report["boards"]["mps2_an386"]["parity"] is False


def test_a_flipped_bit_of_a_packed_layout_names_the_unit(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(run), "--board", "mps2_an386", "--steps", "60"]) == 0
    image = run / "build" / "mps2_an386" / "firmware.elf"
    words = len(elf.read_symbol(image, "lstm0_w")) // 8  # bytes of a unit
    elf.patch_symbol(image, "lstm0_w", 6 * words + words // 2 + 1, 0x40, image)
    assert main(["run", str(run), "--board", "mps2_an386", "--steps", "60", "--no-build"]) == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert "layer lstm0, unit 6" in message and "weight lstm0_w[6]" in message and "(unit 6)" in message
    assert main(["run", str(run), "--board", "mps2_an386", "--steps", "60"]) == 0, "a build mends a damaged image"


def test_a_flipped_head_bit_names_the_output(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(run), "--board", "microbit", "--steps", "60"]) == 0
    image = run / "build" / "microbit" / "firmware.elf"
    elf.patch_symbol(image, "head_w", 1, 0x20, image)
    assert main(["run", str(run), "--board", "microbit", "--steps", "60", "--no-build"]) == 3
    assert "layer head, output 0" in capsys.readouterr().err.splitlines()[-1]


def test_a_wrong_vector_is_told_from_a_wrong_model(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(run), "--board", "mps2_an386", "--steps", "60"]) == 0
    image = run / "build" / "mps2_an386" / "firmware.elf"
    elf.patch_symbol(image, "tl_vector_out", 4 * 7, 1, image)
    assert main(["run", str(run), "--board", "mps2_an386", "--steps", "60", "--no-build"]) == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert "step 7" in message and "its test vector is wrong" in message


def test_generate_c_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        assert main(["generate-c", str(run), "--board", "microbit", "--out", str(tmp_path / out)]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(run / "c" / "microbit")


def test_training_again_gives_the_same_model(run: Path, tmp_path: Path) -> None:
    assert main(["train", str(ROOT / "docs/examples/room.toml"), "--out", str(tmp_path / "again"), *QUICK]) == 0
    again, first = tmp_path / "again" / "model.safetensors", run / "model.safetensors"
    assert again.read_bytes() == first.read_bytes()


BAD = [
    (["generate-c", "{run}", "--board", "microbat"], 1, 'board "microbat" is not known; did you mean "microbit"?'),
    (["generate-c", "{run}/none", "--board", "microbit"], 1, "{run}/none: no such run folder"),
    (["generate-c", "{run}", "--board", "microbit", "--out", "{tmp}/file"], 1, "is a file; expected a folder"),
    (
        ["generate-c", "{run}", "--board", "microbit", "--out", "{tmp}/full"],
        1,
        'holds "keep.txt", which is not generated',
    ),
    (["generate-c", "{tmp}/file", "--board", "microbit"], 1, "not a complete safetensors file"),
    (["generate-c", "{run}/model.safetensors", "--board", "microbit"], 1, "expected a tealight-qnetwork"),
    (["generate-c", "{tmp}/nowhere", "--board", "microbit"], 1, "no such run folder"),
    (["quantize", "{tmp}/nowhere"], 1, "no such run folder"),
    (["quantize", "{run}", "--set", "train.epochs=2"], 1, "--set train.epochs=2: the run is trained"),
    (["train", str(ROOT / "docs/examples/room.toml"), "--out", "{tmp}/file"], 1, "cannot write: {tmp}/file: Not a"),
    (["demo", "--set", 'deploy.boards=["hosst"]', "--out", "{tmp}/demo"], 1, 'did you mean "host"?'),
    (["run", "{run}", "--board", "microbit", "--steps", "0"], 1, "--steps 0: expected"),
    (
        ["run", "{run}", "--board", "microbit", "--first", "999999"],
        1,
        "--first 999999: the test rows have no such step",
    ),
    (["run", "{run}", "--board", "microbit", "--state", "{tmp}/file"], 1, "saved state: 5 bytes; expected"),
    (["run", "{run}", "--board", "microbit", "--state", "{tmp}/none"], 1, "cannot read"),
    (["train", "{tmp}/none.toml"], 1, "no such file; expected a run.toml"),
    (["boards", "hosst"], 1, 'did you mean "host"?'),
    (["train"], 2, "arguments are required: config"),
    (["frobnicate"], 2, "invalid choice"),
]


@pytest.mark.parametrize(("arguments", "code", "text"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input(
    arguments: list[str], code: int, text: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("hello")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "keep.txt").write_text("mine")
    before = contents(tmp_path)
    capsys.readouterr()
    filled = [a.format(run=run, tmp=tmp_path) for a in arguments]
    try:
        got = main(filled)
    except SystemExit as e:  # argparse
        got = int(e.code or 0)
    lines = capsys.readouterr().err.splitlines()
    assert got == code, lines
    assert text.format(run=run, tmp=tmp_path) in lines[-1]
    assert "Traceback" not in "".join(lines)
    if code == 1:
        assert len(lines) == 1 and lines[0].startswith("error: ")
        assert contents(tmp_path) == before


@pytest.mark.parametrize("what", ("truncated", "edited"))
@pytest.mark.parametrize("name", ("model.safetensors", "model.q.safetensors", "data.safetensors"))
def test_damaged_files(run: Path, name: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    blob = bytearray((run / name).read_bytes())
    if what == "edited":
        blob[-9] ^= 4
    else:
        del blob[-100:]
    (run / name).write_bytes(blob)
    before = contents(run)
    verb = ["generate-c", str(run), "--board", "host"] if name.startswith("model.q") else ["quantize", str(run)]
    capsys.readouterr()
    assert main(verb) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    wanted = "contents do not match their digest" if what == "edited" else "not a complete safetensors file"
    assert line.startswith(f"error: {run / name}: ") and wanted in line
    assert contents(run) == before


def test_stale_c_is_not_built(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(run), "--no-refit"]) == 0
    assert main(["build", str(run), "--board", "microbit"]) == 1
    assert "generated from another model" in capsys.readouterr().err.splitlines()[-1]


def test_too_big_for_the_board(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = (ROOT / "boards" / "microbit.toml").read_text().replace('"microbit"', '"tiny"', 1)
    (tmp_path / "tiny.toml").write_text(board.replace("length = 262_144", "length = 6_144"))
    run = shutil.copytree(made, tmp_path / "room")
    tiny = str(tmp_path / "tiny.toml")
    assert main(["generate-c", str(run), "--board", tiny]) == 0
    assert main(["build", str(run), "--board", tiny]) == 3
    text = capsys.readouterr().err
    assert "the image does not fit: flash" in text and "the chip has 6144" in text and "tl_vector_in" in text
    assert not (run / "build" / "tiny" / "firmware.bin").exists()


@pytest.mark.parametrize("verb", ("train", "quantize", "generate-c", "build", "run", "boards", "demo"))
def test_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"example: python3 run.py {verb}" in capsys.readouterr().out


def test_json_is_all_there_is_on_stdout(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for verb in (["boards"], ["quantize", str(run)], ["generate-c", str(run), "--board", "host"]):
        assert main([*verb, "--json"]) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)
    assert main(["run", str(run), "--board", "host", "--steps", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True


def test_a_series_of_another_training_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ["--set", "data.horizon=2", "--out", str(tmp_path / "other")]
    assert main(["train", str(ROOT / "docs/examples/room.toml"), *other, *QUICK]) == 0
    shutil.copy(tmp_path / "other" / "data.safetensors", run / "data.safetensors")
    for verb in (["quantize", str(run)], ["run", str(run), "--board", "host"]):
        capsys.readouterr()
        assert main(verb) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"error: {run / 'data.safetensors'}: ") and line.endswith("6 ahead; train again")


def test_a_loss_that_explodes_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arguments = ["train", str(ROOT / "docs/examples/room.toml"), *QUICK, "--set", "train.lr=1e30"]
        assert main([*arguments, "--out", str(tmp_path / "x")]) == 1
    assert "lower train.lr (now 1e+30)" in capsys.readouterr().err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


def test_a_console_without_unicode_gets_question_marks(run: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "run", str(run), "--board", "host"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        cwd=ROOT,
        capture_output=True,
    )
    assert done.returncode == 0 and b"Bit for bit equal" in done.stdout and b"???" in done.stdout
