"""Byte streams to a device: a program's pipes (the host's firmware, an emulator), TCP, a serial port."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from toolkit.errors import ToolkitError

BAUD = 115200


class Stream(Protocol):
    """name: for messages. read waits at most `timeout` seconds and then returns b"".

    Both raise ToolkitError when the other end is gone."""

    name: str

    def write(self, data: bytes) -> None: ...

    def read(self, timeout: float) -> bytes: ...

    def close(self) -> None: ...


def _gone(name: str, why: str = "") -> ToolkitError:
    return ToolkitError(f"{name}: the connection ended{': ' + why if why else ''}; connect it again and repeat")


class Process:
    """A program whose standard input and output are the line. It ends with the stream."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self._program = name, command[0]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stream
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
            )
        except OSError as e:
            self._errors.close()
            raise ToolkitError(f"{name}: {command[0]} does not start: {e.strerror}") from None
        self._bytes: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), 1 << 16):
            self._bytes.put(data)
        self._bytes.put(b"")

    def _complaint(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"{self._program} ended"

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except OSError:
            raise _gone(self.name, self._complaint()) from None

    def read(self, timeout: float) -> bytes:
        try:
            data = self._bytes.get(timeout=timeout)
        except queue.Empty:
            return b""
        if not data:
            self._bytes.put(b"")  # for whoever asks again
            raise _gone(self.name, self._complaint())
        return data

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # the line ends, and with it a program; a machine is ended
        try:
            self._process.wait(0.3)
        except subprocess.TimeoutExpired:
            self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()


class Tcp:
    """`tcp:HOST:PORT`, e.g. QEMU's `-serial tcp:localhost:4444,server=on`."""

    def __init__(self, name: str) -> None:
        self.name = name
        _, host, port = [*name.split(":"), "", ""][:3]
        if not port.isdigit():
            raise ToolkitError(f"{name}: expected tcp:HOST:PORT, e.g. tcp:localhost:4444")
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=10)
        except OSError as e:
            raise ToolkitError(f"{name}: cannot connect: {e.strerror or e}; start what listens there first") from None

    def write(self, data: bytes) -> None:
        try:
            self._socket.settimeout(10)
            self._socket.sendall(data)
        except OSError as e:
            raise _gone(self.name, e.strerror or str(e)) from None

    def read(self, timeout: float) -> bytes:
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            return b""
        except OSError as e:
            raise _gone(self.name, e.strerror or str(e)) from None
        if not data:
            raise _gone(self.name)
        return data

    def close(self) -> None:
        self._socket.close()


class Port:
    """A serial port, e.g. /dev/ttyACM0 or COM5, by pyserial; nobody else may have it open."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            import serial
        except ImportError:
            raise ToolkitError(f"{name}: a serial port needs pyserial: pip install pyserial") from None
        self._lost: tuple[Any, ...] = (serial.SerialException, OSError)
        try:
            self._port = serial.Serial(name, BAUD, timeout=0, write_timeout=10, exclusive=True)
        except self._lost as e:
            raise ToolkitError(f"{name}: cannot open: {_why(e)}") from None

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except self._lost as e:
            raise _gone(self.name, _why(e)) from None

    def read(self, timeout: float) -> bytes:
        try:
            self._port.timeout = timeout
            first = self._port.read(1)
            return bytes(first + self._port.read(self._port.in_waiting)) if first else b""
        except self._lost as e:
            raise _gone(self.name, _why(e)) from None

    def close(self) -> None:
        with contextlib.suppress(*self._lost):
            self._port.close()


def _why(error: Exception) -> str:
    """pyserial's text in a few words."""
    text = str(error)
    if "exclusively lock" in text or "Access is denied" in text or "busy" in text:
        return "another program has it open; close that one first"
    if "No such file" in text or "FileNotFoundError" in text:
        return "no such port; plug the board in, or name another one"
    if "Permission denied" in text:
        return "permission denied; on Linux join the group dialout"
    return text.splitlines()[0]


def connect(name: str) -> Stream:
    """The stream that `tcp:HOST:PORT` or a serial port's name stands for. Raises: ToolkitError."""
    return Tcp(name) if name.startswith("tcp:") else Port(name)
