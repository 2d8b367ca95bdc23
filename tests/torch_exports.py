"""Recurrent models through both of PyTorch's ONNX exporters: legacy (TorchScript) and dynamo (torch.export)."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STEPS, INPUTS, HIDDEN = 7, 3, 4
OUTPUTS = ("last", "states", "sequence")


@dataclass(frozen=True, slots=True)
class Case:
    """One model: `output` is what the dense layer behind the cells sees, one of OUTPUTS."""

    exporter: str
    cell: str
    layers: int
    both: bool
    batch_first: bool
    output: str


def grid() -> Iterator[Case]:
    """All of them."""
    exporters, cells = ("legacy", "dynamo"), ("LSTM", "GRU", "RNN")
    for values in itertools.product(exporters, cells, (1, 2), (False, True), (True, False), OUTPUTS):
        yield Case(*values)


def exported(case: Case) -> Any:
    """The ModelProto, the batch left open, and the steps too where the exporter can."""
    import onnx
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kind = getattr(torch.nn, case.cell)
            self.cell = kind(INPUTS, HIDDEN, case.layers, bidirectional=case.both, batch_first=case.batch_first)
            self.head = torch.nn.Linear(HIDDEN * (1 + case.both), 2)

        def forward(self, x: Any) -> Any:
            y, h = self.cell(x)
            h = h[0] if isinstance(h, tuple) else h
            if case.output == "last":
                y = y[:, -1] if case.batch_first else y[-1]
            elif case.output == "states":
                y = torch.cat([h[-2], h[-1]], -1) if case.both else h[-1]
            return self.head(y)

    torch.manual_seed(0)
    batch, time = (0, 1) if case.batch_first else (1, 0)
    x = torch.randn((2, STEPS, INPUTS) if case.batch_first else (STEPS, 2, INPUTS))
    held, quiet = io.BytesIO(), io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            if case.exporter == "dynamo":
                open_sizes = {batch: torch.export.Dim("batch")}
                if case.cell != "RNN":  # which it unrolls
                    open_sizes[time] = torch.export.Dim("time")
                program = torch.onnx.export(
                    Model().eval(), (x,), dynamo=True, dynamic_shapes=(open_sizes,), verbose=False
                )
                return program.model_proto
            axes = {"x": {batch: "batch", time: "time"}}
            torch.onnx.export(Model().eval(), (x,), held, dynamo=False, input_names=["x"], dynamic_axes=axes)
        finally:
            logging.disable(logging.NOTSET)
    return onnx.load_model_from_string(held.getvalue())
