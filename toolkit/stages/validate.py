"""The stage `validate`: a whole test set through the oracle, this computer, emulators and boards, bit by bit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantize import oracle
from quantize.network import Network, load_network
from quantize.qnetwork import QNetwork
from toolkit.boards import load_board
from toolkit.config import load_config
from toolkit.data.baselines import error_of
from toolkit.data.prepared import SPLITS, Prepared, check_series, forecast_rows, load_prepared, prepare, runs, truth
from toolkit.divergence import name_divergence
from toolkit.errors import CheckFailed, write_whole
from toolkit.stages.endpoints import Device, names_of, open_device, open_ports, parse
from toolkit.stages.firmware import Job, vectors_of
from toolkit.stages.generate import load_current
from toolkit.train.metrics import points
from toolkit.vectors import PREDICT, RESET, Vectors, expect
from toolkit.wire.client import Client, Info

EVERY_S = 5.0  # between two lines of progress
WALK = 1024  # samples of a seeded walk, for a model without a series


@dataclass(frozen=True, slots=True)
class Options:
    """on: names with commas; board: what `emulator` stands for; data: a CSV in place of the run's test rows."""

    run: Path
    on: str
    board: str | None = None
    data: Path | None = None
    steps: int | None = None  # at most; all unless given
    toolchain: str = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What is fed, with what the oracle says; rows [steps] of `prepared`, where there is a series.

    network: the float one, which says what the outputs are."""

    vectors: Vectors
    rows: np.ndarray
    prepared: Prepared | None
    network: Network | None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a device returned, up to the first step that differs, which `differs` is; None where none does."""

    forecast: np.ndarray
    hashes: np.ndarray
    cycles: np.ndarray
    differs: int | None


def validate(options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Streams the data through every endpoint and writes validate.json.

    Raises: ToolkitError; CheckFailed when an endpoint differs from the oracle, naming the first divergence."""
    q = load_current(options.run)
    names = names_of(options.on)
    with ExitStack() as stack:  # a port that is not there is told before anything is built
        clients = open_ports(names, stack)
        endpoints = parse(names, clients, options.board)
        begin = time.monotonic()
        stream = _stream(options, q)
        rows = [_oracle(q, stream, time.monotonic() - begin)]
        steps = len(stream.vectors.ops)
        if steps < (options.steps or 0):
            what = options.data or "the test rows"
            say(f"{what}: {steps} steps; {options.steps} were asked for")
        say(f"oracle: {steps} steps, hash {rows[0]['hash']}")
        for endpoint in endpoints:
            if endpoint.kind != "oracle":
                client = clients.get(endpoint.name)
                device = open_device(options.run, q, endpoint, client, say=say, toolchain=options.toolchain)
                with device.client:
                    rows.append(_judge(q, stream, device, say=say))
                rows[-1]["instructions_per_step"] = _counted(device)
    result = {
        "model": q.digest,
        "steps": len(stream.vectors.ops),
        "hash": rows[0]["hash"],
        "unit": _unit(q),
        "classes": bool(stream.prepared and stream.prepared.classes),
        "endpoints": rows,
        "passed": all(r["equal"] for r in rows),
    }
    write_whole(options.run / "validate.json", json.dumps(result, indent=1) + "\n")
    wrong = [r for r in rows if not r["equal"]]
    if wrong:
        raise CheckFailed("; ".join(f"{r['name']} differs from the oracle at {r['divergence']}" for r in wrong))
    return result


def _unit(q: QNetwork) -> str:
    units = {c.unit for c in q.forecasts}
    return units.pop() if len(units) == 1 else ""


def _stream(options: Options, q: QNetwork) -> Stream:
    """The test rows of the run, every row of --data, or a seeded walk where the model came without a series."""
    if options.data is None and not (options.run / "data.safetensors").is_file():
        vectors = vectors_of(Job(options.run, load_board("host"), options.steps or WALK), q)
        return Stream(vectors, np.full(len(vectors.ops), -1), None, None)
    prepared = load_prepared(options.run / "data.safetensors") if options.data is None else _read(options, q)
    splits = ("test",) if options.data is None else SPLITS
    check_series(prepared, q, options.run)
    parts = [(a, b) for split in splits for a, b in runs(prepared, split)]
    rows = np.concatenate([np.arange(a, b) for a, b in parts])[: options.steps]
    ops = np.where(np.isin(rows, [a for a, _ in parts]), RESET, PREDICT)
    raw = oracle.to_raw(q.raws, prepared.values[rows, : prepared.raws])
    return Stream(expect(q, ops, raw), rows, prepared, load_network(options.run / "model.safetensors"))


def _read(options: Options, q: QNetwork) -> Prepared:
    """The series of --data, read as the run's own was."""
    config = load_config(options.run / "config.toml", sets=(), env={})
    data = replace(config.data, path=str(options.data), series="", only=())
    return prepare(data, need=max(q.warmup, q.window, 1), say=lambda _: None)


def _oracle(q: QNetwork, stream: Stream, seconds: float) -> dict[str, Any]:
    v = stream.vectors
    return {
        "name": "oracle",
        "kind": "oracle",
        "emulator": "",
        "steps": len(v.ops),
        "hash": f"{v.run_hash:08x}",
        "equal": True,
        "divergence": "",
        "error": _error(q, stream, v.forecast),
        "seconds": round(seconds, 3),
    }


def _error(q: QNetwork, stream: Stream, forecast: np.ndarray) -> float | None:
    """RMSE, or share of wrong labels, of forecasts [steps, outputs]; None without a series, or when none counts."""
    p = stream.prepared
    if p is None or stream.network is None:
        return None
    counted = np.concatenate([forecast_rows(p, split, need=max(q.warmup, q.window, 1)) for split in SPLITS])
    at = np.flatnonzero(np.isin(stream.rows[: len(forecast)], counted))
    if not len(at):
        return None
    y = points(p, oracle.from_raw(q.forecasts, forecast[at]), stream.network.output, stream.network.levels)
    return error_of(p, y, truth(p, stream.rows[at]))


def _judge(q: QNetwork, stream: Stream, device: Device, *, say: Callable[[str], None]) -> dict[str, Any]:
    """One device's row of the result."""
    name, v = device.endpoint.name, stream.vectors
    begin = time.monotonic()
    seen = _feed(device.client, device.info, v, name, say)
    seconds = time.monotonic() - begin
    divergence = _name(q, v, device, seen) if seen.differs is not None else ""
    cycles = seen.cycles[v.ops[: len(seen.cycles)] != RESET]
    on_chip = device.endpoint.kind == "port" and device.info.counter != "none" and len(cycles) > 0
    row = {
        "name": name,
        "kind": device.endpoint.kind,
        "board": device.info.board_name,
        "emulator": device.emulator,
        "steps": len(seen.hashes),
        "hash": f"{oracle.run_hash([int(h) for h in seen.hashes]):08x}",
        "equal": seen.differs is None,
        "divergence": divergence,
        "error": _error(q, stream, seen.forecast),
        "counter": device.info.counter,
        "clock_hz": device.info.clock_hz,
        "cycles_per_step": _spread(cycles) if on_chip else None,
        "stack": device.client.stack(),
        "stack_bytes": device.info.stack_bytes,
        "asked_again": device.client.asked_again,
        "seconds": round(seconds, 3),
    }
    say(f"{name}: {row['steps']} steps, hash {row['hash']}, {'equal' if row['equal'] else divergence}")
    return row


def _counted(device: Device) -> dict[str, float] | None:
    """Of an emulator that has ended: exact, of every step that it did."""
    if device.counter is None:
        return None
    counts, _ = device.counter.read()
    if counts.calls == 0:  # the image does not lie where its file says
        return None
    return {"mean": counts.sum / counts.calls, "min": counts.min, "max": counts.max}


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "min": int(values.min()), "max": int(values.max())}


def _feed(client: Client, info: Info, v: Vectors, name: str, say: Callable[[str], None]) -> Seen:
    """Everything through a device, until the first step that differs."""
    client.reset()
    parts, at, told = [], 0, time.monotonic()
    differs = None
    for batch in client.run(info, v.ops, v.raw):
        parts.append(batch)
        some = slice(at, at + len(batch.hashes))
        wrong = (batch.hashes != v.hashes[some]) | (batch.forecast != v.forecast[some]).any(axis=1)
        if wrong.any():
            differs = at + int(wrong.argmax())
            break
        at = some.stop
        if time.monotonic() - told > EVERY_S:
            say(f"{name}: {at} of {len(v.ops)} steps equal")
            told = time.monotonic()
    stop = None if differs is None else differs + 1
    forecast, hashes, cycles = (
        np.concatenate([getattr(p, k) for p in parts])[:stop] for k in ("forecast", "hashes", "cycles")
    )
    return Seen(forecast, hashes, cycles, differs)


def _name(q: QNetwork, v: Vectors, device: Device, seen: Seen) -> str:
    """The first divergence: the device does the steps again, and its states on both sides of it are compared."""
    step = seen.differs
    assert step is not None
    client, info = device.client, device.info
    client.reset()
    for _ in client.run(info, v.ops[:step], v.raw[:step]):
        pass
    previous = client.state()
    (again,) = client.run(info, v.ops[step : step + 1], v.raw[step : step + 1])
    if again.hashes[0] == v.hashes[step] and (again.forecast[0] == v.forecast[step]).all():
        return f"step {step}: right when it was done again: the device does not repeat itself (power, clock, memory)"
    mismatch = {
        "step": step,
        "op": int(v.ops[step]),
        "previous": previous.hex(),
        "input": v.raw[step].tolist(),
        "got": client.state().hex(),
        "output": again.forecast[0].tolist(),
    }
    return name_divergence(q, mismatch, device.image, device.kernels, in_slices=False)


def summary(result: dict[str, Any]) -> str:
    """A table for people."""
    error = "wrong" if result["classes"] else f"RMSE {result['unit']}".rstrip()
    lines = [f"{'where':<18}{'steps':>7}  {'run hash':<9} {'equal':<6}{error:>12}{'stack':>13}  {'a step'}"]
    for r in result["endpoints"]:
        shown = "" if r["error"] is None else f"{r['error']:.5g}"
        stack = f"{r['stack']} of {r['stack_bytes']}" if r.get("stack_bytes") else ""
        equal = "yes" if r["equal"] else "NO"
        lines.append(
            f"{r['name']:<18}{r['steps']:>7}  {r['hash']:<9} {equal:<6}{shown:>12}{stack:>13}  {_cycles(r)}".rstrip()
        )
    names = " = ".join(r["name"] for r in result["endpoints"])
    return "\n".join([*lines, "", f"Bit for bit equal, every output and every state: {names}."])


def _cycles(row: dict[str, Any]) -> str:
    if row["kind"] in ("oracle", "host"):
        return ""
    if row["kind"] == "emulator":
        counted = row["instructions_per_step"]
        shown = f"{counted['mean']:,.0f} instructions; " if counted else ""
        return f"{shown}{row['emulator']}: no meaning as time"
    c = row["cycles_per_step"]
    if c is None:
        return "the core has no counter"
    time_us = f" = {c['mean'] / row['clock_hz'] * 1e6:.4g} us" if row["clock_hz"] else ""
    return f"{c['mean']:.0f} ({c['min']} .. {c['max']}), {row['counter']}{time_us}"
