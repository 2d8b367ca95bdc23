"""A USB disk for PCs: its image is always there; a disk is written only when it may be, and was confirmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.boards import load_board
from toolkit.errors import ToolkitError
from toolkit.flash import Options, disk, flash

NOTHING = Options("", "", None, None, False)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A build folder with the image of a disk."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "firmware.img").write_bytes(bytes(range(256)) * 8192)
    return tmp_path / "build"


def refused(board: str, folder: Path, options: Options) -> str:
    with pytest.raises(ToolkitError) as caught:
        flash(load_board(board), folder, options, say=lambda _: None, ask=lambda _: "no")
    return str(caught.value)


STICK = {"type": "disk", "rm": True, "hotplug": True, "size": 10**9, "model": "Stick", "mountpoints": [None]}


def test_the_image_of_a_disk_is_always_there(stick: Path) -> None:
    result = flash(load_board("pc_uefi"), stick, NOTHING, say=lambda _: None, ask=lambda _: "no")
    assert Path(result["image"]).stat().st_size > 1 << 20 and result["written"] is False
    null = replace(NOTHING, device=Path("/dev/null"))
    assert "microbit does not start from a USB disk" in refused("microbit", stick, null)
    assert "/dev/null: not a disk" in refused("pc_uefi", stick, null)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"mountpoints": ["/"]}, "in use at /: nothing was written"),
        ({"children": [{"mountpoints": [None, "/home"]}]}, "in use at /home: nothing was written; unmount it first"),
        ({"rm": False, "hotplug": False}, "not a disk that can be taken out: nothing was written"),
        ({"type": "part"}, "a part: expected the whole disk"),
        ({"size": 4096}, "4096 bytes: the image has 65536"),
    ],
)
def test_a_disk_that_must_not_be_written(change: dict[str, object], says: str) -> None:
    disk.refuse(Path("/dev/sdz"), STICK, 65536)
    with pytest.raises(ToolkitError) as caught:
        disk.refuse(Path("/dev/sdz"), {**STICK, **change}, 65536)
    assert str(caught.value).startswith("/dev/sdz: ") and says in str(caught.value)


@pytest.mark.parametrize("answer, written", [("no", False), ("", False), ("{}", True)])
def test_a_disk_is_written_when_its_name_is_typed(
    answer: str, written: bool, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "sdz"
    device.write_bytes(bytes(100))
    monkeypatch.setattr(disk, "describe", lambda path: STICK)
    options = replace(NOTHING, device=device)
    said: list[str] = []

    def ask(question: str) -> str:
        said.append(question)
        return answer.format(device) + "\n"

    if written:
        assert flash(load_board("pc_uefi"), stick, options, say=lambda _: None, ask=ask)["written"]
        assert device.read_bytes() == (stick / "firmware.img").read_bytes()
    else:
        with pytest.raises(ToolkitError, match="not confirmed: nothing was written"):
            flash(load_board("pc_uefi"), stick, options, say=lambda _: None, ask=ask)
        assert device.read_bytes() == bytes(100)
    assert "Stick, 1.0 GB: all of it is lost" in said[0]
