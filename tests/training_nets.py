"""Small networks and batches for the tests of the backends: every layer, option, head and output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from quantize.network import Column, Network
from toolkit.config import Model, Train
from toolkit.nn import init_network
from toolkit.nn.network import parameters, with_parameters
from toolkit.train.backends import Batch

FREE = Train(clip=1e9)
TIME, BATCH = 5, 37  # two and a third vectors of 16
WINDOW = Model(mode="window", window=TIME)
STREAM = Model(mode="stateful")
BOTH = {"bidirectional": "parallel", "head": "final_states"}
JOINED = {"bidirectional": "joined", "head": "mean", "residual": True}
MODELS = {  # name -> model, inputs, values
    **{f"{cell}, one unit": (replace(STREAM, cell=cell, hidden=1, layers=1), 1, 1) for cell in ("lstm", "gru", "rnn")},
    **{f"{cell}, stream": (replace(STREAM, cell=cell, hidden=5, layers=2), 2, 2) for cell in ("lstm", "gru", "rnn")},
    **{
        f"{cell}, both directions": (replace(WINDOW, cell=cell, hidden=17, layers=2, **BOTH), 3, 2)
        for cell in ("lstm", "gru", "rnn", "lstm_norm")
    },
    "joined, mean, dropout": (replace(WINDOW, hidden=6, layers=3, dropout=0.3, recurrent_dropout=0.2, **JOINED), 2, 1),
    "norm, stream, dropout": (replace(STREAM, cell="lstm_norm", hidden=18, layers=2, dropout=0.3), 2, 1),
    "gru, dropout": (replace(STREAM, cell="gru", hidden=6, layers=2, dropout=0.3, recurrent_dropout=0.2), 2, 1),
    "all steps, reverse": (replace(WINDOW, hidden=6, layers=2, bidirectional="joined", head="all"), 2, 1),
    "last, reverse": (replace(WINDOW, hidden=6, layers=2, bidirectional="joined", head="last"), 1, 1),
    "reset before": (replace(STREAM, cell="gru", reset="before", hidden=7, layers=2, recurrent_dropout=0.3), 2, 1),
    "relu": (replace(STREAM, cell="rnn", activation="relu", hidden=7, layers=2), 2, 1),
    "peephole": (replace(STREAM, hidden=7, layers=2, peephole=True), 2, 1),
    "clips": (replace(STREAM, hidden=7, preact_clip=0.7, cell_clip=0.5), 2, 1),
    "everything": (replace(STREAM, hidden=9, peephole=True, preact_clip=1, cell_clip=0.6, input_forget=True), 2, 1),
    "quantiles": (replace(STREAM, hidden=8, output="quantile", levels=(0.1, 0.5, 0.9)), 1, 2),
    "classes": (replace(STREAM, hidden=8, output="class"), 1, 1),
    "wide": (replace(STREAM, hidden=33, layers=1), 40, 1),
}
PER_VALUE = {"value": 1, "quantile": 3, "gaussian": 2, "class": 3}


def network(name: str) -> Network:
    """With random biases, gains and peepholes, so that no gradient is small by chance."""
    model, inputs, values = MODELS[name]
    columns = [Column(f"c{k}", "", 0, 0.0, 1.0) for k in range(40)]
    template = Network(
        "n", (), tuple(columns[:inputs]), tuple(columns[: values * PER_VALUE[model.output]]), model.mode,
        TIME if model.mode == "window" else 0, 3, 1, 0.0, "hold", 6,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    made = init_network(template, model, rng=rng)
    p = parameters(made, np.float64)
    p.flat[:] += rng.normal(size=len(p.flat)) * 0.1
    return with_parameters(made, p)


def batches(name: str, count: int, columns: int = BATCH) -> Iterator[Batch]:
    """Streams go on from one to the next, with resets inside; some targets do not count."""
    (model, inputs, values), rng = MODELS[name], np.random.default_rng(2)
    stream = model.mode == "stateful"
    steps = 4 if stream else TIME if model.head == "all" else 1
    for k in range(count):
        target = rng.normal(size=(columns, steps, values))
        if model.output == "class":
            target = rng.integers(0, 3, target.shape)
        x, reset = rng.normal(size=(columns, TIME, inputs)), rng.random((columns, TIME)) < 0.15
        yield Batch(
            x.astype(np.float32), target.astype(np.float32), (rng.random((columns, steps)) < 0.7).astype(np.float32),
            reset & stream, stream and k > 0,
        )  # fmt: skip
