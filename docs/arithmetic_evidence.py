"""Writes the measured tables of docs/arithmetic.md.

Run from the root: `OPENBLAS_NUM_THREADS=1 PYTHONPATH=. python docs/arithmetic_evidence.py` (5 minutes)."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import accuracy
import numpy as np

from quantize import fixedpoint as fp
from quantize import ptq
from quantize.calibrate import float_run
from quantize.network import Layer, Network, layer, load_network
from quantize.ops import OPS, lstm, rows
from quantize.qnetwork import QNetwork, input_scale
from toolkit.config import load_config
from toolkit.data.baselines import rmse
from toolkit.data.prepared import Prepared, load_prepared
from toolkit.stages import quantize as stage
from toolkit.train import evaluate_rows, train

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
        h.append(ptq.hidden_states(q, raw)[:, last].reshape(-1, rows.hidden_size(q.layers[-2])) * rows.UNIT)
        wanted = float_run(network, ptq.normalised(network.inputs, raw))[:, last]
        y.append(wanted.reshape(len(h[-1]), -1))
    x = np.hstack([np.concatenate(h), np.ones((sum(map(len, h)), 1))])
    gram = x.T @ x
    ridge = ptq.RIDGE * np.trace(gram[:-1, :-1]) / (len(gram) - 1) * np.diag([*[1.0] * (len(gram) - 1), 0.0])
    w = np.linalg.solve(gram + ridge, x.T @ np.concatenate(y))
    return layer(network.layers[-1].name, "dense", {"w": w[:-1].T, "b": w[-1]})


def refit_rows() -> list[str]:
    """One row a model: NER and RMSE ratio of PTQ, of the refit, and of the refit towards zero."""
    lines = ["| model | PTQ | refit | refit towards zero |", "|---|---|---|---|"]
    for label, example, sets in MODELS:
        network, prepared = trained(Path(f"docs/examples/{example}.toml"), sets)
        network = replace(network, outputs=tuple(replace(c, decimals=c.decimals + 1) for c in network.outputs))
        sequences = stage.calibration(prepared, network)
        plain = ptq.quantize(network, sequences, ptq.Options(refit=False), "")
        refit = ptq.quantize(network, sequences, ptq.Options(), "")
        head = towards_zero(network, plain, sequences)
        other = replace(network, layers=(*network.layers[:-1], head))
        zero = ptq.quantize(other, sequences, ptq.Options(refit=False), "")
        cells = [_cell(stage.test_forecasts(prepared, network, q)) for q in (plain, refit, zero)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def trained(path: Path, sets: tuple[str, ...]) -> tuple[Network, Prepared]:
    """A network of a run.toml with its series."""
    with tempfile.TemporaryDirectory() as folder:
        train(load_config(path, sets=list(sets), env={}), Path(folder), say=lambda _: None)
        return load_network(Path(folder) / "model.safetensors"), load_prepared(Path(folder) / "data.safetensors")


def _cell(f: dict[str, np.ndarray]) -> str:
    ratio = rmse(f["quantized"] - f["truth"]) / rmse(f["float"] - f["truth"])
    return f"NER {_ner(f):.4f}, RMSE × {ratio:.4f}"


FUNCTIONS = {
    "sigmoid": 32768 / (1 + np.exp(-np.arange(-32768, 32768) / 4096)),
    "tanh": fp.AMPLITUDE * np.tanh(np.arange(-32768, 32768) / 4096 * 32768 / fp.AMPLITUDE),
}


def lookup(nodes: np.ndarray, z: np.ndarray) -> np.ndarray:
    """`fp.lookup` for a table of any power of two of intervals."""
    width = 65536 // (len(nodes) - 1)
    i, part = np.divmod(z + 32768, width)
    return np.asarray(nodes[i] + (((nodes[i + 1] - nodes[i]) * ((part * (32768 // width)) | 1)) >> 15))


def finer(wanted: np.ndarray, top: int) -> np.ndarray:
    """513 nodes with the least sum of (error ** 4), as `fp.fit_nodes` finds the 257."""
    z = np.arange(-32768, 32768)
    nodes = np.clip(np.rint(np.append(wanted[::128], wanted[-1])), -top, top).astype(np.int64)
    moved = True
    while moved:
        moved = False
        for i in range(513):
            span = slice(max(0, 128 * (i - 1)), 128 * (i + 1))
            around = nodes + np.outer([-1, 0, 1], np.arange(513) == i)
            costs = [((lookup(np.clip(n, -top, top), z[span]) - wanted[span]) ** 4).sum() for n in around]
            best = int(np.argmin(costs))
            if costs[best] < costs[1]:
                nodes, moved = np.clip(around[best], -top, top), True
    return nodes


FINER = {"sigmoid": finer(FUNCTIONS["sigmoid"], 32767), "tanh": finer(FUNCTIONS["tanh"], fp.AMPLITUDE)}


def table_rows() -> list[str]:
    """Errors of the two functions, with 256 intervals and with 512."""
    z = np.arange(-32768, 32768)
    lines = ["| function | intervals | largest | RMS | mean |", "|---|---|---|---|---|"]
    for name, nodes in (("sigmoid", fp.SIGMOID_NODES), ("tanh", fp.TANH_NODES)):
        assert np.array_equal(lookup(nodes, z), fp.lookup(nodes, z))
        for table in (nodes, FINER[name]):
            e = lookup(table, z) - FUNCTIONS[name]
            size, rms = len(table) - 1, np.sqrt((e**2).mean())
            lines.append(f"| {name} | {size} | {np.abs(e).max():.2f} | {rms:.2f} | {e.mean():+.3f} |")
    return lines


def integer_weights(network: Network, q: QNetwork) -> Network:
    """The float network with the integers' weights: what rounding weights costs without integer activations."""
    unit = np.array([input_scale(c, i) for c, i in zip(network.inputs, q.inputs, strict=True)])
    layers = []
    for x, y in zip(network.layers[:-1], q.layers, strict=False):
        s = rows.row_scale(y, OPS[x.op].gains(rows.hidden_size(y)))[:, None]
        w_ih = y.arrays["wx"] * s * 2.0 ** -y.params["f"] * rows.UNIT / unit
        layers.append(layer(x.name, x.op, {"w_hh": y.arrays["wh"] * s, "w_ih": w_ih, "b": x.weights["b"]}))
        unit = np.full(rows.hidden_size(y), rows.UNIT)
    return replace(network, layers=(*layers, network.layers[-1]))


def interval_rows() -> list[str]:
    """NER of the networks of docs/accuracy.md: of integer weights alone, and of all integers with either table."""
    lines = [
        "| series, cell | PTQ, integer weights alone | PTQ, 256 | PTQ, 512 | refit, 256 | refit, 512 |",
        "|---|---|---|---|---|---|",
    ]
    every = []
    with tempfile.TemporaryDirectory() as folder:
        paths = accuracy.write_series(Path(folder))
        for series in accuracy.SERIES:
            for cell, sets in accuracy.CELLS.items():
                seeds = [ners(*trained(paths[series], (*sets, f"train.seed={k}"))) for k in accuracy.SEEDS]
                every += seeds
                lines.append(f"| {series}, {cell} | {_means(seeds)} |")
    return [*lines, f"| all | {_means(every)} |"]


def _means(values: list[list[float]]) -> str:
    return " | ".join(f"{v:.5f}" for v in np.exp(np.log(values).mean(0)))


def ners(network: Network, prepared: Prepared) -> list[float]:
    """[integer weights alone, PTQ 256, PTQ 512, refit 256, refit 512] on the test rows."""
    sequences = stage.calibration(prepared, network)

    def ner(q: QNetwork, other: Network | None = None) -> float:
        f = stage.test_forecasts(prepared, network, q)
        if other is not None:
            f["quantized"] = stage.over_runs(prepared, other, "test", stage.float_forecast(other))[f["rows"]]
        return _ner(f)

    out: list[float] = []
    for refit in (False, True):
        q = ptq.quantize(network, sequences, ptq.Options(refit=refit), "")
        out += [] if refit else [ner(q, integer_weights(network, q))]
        out.append(ner(q))
        with mock.patch.multiple(fp, lookup=lookup, SIGMOID_NODES=FINER["sigmoid"], TANH_NODES=FINER["tanh"]):
            out.append(ner(ptq.quantize(network, sequences, ptq.Options(refit=refit), "")))
    return out


HEADROOMS = (1.0, 1.25, 1.5, 2.0)
SCALINGS = 3  # row-scale perturbations, the first of them none


def headroom_rows() -> list[str]:
    """The LSTMs of docs/accuracy.md with other rooms for c: NER over three row scalings, errors beyond the range."""
    lines = [
        f"| room for c | refit NER | beyond {' / '.join(map(str, accuracy.BEYOND))}: mean | largest | largest swing |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        paths = accuracy.write_series(Path(folder))
        models = [
            trained(paths[s], (*accuracy.CELLS["LSTM"], f"train.seed={k}"))
            for s in accuracy.SERIES
            for k in accuracy.SEEDS
        ]
    measured = [headrooms(*m) for m in models]
    for k, headroom in enumerate(HEADROOMS):
        ner, beyond, swing = zip(*(m[k] for m in measured), strict=True)
        mean, top = np.exp(np.log(beyond).mean(0)), np.max(beyond, 0)
        cells = [" / ".join(f"{v:.3f}" for v in values) for values in (mean, top)]
        lines.append(f"| {headroom} | {np.exp(np.log(ner).mean()):.5f} | {' | '.join(cells)} | {max(swing):.4f} |")
    return lines


def headrooms(network: Network, prepared: Prepared) -> list[tuple[list[float], list[float], float]]:
    """(NER of each row scaling, errors beyond the range, swing) of each headroom; the same bits are measured once."""
    sequences, seen = stage.calibration(prepared, network), {}
    error = _float_error(prepared, network)
    out = []
    for headroom in HEADROOMS:
        with mock.patch.object(lstm, "HEADROOM", headroom):
            q = [_scaled(network, sequences, k) for k in range(SCALINGS)]
        key = tuple(x.params["frac"] for x in q[0].layers[:-1])
        if key not in seen:
            ner = [_ner(stage.test_forecasts(prepared, network, one)) for one in q]
            beyond = accuracy.beyond(prepared, network, q[0], error)
            swing = accuracy.constant(prepared, network, q[0])["cycle"]
            seen[key] = ner, [beyond[f"beyond_{k}"] for k in accuracy.BEYOND], swing
        out.append(seen[key])
    return out


def _scaled(network: Network, sequences: list[np.ndarray], scaling: int) -> QNetwork:
    """Quantized with row scales up to 6 % larger, at random; as they are with scaling 0."""
    least = rows._least_scale

    def larger(w_hh: np.ndarray, w_x: np.ndarray, wx_bits: int) -> np.ndarray:
        rng = np.random.default_rng([scaling, *w_x.shape])  # the same in both passes of the refit
        return least(w_hh, w_x, wx_bits) * (rng.uniform(1, 1.06, len(w_hh)) if scaling else 1.0)

    with mock.patch.object(rows, "_least_scale", larger):
        return ptq.quantize(network, sequences, ptq.Options(), "")


def _float_error(prepared: Prepared, network: Network) -> float:
    """The float network's RMSE on the test rows."""
    _, truth, forecast = evaluate_rows(prepared, network)
    return rmse(forecast - truth)


def _ner(f: dict[str, np.ndarray]) -> float:
    return rmse(f["quantized"] - f["float"]) / rmse(f["float"] - f["truth"])


def main() -> None:
    """Measures everything, then puts it between the page's marks."""
    blocks = {
        "refit": refit_rows(),
        "tables": table_rows(),
        "intervals": interval_rows(),
        "headroom": headroom_rows(),
    }
    text = PAGE.read_text("utf-8")
    for mark, lines in blocks.items():
        block = f"<!-- {mark} -->\n" + "\n".join(lines) + f"\n<!-- /{mark} -->"
        text = re.sub(f"<!-- {mark} -->.*<!-- /{mark} -->", lambda _, block=block: block, text, flags=re.S)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
