"""export --to onnx: importing the file gives the network that was exported, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantize.activations import write
from quantize.canonical import canonical
from quantize.float_graph import evaluate
from quantize.float_ops import DEFAULTS
from quantize.network import HEADS, Column, Layer, Network, layer, load_network, save_network
from tests.conftest import needs
from toolkit.errors import ToolkitError
from toolkit.exporters.onnx_ import RECURRENT, to_onnx
from toolkit.importers import Options, network_of
from toolkit.importers.onnx_ import read

PARAMETERS = {"affine": 2, "leaky_relu": 1, "thresholded_relu": 1, "scaled_tanh": 2, "hard_sigmoid": 2, "elu": 1}
GATES = {"lstm": (4, 3), "gru": (3, 2), "rnn": (1, 1)}
TENTHS = st.integers(1, 9).map(lambda n: n / 10)


@st.composite
def functions(draw: st.DrawFn, op: str) -> tuple[str, ...]:
    """Activations of a recurrent layer, none half of the time."""
    if draw(st.booleans()):
        return ()
    names = draw(st.lists(st.sampled_from(RECURRENT), min_size=GATES[op][1], max_size=GATES[op][1]))
    made = tuple(write(n, *(draw(TENTHS) for _ in range(PARAMETERS.get(n, 0)))) for n in names)
    return () if made == DEFAULTS[op] else made


@st.composite
def cells(draw: st.DrawFn, name: str, width: int, rng: np.random.Generator) -> Layer:
    """A recurrent layer of `width` inputs with any of the options that ONNX has."""
    op = draw(st.sampled_from(sorted(GATES)))
    h, rows = draw(st.integers(1, 3)), GATES[op][0]
    biases = draw(st.sampled_from((3, 4))) if op == "gru" else rows
    shapes = {"w_ih": (rows * h, width), "w_hh": (rows * h, h), "b": (biases * h,)}
    more = {"h0": (h,), **({"c0": (h,), "p": (3 * h,)} if op == "lstm" else {})}
    shapes |= {k: v for k, v in more.items() if draw(st.booleans())}
    options = {"preact_clip": draw(TENTHS)} if draw(st.booleans()) else {}
    options |= {"input_forget": 1.0} if op == "lstm" and draw(st.booleans()) else {}
    weights = {k: rng.normal(size=v) for k, v in shapes.items()}
    weights["b"][0] = -0.0
    return layer(name, op, weights, options=options, activations=draw(functions(op)))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Stacked recurrent layers in one or two directions, and a dense head."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    made: list[Layer] = []
    inputs = draw(st.integers(1, 3))
    sources: tuple[str, ...] = ("",)
    width = inputs
    for k in range(draw(st.integers(1, 3))):
        ways = draw(st.sampled_from(((False,), (True,), (False, True))))
        now = [replace(draw(cells(f"cell{k}{'_back' * r}", width, rng)), sources=sources, reverse=r) for r in ways]
        made += now
        sources, width = tuple(x.name for x in now), sum(x.weights["w_hh"].shape[1] for x in now)
    out = draw(st.integers(1, 2))
    activation = draw(st.sampled_from(((), ("tanh",), ("softmax",), ("silu",), ("relu6",), ("leaky_relu(0.1)",))))
    arrays = {"w": rng.normal(size=(out, width)), "b": rng.normal(size=out) * (np.arange(out) > 0) * -1.0}
    made.append(layer("head", "dense", arrays, sources=sources, activations=activation))
    turned = any(x.reverse for x in made if x.name in sources)
    head = draw(st.sampled_from([h for h in HEADS if h != "final_states" or turned]))
    n = network_of("net", tuple(made), inputs=inputs, outputs=out, steps=draw(st.integers(2, 4)))
    column = Column("höhe", "m", 2, 1.25, 0.5, 3)
    return canonical(replace(n, head=head, outputs=(column,) * out, period=60.0, max_gap=2))


@pytest.fixture(autouse=True)
def onnx_is_here() -> None:
    needs("onnx", "onnxruntime")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(networks())
def test_importing_what_was_exported_gives_the_same_network(tmp_path: Path, n: Network) -> None:
    path = tmp_path / "n.onnx"
    path.write_bytes(to_onnx(n).SerializeToString())
    found = read(path, Options(n.name, None, None, False, None))
    again = canonical(found.network)
    assert save_network(again, tmp_path / "again.safetensors") == save_network(n, tmp_path / "n.safetensors")
    x = np.random.default_rng(0).normal(size=(3, n.window, len(n.inputs))).astype(np.float32)
    assert found.original is not None
    if any(x.activations and x.op != "dense" for x in n.layers):
        return  # gates without bounds: rounding grows from step to step
    want = evaluate(load_network(tmp_path / "n.safetensors"), x)[""]
    assert np.abs(found.original(x)[""] - want).max() < 1e-5 * max(1, np.abs(want).max())


@pytest.mark.parametrize("wrong", ["no json", "{}", '"name"', '{"inputs": 1}'])
def test_metadata_that_describe_another_model_are_refused(tmp_path: Path, wrong: str) -> None:
    n = network_of("net", (layer("head", "dense", {"w": [[1.0]], "b": [0.0]}),), inputs=1, outputs=1, steps=2)
    model = to_onnx(n)
    (entry,) = model.metadata_props
    path, good = tmp_path / "n.onnx", json.loads(entry.value)
    for text in (wrong, json.dumps({**good, "inputs": good["inputs"] * 2}), json.dumps({**good, "missing": "guess"})):
        entry.value = text
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ToolkitError, match=r'metadata "tealight" (is damaged|does not describe this model)'):
            read(path, Options("net", None, None, False, None))
