"""The generated float32 C of layered networks: every op and option, random graphs, streams; against float64."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantize.activations import FUNCTIONS, write
from quantize.errors import QuantizeError
from quantize.float_graph import evaluate, shapes
from quantize.float_stream import FloatStream, chain
from quantize.network import HEADS, MISSING, MODES, Layer, Network, layer
from tests.conftest import needs
from tests.float_nets import network, random_graph, recurrent
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
RANDOM = 24
RNG = np.random.default_rng(17)


def arr(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape)


def cell(op: str, width: int, hidden: int, name: str = "r", **more: object) -> Layer:
    """Without options but `more`; weights of its own by name."""
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[op] * hidden
    own = more.pop("weights", {})
    weights = {"w_ih": arr(rows, width), "w_hh": arr(rows, hidden), "b": arr(rows), **own}  # type: ignore[dict-item]
    return layer(name, op, weights, **more)  # type: ignore[arg-type]


def dense(width: int, out: int, name: str = "end", **more: object) -> Layer:
    return layer(name, "dense", {"w": arr(out, width), "b": arr(out)}, **more)  # type: ignore[arg-type]


def both(op: str, hidden: int, name: str, *fed: str, width: int) -> list[Layer]:
    """The two directions of a layer."""
    return [cell(op, width, hidden, f"{name}{k}", sources=fed, reverse=bool(k)) for k in range(2)]


def recurrent_cases() -> dict[str, list[Layer]]:
    """Each option of the recurrent ops by itself, both ways."""
    lstm = {
        "peepholes": {"weights": {"p": arr(15)}},
        "preact_clip": {"options": {"preact_clip": 0.3}},
        "cell_clip": {"options": {"cell_clip": 0.2}},
        "input_forget": {"options": {"input_forget": 1}},
        "input_forget and peepholes": {"options": {"input_forget": 1}, "weights": {"p": arr(15)}},
        "activations": {"activations": ("hard_sigmoid(0.2,0.5)", "softsign", "scaled_tanh(1.7,0.6)")},
        "first state": {"weights": {"h0": arr(5), "c0": arr(5)}},
        "first h, peepholes": {"weights": {"h0": arr(5), "p": arr(15)}},
    }
    gru = {
        "preact_clip": {"options": {"preact_clip": 0.3}},
        "activations": {"activations": ("hard_sigmoid(0.2,0.5)", "leaky_relu(0.1)")},
        "softmax": {"activations": ("softmax", "tanh")},
        "first h": {"weights": {"h0": arr(5)}},
    }
    rnn = {
        "plain": {},
        "relu": {"options": {"relu": 1}},
        "custom": {"activations": ("elu(0.7)",)},
        "clip, h0": {"options": {"preact_clip": 0.4}, "weights": {"h0": arr(5)}},
    }
    out: dict[str, list[Layer]] = {}
    for op, table in (("lstm", lstm), ("gru", gru), ("rnn", rnn)):
        for text, more in table.items():
            for reverse in (False, True):
                out[f"{op}: {text}{', reverse' * reverse}"] = [cell(op, 3, 5, reverse=reverse, **more)]
                if op == "gru":
                    after = {**more, "weights": {**more.get("weights", {}), "b": arr(20)}}
                    out[f"{op} reset after: {text}{', reverse' * reverse}"] = [cell(op, 3, 5, reverse=reverse, **after)]
    for size in (1, 7, 8, 9, 33):
        out[f"lstm_norm {size}"] = [recurrent(np.random.default_rng(size), "r", "lstm_norm", 3, size)]
    return out


def two_directions() -> dict[str, Network]:
    """Two layers of them under every head; sizes around the blocks of the fast kernels."""
    out = {}
    for size, heads in ((1, HEADS), (16, ("final_states",)), (17, HEADS), (33, ("all",))):
        two = both("lstm", size, "a", "", width=3) + both("gru", size, "b", "a0", "a1", width=2 * size)
        for head in heads:
            last = dense(2 * size, 2, sources=("b0", "b1"))
            out[f"two directions {size} {head}"] = network([*two, last], inputs=3, steps=7, head=head)
    return out


def layer_cases() -> dict[str, list[Layer]]:
    """The ops without a state; windows of 7 steps of 3 features."""
    out: dict[str, list[Layer]] = {}
    for name, (count, _) in FUNCTIONS.items():
        text = write(name, *(0.3, 0.6)[:count])
        out[f"activation {text}"] = [layer("end", "activation", {}, activations=(text,))]
        out[f"dense {text}"] = [dense(3, 5, activations=(text,))]
    convolutions = {
        "plain": ({}, 3),
        "one step": ({}, 1),
        "stride, dilation": ({"stride": 2, "dilation": 2}, 3),
        "same": ({"pad_before": 1, "pad_after": 1}, 3),
        "causal": ({"pad_before": 4, "dilation": 2}, 3),
        "padded further than it is long": ({"pad_before": 9, "pad_after": 8, "stride": 3}, 2),
        "depthwise": ({"groups": 3, "pad_after": 2}, 2),
        "whole window": ({}, 7),
    }
    for text, (options, kernel) in convolutions.items():
        w = {"w": arr(6, 3 // options.get("groups", 1), kernel), "b": arr(6)}
        out[f"conv {text}"] = [layer("end", "conv", w, options=options)]
    pools = ({}, {"kernel": 3}, {"kernel": 2, "stride": 2}, {"kernel": 3, "stride": 2, "pad_before": 1, "pad_after": 2})
    for options in pools:
        for more in ({"max": 1}, {}, {"count_pad": 1}):
            out[f"pool {options} {more}"] = [layer("end", "pool", {}, options={**options, **more})]
    out["norm"] = [layer("end", "norm", {"gain": arr(3), "offset": arr(3)}, options={"epsilon": 1e-5})]
    out["scale"] = [layer("end", "scale", {"gain": arr(3), "offset": arr(3)})]
    for at in (0, 3, -1, -7):
        out[f"take {at}"] = [layer("end", "take", {}, options={"at": at})]
    out["pick"] = [layer("end", "pick", {}, options={"first": 1, "count": 2})]
    out["flatten"] = [dense(3, 4, "a"), layer("f", "flatten", {}), dense(28, 2)]
    out["flatten of part"] = [layer("p", "pick", {}, options={"first": 1, "count": 2}), layer("f", "flatten", {})]
    out["take of a take"] = [cell("lstm", 3, 4), layer("t", "take", {}), layer("u", "take", {}), dense(4, 2)]
    for op in ("add", "mul"):
        for fed in (("a",), ("a", "b"), ("a", "a"), ("a", "b", "a"), ("", "a", "b")):
            out[f"{op} of {fed}"] = [
                dense(3, 3, "a", sources=("",)),
                dense(3, 3, "b"),
                layer("end", op, {}, sources=fed),
            ]
    out["joined with the input"] = [cell("gru", 3, 4, "a"), dense(7, 2, sources=("a", ""))]
    out["joined twice"] = [
        *both("rnn", 4, "a", "", width=3),
        dense(8, 3, "b", sources=("a0", "a1")),
        dense(8, 3, "c", sources=("a1", "a0")),
        layer("end", "mul", {}, sources=("b", "c")),
    ]
    out["residual"] = [
        dense(3, 4, "a"),
        cell("lstm", 4, 4, "b"),
        layer("c", "add", {}, sources=("a", "b")),
        layer("d", "norm", {"gain": arr(4), "offset": arr(4)}, options={"epsilon": 1e-5}),
        layer("end", "activation", {}, activations=("silu",)),
    ]
    return out


def side_by_side(cases: dict[str, list[Layer]], *, flat: bool) -> Network:
    """All of them as one network, which joins what each makes of the window; flat: as one row."""
    layers: list[Layer] = []
    ends = []
    for k, case in enumerate(cases.values()):
        named = {"": "", **{x.name: f"n{k}_{x.name}" for x in case}}
        before = ""
        for x in case:
            layers.append(replace(x, name=named[x.name], sources=tuple(named[s] for s in x.sources) or (before,)))
            before = named[x.name]
        if flat:
            layers.append(layer(f"n{k}_flat", "flatten", {}, sources=(before,)))
        ends.append(layers[-1].name)
    made = network([*layers, layer("end", "add", {}, sources=(ends[0],))], inputs=3, steps=7)
    widths = [shapes(made, 7)[name][1] for name in ends]
    end = layer("end", "pick", {}, options={"count": sum(widths)}, sources=tuple(ends))
    return network([*layers, end], inputs=3, steps=7)


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


def forecasters() -> dict[str, Network]:
    """Of every mode and treatment of lost samples, from a first state of their own."""
    layers = [cell("lstm", 2, 4, weights={"h0": arr(4), "c0": arr(4)}), dense(4, 1, activations=("tanh",))]
    of_mode = {mode: network(layers, inputs=2, steps=5, mode=mode) for mode in MODES}
    return {f"{mode} {how}": replace(n, missing=how) for mode, n in of_mode.items() for how in MISSING}


def everything() -> dict[str, Network]:
    """All cases in two networks; by themselves those that end in what is mostly another look at memory; random ones."""
    cases = layer_cases()
    alone = ("flatten", "take 3", "pick", "add of ('a', 'b', 'a')", "mul of ('',", "residual", "joined")
    return {
        "recurrent": side_by_side(recurrent_cases(), flat=False),
        "layers": side_by_side(cases, flat=True),
        **{k: network(v, inputs=3, steps=7) for k, v in cases.items() if k.startswith(alone)},
        **two_directions(),
        **forecasters(),
        **{f"random {k}": random_graph(np.random.default_rng(k), "net") for k in range(RANDOM)},
    }


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
    rng, worst = np.random.default_rng(3), {}
    for text, n in library.networks.items():
        model = library.model(text)
        worst[text] = max(error(n, run(model, n, x), x) for x in (samples(rng, n), samples(rng, n)))
    assert {text: e for text, e in worst.items() if not e <= TOLERANCE} == {}
    assert max(worst.values()) > 0


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(0, RANDOM - 1), size=st.sampled_from([1e-3, 1.0, 30.0]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_graphs(library: Compiled, seed: int, k: int, size: float) -> None:
    n = library.networks[f"random {k}"]
    x = samples(np.random.default_rng(seed), n) * np.float32(size)
    assert error(n, run(library.model(f"random {k}"), n, x), x) <= TOLERANCE


def test_predict_follows_float64(library: Compiled) -> None:
    """Raw values, lost samples, gaps and resets."""
    rng = np.random.default_rng(5)
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
    assert room([cell("rnn", 4, 4), layer("p", "pick", {}, options={"count": 2}), dense(2, 1)]) == 40 + 10


def test_what_nobody_reads_is_not_run() -> None:
    n = network([dense(3, 4, "unread"), dense(3, 2, sources=("",))], inputs=3, steps=5)
    assert "unread" not in "".join(generate_f32(n, "0" * 64, load_board("host"), "ref").values())


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([cell("lstm", 3, 2, reverse=True)], "r: runs from the end of a window"),
        ([layer("f", "flatten", {})], "f: is a flatten over the time"),
        ([layer("p", "pool", {})], "p: is a pool over the time"),
        ([layer("c", "conv", {"w": arr(2, 3, 2), "b": arr(2)}, options={"pad_before": 1})], "convolution over several"),
    ],
)
def test_what_a_stream_cannot_have(layers: list[Layer], text: str) -> None:
    n = replace(network(layers, inputs=3, steps=4), mode="stateful", window=0)
    with pytest.raises((ToolkitError, QuantizeError), match=text):
        generate_f32(n, "0" * 64, load_board("host"), "ref")


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


def a_few() -> dict[str, Network]:
    """All layers' code in few files, both modes."""
    nets = {k: side_by_side(v, flat=True) for k, v in (("all", layer_cases()), ("recurrent", recurrent_cases()))}
    return nets | {k: n for k, n in forecasters().items() if k.endswith("hold")}


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
