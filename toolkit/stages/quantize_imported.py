"""The stage `quantize` of an imported model, which has no series: samples of its inputs calibrate and judge it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quantize import oracle, ptq
from quantize.deployable import deployable
from quantize.float_graph import evaluate
from quantize.network import Column, Network, load_network, network_digest
from quantize.qnetwork import QNetwork, save_qnetwork
from toolkit.data.baselines import rmse
from toolkit.errors import ToolkitError, write_whole
from toolkit.report.files import read_json
from toolkit.samples import as_streams, as_windows, header, read_samples
from toolkit.stages.import_ import proof_file

JUDGED = 0.2  # of the samples, the last of them: not calibrated with
DIGITS = 5  # of a column's deviation that its fixed point resolves
ROOM = 2.0**28  # of int32, for the largest sample


def quantize_imported(run: Path, samples: Path, options: ptq.Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """model.safetensors and a file of inputs -> model.q.safetensors, quantize.json.

    Raises: QuantizeError or ToolkitError, one line, when a file is bad or the network has no integer form."""
    network, notes = deployable(load_network(run / "model.safetensors"))
    source = network_digest(run / "model.safetensors")
    proof = read_json(proof_file(run / "model.safetensors")) or {}
    if "quantized" in proof and proof.get("sha256") == source:
        raise ToolkitError(
            f"{run}: an int8 file is quantized already: `generate-c` takes its own integers, model.q.safetensors; to "
            f"quantize its float weights anew, copy model.safetensors alone to another folder"
        )
    for note in notes:
        say(note)
    x = inputs(network, read_samples(samples), str(samples))
    names = header(samples, len(network.inputs)) or tuple(c.name for c in network.inputs)
    named = tuple(replace(c, name=name) for c, name in zip(network.inputs, names, strict=True))
    network = _with_decimals(replace(network, inputs=named), x)
    calibration, judged = _split(network, x)
    say(f"calibrating{' and refitting the head' if options.refit else ''} on {calibration.shape[0]} sequences")
    q = save_qnetwork(ptq.quantize(network, [calibration], options, source), run / "model.q.safetensors")
    result = _result(network, q, judged, calibration)
    write_whole(run / "quantize.json", json.dumps(result, indent=2) + "\n")
    return result


def inputs(network: Network, samples: np.ndarray, source: str) -> np.ndarray:
    """Samples as sequences of the network's mode [sequences, time, inputs]."""
    if network.mode == "window":
        return as_windows(samples, network.window, len(network.inputs), source)
    return as_streams(samples, len(network.inputs), source)


def _with_decimals(network: Network, x: np.ndarray) -> Network:
    """Columns whose decimals resolve DIGITS digits of their deviation, as far as int32 has room."""
    y = evaluate(network, x[:: max(1, len(x) // 200)])[""]
    return replace(
        network,
        inputs=tuple(_resolved(c, x[..., j]) for j, c in enumerate(network.inputs)),
        outputs=tuple(_resolved(c, y[..., j]) for j, c in enumerate(network.outputs)),
    )


def _resolved(column: Column, values: np.ndarray) -> Column:
    top, std = float(np.abs(values).max(initial=0.0)), float(values.std())
    wanted = DIGITS - math.floor(math.log10(std)) if std else DIGITS
    fits = math.floor(math.log10(ROOM / max(top, 1e-9)))
    return replace(column, decimals=max(0, min(9, wanted, fits)))


def _split(network: Network, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first sequences, and the last ones; of a single long stream its first and last steps."""
    if len(x) > 1:
        at = min(len(x) - 1, math.ceil(len(x) * (1 - JUDGED)))
        return x[:at], x[at:]
    at = int(x.shape[1] * (1 - JUDGED))
    if network.mode == "window" or at < 2:
        raise ToolkitError(
            f"--samples: one sequence of {x.shape[1]} steps; expected at least two, to judge by the last"
        )
    return x[:, :at], x[:, at:]


def _result(network: Network, q: QNetwork, x: np.ndarray, calibration: np.ndarray) -> dict[str, Any]:
    """NER here: RMS of quantized - float over the deviation of the float outputs, since nothing tells the truth."""
    want = evaluate(network, x)[""]
    y, _, _ = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, x)))
    got = oracle.from_raw(q.outputs, oracle.scale_outputs(q, y))[:, -want.shape[1] :]
    scale = float(want.std()) or 1.0
    return {
        "name": q.name,
        "accuracy": {
            **dict.fromkeys(("persistence", "linear_ar", "float", "quantized", "rmse_ratio")),
            "ner": rmse(got - want) / scale,
            "largest": float(np.abs(got - want).max()),
            "unit": "",
            "forecasts": int(want.shape[0] * want.shape[1]),
        },
        "drift": None,
        "saturation": ptq.saturation(q, calibration[:64]),
        "overflow": ptq.overflow_report(q),
        "model": {"source": q.source, "sha256": q.digest},
    }
