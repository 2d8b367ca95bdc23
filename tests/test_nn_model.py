"""Models from Python and from [model]: what they build, print, learn and refuse; dropout's masks and first weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import ptq
from quantize.network import Column, Network, load_network
from tests.test_nn_layers import network
from toolkit.boards import load_board
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination, facts
from toolkit.config import Model
from toolkit.errors import ToolkitError
from toolkit.nn import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    Data,
    Dataset,
    Dense,
    Dropout,
    LSTMNorm,
    Residual,
    Sequential,
    batches,
    init_network,
    judged,
    load_dataset,
)
from toolkit.nn.dropout import draw_masks
from toolkit.nn.layers import build
from toolkit.nn.network import forward, parameters
from toolkit.nn.outputs import output_columns
from toolkit.nn.summary import footprint


def sine(folder: Path, *, mode: str, need: int) -> Dataset:
    """400 rows of a sine with a second column, one step ahead."""
    t = np.arange(400)
    rows = "".join(f"{np.sin(t / 5)[k]:.4f},{t[k] % 7}\n" for k in t)
    path = folder / "sine.csv"
    path.write_text("y,phase\n" + rows)
    return load_dataset(Data(path=str(path), targets=("y",)), mode=mode, need=need)


COLUMNS = tuple(Column(k, "", 2, 0.0, 1.0) for k in "ab")


def template(mode: str = "window") -> Network:
    return Network("n", (), COLUMNS, COLUMNS[:1], mode, 8 * (mode == "window"), 8, 1, 0.0, "hold", 6)


CONFIGS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "lstm": ({"layers": 2}, [LSTM(4), LSTM(4)]),
    "lstm options": (
        {"peephole": True, "preact_clip": 3.0, "cell_clip": 2.0, "input_forget": True, "forget_bias": 2.0},
        [LSTM(4, peephole=True, preact_clip=3.0, cell_clip=2.0, input_forget=True, forget_bias=2.0)],
    ),
    "gru": ({"cell": "gru", "reset": "before"}, [GRU(4, reset="before")]),
    "rnn": ({"cell": "rnn", "activation": "relu"}, [RNN(4, activation="relu")]),
    "dropout": (
        {"layers": 2, "dropout": 0.2, "recurrent_dropout": 0.1},
        [LSTM(4, recurrent_dropout=0.1), Dropout(0.2), LSTM(4, recurrent_dropout=0.1), Dropout(0.2)],
    ),
    "residual": (
        {"cell": "gru", "layers": 2, "residual": True, "dropout": 0.2},
        [GRU(4), Dropout(0.2), Residual(GRU(4), Dropout(0.2))],
    ),
    "joined": (
        {"layers": 2, "bidirectional": "joined", "residual": True},
        [Bidirectional(LSTM(4)), Residual(Bidirectional(LSTM(4)))],
    ),
    "parallel": (
        {"cell": "lstm_norm", "layers": 2, "bidirectional": "parallel", "dropout": 0.2},
        [Bidirectional(LSTMNorm(4, state_dropout=0.2), LSTMNorm(4), Dropout(0.2))],
    ),
}
GRAPHS = {
    "joined": [
        "lstm0", "lstm0_reverse", "lstm1: lstm0 lstm0_reverse", "lstm1_reverse: lstm0 lstm0_reverse",
        "add1: lstm0 lstm1", "add1_reverse: lstm0_reverse lstm1_reverse", "head: add1 add1_reverse",
    ],
    "parallel": [
        "lstm_norm0", "lstm_norm1", "lstm_norm0_reverse", "lstm_norm1_reverse", "head: lstm_norm1 lstm_norm1_reverse",
    ],
    "residual": ["gru0", "gru1", "add1: gru0 gru1", "head"],
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_builds_with_the_same_constructors(name: str) -> None:
    keys, parts = CONFIGS[name]
    made = init_network(template(), Model(mode="window", hidden=4, **keys), rng=np.random.default_rng(1))
    wanted = build([*parts, Dense(1)], 2, np.random.default_rng(1))
    assert [(x.name, x.op, x.sources, x.reverse, dict(x.options)) for x in made.layers] == [
        (x.name, x.op, x.sources, x.reverse, dict(x.options)) for x in wanted
    ]
    for one, other in zip(made.layers, wanted, strict=True):
        assert all(np.array_equal(w, other.weights[k]) for k, w in one.weights.items())
    graph = [f"{x.name}: {' '.join(s or 'input' for s in x.sources)}" if x.sources else x.name for x in made.layers]
    graph = [g.removesuffix(": input") for g in graph]
    assert graph == GRAPHS.get(name, [x.name for x in wanted])
    assert all(x.reverse == x.name.endswith("_reverse") for x in made.layers)
    y, _ = forward(made, np.ones((3, 8, 2)))
    assert y.shape == (3, 8, 1) and np.isfinite(y).all()


def test_first_weights_of_the_options() -> None:
    rng = np.random.default_rng(2)
    clipped, plain = (
        build([LSTM(5, input_forget=f, peephole=True, forget_bias=1.5), Dense(1)], 2, rng)[0].weights
        for f in (True, False)
    )
    np.testing.assert_array_equal(clipped["b"], np.repeat([-1.5, 0, 0, 0], 5))
    np.testing.assert_array_equal(plain["b"], np.repeat([0, 1.5, 0, 0], 5))
    assert plain["p"].shape == (15,) and not plain["p"].any()
    big = build([LSTMNorm(64), Dense(1)], 32, rng)[0].weights
    for w, columns in (("w_ih", 32), ("w_hh", 64)):
        assert big[w].std() == pytest.approx(np.sqrt(2 / (256 + columns)), rel=0.05)
        bias = big[f"b_{w[2:]}"]
        assert (bias[64:128] == 1).all() and 0 < np.abs(np.delete(bias, np.s_[64:128])).max() < 0.5
    for norm in ("norm_x", "norm_c", "norm_h"):
        assert (big[norm][0] == 1).all() and (big[norm][1] == 0).all()


def test_masks_keep_the_mean_and_repeat() -> None:
    p = parameters(network([LSTM(40, recurrent_dropout=0.5), Dropout(0.2), GRU(3), Dense(2)]), np.float32)
    masks, again = (draw_masks(p, time=30, batch=20, rng=np.random.default_rng(3)) for _ in range(2))
    assert [sorted(m) for m in masks] == [["output", "recurrent"], [], []]
    for name, rate, shape in (("output", 0.2, (30, 40, 20)), ("recurrent", 0.5, (40, 20))):
        mask = masks[0][name]
        assert mask.shape == shape and mask.dtype == np.float32 and np.array_equal(mask, again[0][name])
        assert set(np.unique(mask)) == {0, np.float32(1 / (1 - rate))}
        assert mask.mean() == pytest.approx(1, abs=0.1)


def test_output_columns() -> None:
    def names(output: str) -> list[str]:
        made = output_columns(COLUMNS, output, levels=(0.05, 0.5), classes=(3, 7))
        return [c.name for c in made]

    assert names("value") == ["a", "b"]
    assert names("quantile") == ["a_q5", "a_q50", "b_q5", "b_q50"]
    assert names("gaussian") == ["a", "a_log_sigma", "b", "b_log_sigma"]
    assert names("class") == ["a_is_3", "a_is_7", "b_is_3", "b_is_7"]


TABLE = """\
layer  reads          gives  parameters  MACs per step
lstm0  input [2]      [3]            72             60
gru1   lstm0 [3]      [3]            66             54
add1   lstm0 + gru1 [3]  [3]  0  0
head   add1 [3]       [1]             4              3
total                               142            117"""


def test_the_table(tmp_path: Path) -> None:
    data = sine(tmp_path, mode="stateful", need=8)
    model = Sequential([LSTM(3), Residual(GRU(3)), Dense(1)])
    assert str(model).splitlines()[1] == "Residual(layers=(GRU(hidden=3, reset='after', recurrent_dropout=0.0),))"
    assert [line.split() for line in str(model.build(data)).splitlines()] == [x.split() for x in TABLE.splitlines()]


def test_the_board_line_is_what_the_generated_code_says(tmp_path: Path) -> None:
    data = sine(tmp_path, mode="stateful", need=8)
    model = Sequential([LSTM(6), GRU(5), Dense(1)], board="mps2_an386").build(data)
    assert model.network is not None
    board = load_board("mps2_an386")
    q = ptq.quantize(model.network, [data.prepared.x[None, :300]], ptq.Options(), "1" * 64)
    to = destination(board, choose(q, board, optimize="speed", wanted=None, tune=None), False)
    constants = {name: int(v) for name, v, _ in facts(q, to)["constants"] if name.endswith("_BYTES")}
    made = footprint(model.network, "mps2_an386")
    assert made.flash == constants["WEIGHT_BYTES"] + constants["TABLE_BYTES"]
    assert made.ram == constants["STATE_BYTES"] + constants["SCRATCH_BYTES"]
    last = str(model).splitlines()[-1]
    assert last.startswith(f"mps2_an386: flash {made.flash} of {made.flash_of} bytes") and f"RAM {made.ram} of" in last
    assert str(Sequential([LSTM(6), Dense(1)], board="host").build(data)).splitlines()[-1].startswith("host: flash ")
    for option in ("peephole", "cell_clip", "preact_clip", "input_forget"):
        refused = str(Sequential([LSTM(6, **{option: True}), Dense(1)], board="mps2_an386").build(data))
        assert refused.splitlines()[-1].startswith(f"mps2_an386: lstm0: {option} has no integer form")


def nearly_mse(y: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """A user's own: log(cosh(error)), averaged."""
    count = max(float(np.broadcast_to(weight, target.shape).sum()), 1.0)
    error = y - target
    return float((np.log(np.cosh(error)) * weight).sum()) / count, np.tanh(error) * weight / y.dtype.type(count)


@pytest.mark.parametrize("mode", ["window", "stateful"])
def test_a_loop_of_ones_own_with_a_loss_of_ones_own(tmp_path: Path, mode: str) -> None:
    data = sine(tmp_path, mode=mode, need=8)
    model = Sequential([LSTM(6), Dense(1)], seed=3).build(data)
    rng, backend, losses = np.random.default_rng(1), model.backend("numpy", device="cpu", loss=nearly_mse), []
    for _ in range(6):
        for batch in batches(data, batch=8, steps=16, rng=rng):
            backend.step(batch, lr=0.02)
        sums = [backend.evaluate(batch) for batch in judged(data, "val")]
        losses.append(sum(s for s, _ in sums) / sum(n for _, n in sums))
    assert losses[-1] < losses[0] / 2
    before, model.network = model.network, backend.network()
    assert not np.array_equal(before.layers[0].weights["b"], model.network.layers[0].weights["b"])


def test_fit_predict_save(tmp_path: Path) -> None:
    data, said = sine(tmp_path, mode="window", need=8), []
    model = Sequential([GRU(6), Dropout(0.05), Dense(1)], seed=2)
    with pytest.raises(ToolkitError, match="no weights yet"):
        model.predict(np.zeros((1, 8, 2)))
    trained = model.fit(data, backend="numpy", epochs=6, lr=0.02, say=said.append)
    assert len(said) == 6 and trained.epochs[-1].val < trained.epochs[0].val / 2
    x = data.prepared.x[None, 40:48]
    made = model.predict(x)
    assert made.shape == (1, 8, 1) and made[0, -1, 0] == pytest.approx(float(np.sin(48 / 5)), abs=0.5)
    model.save(tmp_path / "model.safetensors")
    again = load_network(tmp_path / "model.safetensors")
    assert again.layers[0].options["dropout"] == 0.05 and again.mode == "window"


def test_the_head_all_learns_from_every_step(tmp_path: Path) -> None:
    data = sine(tmp_path, mode="window", need=8)
    some, last = (
        next(batches(data, batch=4, steps=1, rng=np.random.default_rng(1), every=every)) for every in (True, False)
    )
    assert some.target.shape == (4, 8, 1) and some.weight.all() and np.array_equal(some.x, last.x)
    assert np.array_equal(some.target[:, -1:], last.target)
    scale = data.prepared.outputs[0], data.prepared.inputs[0]
    np.testing.assert_allclose(  # one step ahead: the target of a step is the input of the next
        some.target[:, :-1] * scale[0].std + scale[0].mean, some.x[:, 1:, :1] * scale[1].std + scale[1].mean, atol=1e-5
    )
    trained = Sequential([GRU(4), Dense(1)], head="all").fit(data, backend="numpy", epochs=2, say=lambda line: None)
    assert trained.epochs[1].val < trained.epochs[0].val


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    data = sine(tmp_path, mode="stateful", need=8)
    cases: list[tuple[Any, str]] = [
        (lambda: Sequential([Bidirectional(GRU(3)), Dense(1)]).build(data), "a stream cannot run backwards"),
        (lambda: Sequential([GRU(3), Dense(1)], head="mean").build(data), "needs the end of a window"),
        (lambda: Sequential([GRU(3), Dense(2)]).build(data), r"expected Dense\(1\), an output each: y"),
        (lambda: Sequential([GRU(3)]).build(data), r"expected Dense\(outputs\)"),
        (lambda: Sequential([GRU(3), Dense(1)], output="quantile"), "model.levels"),
        (lambda: Sequential([Residual(GRU(3)), Dense(1)]).build(data), "Residual: adds an input of width"),
        (lambda: Sequential([Dropout(0.1), Dense(1)]).build(data), "nothing stands before it"),
        (lambda: Sequential([GRU(3), Dropout(1.0), Dense(1)]).build(data), "expected a rate"),
        (lambda: Sequential(["gru", Dense(1)]).build(data), "'gru': expected one of LSTM"),
        (lambda: Sequential([Bidirectional(Bidirectional(GRU(3))), Dense(1)]).build(data), "one direction"),
        (lambda: Sequential([GRU(3), Dense(1)]).build(data).backend("nump"), "backend 'nump': expected"),
        (lambda: Sequential([GRU(3), Dense(1)]).build(data).backend("numpy", loss="gaussian"), "takes mse"),
        (lambda: Sequential([GRU(3), Dense(1)]).fit(data, epoch=3), "epoch: expected keys"),
    ]
    for make, message in cases:
        with pytest.raises(ToolkitError, match=message):
            make()


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/models.md, its Python from top to bottom."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
    code = "".join(block.split("```")[0] for block in page.split("```python\n")[1:])
    exec(compile(code.replace("epoch in range(2)", "epoch in range(1)"), "models.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("layer") and "microbit" in lines[-2] and float(lines[-1].split()[1]) < 1
    assert load_network(tmp_path / "model.safetensors").layers[0].name == "lstm0"
