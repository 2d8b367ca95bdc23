"""Writes the measured tables of docs/arithmetic.md. Run from the root: `python docs/arithmetic_evidence.py`."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from quantize import fixedpoint as fp
from quantize import ptq
from quantize.calibrate import float_run
from quantize.network import Layer, Network, layer, load_network
from quantize.ops import lstm
from quantize.qnetwork import QNetwork
from toolkit.config import load_config
from toolkit.data.baselines import rmse
from toolkit.data.prepared import load_prepared
from toolkit.stages import quantize as stage
from toolkit.train.stage import train

PAGE = Path("docs/arithmetic.md")
MODELS = [
    ("glucose, 2 × 32", "glucose", ()),
    ("glucose, 32, seed 1", "glucose", ("model.layers=1",)),
    ("glucose, 32, seed 2", "glucose", ("model.layers=1", "train.seed=2")),
    ("glucose, 32, windows of 24", "glucose", ("model.layers=1", "model.mode=window", "model.window=24")),
    ("room, 16, windows of 24", "room", ()),
]


def towards_zero(network: Network, q: QNetwork, sequences: list[np.ndarray]) -> Layer:
    """The head by the same ridge regression, drawn towards zero: the alternative."""
    h, y = [], []
    for raw in sequences:
        last = slice(-1, None) if network.mode == "window" else slice(network.warmup - 1, None)
        h.append(ptq.hidden_states(q, raw)[:, last].reshape(-1, lstm.output_size(q.layers[-2])) * lstm.UNIT)
        wanted = float_run(network, ptq.normalised(network.inputs, raw))[:, last]
        y.append(wanted.reshape(len(h[-1]), -1))
    x = np.hstack([np.concatenate(h), np.ones((sum(map(len, h)), 1))])
    gram = x.T @ x
    ridge = ptq.RIDGE * np.trace(gram[:-1, :-1]) / (len(gram) - 1) * np.diag([*[1.0] * (len(gram) - 1), 0.0])
    w = np.linalg.solve(gram + ridge, x.T @ np.concatenate(y))
    return layer(network.layers[-1].name, "dense", {"w": w[:-1].T, "b": w[-1]})


def refit_rows() -> list[str]:
    """One row a model: NER and RMSE ratio of PTQ, of the refit, and of the refit towards zero."""
    rows = ["| model | PTQ | refit | refit towards zero |", "|---|---|---|---|"]
    for label, example, sets in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            config = load_config(Path(f"docs/examples/{example}.toml"), sets=list(sets), env={})
            train(config, Path(folder), say=lambda _: None)
            network = load_network(Path(folder) / "model.safetensors")
            prepared = load_prepared(Path(folder) / "data.safetensors")
        network = replace(network, outputs=tuple(replace(c, decimals=c.decimals + 1) for c in network.outputs))
        sequences = stage.calibration(prepared, network)
        plain = ptq.quantize(network, sequences, ptq.Options(refit=False), "")
        refit = ptq.quantize(network, sequences, ptq.Options(), "")
        head = towards_zero(network, plain, sequences)
        other = replace(network, layers=(*network.layers[:-1], head))
        zero = ptq.quantize(other, sequences, ptq.Options(refit=False), "")
        cells = [_cell(stage.test_forecasts(prepared, network, q)) for q in (plain, refit, zero)]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return rows


def _cell(f: dict[str, np.ndarray]) -> str:
    error = rmse(f["float"] - f["truth"])
    return (
        f"NER {rmse(f['quantized'] - f['float']) / error:.4f}, RMSE × {rmse(f['quantized'] - f['truth']) / error:.4f}"
    )


def table_rows() -> list[str]:
    """Errors of the two functions."""
    z = np.arange(-32768, 32768)
    rows = ["| function | largest | RMS | mean |", "|---|---|---|---|"]
    wanted = {
        "sigmoid": 32768 / (1 + np.exp(-z / 4096)),
        "tanh": fp.AMPLITUDE * np.tanh(z / 4096 * 32768 / fp.AMPLITUDE),
    }
    for name, nodes in (("sigmoid", fp.SIGMOID_NODES), ("tanh", fp.TANH_NODES)):
        e = fp.lookup(nodes, z) - wanted[name]
        rows.append(f"| {name} | {np.abs(e).max():.2f} | {np.sqrt((e**2).mean()):.2f} | {e.mean():+.3f} |")
    return rows


def main() -> None:
    text = PAGE.read_text("utf-8")
    for mark, rows in (("refit", refit_rows()), ("tables", table_rows())):
        block = f"<!-- {mark} -->\n" + "\n".join(rows) + f"\n<!-- /{mark} -->"
        text = re.sub(f"<!-- {mark} -->.*<!-- /{mark} -->", lambda _, block=block: block, text, flags=re.S)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
