"""Training on a terminal: curves, pace, and what the model costs and loses on the board. Keys: q s arrows ?"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import plotext as plt
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from quantize.errors import QuantizeError
from quantize.network import Network, save_network
from toolkit.config import Config, load_config
from toolkit.data.prepared import Prepared, load_prepared
from toolkit.errors import ToolkitError
from toolkit.stages.demo import options
from toolkit.train.checkpoint import Epoch
from toolkit.train.judge import REST, Pane
from toolkit.train.progress import Shown, measure
from toolkit.train.trainer import Watcher

HELP = "q stop safely   s save now   ←/→ recent, whole   ↑/↓ zoom   ? help"


@dataclass(slots=True)
class View:
    """What is on the screen."""

    title: str
    epochs: int
    shown: Shown
    history: list[Epoch] = field(default_factory=list)
    batch: tuple[int, int, float] = (0, 0, 0.0)
    recent: int = 0  # epochs shown; 0: all
    help: bool = False
    note: str = ""
    pane: Pane | None = None
    _chart: tuple[tuple[int, ...], Text] = ((), Text())  # the last one, and what it depends on

    def key(self, key: str) -> None:
        """Arrows and ?"""
        if key == "?":
            self.help = not self.help
        elif key == "right":
            self.recent = 0
        elif key == "left":
            self.recent = self.recent or 20
        elif key == "up":
            self.recent = max(5, (self.recent or len(self.history)) // 2)
        elif key == "down":
            self.recent = 2 * self.recent if 2 * self.recent < len(self.history) else 0

    def draw(self, width: int, height: int) -> Group:
        """The whole screen."""
        which = f"last {self.recent} epochs" if self.recent else "whole history"
        pane = [self.pane.board, self.pane.quantized] if self.pane else []
        lines = [*pane, self.note, HELP if self.help else "? help"]
        head = Text(f"{self.title}: {self.shown.loss}, {which}\n{self.pace()}", no_wrap=True, overflow="ellipsis")
        key = (len(self.history), self.recent, width, max(5, height - 3 - len(lines)))
        if key != self._chart[0]:  # drawing it is most of the work
            self._chart = (key, _chart(self.history[-self.recent :], self.shown.scale, *key[2:]))
        return Group(head, self._chart[1], *(Text(x, no_wrap=True, overflow="ellipsis") for x in lines))

    def pace(self) -> str:
        done, of, _ = self.batch
        at = f"batch {done}/{of}" if of else ""
        if not self.history:
            return f"epoch 1/{self.epochs}  {at}"
        e, best = self.history[-1], min(self.history, key=lambda e: e.val)
        each = e.seconds / e.epoch
        return (
            f"epoch {e.epoch}/{self.epochs}  {at}  lr {e.lr:.3g}  {e.samples / max(each, 1e-9):.0f} samples/s  "
            f"at most {each * (self.epochs - e.epoch):.0f} s left  best {self.shown.of(best.val)} ({best.epoch})"
        )


def _chart(shown: list[Epoch], scale: float, width: int, height: int) -> Text:
    if not shown:
        return Text("\n" * (height - 1))
    plt.clear_figure()
    plt.theme("clear")
    plt.limit_size(False, False)
    plt.plotsize(width, height)
    at = [e.epoch for e in shown]
    plt.xticks(sorted({at[0] + (at[-1] - at[0]) * k // 4 for k in range(5)}))
    plt.plot(at, [e.train * scale for e in shown], label="train", marker="dot")
    plt.plot(at, [e.val * scale for e in shown], label="validation", marker="braille")
    return Text.from_ansi(plt.build(), no_wrap=True)


@contextmanager
def screen(view: View, press: Callable[[str], None]) -> Iterator[None]:
    """Draws `view` up to four times a second and hands keys to `press`; the terminal is as before afterwards."""
    import termios
    import tty

    console, over, file = Console(stderr=True), threading.Event(), sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def terminated(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def follow(live: Live) -> None:
        due = 0.0
        while not over.is_set():
            pressed = select.select([file], [], [], 0.25)[0]
            for key in _keys(os.read(file, 64).decode(errors="ignore")) if pressed else ():
                press(key)
            if not pressed and time.monotonic() < due:
                continue
            begun = time.thread_time()
            try:
                live.update(view.draw(*console.size), refresh=True)
            except Exception as e:  # a drawing must not end a training, nor its keys
                live.update(Text(f"cannot draw: {e}"), refresh=True)
            due = time.monotonic() + REST * (time.thread_time() - begun)

    handler = signal.signal(signal.SIGTERM, terminated)
    try:
        tty.setcbreak(file)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            thread = threading.Thread(target=follow, args=(live,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, handler)


def _keys(text: str) -> list[str]:
    for code, name in zip("ABCD", ("up", "down", "right", "left"), strict=True):
        text = text.replace(f"\x1b[{code}", f" {name} ").replace(f"\x1bO{code}", f" {name} ")
    return [k for part in text.split() for k in ([part] if part in ("up", "down", "right", "left") else part)]


@contextmanager
def dashboard(
    config: Config, prepared: Prepared, network: Network, out: Path, board: str, shown: Shown
) -> Iterator[Watcher]:
    """The watcher of a training that is shown on this terminal; `network` is untrained."""
    pane, best, watcher = Pane(prepared, network, board, options(config)), list[Network](), Watcher()
    view = View(config.name, config.train.epochs, shown, pane=pane)

    def press(key: str) -> None:
        if key == "q":
            watcher.stop, view.note = True, f"{view.note}  stopping".strip()
        elif key == "s" and best:
            try:
                save_network(best[0], out / "model.safetensors")
                view.note = f"saved {out / 'model.safetensors'}"
            except (OSError, QuantizeError) as e:
                view.note = f"not saved: {e}"
        view.key(key)

    def epoch(e: Epoch, network: Network) -> None:
        view.history.append(e)
        best[:] = [network]
        if e.best:
            pane.offer(e.epoch, network)

    def batch(done: int, of: int, loss: float) -> None:
        view.batch = (done, of, loss)

    watcher.epoch, watcher.batch = epoch, batch
    with pane, screen(view, press):
        yield watcher


def watch(run: Path) -> dict[str, Any]:
    """Follows or replays a run on this terminal until it has ended, or q.

    Raises: ToolkitError when there is nothing to follow."""
    metrics, result = run / "metrics.jsonl", run / "train.json"
    if not metrics.is_file():
        raise ToolkitError(f"{metrics}: no such file; expected the folder of a training that has finished an epoch")
    config, prepared = load_config(run / "config.toml", sets=[], env={}), load_prepared(run / "data.safetensors")
    view = View(config.name, config.train.epochs, measure(config, prepared))
    over = threading.Event()

    def press(key: str) -> None:
        over.set() if key == "q" else view.key(key)

    def read() -> bool:
        with suppress(OSError):
            lines = metrics.read_text(encoding="utf-8").splitlines()
            view.history = [Epoch(**json.loads(x)) for x in lines]
        return result.is_file() and result.stat().st_mtime >= metrics.stat().st_mtime

    ended = before = read()
    if sys.stdin.isatty() and sys.stderr.isatty():
        with screen(view, press):
            while not over.wait(0.5) and (before or not ended):  # what has ended before stays on the screen until q
                ended = read()
    print(f"{run}: {view.pace()}", file=sys.stderr)
    return {"run": str(run), "epochs": len(view.history), "ended": ended}
