"""The stage `bench`: our LSTM step and sequence against the libraries that are installed, side by side in one run.

One thread. Short slices of every candidate follow one another, A B C A B C ..., so that a disturbance hits all alike;
the ratios are medians over the rounds, a peer's slice over ours of the same round."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantize.network import Layer, layer, load_network
from toolkit import cpu
from toolkit.bench_ours import RANGE, Ours, Seconds
from toolkit.bench_peers import PEERS, Call, installed
from toolkit.errors import ToolkitError

SHAPES = ((1, 32), (1, 64), (8, 32), (16, 64), (32, 128), (32, 256))
TIME = 100  # steps of a sequence
SLICE = 1e-3  # seconds of one slice
SCHEMES = ("f32", "w8a16", "w8a8")


@dataclass(frozen=True, slots=True)
class Options:
    """shapes: (inputs, hidden) of each layer; seconds: measuring time in all; run: a folder whose layers come, too."""

    shapes: tuple[tuple[int, int], ...]
    seconds: float
    run: Path | None


def parse_shapes(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """ "1,32" -> (1, 32).

    Raises: ToolkitError for anything else."""
    shapes = []
    for text in texts:
        a, _, b = text.partition(",")
        if not (a.isdecimal() and b.isdecimal() and 1 <= int(a) <= 1024 and 1 <= int(b) <= 1024):
            raise ToolkitError(f"--shapes {text}: expected inputs,hidden, each 1 to 1024, e.g. 16,64")
        shapes.append((int(a), int(b)))
    return tuple(shapes)


def bench(options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Measures every layer in every scheme and library; times in microseconds.

    Raises: ToolkitError when there is no compiler, or the run has no LSTM."""
    layers = [(f"{i},{h}", random_lstm(i, h)) for i, h in options.shapes]
    if options.run is not None:
        network = load_network(options.run / "model.safetensors")
        layers += [(f"{network.name}.{x.name}", x) for x in network.layers if x.op == "lstm"]
        if not any(x.op == "lstm" for x in network.layers):
            raise ToolkitError(f"{options.run}: no LSTM layer; bench measures LSTM layers")
    peers, versions = installed()
    for name in PEERS:
        if name not in peers:
            say(f"{name}: not installed")
    with tempfile.TemporaryDirectory() as work, one_core() as core:
        ours = Ours(Path(work))
        rows = []
        for name, x in layers:
            rows.append(_layer(ours, peers, name, x, options.seconds / len(layers)))
            say(summary_line(rows[-1]))
    return {
        "processor": processor(),
        "target": cpu.host_targets()[0],
        "pinned_to": core,
        "threads": 1,
        "steps_of_a_sequence": TIME,
        "versions": versions,
        "unit": "us",
        "layers": rows,
    }


def random_lstm(inputs: int, hidden: int) -> Layer:
    """Weights of a trained layer's size: no library's time depends on them."""
    rng, top = np.random.default_rng([inputs, hidden]), 1 / np.sqrt(hidden)
    shapes = {"w_ih": (4 * hidden, inputs), "w_hh": (4 * hidden, hidden), "b": (4 * hidden,)}
    return layer("lstm0", "lstm", {k: rng.uniform(-top, top, v) for k, v in shapes.items()})


def _layer(ours: Ours, peers: Sequence[str], name: str, x: Layer, seconds: float) -> dict[str, Any]:
    """One layer: {"step": {candidate: times}, "sequence": ..., "load": {scheme: times}}, and the ratios."""
    inputs, hidden = x.weights["w_ih"].shape[1], x.weights["w_hh"].shape[1]
    samples = np.random.default_rng(0).uniform(-RANGE / 2, RANGE / 2, (TIME, inputs)).astype(np.float32)
    cases: dict[tuple[str, str], Seconds] = {}
    sizes = {}
    for scheme in SCHEMES:
        step, sequence, load, sizes[scheme] = ours.lstm(x, scheme, samples)
        cases |= {("step", scheme): step, ("sequence", scheme): sequence, ("load", scheme): load}
    for peer in peers:
        for kind, (call, empty) in PEERS[peer][1](x, samples).items():
            cases |= {(kind, peer): _timed(call), (f"{kind} empty", peer): _timed(empty)}
    slices = _rounds(cases, seconds)
    row: dict[str, Any] = {"name": name, "inputs": inputs, "hidden": hidden, "weight_bytes": sizes}
    for kind in ("load", "step", "sequence"):
        row[kind] = {who: _times(slices[k, who], slices.get((f"{kind} empty", who))) for k, who in cases if k == kind}
    row["ratios"] = {
        kind: {
            f"{peer} / {scheme}": {
                "as_called": _median(slices[kind, peer] / slices[kind, scheme]),
                "of_best": float(slices[kind, peer].min() / slices[kind, scheme].min()),
                "less_overhead": _median(
                    (slices[kind, peer] - np.median(slices[f"{kind} empty", peer])) / slices[kind, scheme]
                ),
            }
            for scheme in SCHEMES
            for peer in peers
        }
        for kind in ("step", "sequence")
    }
    row["step_over_load"] = {s: _median(slices["step", s] / slices["load", s]) for s in SCHEMES}
    return row


def _timed(call: Call) -> Seconds:
    def seconds(n: int) -> float:
        start = time.perf_counter()
        for _ in range(n):
            call()
        return time.perf_counter() - start

    return seconds


def _rounds(cases: dict[tuple[str, str], Seconds], seconds: float) -> dict[tuple[str, str], np.ndarray]:
    """Microseconds a call, one number per round; each slice takes about SLICE seconds."""
    count = {}
    for key, run in cases.items():
        run(2)  # warm
        n = 1
        while (took := run(n)) < SLICE / 4 and n < 1 << 20:
            n *= 2
        count[key] = max(1, round(n * SLICE / max(took, 1e-9)))
    found: dict[tuple[str, str], list[float]] = {key: [] for key in cases}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(found.values()))) < 3:
        for key, run in cases.items():
            found[key].append(run(count[key]) / count[key] * 1e6)
    return {key: np.array(v) for key, v in found.items()}


def _median(v: np.ndarray) -> float:
    return float(np.median(v))


def _times(slices: np.ndarray, empty: np.ndarray | None) -> dict[str, float]:
    """median, best; of a call from Python also the overhead of an empty model's call, and the median less that."""
    out = {"median": _median(slices), "best": float(slices.min())}
    if empty is not None:
        out |= {"overhead": _median(empty), "less_overhead": _median(slices) - _median(empty)}
    return out


@contextlib.contextmanager
def one_core() -> Iterator[int | None]:
    """Keeps this process on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    core = max(before)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)


def processor() -> str:
    """Its name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def summary_line(row: dict[str, Any]) -> str:
    """One layer in a line, for the progress."""
    times = ", ".join(f"{k} {v['median']:.3g}" for k, v in row["step"].items())
    return f"{row['name']}: a step takes {times} us"


def summary(result: dict[str, Any]) -> str:
    """The tables, Markdown."""
    where = f"core {result['pinned_to']}" if result["pinned_to"] is not None else "not pinned"
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines = [
        f"{result['processor']}, kernels `{result['target']}`, one thread, {where}; {versions}. Medians in "
        f"microseconds; ours timed in C, peers as called from Python, in brackets less an empty model's call."
    ]
    rows = result["layers"]
    for kind, title in (("step", "One streaming step"), ("sequence", f"{result['steps_of_a_sequence']} steps")):
        names = list(rows[0][kind])
        lines += ["", f"### {title}", "", "| layer | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {r['name']} | " + " | ".join(_cell(r[kind][n]) for n in names) + " |" for r in rows]
    ratios = list(rows[0]["ratios"]["step"])
    for kind, title in (("step", "step"), ("sequence", "sequence")):
        if ratios:
            lines += ["", f"### Peer's time / ours, {title}", "", "| layer | " + " | ".join(ratios) + " |"]
            lines += ["|---" * (len(ratios) + 1) + "|"]
            for r in rows:
                cells = (f"{v['as_called']:.3g} ({v['less_overhead']:.3g})" for v in r["ratios"][kind].values())
                lines.append(f"| {r['name']} | " + " | ".join(cells) + " |")
    lines += ["", "### Our step / merely loading its weights", "", "| layer | " + " | ".join(SCHEMES) + " |"]
    lines += ["|---" * (len(SCHEMES) + 1) + "|"]
    for r in rows:
        lines.append(f"| {r['name']} | " + " | ".join(f"{r['step_over_load'][s]:.2f}" for s in SCHEMES) + " |")
    return "\n".join(lines)


def _cell(v: dict[str, float]) -> str:
    return f"{v['median']:.3g}" + (f" ({v['less_overhead']:.3g})" if "overhead" in v else "")
