"""Progress of training on stderr: live on a terminal, one plain line an epoch otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


def line(e: Epoch, epochs: int, scale: float, unit: str) -> str:
    """One epoch in words; `scale` turns losses into the target's unit."""
    mark = "  best" if e.best else ""
    return (
        f"epoch {e.epoch:3d}/{epochs}  train {e.train * scale:.4g}  validation {e.val * scale:.4g}"
        f"{' ' + unit if unit else ''}  {e.seconds:.1f} s{mark}"
    )


def measure(config: Config, prepared: Prepared) -> tuple[float, str]:
    """(what turns a loss into what is shown, its unit): the target's own unit where there is one target."""
    target, one = prepared.outputs[0], len(prepared.outputs) == 1
    rooted = loss_name(config.model, config.train) == "mse"
    return (target.std, target.unit) if one and rooted else (1.0, "(normalised)")


@contextmanager
def progress(epochs: int, scale: float, unit: str) -> Iterator[Watcher]:
    """Gives the watcher of a training of at most `epochs`; the others as `measure` gives them."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Watcher(lambda e, best: print(line(e, epochs, scale, unit), file=sys.stderr, flush=True))
        return
    best: list[Epoch] = []
    with Live(console=console, transient=True) as live:

        def show(e: Epoch, network: Network) -> None:
            if e.best or not best:
                best[:] = [e]
            done = round(40 * e.epoch / epochs)
            both = f"{line(e, epochs, scale, unit)}\nbest  {line(best[0], epochs, scale, unit)}"
            live.update(Text("━" * done + "╺" * (40 - done) + f"\n{both}"))

        yield Watcher(show)


def follow(
    config: Config, prepared: Prepared, out: Path, *, say: Callable[[str], None]
) -> AbstractContextManager[Watcher]:
    """The dashboard on a terminal that can show it, `progress` elsewhere."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        if find_spec("plotext") and find_spec("termios"):
            from toolkit.train.dashboard import dashboard

            return dashboard(config, prepared, out, *measure(config, prepared))
        say("no dashboard: it needs plotext (pip install plotext) and a POSIX terminal")
    return progress(config.train.epochs, *measure(config, prepared))
