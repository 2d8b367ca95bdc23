"""Progress of training on stderr: live on a terminal, one plain line an epoch otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from toolkit.train.trainer import Epoch


def line(e: Epoch, epochs: int, scale: float, unit: str) -> str:
    """One epoch in words; `scale` turns losses into the target's unit."""
    mark = "  best" if e.best else ""
    return (
        f"epoch {e.epoch:3d}/{epochs}  train {e.train * scale:.4g}  validation {e.val * scale:.4g}"
        f"{' ' + unit if unit else ''}  {e.seconds:.1f} s{mark}"
    )


@contextmanager
def progress(epochs: int, scale: float, unit: str) -> Iterator[Callable[[Epoch], None]]:
    """Gives the function to call after each epoch."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda e: print(line(e, epochs, scale, unit), file=sys.stderr, flush=True)
        return
    best: list[Epoch] = []
    with Live(console=console, transient=True) as live:

        def show(e: Epoch) -> None:
            if e.best:
                best[:] = [e]
            done = round(40 * e.epoch / epochs)
            bar = "━" * done + "╺" * (40 - done)
            text = f"{bar}\n{line(e, epochs, scale, unit)}\nbest  {line(best[0], epochs, scale, unit)}" if best else bar
            live.update(Text(text))

        yield show
