"""`validate`: one hash on all devices, what differs is named, and what is said when the wrong thing answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import oracle
from quantize.qnetwork import load_qnetwork
from tests import wired
from tests.conftest import needs
from tests.wired import Terminal
from toolkit.boards import load_board
from toolkit.build import FIRMWARE
from toolkit.cli import main
from toolkit.emulate import qemu
from toolkit.targets import ROOT
from toolkit.toolchain import host_flags, host_toolchain
from toolkit.wire.client import Batch, Client
from toolkit.wire.stream import Process

QUICK = ("--set", "train.epochs=1", "--set", "model.hidden=6", "--set", "model.window=6")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and quantized run; `validate` generates the C that it needs."""
    run = tmp_path_factory.mktemp("run") / "room"
    assert main(["train", str(ROOT / "docs/examples/room.toml"), "--out", str(run), *QUICK]) == 0
    assert main(["quantize", str(run)]) == 0
    assert main(["generate-c", str(run), "--board", "host"]) == 0
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` that the test may change."""
    return shutil.copytree(made, tmp_path / "room")


def result(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "validate.json").read_text()))


@contextmanager
def terminal(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A serial port with the run's model behind it."""
    needs("host-cc", "pyserial")
    assert main(["build", str(run), "--board", "host", "--serve"]) == 0
    monkeypatch.setattr(wired, "program", lambda _: [str(run / "serve" / "host" / "firmware")])
    there = Terminal()
    there.port.close()  # `validate` opens it
    try:
        yield there
    finally:
        there.vanish()


def test_one_hash_on_all(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("host-cc", "arm-gcc", "qemu", "qemu-aarch64", "aarch64-gcc")
    assert main(["validate", str(run), "--on", "oracle,host,mps2_an386,aarch64_user"]) == 0
    seen = result(run)
    accuracy = json.loads((run / "quantize.json").read_text())["accuracy"]["quantized"]
    rows = {r["name"]: r for r in seen["endpoints"]}
    assert list(rows) == ["oracle", "host", "mps2_an386", "aarch64_user"] and seen["passed"]
    assert {r["hash"] for r in rows.values()} == {seen["hash"]}
    assert {r["steps"] for r in rows.values()} == {seen["steps"]} and seen["steps"] > 200
    assert all(r["error"] == pytest.approx(accuracy, rel=1e-6) for r in rows.values()), "the accuracy of `quantize`"
    assert rows["host"]["stack_bytes"] == 0 < rows["mps2_an386"]["stack"] < rows["mps2_an386"]["stack_bytes"]
    counted = rows["mps2_an386"]["instructions_per_step"]
    assert 500 < counted["min"] <= counted["mean"] <= counted["max"]
    assert rows["mps2_an386"]["cycles_per_step"] is None, "an emulator's cycles mean nothing"
    out = capsys.readouterr().out
    assert "Bit for bit equal, every output and every state: oracle = host = mps2_an386 = aarch64_user." in out
    assert "instructions; qemu" in out and "no meaning as time" in out


def test_a_wrong_weight_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("arm-gcc", "qemu")
    assert main(["generate-c", str(run), "--board", "mps2_an386", "--target", "ref"]) == 0
    weights = run / "c" / "mps2_an386" / "room_weights.h"
    text = weights.read_text()
    found = re.search(r"lstm0_wx\[.*?\{\s*\{\s*(-?\d+)", text, re.S)
    assert found
    at = found.start(1)
    weights.write_text(text[:at] + str(int(found[1]) ^ 1) + text[found.end(1) :])
    assert main(["validate", str(run), "--on", "mps2_an386", "--steps", "60"]) == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("failed: mps2_an386 differs from the oracle at step ")
    assert "layer lstm0, unit " in message and "weight lstm0_wx[0][0] (gate i, unit 0) is " in message
    seen = result(run)
    assert not seen["passed"] and seen["endpoints"][0]["equal"] and not seen["endpoints"][1]["equal"]
    assert seen["endpoints"][1]["steps"] < 60


def test_a_port_is_measured_and_tells_its_board(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal(run, monkeypatch) as there:
        assert main(["validate", str(run), "--on", f"host,{there.device}", "--steps", "200"]) == 0
        row = result(run)["endpoints"][-1]
        assert row["board"] == "host" and row["equal"] and row["kind"] == "port"
        assert row["counter"] in ("TSC", "CNTVCT") and row["cycles_per_step"]["min"] > 0
        assert f"({row['cycles_per_step']['min']} .. " in capsys.readouterr().out
        assert main(["validate", str(run), "--on", f"emulator,{there.device}"]) == 1, (
            "it is a host: nothing emulates it"
        )
        assert main(["validate", str(run), "--on", there.device, "--board", "microbit"]) == 1
        message = capsys.readouterr().err.splitlines()[-1]
        assert re.search(
            rf"error: {there.device}: its image was built for board host \w{{8}}; expected microbit", message
        )


def test_another_model_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal(run, monkeypatch) as there:
        assert main(["quantize", str(run), "--no-refit"]) == 0
        assert main(["validate", str(run), "--on", there.device]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert re.search(
        rf"error: {there.device}: holds model room \w{{16}}; expected room \w{{16}} of .*: build it with "
        r"`python3 run.py build .* --board host --serve` and flash it",
        message,
    )


def test_a_board_that_vanishes(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(run, monkeypatch) as there:
        real = Client.run

        def vanishing(self: Client, *a: Any) -> Iterator[Batch]:
            yield from (batch for batch, _ in zip(real(self, *a), range(2), strict=False))
            there.vanish()
            yield from real(self, *a)

        monkeypatch.setattr(Client, "run", vanishing)
        assert main(["validate", str(run), "--on", there.device]) == 1
    assert re.search(rf"error: {there.device}: the connection ended: .*; connect it again", capsys.readouterr().err)
    assert not (run / "validate.json").exists()


def test_a_device_that_does_not_repeat_itself(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One hash that is wrong once: the steps are done again, and it is right."""
    needs("host-cc")
    real, calls = Client.run, [0]

    def once(self: Client, *a: Any) -> Iterator[Batch]:
        calls[0] += 1
        for k, batch in enumerate(real(self, *a)):
            wrong = np.array(batch.hashes)
            wrong[3:4] ^= int(calls[0] == 1 and k == 1)
            yield Batch(batch.forecast, wrong, batch.cycles)

    monkeypatch.setattr(Client, "run", once)
    assert main(["validate", str(run), "--on", "host"]) == 3
    step = result(run)["endpoints"][1]["steps"] - 1
    assert f"at step {step}: right when it was done again: the device does not repeat" in capsys.readouterr().err


def test_a_file_of_ones_own(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("host-cc")
    csv = ROOT / "tests" / "data" / "room.csv"
    rows = len(csv.read_text().splitlines()) - 1
    assert main(["validate", str(run), "--on", "host", "--data", str(csv), "--steps", "99999"]) == 0
    assert f"{csv}: {result(run)['steps']} steps; 99999 were asked for" in capsys.readouterr().err
    assert 0.9 * rows < result(run)["steps"] <= rows and result(run)["endpoints"][1]["equal"]
    other = tmp_path / "other.csv"
    other.write_text("time,humidity\n2024-01-01 00:00,5\n")
    for path, text in ((other, "no column `temperature`"), (tmp_path / "none.csv", "no such file")):
        assert main(["validate", str(run), "--on", "host", "--data", str(path)]) == 1
        assert text in capsys.readouterr().err.splitlines()[-1]


def test_a_model_without_a_series_walks(run: Path) -> None:
    needs("host-cc")
    (run / "data.safetensors").unlink()
    assert main(["validate", str(run), "--on", "host", "--steps", "70"]) == 0
    assert result(run)["steps"] == 70 and result(run)["endpoints"][1]["error"] is None


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--on", "hosd"], '--on: "hosd" is neither a board nor a port; did you mean "host"?'),
        (["--on", "host,oracle,host"], "--on: host is there twice; expected each once"),
        (["--on", "emulator"], "--on emulator: of which board? add --board NAME, or name the board in its place"),
        (["--on", "nucleo_h743zi"], "board nucleo_h743zi: QEMU does not know it; use `run`, which takes unicorn"),
        (["--on", "host", "--steps", "0"], "--steps 0: expected 1 or more"),
        (["--on", "/dev/ttyNONE7"], "/dev/ttyNONE7: cannot open: no such port"),
    ],
)
def test_mistakes_are_one_line(made: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    needs("pyserial", "qemu")
    before = sorted(p for p in made.rglob("*"))
    assert main(["validate", str(made), *arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error: {text}")
    assert sorted(p for p in made.rglob("*")) == before


def test_what_there_is_to_run_on_is_listed_once(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(made), "--on", "wxyz"]) == 1
    listed = capsys.readouterr().err.strip().partition("; there is: ")[2].split(", ")
    assert "host" in listed and len(set(listed)) == len(listed)


@pytest.mark.parametrize("verb", [["build"], ["build", "--serve"], ["flash"], ["run"]])
def test_nothing_is_left_where_there_is_no_c(verb: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(made.rglob("*"))
    assert main([verb[0], str(made), "--board", "microbit", *verb[1:]]) == 1
    assert "no C; run `" in capsys.readouterr().err
    assert sorted(made.rglob("*")) == before


def test_an_image_that_replays_and_then_serves(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("arm-gcc", "qemu")
    for flags in ([], ["--replay"]):
        assert main(["generate-c", str(run), "--board", "netduinoplus2"]) == 0
        assert main(["build", str(run), "--board", "netduinoplus2", "--steps", "50", "--serve", *flags]) == 0
        command = qemu.command(run / "serve/netduinoplus2/firmware.elf", load_board("netduinoplus2"), ())
        with Client(Process("board", command)) as client:
            said = b""
            while flags and not said.endswith(b"EXIT:0\n"):
                said += client.stream.read(10)
            assert client.info().model == load_qnetwork(run / "model.q.safetensors").digest[:16]
        assert (b"steps=50\n" in said) == bool(flags)
    assert main(["build", str(run), "--board", "netduinoplus2", "--replay"]) == 1
    assert "--replay goes with --serve" in capsys.readouterr().err
    assert main(["build", str(run), "--board", "netduinoplus2", "--serve", "--slice", "4"]) == 1


LOOP = """
#include "room.h"
#include <stdio.h>
#include <stdlib.h>
bool read_sample(int32_t raw[ROOM_INPUTS]);
void use(const int32_t forecast[ROOM_OUTPUTS]);
bool read_sample(int32_t raw[ROOM_INPUTS]) {
    int lost = 0;
    for (int k = 0; k < ROOM_INPUTS; k++) {
        if (scanf("%d", &raw[k]) != 1) exit(0);
        lost |= raw[k] == -1;
    }
    return !lost;
}
void use(const int32_t forecast[ROOM_OUTPUTS]) { printf("%d\\n", forecast[0]); }
"""


def test_the_sensor_loop_that_users_copy(made: Path, tmp_path: Path) -> None:
    """firmware/examples/sensor_loop.c with the run's C; a sample of -1 is a lost one."""
    needs("gcc")
    (tmp_path / "loop.c").write_text(LOOP)
    c_dir, compiler = made / "c" / "host", host_toolchain("auto")
    sources = [FIRMWARE / "examples" / "sensor_loop.c", tmp_path / "loop.c", *sorted(c_dir.glob("*.c"))]
    flags = [*host_flags(compiler, None), "-DTL_HOST=1", f"-I{c_dir}"]
    command = [*compiler.cc, *flags, *map(str, sources), "-o", str(tmp_path / "loop")]
    subprocess.run(command, check=True, capture_output=True)
    q = load_qnetwork(made / "model.q.safetensors")
    raw = oracle.to_raw(q.raws, np.random.default_rng(4).normal([20, 30], [3, 9], (60, 2)))
    raw[30:32] = -1
    fed = "\n".join(" ".join(map(str, r)) for r in raw.tolist())
    out = subprocess.run([str(tmp_path / "loop")], input=fed, check=True, capture_output=True, text=True).stdout
    want, stream = [], oracle.Stream(q)
    for sample in raw:
        forecast = stream.predict_missing() if sample[0] == -1 else stream.predict(sample)
        want += [int(forecast[0])] if stream.warmed_up else []
    assert list(map(int, out.split())) == want and len(want) > 40
