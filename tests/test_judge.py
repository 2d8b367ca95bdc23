"""The board pane: what is judged, whose it is, and that its errors do not end a training."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from quantize.network import Network
from quantize.ptq import Options
from toolkit.config import load_config
from toolkit.data.baselines import rmse
from toolkit.data.prepared import Prepared, forecast_rows, in_raw, prepare
from toolkit.nn.layers import init_network
from toolkit.presets import PRESETS
from toolkit.stages.quantize import float_forecast
from toolkit.train import judge as module
from toolkit.train.evaluate import evaluate_rows
from toolkit.train.judge import Pane, judge, on_board, sample, sizes_on
from toolkit.train.stage import needed, template


def untrained(path: Path, *sets: str) -> tuple[Prepared, Network]:
    config = load_config(path, sets=["model.hidden=4", *sets], env={})
    prepared = prepare(config.data, need=needed(config), say=lambda _: None)
    return prepared, init_network(template(config, prepared), config.model, rng=np.random.default_rng(0))


def test_windows_all_of_them_where_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOWS", 150)
    prepared, network = untrained(PRESETS["modern_lstm"])
    said = judge(prepared, network, Options(), sample(prepared, network, "train"), sample(prepared, network, "val"))
    _, true, y = evaluate_rows(prepared, network, split="val")
    found = re.fullmatch(r"RMSE (\S+), float (\S+), NER (\S+) %, 100% of validation", said)
    assert found and float(found[2]) == pytest.approx(rmse(y - true), rel=1e-3)
    assert float(found[1]) == pytest.approx(float(found[2]), rel=0.02) and float(found[3]) < 5


def test_streams_a_part_of_them_from_a_zero_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAMS", (3, 8))
    prepared, network = untrained(Path("docs/examples/room.toml"), "data.target=difference", "model.mode=stateful")
    val = sample(prepared, network, "val")
    assert set(val.rows) <= set(forecast_rows(prepared, "val", need=network.warmup))
    assert len(set(val.rows)) == len(val.rows) == 24 < val.of
    sequence, step = val.at
    first = np.flatnonzero(sequence == 0)
    assert (prepared.x[val.rows[first]] == val.x[0, step[first]]).all()
    rows, _, y = evaluate_rows(prepared, network, split="val")
    ours = in_raw(prepared, val.rows, float_forecast(network)(val.x)[val.at])
    assert ours[first] == pytest.approx(y[np.searchsorted(rows, val.rows[first])])  # its run begins with this sequence
    said = judge(prepared, network, Options(), sample(prepared, network, "train"), val)
    assert "12% of validation" in said and "°C" in said


def test_the_line_says_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, network = untrained(PRESETS["fibonacci"])
    asked, told = threading.Semaphore(0), threading.Semaphore(0)

    def slow(*_: object) -> str:
        told.release()
        assert asked.acquire(timeout=10)
        raise ValueError("bad luck")

    def counted(*_: object) -> str:
        assert count.wait(timeout=10)
        return "7 estimated cycles a forecast"

    count = threading.Event()
    monkeypatch.setattr(module, "cycles_on", counted)
    monkeypatch.setattr(module, "judge", slow)
    monkeypatch.setattr(module, "REST", 0)
    with Pane(prepared, network, "microbit", Options()) as pane:
        assert pane.quantized == "quantized: after the first epoch"
        pane.offer(1, network)
        assert told.acquire(timeout=10) and pane.quantized == "quantized: epoch 1 is being judged"
        pane.offer(3, network)
        pane.offer(4, network)
        asked.release()
        assert told.acquire(timeout=10)
        assert pane.quantized == "quantized, epoch 1 (4 waits): bad luck"
        asked.release()
        pane._over.wait(0.2)
        assert pane.quantized == "quantized, epoch 4: bad luck"
        assert pane.board == f"{sizes_on(network, 'microbit')}; cycles are being counted"
        count.set()
        while "being counted" in pane.board:
            time.sleep(0.01)
        assert pane.board == on_board(network, "microbit")
        assert "flash" in pane.board and "of 16 KB; 7 estimated cycles" in pane.board
