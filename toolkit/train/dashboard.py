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

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from quantize import ptq
from quantize.errors import QuantizeError
from quantize.network import Network, save_network
from toolkit.config import Config
from toolkit.data.prepared import Prepared
from toolkit.errors import ToolkitError
from toolkit.nn.summary import footprint
from toolkit.train.checkpoint import Epoch
from toolkit.train.trainer import Watcher

HELP = "q stop safely   s save now   ←/→ recent, whole   ↑/↓ zoom   ? help"
REST = 20  # a quantization waits until this many times the last one's seconds have passed: at most 5 % of the time


@dataclass(slots=True)
class View:
    """What is on the screen."""

    title: str
    epochs: int
    scale: float
    unit: str
    history: list[Epoch] = field(default_factory=list)
    batch: tuple[int, int, float] = (0, 0, 0.0)
    recent: int = 0  # epochs shown; 0: all
    help: bool = False
    note: str = ""
    board: str = "board: computing"
    quantized: str = "quantized: after the first best epoch"

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
        shown = self.history[-self.recent :] if self.recent else self.history
        which = f"last {self.recent} epochs" if self.recent else "whole history"
        lines = [self.board, self.quantized, self.note, HELP if self.help else "? help"]
        head = Text(f"{self.title}  {which}  loss {self.unit}\n{self._pace()}", no_wrap=True, overflow="ellipsis")
        chart = _chart(shown, self.scale, width, max(5, height - 3 - len(lines)))
        return Group(head, chart, *(Text(x, no_wrap=True, overflow="ellipsis") for x in lines))

    def _pace(self) -> str:
        done, of, _ = self.batch
        at = f"batch {done}/{of}" if of else ""
        if not self.history:
            return f"epoch 1/{self.epochs}  {at}"
        e, best = self.history[-1], min(self.history, key=lambda e: e.val)
        each = e.seconds / e.epoch
        return (
            f"epoch {e.epoch}/{self.epochs}  {at}  lr {e.lr:.3g}  {e.samples / max(each, 1e-9):.0f} samples/s  "
            f"at most {each * (self.epochs - e.epoch):.0f} s left  best {best.val * self.scale:.4g} ({best.epoch})"
        )


def _chart(shown: list[Epoch], scale: float, width: int, height: int) -> Text:
    import plotext as plt

    if not shown:
        return Text("\n" * (height - 1))
    plt.clear_figure()
    plt.theme("clear")
    plt.limit_size(False, False)
    plt.plotsize(width, height)
    at = [e.epoch for e in shown]
    plt.plot(at, [e.train * scale for e in shown], label="train", marker="dot")
    plt.plot(at, [e.val * scale for e in shown], label="validation", marker="braille")
    return Text.from_ansi(plt.build(), no_wrap=True)


@contextmanager
def screen(view: View, press: Callable[[str], None]) -> Iterator[None]:
    """Draws `view` four times a second and hands keys to `press`; the terminal is as before afterwards."""
    import termios
    import tty

    console, over, file = Console(stderr=True), threading.Event(), sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def terminated(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def follow(live: Live) -> None:
        while not over.is_set():
            if select.select([file], [], [], 0.25)[0]:
                for key in _keys(os.read(file, 64).decode(errors="ignore")):
                    press(key)
            try:
                live.update(view.draw(*console.size), refresh=True)
            except Exception as e:  # a drawing must not end a training, nor its keys
                live.update(Text(f"cannot draw: {e}"), refresh=True)

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
def dashboard(config: Config, prepared: Prepared, out: Path, scale: float, unit: str) -> Iterator[Watcher]:
    """The watcher of a training that is shown on this terminal."""
    view, best, watcher = View(config.name, config.train.epochs, scale, unit), list[Network](), Watcher()
    board, free = config.deploy.boards[0], [0.0]

    def press(key: str) -> None:
        if key == "q":
            watcher.stop, view.note = True, f"{view.note}  stopping".strip()
        elif key == "s" and best:
            try:
                out.mkdir(parents=True, exist_ok=True)
                save_network(best[0], out / "model.safetensors")
                view.note = f"saved {out / 'model.safetensors'}"
            except (OSError, QuantizeError) as e:
                view.note = f"not saved: {e}"
        view.key(key)

    def quantized(network: Network) -> None:
        begun = time.perf_counter()
        try:
            if view.board == "board: computing":
                f = footprint(network, board)
                view.board = f"{board}: flash {f.flash} RAM {f.ram} bytes (model only)  cycles: run `profile`"
            view.quantized = judge(prepared, network)
        except Exception as e:  # whatever it is, the training goes on; `quantize` says it again
            view.quantized = f"{board}: {e}"
        now = time.perf_counter()
        free[0] = now + REST * (now - begun)

    def epoch(e: Epoch, network: Network) -> None:
        view.history.append(e)
        best[:] = [network]
        if e.best and time.perf_counter() > free[0]:
            free[0] = float("inf")
            threading.Thread(target=quantized, args=(network,), daemon=True).start()

    def batch(done: int, of: int, loss: float) -> None:
        view.batch = (done, of, loss)

    watcher.epoch, watcher.batch = epoch, batch
    with screen(view, press):
        yield watcher


def judge(prepared: Prepared, network: Network) -> str:
    """The quantized network on the validation rows, in words; calibrated on few sequences, head not refitted."""
    from toolkit.data.baselines import rmse
    from toolkit.stages.quantize import calibration, integer_forecast, over_runs, undone
    from toolkit.train.evaluate import evaluate_rows
    from toolkit.train.metrics import points

    q = ptq.quantize(network, [x[:8] for x in calibration(prepared, network)], ptq.Options(refit=False), "0" * 64)
    rows, true, real = evaluate_rows(prepared, network, split="val")
    y = undone(prepared, q, rows, over_runs(prepared, network, "val", integer_forecast(q))[rows])
    y, real = (points(prepared, v, network.output, network.levels) for v in (y, real))
    error = max(rmse(real - true), 1e-12)
    return f"quantized: validation RMSE {rmse(y - true):.4g}, float {error:.4g}, NER {rmse(y - real) / error:.4f}"


def watch(run: Path) -> dict[str, Any]:
    """Follows or replays a run on this terminal until it has ended, or q.

    Raises: ToolkitError when there is nothing to follow."""
    metrics, result = run / "metrics.jsonl", run / "train.json"
    if not metrics.is_file():
        raise ToolkitError(f"{metrics}: no such file; expected the folder of a training that has finished an epoch")
    view = View(str(run), 0, 1.0, "(normalised)", board="", quantized="")
    over = threading.Event()

    def press(key: str) -> None:
        over.set() if key == "q" else view.key(key)

    def read() -> bool:
        with suppress(OSError):
            lines = metrics.read_text(encoding="utf-8").splitlines()
            view.history = [Epoch(**json.loads(x)) for x in lines]
            view.epochs = len(lines)
        return result.is_file() and result.stat().st_mtime >= metrics.stat().st_mtime

    ended = before = read()
    if sys.stdin.isatty() and sys.stderr.isatty():
        with screen(view, press):
            while not over.wait(0.5) and (before or not ended):  # what has ended before stays on the screen until q
                ended = read()
    print(f"{run}: {view._pace()}", file=sys.stderr)
    return {"run": str(run), "epochs": len(view.history), "ended": ended}
