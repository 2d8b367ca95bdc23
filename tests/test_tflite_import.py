"""TFLite files: real converters' and hand-made ones are imported exactly, int8 byte for byte, or refused by name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import oracle, ptq
from quantize.canonical import canonical
from quantize.errors import QuantizeError
from quantize.float_graph import evaluate, shapes
from quantize.qnetwork import load_qnetwork, save_qnetwork
from tests.conftest import needs
from tests.tflite_made import Made
from toolkit.boards import load_board
from toolkit.errors import ToolkitError
from toolkit.importers import Imported, Options, format_of, tflite_
from toolkit.stages.firmware import Job, run
from toolkit.stages.generate import generate_c
from toolkit.stages.import_ import LIMIT, difference, import_model, probes

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


def options(**more: Any) -> Options:
    return Options(**{"name": "net", "steps": None, "batch": None, "stream": False, "structure": None, **more})


def read(path: Path, **more: Any) -> Imported:
    return tflite_.read(path, options(**more))


def agrees(imported: Imported, count: int = 8) -> None:
    """Our float network, as read and as deployed, and every layer that the interpreter shows."""
    needs("litert")
    assert imported.original is not None and "litert" in imported.runtime
    network = canonical(imported.network)
    x = probes(imported, network, None)[::-1][:count]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        want = imported.original(x)
    got = {**evaluate(imported.network, x), "canonical": evaluate(network, x)[""]}
    assert np.abs(want[""]).max() > 1e-3
    for name in (*want, "canonical"):
        assert difference(want.get(name, want[""]), got[name]).value < LIMIT / 10, name


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


# --- what converters do not write for us ---


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape)


def fused(g: Made, x: int, inputs: int, hidden: int, *, cifg: bool, peepholes: bool, direction: str) -> list[int]:
    """The inputs of a fused LSTM behind its first one: weights, peepholes, biases (and projections)."""
    gates = [-1 if cifg and k == 0 else k for k in range(4)]
    made = [g.constant(weights(hidden, inputs)) if k >= 0 else -1 for k in gates]
    made += [g.constant(weights(hidden, hidden)) if k >= 0 else -1 for k in gates]
    made += [g.constant(weights(hidden)) if peepholes else -1 for _ in range(3)]
    made += [g.constant(weights(hidden)) if k >= 0 else -1 for k in gates]
    return [*made, -1, -1]


def unidirectional(cifg: bool = False, peepholes: bool = False, clip: float = 0.0) -> Callable[[Made], int]:
    def make(g: Made) -> int:
        inputs = fused(g, g.x, 3, 4, cifg=cifg, peepholes=peepholes, direction="")
        state = [g.state(4), g.state(4)]
        more = {"fusedActivationFunction": 4, "cellClip": clip}
        return g.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [g.x, *inputs, *state, -1, -1, -1, -1], (1, 6, 4), **more)

    return make


def bidirectional(merge: bool) -> Callable[[Made], int]:
    def make(g: Made) -> int:
        both = [v for way in "fb" for v in fused(g, g.x, 3, 4, cifg=False, peepholes=False, direction=way)]
        inputs = [g.x, *both, *(g.state(4) for _ in range(4)), *[-1] * 9]
        more = {"fusedActivationFunction": 4, "mergeOutputs": merge, "timeMajor": False}
        sizes = [(1, 6, 8)] if merge else [(1, 6, 4)] * 2
        _, y = g.several("BIDIRECTIONAL_SEQUENCE_LSTM", inputs, sizes, **more)
        return y[0] if merge else g.op("CONCATENATION", y, (1, 6, 8), axis=2)

    return make


def image(g: Made, x: int, width: int, steps: int = 6) -> int:
    return g.op("RESHAPE", [x, g.constant([1, 1, steps, width], "int32")], (1, 1, steps, width))


def pooled(name: str, padding: int) -> Callable[[Made], int]:
    def make(g: Made) -> int:
        steps = 3 if padding == 0 else 2
        return g.op(name, [image(g, unidirectional()(g), 4)], (1, 1, steps, 4), padding=padding, strideW=2, strideH=1,
                    filterWidth=3, filterHeight=1)  # fmt: skip

    return make


def depthwise(g: Made) -> int:
    w, b = g.constant(weights(1, 1, 3, 6)[0][None]), g.constant(weights(6))
    y = g.op("DEPTHWISE_CONV_2D", [image(g, g.x, 3), w, b], (1, 1, 6, 6), padding=0, strideW=1, strideH=1,
             depthMultiplier=2, dilationWFactor=1, dilationHFactor=1)  # fmt: skip
    return g.op("TANH", [y], (1, 1, 6, 6))


def strided(g: Made) -> int:
    w, b = g.constant(weights(5, 1, 2, 3)), g.constant(weights(5))
    return g.op("CONV_2D", [image(g, g.x, 3), w, b], (1, 1, 2, 5), padding=1, strideW=2, strideH=1,
                dilationWFactor=3, dilationHFactor=1)  # fmt: skip


def arithmetic(g: Made) -> int:
    """Batch normalisation as it is left over, a residual, a gate."""
    y = unidirectional()(g)
    scaled = g.op("MUL", [y, g.constant(weights(4))], (1, 6, 4), fusedActivationFunction=0)
    moved = g.op("SUB", [scaled, g.constant(weights(1, 1, 4))], (1, 6, 4), fusedActivationFunction=0)
    both = g.op("ADD", [moved, y], (1, 6, 4), fusedActivationFunction=1)
    gate = g.op("LOGISTIC", [g.op("DIV", [y, g.constant(3.0)], (1, 6, 4), fusedActivationFunction=0)], (1, 6, 4))
    return g.op("MUL", [both, gate], (1, 6, 4), fusedActivationFunction=0)


def averaged(g: Made) -> int:
    y = g.op("MEAN", [unidirectional()(g), g.constant([1], "int32")], (1, 4), keepDims=False)
    z = g.op(
        "FULLY_CONNECTED", [y, g.constant(weights(3, 4)), g.constant(weights(3))], (1, 3), fusedActivationFunction=3
    )
    return g.op("LEAKY_RELU", [z], (1, 3), alpha=0.25)


def flat(g: Made) -> int:
    """All steps into one dense layer, some features of it."""
    y = g.op("RESHAPE", [unidirectional()(g), g.constant([1, -1], "int32")], (1, 24))
    z = g.op("FULLY_CONNECTED", [y, g.constant(weights(5, 24)), -1], (1, 5), fusedActivationFunction=1)
    begin, end, step = (g.constant(v, "int32") for v in ([0, 1], [1, 4], [1, 1]))
    part = g.op("STRIDED_SLICE", [z, begin, end, step], (1, 3), beginMask=0, endMask=0)
    return g.op("SOFTMAX", [part], (1, 3), beta=1.0)


MADE: dict[str, Callable[[Made], int]] = {
    "peepholes": unidirectional(peepholes=True),
    "cell clip": unidirectional(clip=0.3),
    "coupled input and forget gate": unidirectional(cifg=True),
    "bidirectional": bidirectional(False),
    "bidirectional, merged": bidirectional(True),
    "average, same": pooled("AVERAGE_POOL_2D", 0),
    "maximum, valid": pooled("MAX_POOL_2D", 1),
    "depthwise": depthwise,
    "strided, dilated": strided,
    "arithmetic": arithmetic,
    "mean over time": averaged,
    "flat": flat,
}


@pytest.mark.parametrize("name", MADE)
def test_a_graph_of_any_tool(name: str, tmp_path: Path) -> None:
    needs("litert")
    g = Made(6, 3)
    path = tmp_path / "made.tflite"
    path.write_bytes(g.blob(MADE[name](g)))
    agrees(read(path))


# --- refusals ---


def dense(g: Made, x: int, w: np.ndarray, **more: Any) -> int:
    return g.op("FULLY_CONNECTED", [x, g.constant(w), -1], (1, 6, len(w)), fusedActivationFunction=0, **more)


def hybrid(g: Made) -> int:
    w = g.constant(RNG.integers(-9, 9, (2, 3)), "int8", scale=0.1)
    return g.op("FULLY_CONNECTED", [g.x, w, -1], (1, 6, 2), keepNumDims=True)


def part_of_time(g: Made) -> int:
    begin, end, step = (g.constant(v, "int32") for v in ([0, 1, 0], [1, 4, 3], [1, 1, 1]))
    return g.op("STRIDED_SLICE", [g.x, begin, end, step], (1, 3, 3), beginMask=0)


def integers_inside(g: Made) -> int:
    x = g.op("QUANTIZE", [g.x], (1, 6, 3), "int8")
    y = g.op("TANH", [x], (1, 6, 3), "int8")
    return g.op("DEQUANTIZE", [y], (1, 6, 3))


BAD: dict[str, tuple[Callable[[Made], int], str]] = {
    "operator": (lambda g: g.op("COS", [g.x], (1, 6, 3)), r"operator 0 \(COS\): not supported"),
    "hybrid": (hybrid, r"operator 0 \(FULLY_CONNECTED\): int8 weights with float activations \(dynamic range\)"),
    "int8 operator": (integers_inside, r"operator 1 \(TANH\): has no int8 form"),
    "width": (lambda g: dense(g, g.x, weights(2, 5)), r"weights \[2, 5\] for 3 features"),
    "rank": (lambda g: dense(g, g.x, weights(2, 1, 3)), r"weights of shape \[2, 1, 3\]; expected two axes"),
    "NaN": (lambda g: dense(g, g.x, np.full((2, 3), np.nan)), "NaN or infinite"),
    "time": (part_of_time, "3 of 6 steps; supported are all steps or one"),
    "backwards": (
        lambda g: g.op("REVERSE_V2", [unidirectional()(g), g.constant([1], "int32")], (1, 6, 4)),
        "runs backwards",
    ),
    "nothing": (lambda g: g.x, "nothing to import"),
    "beta": (lambda g: g.op("SOFTMAX", [g.x], (1, 6, 3), beta=2.0), "beta = 2"),
    "variables": (lambda g: g.op("READ_VARIABLE", [g.x], (1, 6, 3)), "the weights are in variables"),
    "constant": (lambda g: g.constant(np.ones((1, 6, 3))), "its output is a constant"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_supported_is_named(name: str, tmp_path: Path) -> None:
    needs("litert")
    make, text = BAD[name]
    g = Made(6, 3)
    path = tmp_path / "bad.tflite"
    path.write_bytes(g.blob(make(g)))
    with pytest.raises(ToolkitError, match=text) as e:
        read(path)
    assert "\n" not in str(e.value) and len(str(e.value)) < 500


def test_a_cell_of_2_to_the_minus_16_is_refused() -> None:
    with pytest.raises(ToolkitError, match=r"operator 0 .*scale 2\^-16, with which TFLite's own LSTM returns garbage"):
        read(DATA / "fused_int8_small_cell.tflite")


@pytest.mark.parametrize(
    ("shape", "signature", "more", "text"),
    [
        ((4, 6, 3), (4, 6, 3), {}, "a batch of 4; expected 1"),
        ((1, 1, 3), (-1, -1, 3), {}, "leaves its number of steps open; give --steps N"),
        ((1, 6, 3), (1, 6, 3), {"steps": 7}, "has 6 steps, not 7"),
        ((1, 2, 6, 3, 1), (1, 2, 6, 3, 1), {}, r"expected \[1, time, features\]"),
        ((1, 40000, 3), (1, 40000, 3), {}, "40000 steps of 3 features; expected at most"),
    ],
)
def test_the_shape_of_the_input(
    shape: tuple[int, ...], signature: tuple[int, ...], more: dict[str, int], text: str, tmp_path: Path
) -> None:
    needs("litert")
    g = Made(6, 3)
    y = unidirectional()(g)
    g.tensors[g.x].shape, g.tensors[g.x].shapeSignature = list(shape), list(signature)
    path = tmp_path / "shape.tflite"
    path.write_bytes(g.blob(y))
    with pytest.raises(ToolkitError, match=text):
        read(path, **more)


def test_an_open_number_of_steps(tmp_path: Path) -> None:
    needs("litert")
    g = Made(6, 3)
    y = unidirectional()(g)
    g.tensors[g.x].shape, g.tensors[g.x].shapeSignature = [1, 1, 3], [-1, -1, 3]
    path = tmp_path / "open.tflite"
    path.write_bytes(g.blob(y))
    imported = read(path, steps=11)
    assert imported.network.window == 11
    agrees(imported)


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
