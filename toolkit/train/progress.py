"""Progress of training on stderr: live on a terminal, one plain line an epoch otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from quantize.network import Network
from toolkit.config import Config
from toolkit.data.prepared import Prepared
from toolkit.train.backends.learning import loss_name
from toolkit.train.checkpoint import Epoch
from toolkit.train.trainer import Watcher

NORMALISED = "standard deviations"


@dataclass(frozen=True, slots=True)
class Shown:
    """How losses are shown: their name, and what turns them into `unit`."""

    name: str
    scale: float
    unit: str

    @property
    def loss(self) -> str:
        """The name with its unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    def of(self, loss: float) -> str:
        """A loss with its unit."""
        return f"{loss * self.scale:.4g} {self.unit}".strip()


def measure(config: Config, prepared: Prepared) -> Shown:
    """In the target's own unit where there is one target and the squared error is learnt; else as the loss is."""
    name, target = loss_name(config.model, config.train), prepared.outputs[0]
    if name == "mse":
        one = len(prepared.outputs) == 1
        return Shown(f"RMSE of {_learnt(prepared)}", target.std if one else 1.0, target.unit if one else NORMALISED)
    return Shown(f"{name} of {_learnt(prepared)}", 1.0, "" if prepared.classes else NORMALISED)


def _learnt(prepared: Prepared) -> str:
    """The targets' names, and what of them is learnt."""
    names = ", ".join(prepared.columns[k].name for k in prepared.targets)
    return names if prepared.target in ("level", "class") else f"{names}'s {prepared.target}"


def line(e: Epoch, epochs: int, shown: Shown) -> str:
    """One epoch in words."""
    mark = "  best" if e.best else ""
    return (
        f"epoch {e.epoch:3d}/{epochs}  train {e.train * shown.scale:.4g}  validation {shown.of(e.val)}"
        f"  {e.seconds:.1f} s{mark}"
    )


@contextmanager
def progress(epochs: int, shown: Shown, *, plain: bool) -> Iterator[Watcher]:
    """Gives the watcher of a training of at most `epochs`; `plain`: a line an epoch on a terminal, too."""
    console = Console(stderr=True)
    if plain or not console.is_terminal:
        yield Watcher(lambda e, best: print(line(e, epochs, shown), file=sys.stderr, flush=True))
        return
    best: list[Epoch] = []
    with Live(console=console, transient=True) as live:

        def show(e: Epoch, network: Network) -> None:
            if e.best or not best:
                best[:] = [e]
            done = round(40 * e.epoch / epochs)
            both = f"{line(e, epochs, shown)}\nbest  {line(best[0], epochs, shown)}"
            live.update(Text("━" * done + "╺" * (40 - done) + f"\n{both}"))

        yield Watcher(show)


def follow(
    config: Config,
    prepared: Prepared,
    network: Network,
    out: Path,
    *,
    board: str,
    plain: bool,
    say: Callable[[str], None],
) -> AbstractContextManager[Watcher]:
    """The dashboard on a terminal that can show it, with what the untrained `network` takes on `board`; else lines."""
    shown = measure(config, prepared)
    if not plain and sys.stdin.isatty() and sys.stderr.isatty():
        if find_spec("plotext") and find_spec("termios"):
            from toolkit.train.dashboard import dashboard

            return dashboard(config, prepared, network, out, board or config.deploy.boards[0], shown)
        say("no dashboard: it needs plotext (pip install plotext) and a POSIX terminal")
    if board:
        from toolkit.train.judge import on_board

        say(on_board(network, board))
    say(f"loss: {shown.loss}")
    return progress(config.train.epochs, shown, plain=plain)
