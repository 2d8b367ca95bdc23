"""Scheme w8a8, a whole network: generated C = oracle here and on emulated chips; what the scheme refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize import oracle, ptq
from quantize.errors import QuantizeError
from quantize.network import layer
from quantize.ops import lstm_w8a8
from quantize.qnetwork import load_qnetwork, save_qnetwork
from tests.conftest import needs
from tests.nets import Shape, random_network, series
from toolkit import vectors
from toolkit.boards import load_board
from toolkit.build import build_firmware
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination
from toolkit.codegen.render import generate, write_folder
from toolkit.emulate import run_firmware
from toolkit.host import load_model
from toolkit.stages import quantize as quantize_stage


@pytest.mark.parametrize("seed", range(6))
def test_generated_c_is_the_oracle(seed: int, tmp_path: Path) -> None:
    """Forecasts, states, lost samples, save and restore, slices; stateful and window, one and two layers."""
    needs("host-cc")
    rng = np.random.default_rng(seed)
    deep = 1 + seed % 2
    shape = Shape(
        inputs=3,
        hidden=(17, 9)[:deep],
        outputs=2,
        bits=(16, 8)[:deep],
        mode=("stateful", "window")[deep - 1],
        window=5 * (deep - 1),
        missing=("hold", "interpolate", "reset")[seed % 3],
        max_gap=3,
    )
    network = random_network(rng, shape, f"net{seed}")
    x = series(rng, network, 20, 60)
    options = ptq.Options(scheme="w8a8", activations=("tflm", "tflite")[seed // 2 % 2])
    save_qnetwork(ptq.quantize(network, [x], options, "0" * 64), tmp_path / "model.q.safetensors")
    q = load_qnetwork(tmp_path / "model.q.safetensors")
    forecast = quantize_stage.integer_forecast(q)(x)
    real = quantize_stage.float_forecast(network)(x)
    assert np.sqrt(np.mean((forecast - real) ** 2, (0, 1)) / real.var((0, 1))).max() < 0.08
    for target in ("ref", "best"):
        model, stream = load_model(tmp_path, target=target), oracle.Stream(q)
        for step, raw in enumerate(oracle.to_raw(q.inputs, 1.5 * x[0])):  # now and then beyond the calibrated range
            lost = step % 7 == 3
            got = model.predict_missing() if lost else model.predict(raw)
            np.testing.assert_array_equal(got, stream.predict_missing() if lost else stream.predict(raw))
            assert model.state() == stream.save()
            if step == 30:
                saved = model.state()
        model.restore(saved)
        stream.restore(saved)
        for v in rng.integers(-300, 300, (4, 3)):
            np.testing.assert_array_equal(model.step(v), stream.step(v))
            np.testing.assert_array_equal(model.step_in_slices(v, 4), stream.step(v))
            assert model.state() == stream.save()


def test_gru_has_no_w8a8() -> None:
    rng = np.random.default_rng(0)
    shape = Shape(2, (4,), 1, (16,), "stateful", 0, "hold", 3, cells=("gru",))
    network = random_network(rng, shape, "net")
    with pytest.raises(QuantizeError, match=r'gru0: the scheme w8a8 has no gru; set quantize\.scheme = "w8a16"'):
        ptq.quantize(network, [series(rng, network, 2, 30)], ptq.Options(scheme="w8a8"), "0" * 64)


def test_what_does_not_fit_is_refused() -> None:
    weights = {"w_ih": np.full((4, 1), 1e-3), "w_hh": np.full((4, 1), 0.1), "b": np.full(4, 30.0)}
    x = layer("lstm0", "lstm", weights)
    with pytest.raises(QuantizeError, match=r"lstm0: row 0 \(i0\): its bias 30 does not fit int32"):
        lstm_w8a8.quantize(x, np.array([1e-3]), {"c": 1.0}, table=True)
    with pytest.raises(QuantizeError, match="lstm0: the cell reached 65"):
        lstm_w8a8.quantize(x, np.array([1.0]), {"c": 65.0}, table=True)


@pytest.mark.parametrize("activations", ["tflm", "tflite"])
@pytest.mark.parametrize("board", ["mps2_an386", "microbit"])
def test_the_chip_is_the_oracle(board: str, activations: str, tmp_path: Path) -> None:
    """Two layers on an emulated Cortex-M4 and M0: every forecast and every state; no library is linked."""
    needs("unicorn")
    rng = np.random.default_rng(9)
    network = random_network(rng, Shape(2, (13, 6), 1, (16, 8), "stateful", 0, "hold", 3), "net")
    x = series(rng, network, 8, 80)
    q = ptq.quantize(network, [x], ptq.Options(scheme="w8a8", activations=activations), "0" * 64)
    q = save_qnetwork(q, tmp_path / "model.q.safetensors")
    where = load_board(board)
    choices = choose(q, where, optimize="speed", wanted=None, tune=None)
    write_folder(generate(q, destination(where, choices, False)), tmp_path / "c")
    expected = vectors.expect(q, *vectors.from_runs(q, [x[0], x[1]], 150))
    build = tmp_path / "build"
    build.mkdir()
    (build / "vectors.h").write_text(vectors.header(expected))
    (build / "model.h").write_text(vectors.model_header(q))
    build_firmware(tmp_path / "c", where, build, toolchain="auto", say=lambda _: None)
    result = run_firmware(build, where, emulator="unicorn", say=lambda _: None)
    assert result["passed"] and result["hash"] == f"{expected.run_hash:08x}"
