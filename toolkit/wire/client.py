"""A device that serves a model: requests with their answers, asked again where the line lost or damaged one."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.host import REASONS
from toolkit.wire.frame import ANSWER, VERSION, Frame, Request, Status, decode, encode
from toolkit.wire.stream import Stream

COUNTERS = ("none", "DWT", "SysTick", "mcycle", "TSC", "CNTVCT")
TRIES = 4
STARTING = 1.0  # seconds between two tries to reach a device, which loses what comes before it has started
_INFO = "<8s8I"
_LONGEST = 1 << 16  # bytes without a zero: no frame is as long


@dataclass(frozen=True, slots=True)
class Info:
    """Who answers. model: the first 8 bytes of its digest; data_bytes: the most that a frame's data may have."""

    model: str
    board_hash: int
    clock_hz: int
    inputs: int
    outputs: int
    state_bytes: int
    data_bytes: int
    stack_bytes: int
    counter: str
    model_name: str
    board_name: str

    @property
    def batch(self) -> int:
        """Samples that one RUN may have."""
        return min(self.data_bytes // (1 + 4 * self.inputs), self.data_bytes // (4 * self.outputs + 8))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What came of some steps: forecast int32 [steps, outputs], hashes and cycles uint32 [steps]."""

    forecast: np.ndarray
    hashes: np.ndarray
    cycles: np.ndarray


class Client:
    """One device behind a stream, which closes with it."""

    def __init__(self, stream: Stream, *, timeout: float = 10.0) -> None:
        self.stream, self.timeout = stream, timeout
        self.asked_again = 0
        self._sequence = time.monotonic_ns() & 0xFF  # not where a client before this one may have begun
        self._waiting = bytearray()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def ask(self, request: Request, data: bytes = b"") -> bytes:
        """The data of the answer. A lost request, or answer, is asked for again: the device acts once.

        Raises: ToolkitError when nothing answers, or the device refuses."""
        self._sequence = (self._sequence + 1) & 0xFF
        frame = encode(Frame(request, self._sequence, 0, data))
        wait = min(self.timeout, STARTING) if request == Request.INFO else self.timeout
        for _ in range(round(TRIES * self.timeout / wait)):
            self.stream.write(frame)
            answer = self._answer(request, wait)
            if answer is None:
                self.asked_again += 1
            elif answer.status == Status.OK:
                return answer.data
            else:
                raise ToolkitError(f"{self.stream.name}: {request.name.lower()}: {_refusal(answer)}")
        raise ToolkitError(
            f"{self.stream.name}: no answer to {request.name.lower()} within {TRIES * self.timeout:g} s; "
            f"expected an image that serves docs/protocol.md: `python3 run.py build --serve`, and flash it"
        )

    def _answer(self, request: Request, wait: float) -> Frame | None:
        """The next frame that answers it; None after `wait` seconds, or when the device could not read what came."""
        end = time.monotonic() + wait
        while True:
            frame = self._next(end)
            if frame is None or (frame.request == ANSWER and frame.status in (Status.DAMAGED, Status.TOO_LONG)):
                return None
            if frame.request == request | ANSWER and frame.sequence == self._sequence:
                return frame

    def _next(self, end: float) -> Frame | None:
        """The next good frame; what is damaged, and text, is passed over. None after the time `end`."""
        while True:
            coded, zero, rest = self._waiting.partition(b"\0")
            if zero:
                self._waiting = rest
                frame = decode(bytes(coded))
                if frame is not None:
                    return frame
                continue
            del self._waiting[:-_LONGEST]
            left = end - time.monotonic()
            data = self.stream.read(left) if left > 0 else b""
            if not data:
                return None
            self._waiting += data

    def info(self) -> Info:
        """Who is there."""
        data = self.ask(Request.INFO)
        size = struct.calcsize(_INFO)
        names = data[size:].split(b"\0")
        if len(data) < size or len(names) != 3:
            raise ToolkitError(f"{self.stream.name}: {len(data)} bytes of info; expected another protocol's version")
        model, board, clock, inputs, outputs, state, most, stack, counter = struct.unpack(_INFO, data[:size])
        counted = COUNTERS[counter] if counter < len(COUNTERS) else "none"
        name, board_name = (n.decode("ascii", "replace") for n in names[:2])
        return Info(model.hex(), board, clock, inputs, outputs, state, most, stack, counted, name, board_name)

    def reset(self) -> None:
        """The state before the first sample."""
        self.ask(Request.RESET)

    def step(self, info: Info, op: int, raw: np.ndarray) -> tuple[np.ndarray, bool]:
        """One sample -> forecast int32 [outputs], and whether it is to be trusted yet."""
        data = self.ask(Request.STEP, samples(np.array([op]), raw[None]))
        return np.frombuffer(data[: 4 * info.outputs], "<i4"), bool(data[-1])

    def run(self, info: Info, ops: np.ndarray, raw: np.ndarray) -> Iterator[Batch]:
        """Samples [steps, raws] with their ops, as many at a time as a frame holds."""
        for at in range(0, len(ops), info.batch):
            some = slice(at, at + info.batch)
            data = self.ask(Request.RUN, samples(ops[some], raw[some]))
            rows = np.frombuffer(data, "<u4").reshape(len(ops[some]), info.outputs + 2)
            yield Batch(rows[:, : info.outputs].view("<i4"), rows[:, -2], rows[:, -1])

    def state(self) -> bytes:
        """The saved state: `restore` of any target continues from it."""
        return self.ask(Request.GET_STATE)

    def restore(self, state: bytes) -> None:
        """Continues from a saved state. Raises: ToolkitError when it is damaged or another model's."""
        self.ask(Request.SET_STATE, state)

    def stack(self) -> int:
        """Bytes of stack used at most since the start; 0 where it is not measured."""
        return int.from_bytes(self.ask(Request.STACK), "little")

    def cycles(self) -> int:
        """The counter of cycles, as it is."""
        return int.from_bytes(self.ask(Request.CYCLES), "little")

    def echo(self, data: bytes) -> bytes:
        """The same data back."""
        return self.ask(Request.ECHO, data)


def samples(ops: np.ndarray, raw: np.ndarray) -> bytes:
    """ops [steps], raw [steps, raws] as STEP and RUN take them."""
    rows = np.zeros(len(ops), np.dtype([("op", "u1"), ("raw", "<i4", (raw.shape[1],))]))
    rows["op"], rows["raw"] = ops, raw
    return rows.tobytes()


def _refusal(answer: Frame) -> str:
    if answer.status == Status.REFUSED and answer.data:
        return f"refused: {REASONS.get(answer.data[0], 'reason ' + str(answer.data[0]))}"
    if answer.status == Status.WRONG_VERSION:
        return f"the device has version {answer.version} of the protocol, this computer {VERSION}; flash it anew"
    known = answer.status in Status.__members__.values()
    return Status(answer.status).name.lower().replace("_", " ") if known else f"status {answer.status}"
