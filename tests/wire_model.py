"""What firmware/serve.c must answer to any bytes, written again in Python, and random bytes to try it with."""

from __future__ import annotations

import random
import struct
import time
import zlib
from dataclasses import dataclass, field

from tests.fake_model import Oracle
from toolkit.wire.frame import ANSWER, HEADER, VERSION, Frame, Request, Status, cobs, decode, encode, uncobs
from toolkit.wire.stream import Stream

INPUTS, OUTPUTS, STATE = 2, 1, 48  # of the fake model
DATA = 512
FRAME = HEADER + DATA + 4
SAMPLE, RESULT = 1 + 4 * INPUTS, 4 * OUTPUTS + 8
CHUNK = 1500  # bytes that go before the answers are read: less than a terminal's buffer takes


def received(coded: bytes) -> bytes | Status:
    """The payload, without its CRC-32, of what lies between two zeros; or what is wrong with it."""
    out = bytearray()
    at, code = 0, 0
    while at < len(coded):
        out += b"\0" if at and code != 255 else b""
        code = coded[at]
        out += coded[at + 1 : at + code]
        at += code
    if len(out) > FRAME:
        return Status.TOO_LONG
    payload = uncobs(coded)
    if (
        payload is None
        or len(payload) < HEADER + 4
        or zlib.crc32(payload[:-4]) != int.from_bytes(payload[-4:], "little")
    ):
        return Status.DAMAGED
    return payload


@dataclass
class Server:
    """The board's side. An answer whose data a model cannot know (cycles, stack, info) has them as zeros."""

    model: Oracle = field(default_factory=Oracle)
    done: bytes = b""
    answer: Frame | None = None

    def take(self, coded: bytes) -> Frame:
        """The answer to what lies between two zeros."""
        payload = received(coded)
        if isinstance(payload, Status):
            return Frame(ANSWER, 0, payload, b"")
        version, request, sequence = payload[:3]
        data = payload[HEADER:-4]
        if self.answer is None or payload[-4:] != self.done:
            wrong = self.check(request, data) if version == VERSION else Status.WRONG_VERSION
            if wrong:
                return Frame((request | ANSWER), sequence, wrong, b"")
            status, out = self.act(request, data)
            self.answer, self.done = Frame(request | ANSWER, sequence, status, out), payload[-4:]
        return self.answer

    def check(self, request: int, data: bytes) -> Status:
        if request in (Request.STEP, Request.RUN):
            many = len(data) // SAMPLE
            if not data or (request == Request.STEP and len(data) != SAMPLE):
                return Status.WRONG_LENGTH
            if any(data[k * SAMPLE] > 2 for k in range(many)):
                return Status.WRONG_VALUE
            return Status.WRONG_LENGTH if len(data) % SAMPLE or many > DATA // RESULT else Status.OK
        if request == Request.SET_STATE:
            return Status.OK if len(data) == STATE else Status.WRONG_LENGTH
        if request == Request.ECHO:
            return Status.OK
        if request in tuple(Request):
            return Status.WRONG_LENGTH if data else Status.OK
        return Status.UNKNOWN

    def act(self, request: int, data: bytes) -> tuple[Status, bytes]:
        if request == Request.RESET:
            self.model.reset()
        elif request in (Request.STEP, Request.RUN):
            out = b""
            for at in range(0, len(data), SAMPLE):
                op, *raw = struct.unpack("<B2i", data[at : at + SAMPLE])
                if op == 2:
                    self.model.reset()
                out += struct.pack("<i", self.model.step(None if op == 1 else (raw[0], raw[1])))
                out += self.model.save()[-4:] + bytes(4) if request == Request.RUN else b""
            return Status.OK, out + (bytes([self.model.steps >= 4]) if request == Request.STEP else b"")
        elif request == Request.GET_STATE:
            return Status.OK, self.model.save()
        elif request == Request.SET_STATE:
            reason = self.restore(data)
            return (Status.REFUSED if reason else Status.OK), bytes([reason])
        elif request == Request.ECHO:
            return Status.OK, data
        return Status.OK, b""

    def restore(self, state: bytes) -> int:
        if state[:16] != self.model.save()[:16]:
            return 1
        if state[-4:] != struct.pack("<I", zlib.crc32(state[:-4])):
            return 2
        m = self.model
        m.steps, m.lost, _, *values = struct.unpack("<IHH10h", state[16:-4])
        m.h, m.c, m.x = list(values[:4]), list(values[4:8]), list(values[8:])
        return 0


def known(frame: Frame) -> Frame:
    """A frame without what a model cannot know."""
    data = frame.data
    if frame.request == Request.RUN | ANSWER:
        rows = [data[at : at + RESULT - 4] + bytes(4) for at in range(0, len(data), RESULT)]
        data = b"".join(rows)
    elif frame.request in (Request.INFO | ANSWER, Request.STACK | ANSWER, Request.CYCLES | ANSWER):
        data = b""
    return Frame(frame.request, frame.sequence, frame.status, data)


def good(rng: random.Random, server: Server) -> bytes:
    """A request that means something, coded, without its zeros."""
    request = rng.choice((*Request, Request.RUN, Request.RUN, Request.STEP))
    data = b""
    if request in (Request.STEP, Request.RUN):
        for _ in range(1 if request == Request.STEP else rng.choice((1, 2, 5, 42))):
            op = rng.choices((0, 1, 2), (90, 9, 1))[0]
            data += struct.pack("<B2i", op, rng.randint(-40000, 40000), rng.randint(-(2**31), 2**31 - 1))
    elif request == Request.SET_STATE:
        state = bytearray(server.model.save())
        if rng.random() < 0.5:
            state[rng.randrange(STATE)] ^= 1 << rng.randrange(8)
        data = bytes(state)
    elif request == Request.ECHO:
        size = rng.choice((0, 1, 5, 40, 253, 254, 255, DATA)) if rng.random() < 0.2 else rng.randrange(30)
        data = bytes(rng.choices((0, 1, 255, rng.randrange(256)), k=size))
    return encode(Frame(request, rng.randrange(256), 0, data))[1:-1]


def odd(rng: random.Random) -> bytes:
    """A whole frame that asks for nothing sensible, coded."""
    data = rng.randbytes(rng.choice((0, 1, 8, SAMPLE, 2 * SAMPLE, STATE, rng.randrange(64))))
    if rng.random() < 0.02:
        data = rng.randbytes(rng.choice((DATA, DATA + 1, DATA + 5, 3000)))
    version = VERSION if rng.random() < 0.8 else rng.randrange(256)
    return encode(Frame(rng.randrange(16 if rng.random() < 0.9 else 256), rng.randrange(256), 0, data, version))[1:-1]


def damaged(rng: random.Random, coded: bytes) -> bytes:
    """A frame as a bad line leaves it: bits turned, bytes lost, doubled, made zero, or another frame's start in it."""
    out = bytearray(coded)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        at = rng.randrange(len(out)) if out else 0
        kind = rng.randrange(5)
        if kind == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + rng.randint(1, 4)]
        elif kind == 2:
            out[at:at] = out[at : at + rng.randint(1, 4)]
        elif kind == 3 and out:
            out[at] = 0
        else:
            del out[at:]
    return bytes(out)


def random_frame(rng: random.Random, server: Server, last: bytes) -> bytes:
    """Of all kinds; `last` is the frame before, which may come again."""
    kind = rng.choices(("good", "odd", "damaged", "noise", "again", "raw"), (30, 15, 35, 10, 8, 2))[0]
    if kind == "good":
        return good(rng, server)
    if kind == "odd":
        return odd(rng)
    if kind == "damaged":
        return damaged(rng, good(rng, server))
    if kind == "noise":
        return rng.randbytes(rng.choice((1, 2, 5, 20, 60)))
    if kind == "again":
        return last
    return cobs(rng.randbytes(rng.randrange(9)))


class Tried(AssertionError):
    """What a device answered is not what it must."""


@dataclass
class Fuzz:
    """Random frames to a device that holds the fake model, each answer compared with the Python server's."""

    stream: Stream
    rng: random.Random
    patience: float = 20.0
    server: Server = field(default_factory=Server)
    sent: int = 0
    waiting: bytearray = field(default_factory=bytearray)

    def start(self) -> None:
        """Both sides in the state after a reset, and the line empty. What comes before a device has started is lost."""
        for sequence in range(round(self.patience)):
            ask = encode(Frame(Request.RESET, sequence, 0, b""))
            want, end = self.server.take(ask[1:-1]), time.monotonic() + 1.0
            self.stream.write(ask)
            while (got := self.next(end, text=True)) is not None:
                if got == want:
                    return
        raise Tried(f"the device does not answer in {self.patience:g} s")

    def frames(self, count: int) -> None:
        """`count` frames; raises Tried at the first answer that is wrong, or does not come."""
        last = b"\x01"
        end = self.sent + count
        while self.sent < end:
            batch: list[bytes] = []
            while sum(map(len, batch)) < CHUNK and self.sent + len(batch) < end:
                last = random_frame(self.rng, self.server, last)
                batch.append(last)
            self.sent += len(batch)
            self.exchange(batch)

    def parity(self) -> None:
        """A reset, and a stretch of samples with nothing in between: every forecast and hash, and the whole state."""
        request = [Frame(Request.RESET, 0, 0, b""), Frame(Request.STEP, 1, 0, bytes(SAMPLE))]
        for k in range(2, 5):
            samples = (struct.pack("<B2i", n % 13 == 5, 37 * k * n, -90 * n) for n in range(42))
            request.append(Frame(Request.RUN, k, 0, b"".join(samples)))
        for frame in [*request, Frame(Request.GET_STATE, 11, 0, b"")]:
            self.exchange([encode(frame)[1:-1]])

    def exchange(self, batch: list[bytes]) -> None:
        """Sends frames; waits for the answers that the Python server gives to the same bytes."""
        line = b"\0" + b"\0".join(batch) + b"\0"
        wanted = [known(self.server.take(coded)) for coded in line.split(b"\0") if coded]
        self.stream.write(line)
        end = time.monotonic() + self.patience
        for want in wanted:
            got = self.next(end)
            if got is None or known(got) != want:
                raise Tried(f"expected {want}, got {got}; the bytes were {line.hex(' ')}")

    def next(self, end: float, text: bool = False) -> Frame | None:
        """The next answer; None after the time `end`. text: an image's own, before it serves, is passed over."""
        while True:
            coded, zero, rest = self.waiting.partition(b"\0")
            if zero:
                self.waiting = rest
                frame = decode(bytes(coded))
                if frame is not None:
                    return frame
                if coded and not text:
                    raise Tried(f"the device sent {bytes(coded)!r}, which is no frame")
                continue
            left = end - time.monotonic()
            data = self.stream.read(left) if left > 0 else b""
            if not data:
                return None
            self.waiting += data
