"""Where a model can be run by `validate`: this computer, an emulated board, a board behind a serial port or TCP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from quantize.qnetwork import QNetwork
from toolkit import emulate
from toolkit.boards import Board, board_names, load_board
from toolkit.build import board_hash
from toolkit.emulate.qemu_count import Counter
from toolkit.errors import ToolkitError, nearest
from toolkit.stages.firmware import Job, build
from toolkit.stages.generate import folder_for, generate_c, kernels_of
from toolkit.wire.client import Client, Info
from toolkit.wire.stream import Process, connect

KINDS = ("oracle", "host", "emulator")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of --on. kind: oracle, host, emulator or port; board: None where only the device can tell."""

    name: str
    kind: str
    board: Board | None


@dataclass(frozen=True, slots=True)
class Device:
    """An endpoint that answers. image: None where no file says what it holds; emulator: empty on hardware;
    counter: of an emulator's instructions, once it has ended."""

    endpoint: Endpoint
    client: Client
    info: Info
    emulator: str
    counter: Counter | None
    image: Path | None
    kernels: dict[str, str]


def parse(on: str, board: str | None) -> list[Endpoint]:
    """`host,oracle,emulator,mps2_an386,/dev/ttyACM0`; board: what `emulator` stands for, and what is at a port.

    Raises: ToolkitError when a name is neither."""
    found: list[Endpoint] = []
    own = load_board(board) if board else None
    for name in (part.strip() for part in on.split(",")):
        if name == "oracle":
            found.append(Endpoint(name, "oracle", None))
        elif name == "emulator":
            if own is None:
                raise ToolkitError("--on emulator: of which board? add --board NAME, or name the board in its place")
            found.append(Endpoint(own.name, "emulator", own))
        elif name in board_names() or name.endswith(".toml"):
            known = load_board(name)
            found.append(Endpoint(known.name, "host" if known.memory is None else "emulator", known))
        elif name.startswith(("/", "tcp:", "COM")):
            found.append(Endpoint(name, "port", own))
        else:
            known_names = [*KINDS, *board_names()]
            raise ToolkitError(f'--on: "{name}" is neither a board nor a port{nearest(name, known_names)}')
    names = [e.name for e in found]
    for name in names:
        if names.count(name) > 1:
            raise ToolkitError(f"--on: {name} is there twice; expected each once")
    return found


def open_port(endpoint: Endpoint, stack: ExitStack) -> Client:
    """The client of a serial port or TCP; `stack` closes it."""
    return stack.enter_context(Client(connect(endpoint.name)))


def open_device(
    run: Path, q: QNetwork, endpoint: Endpoint, client: Client | None, *, say: Callable[[str], None], toolchain: str
) -> Device:
    """Builds and starts what has no client yet. Raises: ToolkitError when another model, or nobody, answers."""
    emulator, counter, image = "", None, None
    board, started = endpoint.board, client
    if started is None:
        assert board is not None
        if not _generated(run, q, board):
            generate_c(run, board, None, float_api=False, say=lambda _: None)
        job = Job(run, board, toolchain=toolchain, serve=True, replay=False)
        built = build(job, say=say)
        if endpoint.kind == "host":
            command = [built["program"]]
        else:
            image = job.folder / "firmware.elf"
            serving = emulate.serving(image, board, say=say)
            emulator, command, counter = serving.emulator, serving.command, serving.counter
        say(f"run {endpoint.name}" + (f" in {emulator}" if emulator else ""))
        started = Client(Process(endpoint.name, command))
    try:
        info = started.info()
        board = _check(run, q, endpoint, info, board, say)
    except BaseException:
        started.stream.close()
        raise
    kernels = kernels_of(folder_for(run, q, board), q) if board and _generated(run, q, board) else {}
    return Device(endpoint, started, info, emulator, counter, image, kernels)


def _generated(run: Path, q: QNetwork, board: Board) -> bool:
    try:
        folder_for(run, q, board)
    except ToolkitError:
        return False
    return True


def _check(
    run: Path, q: QNetwork, endpoint: Endpoint, info: Info, board: Board | None, say: Callable[[str], None]
) -> Board | None:
    """The device's board, where this computer knows it. Raises: ToolkitError when it holds another model."""
    if info.model != q.digest[:16]:
        raise ToolkitError(
            f"{endpoint.name}: holds model {info.model_name} {info.model}; expected {q.name} {q.digest[:16]} of {run}: "
            f"build it with `python3 run.py build {run} --board {info.board_name} --serve` and flash it"
        )
    if board is None and info.board_name in board_names():
        board = load_board(info.board_name)
    if board is not None and (info.board_name, info.board_hash) != (board.name, board_hash(board)):
        found = f"{info.board_name} {info.board_hash:08x}"
        raise ToolkitError(
            f"{endpoint.name}: its image was built for board {found}; expected {board.name} {board_hash(board):08x}, as "
            f"the board's file is now: build it again and flash it, or name its board with --board"
        )
    return board
