"""Where a model can be run by `validate`: this computer, an emulated board, a board behind a serial port or TCP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def names_of(on: str) -> list[str]:
    """`host,oracle,/dev/ttyACM0` in parts. Raises: ToolkitError when one is there twice."""
    names = [part.strip() for part in on.split(",")]
    for name in names:
        if names.count(name) > 1:
            raise ToolkitError(f"--on: {name} is there twice; expected each once")
    return names


def is_port(name: str) -> bool:
    """Whether a name is that of a serial port or TCP."""
    return name.startswith(("/", "tcp:", "COM")) and not name.endswith(".toml")


def open_ports(names: Sequence[str], stack: ExitStack) -> dict[str, Client]:
    """The clients of those names that are ports; `stack` closes them."""
    return {name: stack.enter_context(Client(connect(name))) for name in names if is_port(name)}


def parse(names: Sequence[str], clients: Mapping[str, Client], board: str | None) -> list[Endpoint]:
    """What the names stand for. board: what `emulator` is and what is at a port; the first port tells unless given.

    Raises: ToolkitError when a name stands for nothing, or no emulator here can run it."""
    if board is None and "emulator" in names and clients:
        board = next(iter(clients.values())).info().board_name
    own = load_board(board) if board else None
    found = [_endpoint(name, own) for name in names]
    for e in found:
        if e.kind == "emulator" and e.board:
            emulate.check_serves(e.board)
    return found


def _endpoint(name: str, own: Board | None) -> Endpoint:
    if name == "oracle":
        return Endpoint(name, "oracle", None)
    if is_port(name):
        return Endpoint(name, "port", own)
    if name == "emulator":
        if own is None:
            raise ToolkitError("--on emulator: of which board? add --board NAME, or name the board in its place")
        return Endpoint(name, "emulator", own)
    if name in board_names() or name.endswith(".toml"):
        board = load_board(name)
        return Endpoint(board.name, "host" if board.memory is None else "emulator", board)
    raise ToolkitError(f'--on: "{name}" is neither a board nor a port{nearest(name, {*KINDS, *board_names()})}')


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
        found, wanted = f"{info.board_name} {info.board_hash:08x}", f"{board.name} {board_hash(board):08x}"
        raise ToolkitError(
            f"{endpoint.name}: its image was built for board {found}; expected {wanted}, as "
            f"the board's file is now: build it again and flash it, or name its board with --board"
        )
    return board
