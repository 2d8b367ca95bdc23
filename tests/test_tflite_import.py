"""TFLite files: real converters' and hand-made ones are imported exactly, int8 byte for byte, or refused by name."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize import oracle, ptq
from quantize.canonical import canonical
from quantize.errors import QuantizeError
from quantize.float_graph import evaluate, shapes
from quantize.qnetwork import load_qnetwork, save_qnetwork
from tests.conftest import needs
from tests.tflite_made import agrees, options, read
from toolkit.boards import load_board
from toolkit.errors import ToolkitError
from toolkit.importers import format_of, tflite_
from toolkit.stages.firmware import Job, run
from toolkit.stages.generate import generate_c
from toolkit.stages.import_ import LIMIT, import_model, probes

DATA = Path(__file__).parent / "data" / "tflite"
FLOAT = {  # file -> the layers of the network
    "fused_lstm": "lstm take dense",
    "fused_lstm_sequence": "lstm dense",
    "fused_lstm_two_layers": "lstm lstm take dense",
    "fused_lstm_softmax": "lstm take dense dense",
    "fused_bidirectional": "lstm lstm take take dense",
    "fused_conv_lstm": "conv activation lstm take dense",
    "loop_gru_tf_keras": "gru take dense",
    "loop_lstm": "lstm take dense",
    "loop_lstm_two_layers": "lstm lstm take dense",
    "loop_lstm_relu": "lstm dense",
    "loop_lstm_hard_sigmoid_dropout": "lstm take dense",
    "loop_gru": "gru dense",
    "loop_gru_reset_before": "gru take dense",
    "loop_rnn": "rnn take dense",
    "loop_bidirectional": "gru gru dense",
    "unrolled_lstm": "lstm take dense",
    "unrolled_lstm_two_layers": "lstm lstm take",
    "unrolled_gru": "gru dense",
    "unrolled_bidirectional": "lstm take lstm take dense",
    "unrolled_gru_reset_before": "gru take dense",
}
INT8 = ("fused_int8", "fused_int8_sequence", "fused_int8_two_layers", "fused_int8_softmax")
RNG = np.random.default_rng(4)


@pytest.mark.parametrize("name", FLOAT)
def test_a_converters_float_file(name: str) -> None:
    path = DATA / f"{name}.tflite"
    assert format_of(path) == "tflite"
    imported = read(path)
    assert " ".join(x.op for x in imported.network.layers) == FLOAT[name]
    assert all(not x.activations for x in imported.network.layers if x.op == "gru")
    folded = name.count("bidirectional") + name.count("two_layers") + 1 if name.startswith("unrolled") else 0
    assert sum("folded into one layer" in note for note in imported.notes) == folded
    agrees(imported)


def test_the_whole_way_with_its_proof(tmp_path: Path) -> None:
    needs("litert")
    needs("host-cc")
    for name in ("fused_bidirectional", "unrolled_gru", "fused_int8"):
        lines: list[str] = []
        found = import_model(
            DATA / f"{name}.tflite", tmp_path / name / "model.safetensors", options(), samples=None, say=lines.append
        )
        assert found["proven"] and found["format"] == "tflite"
        if name == "fused_int8":
            assert found["equal"] == 1.0 and load_qnetwork(found["quantized"]).layers[0].params["table"] == 0
        else:
            assert max(d["largest"] for d in found["differences"].values()) < LIMIT


# --- int8 ---


@pytest.mark.parametrize("name", INT8)
def test_an_int8_file_byte_for_byte(name: str, tmp_path: Path) -> None:
    """Our C and our oracle, through the file; the reference kernels of the interpreter and those it takes by itself."""
    needs("litert")
    needs("host-cc")
    from ai_edge_litert.interpreter import Interpreter

    imported = read(DATA / f"{name}.tflite")
    assert imported.q is not None and imported.original is not None
    assert imported.q.layers[0].params["h_zero"] != 0 or name != "fused_int8_two_layers"
    x = probes(imported, imported.network, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = imported.original(x)[""]
    np.testing.assert_array_equal(tflite_.bytes_of_c(imported.q, x), want)
    save_qnetwork(imported.q, tmp_path / "q.safetensors")
    q = load_qnetwork(tmp_path / "q.safetensors")
    y, _, _ = oracle.run(q, x.astype(np.int64))
    last = q.layers[-1].arrays
    np.testing.assert_array_equal(((y - last["b"]) // last["w"][0, 0])[:, -want.shape[1] :], want)
    interpreter = Interpreter(str(DATA / f"{name}.tflite"))
    interpreter.allocate_tensors()
    i, o = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if i["dtype"] == np.int8:
        for window, bytes_ in zip(x, want, strict=True):
            interpreter.reset_all_variables()
            interpreter.set_tensor(i["index"], window[None])
            interpreter.invoke()
            np.testing.assert_array_equal(interpreter.get_tensor(o["index"]).reshape(bytes_.shape), bytes_)


def test_an_int8_files_raw_values_are_its_real_ones() -> None:
    imported = read(DATA / "fused_int8_two_layers.tflite")
    q = imported.q
    assert q is not None
    x = RNG.standard_normal((20, 9, 3))
    got = oracle.from_raw(
        q.outputs, oracle.scale_outputs(q, oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, x)))[0])
    )
    want = evaluate(imported.network, x)[""]
    assert np.sqrt(np.square(got[:, -1:] - want).mean()) < 0.03 * want.std()


def test_a_stream_of_an_int8_file() -> None:
    q = read(DATA / "fused_int8_sequence.tflite", stream=True).q
    assert q is not None and (q.mode, q.window, q.warmup) == ("stateful", 0, 1)


def test_a_cell_of_2_to_the_minus_16_is_refused() -> None:
    with pytest.raises(ToolkitError, match=r"operator 0 .*scale 2\^-16, with which TFLite's own LSTM returns garbage"):
        read(DATA / "fused_int8_small_cell.tflite")


@pytest.mark.parametrize("kind", ["cut", "bits", "words"])
def test_damaged_files_are_refused_in_a_line(kind: str, tmp_path: Path) -> None:
    """The long campaign of tests/long is this, longer."""
    rng, path = np.random.default_rng(1), tmp_path / "damaged.tflite"
    blobs = [p.read_bytes() for p in sorted(DATA.iterdir())]
    refused = 0
    for _ in range(120):
        blob = bytearray(blobs[rng.integers(len(blobs))])
        at = int(rng.integers(len(blob)))
        if kind == "cut":
            blob = blob[:at]
        elif kind == "bits":
            blob[at] ^= 1 << int(rng.integers(8))
        else:
            blob[at // 4 * 4 : at // 4 * 4 + 4] = int(rng.choice([2**31 - 1, 2**32 - 1, len(blob), 0])).to_bytes(
                4, "little"
            )
        path.write_bytes(blob)
        try:
            network = read(path).network
            shapes(network, network.window)
        except (ToolkitError, QuantizeError) as e:
            refused += 1
            assert "\n" not in str(e)
    assert refused > (100 if kind == "cut" else 5)


def test_a_clip_that_no_cell_reaches_is_no_hindrance() -> None:
    """TFLite's fused layers clip at 10; quantization leaves that out where the calibration data stay below."""
    network = canonical(read(DATA / "fused_lstm.tflite").network)
    x = RNG.standard_normal((40, 9, 3))
    assert network.layers[0].options["cell_clip"] == 10
    q = ptq.quantize(network, [x], ptq.Options(), "0" * 64)
    y = oracle.run(q, oracle.quantize_inputs(q, oracle.to_raw(q.inputs, x)))[0][:, -1:]
    want = evaluate(network, x)[""]
    got = oracle.from_raw(q.outputs, oracle.scale_outputs(q, y))
    assert np.sqrt(np.square(got - want).mean()) < 0.02 * want.std()
    tight = replace(network, layers=(replace(network.layers[0], options={"cell_clip": 0.1}), *network.layers[1:]))
    with pytest.raises(QuantizeError, match=r"lstm0: cell_clip has no integer form where it binds: .* the clip is 0.1"):
        ptq.quantize(tight, [x], ptq.Options(), "0" * 64)


def test_the_page_has_every_file() -> None:
    """docs/import_tflite.py makes its table; the numbers are those of the machine that ran it."""
    page = (DATA.parents[2] / "docs" / "tflite.md").read_text("utf-8").split("<!-- table")[1]
    rows = [
        [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.splitlines()
        if "Keras" in line or "_keras" in line
    ]
    assert len(rows) == len(list(DATA.iterdir())) == len(FLOAT) + len(INT8) + 1
    for name, _, size, _, what, largest, equal in rows:
        assert int(size) in [p.stat().st_size for p in DATA.iterdir()], name
        if name == "int8 small cell":
            assert what.startswith("refused: operator 0")
        else:
            assert what.startswith("imported")
            assert equal.startswith("100.00% of") if "int8" in name else float(largest) < LIMIT, name


def test_an_int8_file_on_a_board(tmp_path: Path) -> None:
    needs("unicorn", "zig")
    q, board = read(DATA / "fused_int8_two_layers.tflite").q, load_board("mps2_an386")
    assert q is not None
    save_qnetwork(q, tmp_path / "model.q.safetensors")
    generate_c(tmp_path, board, None, float_api=False, target=None, optimize="speed", say=lambda s: None)
    result = run(Job(tmp_path, board, 20, slice=None), say=lambda s: None)
    assert result["passed"] and result["steps"] == 20
