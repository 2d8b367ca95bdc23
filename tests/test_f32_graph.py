"""The generated float32 C of layered networks: every op and option, random graphs, streams; against float64."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantize.errors import QuantizeError
from quantize.float_graph import evaluate
from quantize.float_stream import FloatStream, chain
from quantize.network import MISSING, MODES, Layer, Network, layer
from tests.conftest import needs
from tests.float_cases import RANDOM, a_few, arr, both, cell, dense, everything, two_directions
from tests.float_nets import network
from tests.test_codegen import STRICT_CPP, compile_folder
from tests.test_codegen import run as run_compiler
from toolkit import elf
from toolkit.boards import load_board
from toolkit.build import build_host
from toolkit.codegen.render import write_folder
from toolkit.codegen.render_f32 import generate_f32
from toolkit.errors import ToolkitError
from toolkit.host_f32 import FloatModel, build_and_load
from toolkit.targets import ROOT

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Compiled:
    """Many networks in one library."""

    networks: dict[str, Network]
    folder: Path
    library: Path

    def model(self, text: str) -> FloatModel:
        return FloatModel(self.folder, self.library, name=self.networks[text].name)


def compiled(
    networks: dict[str, Network], folder: Path, target: str = "ref", *, sanitize: str | None = None
) -> Compiled:
    """Under names of their own."""
    named = {text: replace(n, name=f"net{k}") for k, (text, n) in enumerate(networks.items())}
    files: dict[str, str] = {}
    for n in named.values():
        files |= generate_f32(n, "0" * 64, load_board("host"), target)
    write_folder(files, folder / "c")
    return Compiled(named, folder / "c", build_host(folder / "c", folder / "out", sanitize=sanitize))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    needs("host-cc")
    return compiled(everything(), tmp_path_factory.mktemp("graphs"))


def run(model: FloatModel, n: Network, x: np.ndarray) -> np.ndarray:
    """[time', outputs] from the first state."""
    model.reset()
    if n.mode == "window":
        return model.run(x).reshape(-1, len(n.outputs))
    return np.stack([model.step(row) for row in x])


def error(n: Network, got: np.ndarray, x: np.ndarray) -> float:
    wanted = evaluate(n, x[None])[""][0]
    assert got.shape == wanted.shape
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))


def samples(rng: np.random.Generator, n: Network, steps: int = 9) -> np.ndarray:
    return rng.normal(0, 1, (n.window or steps, len(n.inputs))).astype(np.float32)


def test_every_op_and_option(library: Compiled) -> None:
    stays_close(library, 3)


def stays_close(library: Compiled, seed: int) -> None:
    """Every network over two windows."""
    rng, worst = np.random.default_rng(seed), {}
    for text, n in library.networks.items():
        model = library.model(text)
        worst[text] = max(error(n, run(model, n, x), x) for x in (samples(rng, n), samples(rng, n)))
    assert {text: e for text, e in worst.items() if not e <= TOLERANCE} == {}
    assert max(worst.values()) > 0


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(0, RANDOM - 1), size=st.sampled_from([1e-3, 1.0, 3.0]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_graphs(library: Compiled, seed: int, k: int, size: float) -> None:
    """Not far larger samples: an unbounded activation in a loop makes float32's rounding more than TOLERANCE."""
    n = library.networks[f"random {k}"]
    x = samples(np.random.default_rng(seed), n) * np.float32(size)
    assert error(n, run(library.model(f"random {k}"), n, x), x) <= TOLERANCE


def test_predict_follows_float64(library: Compiled) -> None:
    follows_float64(library, 5)


def follows_float64(library: Compiled, seed: int) -> None:
    """Raw values, lost samples, gaps and resets."""
    rng = np.random.default_rng(seed)
    for text, n in library.networks.items():
        model, oracle = library.model(text), FloatStream(n)
        unit = np.array([c.std for c in n.outputs])
        for i in range(14 if text.startswith("random") else 3):
            raw = np.array([c.mean + c.std * rng.normal() for c in n.inputs], np.float32)
            if i in (4, 7, 8, 9, 10):
                got, wanted = model.predict(raw * np.float32(np.nan)), oracle.predict_missing()
            else:
                got, wanted = model.predict(raw), oracle.predict(raw.astype(np.float64))
            assert (np.abs(got - wanted) / unit / np.maximum(1, np.abs(wanted / unit)).max() <= TOLERANCE).all(), text
            assert model.warmed_up == (oracle.steps >= n.warmup)


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_done_when_samples_are_lost(library: Compiled, missing: str, mode: str) -> None:
    text = f"{mode} {missing}"
    n, model, rng = library.networks[text], library.model(text), np.random.default_rng(1)
    oracle = FloatStream(n)
    for i in range(60):
        raw = rng.normal(0, 2, 2).astype(np.float32)
        lost = rng.random() < 0.4 or i < 2
        got = model.predict_missing() if lost else model.predict(raw)
        wanted = oracle.predict_missing() if lost else oracle.predict(raw.astype(np.float64))
        assert np.abs(got - wanted).max() <= TOLERANCE * n.outputs[0].std, i


def test_fast_kernels_run_the_plain_layers_of_a_graph(tmp_path: Path) -> None:
    needs("host-cc")
    from toolkit.codegen.pack_f32 import host_target

    made = compiled(two_directions(), tmp_path, host_target())
    rng = np.random.default_rng(4)
    for text, n in made.networks.items():
        x = samples(rng, n)
        assert error(n, run(made.model(text), n, x), x) <= TOLERANCE
        assert f"tl_lstm_step_f32_{host_target()}(" in (made.folder / f"{n.name}.c").read_text("utf-8")


def room(layers: list[Layer], **more: object) -> int:
    n = network(layers, inputs=4, steps=10, **more)  # type: ignore[arg-type]
    header = generate_f32(n, "0" * 64, load_board("host"), "ref")["net.h"]
    return int(re.findall(r"NET_ROOM_BYTES (\d+)", header)[0]) // 4


def test_layers_take_turns_in_the_room() -> None:
    """Two lines of 10 x 4 and a scratch, however many layers; the end of a direction alone needs two rows."""
    deep = [room([cell("rnn", 4, 4, f"r{k}") for k in range(n)]) for n in (3, 4, 8)]
    assert deep == [80, 80, 80]
    assert (
        room([layer(f"a{k}", "activation", {}, activations=("tanh",)) for k in range(5)]) == 80
    )  # in place, and the rows of the forecast
    two = both("rnn", 4, "a", "", width=4)
    assert room([*two, dense(8, 1, sources=("a0", "a1"))], head="final_states") == 2 * 8 + 8  # and the two ends joined
    assert room([*two, dense(8, 1, sources=("a0", "a1"))]) == 80 + 10  # no copy of both directions; the forecast's rows
    assert room([cell("rnn", 4, 4), layer("part", "pick", {}, options={"count": 2}), dense(2, 1)]) == 40 + 10


def test_a_recurrent_layer_runs_as_far_as_it_is_read() -> None:
    """The last step of a reverse layer, which is its first, is what `output[:, -1]` of two directions takes."""
    for reverse, at, loop in ((True, -1, "t = 9; t-- != 8;"), (True, 2, "t = 9; t-- != 2;"), (False, 3, "t < 4; t++")):
        layers = [cell("lstm", 3, 4, reverse=reverse), layer("t0", "take", {}, options={"at": at}), dense(4, 2)]
        assert loop in generate_f32(network(layers, inputs=3, steps=9), "0" * 64, load_board("host"), "ref")["net.c"]


def test_what_nobody_reads_is_not_run() -> None:
    n = network([dense(3, 4, "unread"), dense(3, 2, sources=("",))], inputs=3, steps=5)
    assert "unread" not in "".join(generate_f32(n, "0" * 64, load_board("host"), "ref").values())


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([cell("lstm", 3, 2, reverse=True)], "r: runs from the end of a window"),
        ([layer("f", "flatten", {})], "f: is a flatten over the time"),
        ([layer("part", "pool", {})], "part: is a pool over the time"),
        (
            [layer("c", "conv", {"w": arr(2, 3, 2), "b": arr(2)}, options={"pad_after": 1})],
            "c: is a convolution that sees steps to come",
        ),
    ],
)
def test_what_a_stream_cannot_have(layers: list[Layer], text: str) -> None:
    n = replace(network(layers, inputs=3, steps=4), mode="stateful", window=0)
    with pytest.raises((ToolkitError, QuantizeError), match=text):
        generate_f32(n, "0" * 64, load_board("host"), "ref")


def test_names_as_long_as_they_may_be() -> None:
    """Those made of them are longer, and one may be a layer's own; a source may be named twice."""
    name = "r" * 31
    layers = [replace(x, name=f"{name[:-1]}{k}") for k, x in enumerate(both("rnn", 3, "a", "", width=3))]
    last = dense(9, 2, "o", sources=(layers[0].name, layers[1].name, layers[0].name))
    twice = replace(dense(6, 3, "o_fed"), sources=(layers[0].name, layers[1].name))
    for head in ("all", "last"):
        n = network([*layers, twice, replace(last, sources=(*last.sources[:2], "o_fed"))], inputs=3, steps=4, head=head)
        text = generate_f32(n, "0" * 64, load_board("host"), "ref")["net.c"]
        assert "*const o_fed_y " in text and "*const o_fed__y " in text
        x = arr(4, 3).astype(np.float32)
        again = network([*layers, last], inputs=3, steps=4, head=head)
        assert error(again, build_and_load(again)(x), x) <= TOLERANCE


def test_names_that_collide_are_refused() -> None:
    for names, text in ((("h", "b2"), '"h": the generated code'), (("a", "a_w_ih"), "both make a_w_ih")):
        layers = [replace(cell("rnn", 3, 3), name=name) for name in names]
        with pytest.raises(ToolkitError, match=text):
            generate_f32(network(layers, inputs=3, steps=4), "0" * 64, load_board("host"), "ref")


def test_build_and_load_takes_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As importers name layers; built once; a chain, too."""
    needs("host-cc")
    from toolkit import host_f32

    monkeypatch.setattr(host_f32, "CACHE", tmp_path)
    layers = [cell("lstm", 3, 4, "/rnn/LSTM.0"), dense(4, 2, "int")]
    x = arr(6, 3).astype(np.float32)
    for head in ("all", "last"):
        n = network(layers, inputs=3, steps=6, head=head)
        assert chain(n) == (head == "last")
        assert error(n, build_and_load(n)(x), x) <= TOLERANCE
    monkeypatch.setattr(host_f32, "build_host", lambda *_: pytest.fail("built again"))
    assert error(n, build_and_load(n)(x), x) <= TOLERANCE


WITH_FPU = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("clang", ["clang", "-fno-pic"]),
        ("arm-gcc", [*WITH_FPU, "-Wdouble-promotion", f"-I{ROOT / 'firmware' / 'libc'}"]),
    ],
)
def test_no_compiler_warns(tmp_path: Path, tool: str, command: list[str]) -> None:
    """Nothing undefined but mem*, in particular no libm and no software double; nothing that can be written to."""
    needs(tool)
    for k, n in enumerate(a_few().values()):
        for name, text in generate_f32(replace(n, name=f"net{k}"), "0" * 64, load_board("host"), "ref").items():
            (tmp_path / name).write_text(text)
    objects = compile_folder(command, tmp_path)
    missing = [s for s in elf.missing_symbols(objects, "\0") if not re.fullmatch(r"(__aeabi_)?mem(cpy|set)[48]?", s)]
    assert missing == []
    assert not [s.name for path in objects for s in elf.symbols(path) if s.kind in ("data", "bss")]


def test_the_headers_are_cpp(tmp_path: Path) -> None:
    needs("g++")
    text = ""
    for name, body in generate_f32(a_few()["recurrent"], "0" * 64, load_board("host"), "ref").items():
        (tmp_path / name).write_text(body)
        text += f'#include "{name}"\n' if name.endswith(".h") and "weights" not in name else ""
    (tmp_path / "use.cpp").write_text(text + "int main() { net_state s; net_reset(&s); return net_warmed_up(&s); }\n")
    log = run_compiler(["g++", *STRICT_CPP, "use.cpp"], tmp_path)
    assert not log, log
