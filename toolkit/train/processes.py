"""Several trainings side by side, a process each. Their progress comes back through pipes; Ctrl-C ends them all."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from toolkit.errors import ToolkitError

GRACE = 20.0  # seconds that a training has to end after it was told to


@dataclass(frozen=True, slots=True)
class Job:
    """One training: `name`, its folder's path below that of all; `sets`, what it has of its own.

    `series`, `seed`, `fold`: what tells it from the others."""

    name: str
    sets: tuple[str, ...]
    series: str = ""
    seed: int | None = None
    fold: int = 0


@dataclass(slots=True)
class Board:
    """What is known of each job: a line, and of a failed one the reason."""

    lines: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)

    def text(self) -> Text:
        """A line a job."""
        wide = max(map(len, self.lines), default=0)
        return Text("\n".join(f"{name:<{wide}}  {line}" for name, line in self.lines.items()), no_wrap=True)


def work(path: str, sets: Sequence[str], out: str, resume: bool, pipe: Connection) -> None:
    """One training in its own process: ("say" | "epoch" | "failed" | "done", text) through the pipe."""
    from toolkit.config import environment, load_config
    from toolkit.train.progress import line, measure
    from toolkit.train.stage import train
    from toolkit.train.trainer import Watcher

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)

    @contextmanager
    def follow(config: Any, prepared: Any, *_: Any, **__: Any) -> Iterator[Watcher]:
        shown = measure(config, prepared)
        yield Watcher(lambda e, best: pipe.send(("epoch", line(e, config.train.epochs, shown))))

    with suppress(BrokenPipeError, KeyboardInterrupt):  # nobody waits for it any more
        try:
            config = load_config(path, sets=sets, env=environment())
            train(config, Path(out), say=lambda text: pipe.send(("say", text)), resume=resume, follow=follow)
            pipe.send(("done", "done"))
        except BrokenPipeError:
            raise
        except ToolkitError as e:
            pipe.send(("failed", str(e)))
        except OSError as e:
            pipe.send(("failed", f"{e.filename or out}: {e.strerror or e}"))


def run_all(
    path: Path, jobs: Sequence[Job], out: Path, *, sets: Sequence[str], at_once: int, resume: Sequence[str],
    plain: bool, say: Callable[[str], None],
) -> dict[str, str]:  # fmt: skip
    """Trains all, `at_once` of them together; `resume`: the names of those that go on from a checkpoint.

    Returns: why some failed, by name. Raises: KeyboardInterrupt, when all have ended."""
    board = Board({job.name: "waits" for job in jobs})
    waiting, running = list(jobs), dict[Connection, tuple[Job, SpawnProcess]]()
    with _shown(board, plain, say) as tell:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    job = waiting.pop(0)
                    folder = str(out / job.name)
                    here, process = _start(str(path), [*sets, *job.sets], folder, job.name in resume)
                    running[here] = (job, process)
                for pipe in wait(list(running)):
                    assert isinstance(pipe, Connection)
                    job, process = running[pipe]
                    if not _heard(pipe, job, board, tell):
                        del running[pipe]
                        process.join()
                        if not board.failed.get(job.name) and board.lines[job.name] != "done":
                            board.failed[job.name] = f"its process ended with {process.exitcode}"
        finally:
            _end(process for _, process in running.values())
    return board.failed


def _start(path: str, sets: list[str], out: str, resume: bool) -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(path, sets, out, resume, there), daemon=True)
    with ctrl_c_unheard():
        process.start()
    there.close()
    return here, process


@contextmanager
def ctrl_c_unheard() -> Iterator[None]:
    """While processes start, who inherit it: Ctrl-C waits, and is then for this one alone to handle."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _heard(pipe: Connection, job: Job, board: Board, tell: Callable[[str, str], None]) -> bool:
    """Takes one message; False: there comes no other."""
    try:
        kind, text = pipe.recv()
    except EOFError:
        return False
    if kind == "failed":
        board.failed[job.name] = text
    if kind != "say":
        board.lines[job.name] = text
    tell(job.name, text if kind != "failed" else f"failed: {text}")
    return True


def _end(processes: Any) -> None:
    left = list(processes)
    for process in left:
        process.terminate()
    for process in left:
        process.join(GRACE)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _shown(board: Board, plain: bool, say: Callable[[str], None]) -> Iterator[Callable[[str, str], None]]:
    """On a terminal a line for each job, redrawn; elsewhere a line for each epoch of each."""
    console = Console(stderr=True)
    if plain or not console.is_terminal:
        yield lambda name, text: say(f"{name}: {text}")
        return
    with Live(board.text(), console=console, transient=True) as live:

        def tell(name: str, text: str) -> None:
            if text != board.lines[name]:
                console.print(f"{name}: {text}", markup=False, highlight=False)
            live.update(board.text())

        yield tell
