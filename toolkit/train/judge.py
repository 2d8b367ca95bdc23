"""What the best weights so far cost and lose on a board, while the training goes on: the dashboard's board pane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantize import ptq
from quantize.network import Network
from toolkit.data.baselines import error_of, rmse
from toolkit.data.prepared import Prepared, forecast_rows, in_raw, runs, truth
from toolkit.nn.summary import cycles_on, footprint
from toolkit.report.terminal import size
from toolkit.stages.quantize import float_forecast, integer_forecast, undone
from toolkit.train.metrics import points

WINDOWS = 64  # of the validation split at most, evenly spaced
STREAMS = (32, 32)  # of it at most, and forecasts of each
REST = 50  # a judgement, or a drawing, waits until this many times the last one's processor time has passed: 2 % each


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A part of a split that is judged: raw inputs `x [sequences, time, inputs]`, each from a zero state, and where in
    it the forecasts of `rows [n]` are: `at`, sequences and steps, [n] each. `of`: the split's forecasts in all."""

    x: np.ndarray
    rows: np.ndarray
    at: tuple[np.ndarray, np.ndarray]
    of: int


def sample(prepared: Prepared, network: Network, split: str) -> Sample:
    """Few sequences of a split, spread over it."""
    rows = forecast_rows(prepared, split, need=network.warmup)
    if network.mode == "window":
        some = rows[np.unique(np.linspace(0, len(rows) - 1, WINDOWS).astype(int))]
        x = prepared.x[some[:, None] + np.arange(1 - network.window, 1)]
        return Sample(x, some, (np.arange(len(some)), np.full(len(some), -1)), len(rows))
    streams, count = STREAMS
    longest = max(b - a for a, b in runs(prepared, split)) - prepared.horizon
    length = min(network.warmup - 1 + count, longest)
    firsts = [t for a, b in runs(prepared, split) for t in range(a, b - prepared.horizon - length + 1, length)]
    begins = np.array(firsts)[np.unique(np.linspace(0, len(firsts) - 1, streams).astype(int))]
    steps = np.arange(network.warmup - 1, length)
    at = np.repeat(np.arange(len(begins)), len(steps)), np.tile(steps, len(begins))
    return Sample(prepared.x[begins[:, None] + np.arange(length)], begins[at[0]] + at[1], at, len(rows))


def judge(prepared: Prepared, network: Network, options: ptq.Options, train: Sample, val: Sample) -> str:
    """The network, quantized on `train`, on a part of the validation rows, in words."""
    q = ptq.quantize(network, [train.x], options, "0" * 64)
    y = undone(prepared, q, val.rows, integer_forecast(q)(val.x)[val.at])
    real = in_raw(prepared, val.rows, float_forecast(network)(val.x)[val.at])
    y, real = (points(prepared, v, network.output, network.levels) for v in (y, real))
    true = truth(prepared, val.rows)
    some = f"{len(val.rows) / val.of:.0%} of validation"
    if prepared.classes:
        return f"{error_of(prepared, y, true):.2%} wrong, float {error_of(prepared, real, true):.2%}, {some}"
    error, unit = max(rmse(real - true), 1e-12), prepared.outputs[0].unit
    return (
        f"RMSE {f'{rmse(y - true):.4g} {unit}'.strip()}, float {error:.4g}, "
        f"NER {100 * rmse(y - real) / error:.2g} %, {some}"
    )


class Pane:
    """The lines of the board pane. A thread judges the newest best weights; `quantized` says whose they are."""

    def __init__(self, prepared: Prepared, network: Network, board: str, options: ptq.Options) -> None:
        self.prepared, self.name, self.options = prepared, board, options
        self.board, self.judged = f"{board}: computing", ""
        self.of = self.newest = 0  # epochs: judged, best so far
        self._next: tuple[int, Network] = (0, network)
        self._parts = [sample(prepared, network, s) for s in ("train", "val")]
        self._there, self._over = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._look, args=(network,), daemon=True),
            threading.Thread(target=self._work, daemon=True),
        ]

    @property
    def quantized(self) -> str:
        """The line about the quantized network, and which epoch's it is where a better one waits."""
        if not self.of:
            return f"quantized: {f'epoch {self.newest} is being judged' if self.newest else 'after the first epoch'}"
        late = "" if self.of == self.newest else f" ({self.newest} waits)"
        return f"quantized, epoch {self.of}{late}: {self.judged}"

    def offer(self, epoch: int, network: Network) -> None:
        """New best weights; those that wait are forgotten."""
        self._next, self.newest = (epoch, network), epoch
        self._there.set()

    def __enter__(self) -> Pane:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._there.set()

    def _look(self, network: Network) -> None:
        self.board = f"{said(sizes_on, network, self.name)}; cycles are being counted"
        self.board = said(on_board, network, self.name)

    def _work(self) -> None:
        while self._there.wait() and not self._over.is_set():
            self._there.clear()
            (epoch, best), begun = self._next, time.thread_time()
            self.judged, self.of = said(judge, self.prepared, best, self.options, *self._parts), epoch
            self._over.wait(REST * (time.thread_time() - begun))


def on_board(network: Network, board: str) -> str:
    """Flash, RAM and cycles on a board in a line; the emulator counts the cycles, once for the same shapes."""
    return f"{sizes_on(network, board)}; {cycles_on(network, board)}".removesuffix("; ")


def sizes_on(network: Network, board: str) -> str:
    """Flash and RAM on a board."""
    f = footprint(network, board)
    flash, ram = (size(f.flash) + _of(f.flash_of), size(f.ram) + _of(f.ram_of))
    return f"{board}: the model's flash {flash}, RAM {ram}"


def _of(most: int | None) -> str:
    return f" of {size(most)}" if most else ""


def said(work: Callable[..., str], *arguments: object) -> str:
    """What `work` says; whatever its error is, the training goes on, and `quantize` will say it again."""
    try:
        return work(*arguments)
    except Exception as e:
        return str(e)
