"""The demo: every stage in a row on the glucose series, on every board that comes with an emulator."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantize import ptq
from toolkit.boards import load_board
from toolkit.config import Config, Quantize
from toolkit.stages.firmware import Job, run
from toolkit.stages.generate import generate_c
from toolkit.stages.quantize import quantize
from toolkit.train.stage import train


def demo(config: Config, out: Path, *, toolchain: str, emulator: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Trains, quantizes, generates, builds and runs; returns the report.

    Raises: what the stages raise."""
    from toolkit.report import write_report

    begin = time.monotonic()

    def stage(text: str) -> None:
        say(f"[{time.monotonic() - begin:5.1f} s] {text}")

    boards = [load_board(name) for name in config.deploy.boards]  # a wrong name is told before the training
    stage(f"train: {config.data.series or os.path.basename(config.data.path)}, {config.data.horizon} steps ahead")
    train(config, out, say=say)
    stage("quantize")
    quantize(out, options(config), say=say)
    for board in boards:
        stage(f"{board.name}: generate, build, run")
        generate_c(out, board, None, float_api=False, say=say)
        run(Job(out, board, toolchain=toolchain, emulator=emulator), say=say)
    stage("report")
    return write_report(out)


def options(config: Config) -> ptq.Options:
    """[quantize] of a run."""
    return of_quantize(config.quantize)


def of_quantize(c: Quantize) -> ptq.Options:
    """[quantize] as the quantizer takes it."""
    return ptq.Options(refit=c.refit, deep_wx_bits=c.deep_wx_bits, scheme=c.scheme, activations=c.activations)
