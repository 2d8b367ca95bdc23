"""Random networks on a core: every forecast and every saved state must be the oracle's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quantize import ptq
from quantize.ops import OPS
from quantize.oracle import Stream, save_bytes, state_hash
from quantize.qnetwork import QLayer, QNetwork
from tests.images import Code, kernels
from tests.machines import Core, Machine
from tests.memory import Memory, code_of
from tests.nets import Shape, random_network, random_qnetwork, random_raw, random_shape, series
from toolkit.codegen.packers import place

STEPS = 12
HEADER = 24  # bytes of a saved state before its tensors


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network, its raw samples [steps, inputs], and what the oracle makes of them: each step's forecast and state."""

    q: QNetwork
    raw: np.ndarray
    forecasts: np.ndarray
    states: tuple[bytes, ...]

    @property
    def hashes(self) -> np.ndarray:
        """The hash of each state."""
        return np.array([state_hash(blob) for blob in self.states], np.uint32)


def expected(q: QNetwork, raw: np.ndarray) -> Case:
    """The oracle's stream."""
    stream, forecasts, states = Stream(q), [], []
    for sample in raw:
        forecasts.append(stream.predict(sample))
        states.append(stream.save())
    return Case(q, raw, np.array(forecasts, np.int32), tuple(states))


def network(seed: int) -> QNetwork:
    """A network of random shape, cells and numbers: three of four straight from integers, one through quantization.

    Every third one has the scheme w8a8."""
    rng = np.random.default_rng(seed)
    shape, name, small = random_shape(rng), f"net{seed}", seed % 3 == 2
    if small:
        shape = replace(shape, cells=("lstm_w8a8",) * len(shape.hidden))
    return random_qnetwork(rng, shape, name) if seed % 4 else quantized(rng, shape, name)


def random_case(seed: int) -> Case:
    """Such a network as one endless stream, with random samples."""
    q = replace(network(seed), mode="stateful", window=0)
    return expected(q, random_raw(np.random.default_rng([seed, 1]), q, STEPS))


def quantized(rng: np.random.Generator, shape: Shape, name: str) -> QNetwork:
    """A float network of a shape, quantized with any of the options."""
    small = "lstm_w8a8" in shape.ops
    floats = random_network(rng, replace(shape, cells=()) if small else shape, name)
    options = ptq.Options(bool(rng.integers(2)), int(rng.choice([8, 16])))
    if small:
        options = replace(options, scheme="w8a8", activations=str(rng.choice(["tflm", "tflite"])))
    q = ptq.quantize(floats, [series(rng, floats, 2, max(shape.window, 8))], options, "0" * 64)
    return replace(q, digest=rng.bytes(32).hex())


def long_network(cell: str) -> QNetwork:
    """A network for a stream without end: it neither rests nor saturates."""
    shape = Shape(3, (12, 7), 2, (16, 8), "stateful", 0, "hold", 3, (cell, cell))
    return quantized(np.random.default_rng(1), shape, f"{cell}_without_end")


def random_chunks(q: QNetwork, steps: int, count: int) -> Iterator[np.ndarray]:
    """Raw samples, `steps` at a time, within the columns' ranges."""
    low, high = np.array([[c.low, c.high] for c in q.inputs]).T
    rng = np.random.default_rng(2)
    for _ in range(count):
        yield rng.integers(low, high, (steps, len(q.inputs)), endpoint=True)


Result = tuple[np.ndarray, np.ndarray, bytes]
"""Forecasts [steps, outputs], hashes [steps], the last state as bytes."""


@dataclass(frozen=True, slots=True)
class Run:
    """Where the machine leaves the results of a network."""

    memory: Memory
    forecast: int
    hashes: int
    saved: int

    def result(self, q: QNetwork, steps: int) -> Result:
        """Of the last call."""
        outputs, m = len(q.outputs), self.memory
        forecasts = m.get(self.forecast, np.int32, steps * outputs).reshape(steps, outputs)
        return forecasts, m.get(self.hashes, np.uint32, steps), m.get(self.saved, np.uint8, save_bytes(q)).tobytes()


def put_network(
    memory: Memory, core: Core, target: str, q: QNetwork, raw: np.ndarray, skew: int
) -> tuple[dict[str, int | bytes], Run]:
    """A network in a target's layouts -> its shim_network of tests/shims/stream.c. skew: 2 puts h on odd half-words.

    int8 tensors lie at odd addresses."""
    cells, heads = kernels("cell", core.targets), kernels("head", core.targets)
    layers, widest = [], max(OPS[x.op].output_size(x) for x in q.layers[:-1])
    small = q.layers[0].op == "lstm_w8a8"
    scratch = memory.room(2 * widest, 4, skew)
    for x in q.layers[:-1]:
        owner, p = place(x, target)
        hidden, has_c = OPS[x.op].output_size(x), "c" in OPS[x.op].STATE
        zero = x.params.get("h_zero", 0)
        h = memory.room(hidden, 4, skew + small, zero) if small else memory.room(2 * hidden, 4, skew)
        layers.append(
            {
                "p": memory.layer(p),
                "h": h,
                "second": memory.room(2 * hidden, 4, skew) if has_c else scratch,
                "kernel": cells.index(f"tl_{OPS[x.op].KERNEL}_{owner}"),
                "hidden": hidden,
                "has_c": int(has_c),
            }
        )
    owner, head = place(q.layers[-1], target)
    columns = [{"low": c.low, "high": c.high, "offset": c.offset, "m": c.m, "k": c.k, "s": c.s} for c in q.inputs]
    size, steps, inputs = save_bytes(q), len(raw), len(q.inputs)
    run = Run(memory, memory.room(4 * steps * len(q.outputs), 4), memory.room(4 * steps, 4), memory.room(size, 1))
    network: dict[str, int | bytes] = {
        "layers": memory.structs("shim_layer", layers),
        "head": memory.layer(head),
        "inputs": memory.structs("tl_input", columns),
        "outputs": memory.structs("tl_output", [{"offset": c.offset, "m": c.m, "s": c.s} for c in q.outputs]),
        "sample": memory.room(2 * inputs, 4, skew),
        "narrow": memory.room(inputs, 4, skew + 1),
        "next": memory.room(2 * widest, 4, skew),
        "raw": memory.put(raw.astype(np.int32), 4),
        "forecast": run.forecast,
        "saved": run.saved,
        "hashes": run.hashes,
        "count": len(layers),
        "save_bytes": size,
        "steps": steps,
        "raw_count": inputs,
        "forecast_count": len(q.outputs),
        "kernel": heads.index(f"tl_{OPS[q.layers[-1].op].KERNEL}_{owner}"),
        "small": int(small),
        "model": bytes.fromhex(q.digest)[:8],
    }
    return network, run


class Bench:
    """A core with its image; a target whose steps are made for a layer's shape gets a new image with every batch."""

    def __init__(self, core: Core, folder: Path, compiler: str = "auto") -> None:
        self.core, self.folder, self.compiler, self.images = core, folder, compiler, 0
        self.machine = self._build([])

    def _build(self, code: Code) -> Machine:
        self.images += 1
        folder = self.folder / f"image{self.images}"
        folder.mkdir()
        return self.core.build(self.core, folder, code, self.compiler)

    def machine_for(self, target: str, layers: Iterable[QLayer]) -> Machine:
        """An image that can run these layers: the last one, or a new one."""
        packed = (place(x, target)[1] for x in layers)
        code = dict.fromkeys(made for p in packed if (made := code_of(p)))
        if self.core.name != "host" and not code.keys() <= self.machine.made.keys():
            self.machine = self._build(list(code))
        return self.machine

    def call(self, machine: Machine, memory: Memory, networks: int, count: int) -> None:
        """shim_run(networks, count)."""
        assert len(memory.data) <= self.core.room
        memory.take(machine.call([(machine.functions["shim_run"], (networks, count))], bytes(memory.data)))

    def run(self, target: str, jobs: Sequence[tuple[QNetwork, np.ndarray]]) -> list[Result]:
        """Networks and their raw samples, in one call."""
        machine = self.machine_for(target, [x for q, _ in jobs for x in q.layers])
        memory = machine.memory()
        put = [put_network(memory, self.core, target, q, raw, 2 * (k % 2)) for k, (q, raw) in enumerate(jobs)]
        self.call(machine, memory, memory.structs("shim_network", [values for values, _ in put]), len(put))
        return [run.result(q, len(raw)) for (_, run), (q, raw) in zip(put, jobs, strict=True)]

    def stream(self, target: str, q: QNetwork, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """One stream without end, equally many raw samples at a time -> the hash of every state."""
        before, machine = 0, self.machine_for(target, q.layers)
        memory = machine.memory()
        for raw in chunks:
            if not before:
                values, run = put_network(memory, self.core, target, q, raw, 0)
                at = memory.structs("shim_network", [values])
            memory.set(int(values["raw"]), raw.astype(np.int32).tobytes())
            memory.set(at, memory.bytes_of("shim_network", {**values, "before": before}))
            self.call(machine, memory, at, 1)
            before += len(raw)
            yield run.result(q, len(raw))[1]


def differences(bench: Bench, target: str, cases: Sequence[Case], data: Sequence[QNetwork] = ()) -> list[str]:
    """The first thing in which each network differs from the oracle: core, kernels, network, step, layer, unit.

    data: the networks that the core is given, where they are not the cases' own."""
    jobs = [(q, c.raw) for q, c in zip(data or [c.q for c in cases], cases, strict=True)]
    found = []
    for case, job, (forecasts, hashes, _) in zip(cases, jobs, bench.run(target, jobs), strict=True):
        wrong = (hashes != case.hashes) | (forecasts != case.forecasts).any(1)
        if wrong.any():
            step = int(wrong.argmax())
            [(again, _, saved)] = bench.run(target, [(job[0], case.raw[: step + 1])])
            where = first_unit(case.q, saved, case.states[step]) or first_output(again[-1], case.forecasts[step])
            found.append(f"{bench.core.name}, {target}: {case.q.name}, step {step}, {where}")
    return found


def first_unit(q: QNetwork, saved: bytes, wanted: bytes) -> str:
    """The first layer, tensor and unit whose saved state is another; empty when none is."""
    tensors = [
        (f"{x.name}, {tensor} of unit", kind, OPS[x.op].output_size(x))
        for x in q.layers
        for tensor, kind in OPS[x.op].STATE.items()
    ]
    at = HEADER
    for name, kind, count in (*tensors, ("input", "int16", len(q.inputs))):
        seen, want = (np.frombuffer(blob, kind, count, at) for blob in (saved, wanted))
        at += seen.nbytes
        if (seen != want).any():
            k = int((seen != want).argmax())
            return f"{name} {k}: {seen[k]}, expected {want[k]}"
    return ""


def first_output(seen: np.ndarray, want: np.ndarray) -> str:
    """The first output that is another."""
    wrong = seen != want
    k = int(wrong.argmax())
    return f"head, output {k}: {seen[k]}, expected {want[k]}" if wrong.any() else "another result the second time"
