"""Frames: COBS (Cheshire and Baker, 1999) between zero bytes, with a CRC-32 at the end."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
ANSWER = 0x80
HEADER = 4


class Request(IntEnum):
    """What a frame asks for; its answer has ANSWER added. 0: an answer to what could not be read."""

    INFO, RESET, STEP, RUN, GET_STATE, SET_STATE, STACK, CYCLES, ECHO = range(1, 10)


class Status(IntEnum):
    """What an answer says of the request."""

    OK, DAMAGED, TOO_LONG, WRONG_VERSION, UNKNOWN, WRONG_LENGTH, WRONG_VALUE, REFUSED = range(8)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: request, and sequence number, which an answer repeats; status is 0 in a request."""

    request: int
    sequence: int
    status: int
    data: bytes
    version: int = VERSION


def cobs(payload: bytes) -> bytes:
    """The payload without zero bytes: blocks of at most 254 others, each behind its length + 1, each short one ending
    with a zero that is left out."""
    out = bytearray()
    blocks = payload.split(b"\0")
    for k, block in enumerate(blocks):
        for at in range(0, len(block) - 253, 254):
            out += b"\xff" + block[at : at + 254]
        rest = block[len(block) // 254 * 254 :]
        if rest or not block or k < len(blocks) - 1:
            out += bytes([len(rest) + 1]) + rest
    return bytes(out)


def uncobs(coded: bytes) -> bytes | None:
    """The payload of `cobs`; None where the lengths do not fit."""
    out = bytearray()
    at = 0
    while at < len(coded):
        code = coded[at]
        block = coded[at + 1 : at + code]
        if code == 0 or len(block) != code - 1:
            return None
        at += code
        out += block + (b"\0" if code < 255 and at < len(coded) else b"")
    return bytes(out)


def encode(frame: Frame) -> bytes:
    """The bytes for the line, with the zeros before and behind."""
    payload = bytes([frame.version, frame.request, frame.sequence, frame.status]) + frame.data
    return b"\0" + cobs(payload + struct.pack("<I", zlib.crc32(payload))) + b"\0"


def decode(coded: bytes) -> Frame | None:
    """What lies between two zeros, as a frame; None where it is damaged, or text."""
    payload = uncobs(coded)
    if payload is None or len(payload) < HEADER + 4:
        return None
    body, crc = payload[:-4], struct.unpack("<I", payload[-4:])[0]
    if zlib.crc32(body) != crc:
        return None
    return Frame(body[1], body[2], body[3], body[HEADER:], body[0])
