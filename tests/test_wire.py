"""The serial protocol: frames, what a device answers to anything, and what is said when the line fails."""

from __future__ import annotations

import random
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import needs
from tests.fake_model import Oracle
from tests.wire_model import DATA, STATE, Fuzz, Server, good
from tests.wired import Terminal, opened
from toolkit.boards import load_board
from toolkit.build import board_hash
from toolkit.errors import ToolkitError
from toolkit.targets import ROOT
from toolkit.wire.client import COUNTERS, Client, Info, samples
from toolkit.wire.frame import VERSION, Frame, Request, Status, cobs, decode, encode, uncobs
from toolkit.wire.stream import Port, Process, Tcp, connect

BOARDS = ["mps2_an386", "microbit", "netduinoplus2", "lm3s6965evb"]  # one a UART, beside `aarch64_user`
FRAMES = {"host": 3000, "sanitized": 1500, "pty": 600, "aarch64_user": 600, **dict.fromkeys(BOARDS, 50)}


@given(st.binary(max_size=600) | st.integers(250, 260).map(lambda n: b"\x07" * n))
def test_cobs_has_no_zero_and_comes_back(payload: bytes) -> None:
    assert 0 not in cobs(payload)
    assert uncobs(cobs(payload)) == payload


@settings(max_examples=60)
@given(st.binary(max_size=40), st.integers(0, 255), st.integers(1, 255), st.data())
def test_a_damaged_frame_is_no_frame(data: bytes, sequence: int, change: int, chosen: st.DataObject) -> None:
    coded = bytearray(encode(Frame(9, sequence, 0, data))[1:-1])
    assert decode(bytes(coded)) == Frame(9, sequence, 0, data)
    at = chosen.draw(st.integers(0, len(coded) - 1))
    coded[at] ^= change
    assert decode(bytes(coded)) is None
    assert decode(bytes(coded[:at])) is None


@pytest.fixture(scope="module")
def host() -> Iterator[Client]:
    with Client(opened("host"), timeout=5) as client:
        yield client


def refused(client: Client, request: Request, data: bytes) -> str:
    with pytest.raises(ToolkitError) as caught:
        client.ask(request, data)
    return str(caught.value)


def test_info_tells_who_answers(host: Client) -> None:
    info = host.info()
    assert info.model == b"FAKEFAKE".hex() and (info.model_name, info.board_name) == ("fake", "host")
    assert info.board_hash == board_hash(load_board("host")) != board_hash(load_board("microbit"))
    assert (info.inputs, info.outputs, info.state_bytes, info.data_bytes) == (2, 1, STATE, DATA)
    assert info.batch == 42


def test_step_run_and_state(host: Client) -> None:
    info, model = host.info(), Oracle()
    host.reset()
    rng = np.random.default_rng(5)
    ops, raw = rng.choice(3, 300, p=[0.9, 0.08, 0.02]), rng.integers(-40000, 40000, (300, 2))
    forecasts, hashes = [], []
    for op, sample in zip(ops, raw.tolist(), strict=True):
        if op == 2:
            model.reset()
        forecasts.append(model.step(None if op == 1 else (sample[0], sample[1])))
        hashes.append(int.from_bytes(model.save()[-4:], "little"))
    batches = list(host.run(info, ops, raw))
    assert np.concatenate([b.forecast for b in batches])[:, 0].tolist() == forecasts
    assert np.concatenate([b.hashes for b in batches]).tolist() == hashes
    assert host.state() == model.save()
    saved = model.save()
    host.reset()
    assert [host.step(info, 0, np.array([1, 2]))[1] for _ in range(5)] == [False, False, False, True, True]
    host.restore(saved)
    assert host.step(info, 0, np.array([5, -6]))[0].tolist() == [model.step((5, -6))]
    damaged = bytes([*saved[:20], saved[20] ^ 1, *saved[21:]])
    assert "set_state: refused: saved by another model" in refused(host, Request.SET_STATE, damaged)  # its reason 2
    assert host.state() == model.save(), "a refused state changes nothing"
    assert host.cycles() != host.cycles() and host.stack() == 0


def test_a_wrong_request_is_named_and_changes_nothing(host: Client) -> None:
    info = host.info()
    list(host.run(info, np.array([2, 0]), np.array([[100, 200], [300, 400]])))
    state = host.state()
    bad = samples(np.array([0, 0, 3]), np.ones((3, 2)))
    assert refused(host, Request.RUN, bad).endswith("run: wrong value")
    assert refused(host, Request.RUN, bad[:10]).endswith("run: wrong length")
    assert refused(host, Request.STEP, b"").endswith("step: wrong length")
    assert refused(host, Request.RESET, b"x").endswith("reset: wrong length")
    assert refused(host, Request.SET_STATE, bytes(STATE - 1)).endswith("set_state: wrong length")
    host.stream.write(encode(Frame(77, 3, 0, b"")) + encode(Frame(Request.INFO, 3, 0, b"", VERSION + 1)))
    statuses = [host._next(time.monotonic() + 5) for _ in range(2)]
    assert [f and f.status for f in statuses] == [Status.UNKNOWN, Status.WRONG_VERSION]
    assert host.state() == state


def test_an_old_board_says_so(host: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.wire.client.encode", lambda f: encode(Frame(f.request, f.sequence, 0, f.data, 9)))
    with pytest.raises(ToolkitError, match="the device has version 1 of the protocol, this computer 1; flash it anew"):
        host.info()


def test_every_length_and_every_zero_comes_back(host: Client) -> None:
    for size in (0, 1, *range(244, 262), 500, DATA):
        assert host.echo(bytes(size)) == bytes(size)
        assert host.echo(b"\xff" * size) == b"\xff" * size
    with pytest.raises(ToolkitError, match="no answer to echo within 20 s"):
        host.echo(bytes(DATA + 1))


class Lossy:
    """A line that loses or damages every third frame, in either direction."""

    def __init__(self) -> None:
        self.inner, self.name, self.turn = opened("host"), "lossy", 0

    def damaged(self, data: bytes) -> bytes:
        self.turn += 1
        middle = len(data) // 2
        return (data, b"" if self.turn % 2 else data[:middle] + data[middle + 1 :], data)[self.turn % 3]

    def write(self, data: bytes) -> None:
        self.inner.write(self.damaged(data))

    def read(self, timeout: float) -> bytes:
        return self.damaged(self.inner.read(timeout)) or self.inner.read(timeout)

    def close(self) -> None:
        self.inner.close()


def test_a_bad_line_is_asked_again_and_nothing_is_done_twice() -> None:
    model = Oracle()
    with Client(Lossy(), timeout=0.25) as client:
        info = client.info()
        client.reset()
        for k in range(8):
            assert client.step(info, 0, np.array([k * 100, -k]))[0].tolist() == [model.step((k * 100, -k))]
        assert client.state() == model.save()
        assert client.asked_again > 3


@pytest.mark.parametrize("name", FRAMES)
def test_random_frames_get_the_right_answers(name: str) -> None:
    """A slice of tests/long/test_wire_campaign.py."""
    fuzz = Fuzz(opened(name), random.Random(2026))
    try:
        fuzz.start()
        fuzz.frames(FRAMES[name])
        fuzz.parity()
    finally:
        fuzz.stream.close()


def test_the_fuzz_sees_a_wrong_answer() -> None:
    class Forgetful(Server):
        def take(self, coded: bytes) -> Frame:
            self.answer = None  # an answer is never sent again: what is asked twice is done twice
            return super().take(coded)

    fuzz = Fuzz(opened("host"), random.Random(1), server=Forgetful())
    try:
        fuzz.start()
        with pytest.raises(AssertionError):
            fuzz.frames(3000)
    finally:
        fuzz.stream.close()


def test_a_board_that_vanishes_is_told_in_one_line() -> None:
    needs("host-cc", "pyserial")
    terminal = Terminal()
    client = Client(terminal, timeout=2)
    assert client.echo(b"there") == b"there"
    with pytest.raises(ToolkitError, match=f"^{terminal.device}: cannot open: another program has it open"):
        Port(terminal.device)
    terminal.vanish()
    with pytest.raises(ToolkitError, match=f"^{terminal.device}: the connection ended: .*; connect it again"):
        client.echo(b"gone")
    terminal.close()


def test_ports_that_are_not_there() -> None:
    needs("pyserial")
    for name, text in {
        "/dev/ttyNONE7": "cannot open: no such port; plug the board in, or name another one",
        "tcp:localhost": "expected tcp:HOST:PORT, e.g. tcp:localhost:4444",
        "tcp:127.0.0.1:9": "cannot connect: Connection refused; start what listens there first",
    }.items():
        with pytest.raises(ToolkitError, match=f"^{re.escape(f'{name}: {text}')}$"):
            connect(name)


def test_a_program_that_ends_is_told_with_its_last_words() -> None:
    stream = Process("board", ["sh", "-c", "echo no such machine >&2; exit 1"])
    with pytest.raises(ToolkitError, match="board: the connection ended: no such machine; connect it again"):
        stream.read(5)
    stream.close()
    with pytest.raises(ToolkitError, match="board: /nothing/here does not start: No such file"):
        Process("board", ["/nothing/here"])


def test_silence_is_told() -> None:
    with Client(Process("board", ["sleep", "60"]), timeout=0.05) as client, pytest.raises(ToolkitError) as caught:
        client.info()
    assert "board: no answer to info within 0.2 s; expected an image that serves" in str(caught.value)


def test_the_same_over_tcp() -> None:
    """QEMU's serial line on a socket."""
    needs("arm-gcc", "qemu")
    import socket

    from tests.wired import program

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [w if w != "stdio" else f"tcp:127.0.0.1:{port},server=on,wait=on" for w in program("mps2_an386")]
    machine = Process("qemu", command)
    try:
        stream = None
        while stream is None:
            try:
                stream = Tcp(f"tcp:127.0.0.1:{port}")
            except ToolkitError as e:
                assert "Connection refused" in str(e)
        with Client(stream, timeout=5) as client:
            info = client.info()
            assert info.board_name == "mps2_an386" and info.stack_bytes == 8192
            assert 0 < client.stack() < 1000
        machine.close()
    finally:
        machine.close()


def rows(text: str, head: str) -> dict[int, list[str]]:
    """The lines of the first table below a heading whose first cell is a number."""
    found = {}
    for line in text.split(head)[1].splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].isdigit():
            found[int(cells[0])] = cells[1:]
        elif found and not line.startswith("|"):
            break
    return found


def test_the_page_says_what_the_code_does() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    assert {k: v[0] for k, v in rows(text, "## Requests").items()} == {r.value: r.name.lower() for r in Request}
    assert {k: v[0] for k, v in rows(text, "## Answers").items()} == {s.value: s.name.lower() for s in Status}
    assert {k: v[0] for k, v in rows(text, "What counts:").items()} == dict(enumerate(COUNTERS))
    asked, answered = (bytes.fromhex(line) for line in text.split("```text\n")[1].split("```")[0].splitlines())
    assert asked == encode(Frame(Request.ECHO, 7, 0, b"Hi")) and answered == encode(
        Frame(Request.ECHO | 128, 7, 0, b"Hi")
    )
    assert Server().take(asked[1:-1]) == decode(answered[1:-1])
    c = Path(ROOT / "firmware" / "serve.c").read_text()
    for enum, first in ((Request, "INFO = 1, "), (Status, "OK, ")):
        found = re.search(rf"enum \{{ ({first}[^}}]*) \}};", c)
        assert found and [w.split(" ")[0] for w in found[1].split(", ")] == [m.name for m in enum]


def test_what_is_random_is_all_kinds() -> None:
    """The good requests of the fuzz reach every request, and do what they say."""
    rng, server, seen = random.Random(3), Server(), set()
    for _ in range(400):
        answer = server.take(good(rng, server))
        seen.add((answer.request & 127, answer.status))
    assert {r for r, _ in seen} == set(Request)
    assert {s for _, s in seen} == {Status.OK, Status.REFUSED}


def test_samples_lie_as_the_page_says() -> None:
    assert samples(np.array([2, 1]), np.array([[-1, 7], [0, 0]])) == struct.pack("<BiiBii", 2, -1, 7, 1, 0, 0)
    assert zlib.crc32(b"123456789") == 0xCBF43926
    assert Info("", 0, 0, 3, 5, 0, 512, 0, "none", "", "").batch == 512 // 28
