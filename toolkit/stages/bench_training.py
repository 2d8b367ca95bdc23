"""The stage `bench --training`: epochs of the native backend beside PyTorch's, one thread each, in turn.

Each round trains the same share of an epoch with both, first one, then the other, in alternating order; a time is the
median over the rounds, scaled to the epoch, and a ratio the median of PyTorch's time over ours of the same round. Both
do everything that a step needs: pick the batch, forward, loss, backward, Adam. Times are of the processor, all threads
of the process together: other work on the machine makes them little longer, and one thread cannot cheat."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quantize.network import Column, Network
from toolkit.config import Model, Train
from toolkit.errors import ToolkitError
from toolkit.nn import init_network
from toolkit.nn.network import parameters, parted
from toolkit.stages.bench import one_core, processor
from toolkit.train.backends.contract import Batch
from toolkit.train.backends.native import build
from toolkit.train.backends.native.calls import Call, Table
from toolkit.train.backends.native.engine import Engine
from toolkit.train.backends.reference import NumpyBackend

LR = 1e-3
LARGEST = 1e-6  # gradients: the largest difference from float64, over the largest gradient


@dataclass(frozen=True, slots=True)
class Case:
    """windows: of an epoch; share: of it in a round; bar, goal: how much faster than PyTorch."""

    key: str
    text: str
    model: Model
    inputs: int
    batch: int
    windows: int
    share: float
    bar: float
    goal: float


WINDOWS = Model(mode="window")
MODERN = Model(mode="window", cell="lstm_norm", layers=2, bidirectional="parallel", head="final_states")
CASES = (
    Case("a", "LSTM 1→64→1, T 30", replace(WINDOWS, hidden=64, window=30), 1, 32, 20_000, 0.08, 2.3, 2.8),
    Case(
        "b", "modern LSTM (LayerNorm, 2 layers, both directions), hidden 32, T 10",
        replace(MODERN, hidden=32, window=10),
        1, 32, 1_000, 1.0, 10.0, 20.0,
    ),
    Case("c", "LSTM 8→128→1, T 50", replace(WINDOWS, hidden=128, window=50), 8, 64, 20_000, 0.032, 1.4, 1.7),
)  # fmt: skip


def bench_training(seconds: float, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Measures the cases for about `seconds` in all.

    Raises: ToolkitError without PyTorch or a compiler."""
    try:
        import torch
    except ImportError:
        raise ToolkitError(
            "bench --training compares with PyTorch, which is not installed: pip install torch"
        ) from None
    door = build.door(build.levels()[0], "auto")
    rows = []
    with one_core() as core, _one_thread():
        peak = peak_gflops(door)
        for case in CASES:
            rows.append(_measure(case, door, seconds / len(CASES)) | {"peak": peak})
            say(_line(rows[-1]))
    return {
        "processor": processor(),
        "kernels": door.level,
        "binding": door.binding,
        "pinned_to": core,
        "threads": 1,
        "peak_gflops": peak,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "cases": rows,
    }


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_gflops(door: build.Door) -> float:
    """What a loop of nothing but multiply-adds reaches, at best: 12 vectors a round, 2 operations a lane."""
    lanes = {"avx512": 16, "avx2": 8, "any": 4}[door.level]
    numbers = np.array([0.5] * 12 + [0.9, 0.1], np.float32)
    table = Table([Call("multiply_add", rounds=1_000_000, numbers=numbers)])

    def seconds() -> float:
        start = time.process_time()
        door.run(table.address, table.length)
        return time.process_time() - start

    return 12 * 2 * lanes * 1e6 / min(seconds() for _ in range(30)) * 1e-9


def network_of(case: Case) -> Network:
    """The case's network with its first weights."""
    columns = tuple(Column(f"x{k}", "", 0, 0.0, 1.0) for k in range(case.inputs))
    template = Network(
        name="bench", layers=(), inputs=columns, outputs=(Column("y", "", 0, 0.0, 1.0),), mode="window",
        window=case.model.window, warmup=case.model.window, horizon=1, period=0.0, missing="hold", max_gap=0,
    )  # fmt: skip
    return init_network(template, case.model, rng=np.random.default_rng(1))


def operations(case: Case) -> float:
    """Multiplications and additions of an epoch's matrix products: forward, gradient by the weights, gradient back
    through time and to the layer below. Nothing else counts."""
    network, total = network_of(case), 0
    for x in network.layers[:-1]:
        recurrent, inputs = x.weights["w_hh"].size, x.weights["w_ih"].size
        first = x.sources == ("",) or x is network.layers[0]
        total += 3 * recurrent + (2 if first else 3) * inputs
    return 2.0 * total * case.model.window * case.windows


class Contest:
    """Both candidates of a case, on the same windows."""

    def __init__(self, case: Case, door: build.Door) -> None:
        import torch

        from toolkit import bench_torch

        self.case, self.rng, self.network = case, np.random.default_rng(2), network_of(case)
        self.windows = max(case.batch, int(case.windows * case.share) // case.batch * case.batch)
        self.x = self.rng.normal(size=(self.windows, case.model.window, case.inputs)).astype(np.float32)
        self.y = self.rng.normal(size=(self.windows, 1, 1)).astype(np.float32)
        self.weight, self.reset = np.ones((case.batch, 1), np.float32), np.zeros((case.batch, case.model.window), bool)
        self.ours = Engine(door, Train(clip=1e9), case.model, 1)
        self.ours.load(self.network)
        peer = bench_torch.PlainLstm if case.model.cell == "lstm" else bench_torch.ModernLstm
        self.theirs = peer(self.network)
        self.adam = torch.optim.Adam(self.theirs.parameters(), lr=LR)
        self.tensors = torch.from_numpy(self.x), torch.from_numpy(self.y[:, 0])

    def batch(self, rows: np.ndarray) -> Batch:
        """Some of the windows."""
        return Batch(self.x[rows], self.y[rows], self.weight[: len(rows)], self.reset[: len(rows)], False)

    def native(self) -> None:
        """Our epoch, or the part of it that is in `windows`."""
        order = self.rng.permutation(self.windows)
        for first in range(0, self.windows, self.case.batch):
            self.ours.step(self.batch(order[first : first + self.case.batch]), LR)

    def torch(self) -> None:
        """The same of PyTorch."""
        import torch

        (x, y), order = self.tensors, torch.randperm(self.windows)
        for first in range(0, self.windows, self.case.batch):
            rows = order[first : first + self.case.batch]
            self.adam.zero_grad(set_to_none=True)
            loss = torch.nn.functional.mse_loss(self.theirs(x[rows]), y[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            self.adam.step()

    def seconds(self, who: str) -> tuple[float, float]:
        """Of the processor and of the clock, for a whole epoch."""
        before = time.process_time(), time.perf_counter()
        {"native": self.native, "torch": self.torch}[who]()
        scale = self.case.windows / self.windows
        return (time.process_time() - before[0]) * scale, (time.perf_counter() - before[1]) * scale

    def gradient_errors(self) -> dict[str, float]:
        """Of both, on one batch and the first weights, from our reference in float64; over the largest gradient."""
        import torch

        rows = np.arange(self.case.batch)
        exact = NumpyBackend(Train(clip=1e9), self.case.model, 1, np.float64)
        exact.load(self.network)
        for backend in (exact, self.ours):
            backend.step(self.batch(rows), 0.0)
        loss = torch.nn.functional.mse_loss(self.theirs(self.tensors[0][rows]), self.tensors[1][rows])
        loss.backward()  # type: ignore[no-untyped-call]
        names = [x.name for x in self.network.layers]
        true = {f"{n}.{k}": v for n, one in zip(names, parted(exact.gradient), strict=True) for k, v in one.items()}
        p = parameters(self.network, np.float32)
        p.flat[:] = self.ours.workers[0].gradient.flat
        ours = {f"{n}.{k}": v for n, one in zip(names, parted(p), strict=True) for k, v in one.items()}
        largest = max(float(np.abs(v).max()) for v in true.values())
        found = {"native": ours, "torch": self.theirs.gradients()}
        return {k: max(float(np.abs(v[n] - true[n]).max()) for n in true) / largest for k, v in found.items()}


def _measure(case: Case, door: build.Door, seconds: float) -> dict[str, Any]:
    contest = Contest(case, door)
    errors = contest.gradient_errors()
    contest.seconds("native"), contest.seconds("torch")  # warm
    times: dict[str, list[tuple[float, float]]] = {"native": [], "torch": []}
    until = time.perf_counter() + seconds
    while len(times["native"]) < 5 or time.perf_counter() < until:
        order = ("native", "torch") if len(times["native"]) % 2 else ("torch", "native")
        for who in order:
            times[who].append(contest.seconds(who))
    ours, theirs = (np.array(times[who]) for who in ("native", "torch"))
    ratios, native = theirs[:, 0] / ours[:, 0], float(np.median(ours[:, 0]))
    return {
        "case": case.key,
        "network": case.text,
        "batch": case.batch,
        "windows": case.windows,
        "rounds": len(ratios),
        "windows_of_a_round": contest.windows,
        "native": native,
        "torch": float(np.median(theirs[:, 0])),
        "ratio_of_wall_times": float(np.median(theirs[:, 1] / ours[:, 1])),
        "ratio": float(np.median(ratios)),
        "ratios": [float(q) for q in np.percentile(ratios, (10, 90))],
        "bar": case.bar,
        "goal": case.goal,
        "gradient_error": errors,
        "gflops": operations(case) / native * 1e-9,
    }


def _line(r: dict[str, Any]) -> str:
    return (
        f"({r['case']}) {r['network']}: {r['native']:.3g} s an epoch, PyTorch {r['torch']:.3g} s: {r['ratio']:.2f} "
        f"times faster (bar {r['bar']:g}); {100 * r['gflops'] / r['peak']:.0f} % of the peak; "
        f"gradients within {r['gradient_error']['native']:.1e}"
    )


def summary(result: dict[str, Any]) -> str:
    """The table, as Markdown."""
    lines = [
        f"{result['processor']}, {result['kernels']} kernels through {result['binding']}, one thread of each; "
        f"PyTorch {result['versions']['torch']}; processor time. Peak: {result['peak_gflops']:.0f} GFLOP/s, a loop of "
        "multiply-adds.",
        "",
        "| case | batch | native, s an epoch | PyTorch | **faster by** (10 to 90 % of the rounds) | bar, goal "
        "| share of the peak | gradients: error, PyTorch's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in result["cases"]:
        low, high = r["ratios"]
        lines.append(
            f"| ({r['case']}) {r['network']}; {r['windows']:,} windows | {r['batch']} | {r['native']:.3g} "
            f"| {r['torch']:.3g} | **{r['ratio']:.2f}** ({low:.2f} to {high:.2f}) | {r['bar']:g}, {r['goal']:g} "
            f"| {100 * r['gflops'] / result['peak_gflops']:.0f} % "
            f"| {r['gradient_error']['native']:.1e}, {r['gradient_error']['torch']:.1e} |"
        )
    return "\n".join(lines)
