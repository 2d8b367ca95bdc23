"""What a forecast costs on a board, counted and not guessed: the network's C is built and runs in the emulator.

The count depends on shapes, not on weights or samples, so both are noise here: the same C for the same shapes. It is
counted once and kept in build/cost/, under a digest of that C, of the firmware, the board and the compiler."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from quantize import oracle, ptq
from quantize.network import Network, layer
from quantize.qnetwork import QNetwork
from toolkit import emulate
from toolkit.boards import Board
from toolkit.build import build_firmware
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination
from toolkit.codegen.render import generate, write_folder
from toolkit.emulate.cores import CORES
from toolkit.errors import CheckFailed, ToolkitError, write_whole
from toolkit.targets import ROOT
from toolkit.toolchain import CACHE, cross_toolchain
from toolkit.vectors import PREDICT, RESET, Vectors, expect, header, model_header

STEPS = 2  # with a full window
NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class Cost:
    """Of the step that makes a forecast. unit: "cycles", estimated for zero wait states, or "instructions", exact."""

    each: int
    unit: str

    def __str__(self) -> str:
        return f"{self.each:,} {'estimated cycles' if self.unit == 'cycles' else self.unit} a forecast"


def why_not(board: Board) -> str:
    """Why nothing can be counted for a board on this computer; "" where it can."""
    if board.memory is None or board.run is None:
        return f"no emulator knows {board.name}"
    try:
        cross_toolchain("auto", board.toolchain)
    except ToolkitError as e:
        return str(e)
    return emulate.what_lacks(board)


def unit_of(board: Board) -> str:
    """What is counted for a board: cycles where there is a table of its core."""
    return "cycles" if board.core in CORES else "instructions"


def cost(network: Network, board: Board) -> Cost:
    """Of one forecast of a network of these shapes.

    Raises: QuantizeError or ToolkitError where the network, the board or this computer cannot do it."""
    reason = why_not(board)
    if reason:
        raise ToolkitError(f"{board.name}: nothing can be counted: {reason}")
    steps = max(1, network.window) + STEPS
    q = ptq.quantize(_noise(network), [_calibration(network, steps)], ptq.Options(refit=False), NO_DIGEST)
    q = replace(q, digest=NO_DIGEST)
    files = generate(q, destination(board, choose(q, board, optimize="speed", wanted=None, tune=None), False))
    kept = CACHE / "cost" / f"{_digest(board, files)}.json"
    if not kept.is_file():
        try:
            counted = _count(q, board, files, _vectors(q, steps))
        except CheckFailed as e:
            raise ToolkitError(str(e)) from None
        write_whole(kept, json.dumps(asdict(counted)) + "\n")
    return Cost(**json.loads(kept.read_text("utf-8")))


def _noise(network: Network) -> Network:
    """The same network with weights that anyone would draw."""
    rng = np.random.default_rng(0)
    layers = tuple(
        layer(
            x.name, x.op, {k: rng.normal(0, 0.3, v.shape).astype(v.dtype) for k, v in sorted(x.weights.items())},
            options=x.options, sources=x.sources, reverse=x.reverse,
        )
        for x in network.layers
    )  # fmt: skip
    return replace(network, layers=layers)


def _calibration(network: Network, steps: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(8, steps, len(network.inputs)))
    return np.asarray(noise * [c.std for c in network.inputs] + [c.mean for c in network.inputs])


def _vectors(q: QNetwork, steps: int) -> Vectors:
    """A walk within the inputs' ranges; of features, which have none, one of positive values."""
    centre, reach = np.full(len(q.raws), 2000.0), np.full(len(q.raws), 600.0)
    if q.front is None:
        reach = np.array([(c.high - c.low) / 10.0**c.decimals for c in q.inputs]) / 2
        centre = np.array([c.offset / 10.0**c.decimals for c in q.inputs])
    walk = np.sin(np.random.default_rng(0).normal(0, 0.3, (steps, len(centre))).cumsum(0))
    ops = np.array([RESET, *[PREDICT] * (steps - 1)])
    return expect(q, ops, oracle.to_raw(q.raws, centre + reach * walk))


def _digest(board: Board, files: Mapping[str, str]) -> str:
    """Of all that the count depends on."""
    compiler = cross_toolchain("auto", board.toolchain)
    firmware = sorted(p for p in (ROOT / "firmware").iterdir() if p.suffix in (".c", ".h", ".S"))
    texts = [repr(board), compiler.version, *(f"{k}\0{v}" for k, v in sorted(files.items()))]
    key = hashlib.sha256("\0".join(texts).encode())
    for path in firmware:
        key.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return key.hexdigest()[:32]


def _count(q: QNetwork, board: Board, files: dict[str, str], vectors: Vectors) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        write_folder(files, out / "c")
        write_whole(out / "vectors.h", header(vectors))
        write_whole(out / "model.h", model_header(q))
        build_firmware(out / "c", board, out, toolchain="auto", say=lambda text: None)
        core = CORES.get(board.core)
        _, counts, spent = emulate.profile(out / "firmware.elf", board, core=core, layers={})
    return Cost(counts.max if core is None else spent.cycles[2], unit_of(board))
