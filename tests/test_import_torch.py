"""PyTorch's state_dicts: read without torch and without running anything, their structure inferred or told, and equal
to the model rebuilt in torch."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from quantize.errors import QuantizeError
from quantize.float_graph import evaluate
from tests.conftest import needs
from toolkit.errors import ToolkitError
from toolkit.importers import Imported, Options, format_of, torch_structure
from toolkit.importers.torch_ import read
from toolkit.stages.import_ import difference, probes

DATA = Path(__file__).parent / "data"
SAVED = ("torch_lstm.pt", "torch_gru.pth", "torch_rnn.safetensors")
rng = np.random.default_rng(0)


def imported(path: Path, *, structure: Path | None = None, stream: bool = False) -> Imported:
    assert format_of(path) == "pytorch"
    return read(path, Options("m", None if stream else 7, None, stream, structure))


@pytest.mark.parametrize("name", SAVED)
def test_files_of_torch_are_what_torch_makes_of_them(name: str) -> None:
    with np.load(DATA / "torch.npz") as z:
        x, y = z["x"], z[name]
    network = imported(DATA / name).network
    assert np.abs(evaluate(network, x)[""][:, 0] - y).max() < 1e-6


def lstm(**more: np.ndarray) -> dict[str, np.ndarray]:
    """A state_dict of nn.LSTM(3, 4) and nn.Linear(4, 2)."""
    sizes = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,), "bias_hh_l0": (16,)}
    made = {f"lstm.{k}": rng.normal(size=s) for k, s in sizes.items()}
    made |= {"fc.weight": rng.normal(size=(2, 4)), "fc.bias": rng.normal(size=2), **more}
    return {k: np.asarray(v, np.float32) for k, v in made.items()}


def stored(folder: Path, tensors: Mapping[str, np.ndarray], **metadata: str) -> Path:
    path = folder / "m.safetensors"
    save_file(dict(tensors), path, metadata or None)
    return path


def inferred(tensors: Mapping[str, np.ndarray], *, ordered: bool = True) -> list[str]:
    parts = torch_structure.infer(tensors, ordered=ordered, path=Path("m.pt"))
    return [p.op for p in parts]


def test_structure_is_inferred_from_names_and_shapes() -> None:
    assert inferred(lstm()) == ["lstm", "last", "linear"]
    both = {f"{k}_reverse": v for k, v in lstm().items() if "lstm" in k}
    wide = {"fc.weight": np.zeros((2, 8))}
    assert inferred({**lstm(), **both, **wide}) == ["lstm", "final_states", "linear"]
    head = {"head.0.weight": np.zeros((5, 4)), "head.2.weight": np.zeros((2, 5)), "head.3.weight": np.zeros((2, 2))}
    without = {k: v for k, v in lstm().items() if "fc" not in k}
    assert inferred({**without, **head}) == ["lstm", "last", "linear", "activation", "linear", "linear"]
    front = {"conv.weight": np.zeros((3, 1, 3)), "bn.running_mean": np.zeros(3), "bn.running_var": np.ones(3)}
    assert inferred({**front, **lstm()}) == ["conv", "batch_norm", "activation", "lstm", "last", "linear"]
    assert inferred(dict(sorted(lstm().items())), ordered=False) == ["lstm", "last", "linear"]
    assert inferred({k: np.zeros(s) for k, s in {"weight_ih": (6, 2), "weight_hh": (6, 2)}.items()}) == ["gru"]


def test_printed_structure_is_read_back(tmp_path: Path) -> None:
    path = stored(tmp_path, lstm())
    first = imported(path)
    assert first.structure == "assumed"
    told = tmp_path / "structure.toml"
    told.write_text("\n".join(first.notes[1:]))
    again = imported(path, structure=told)
    x = rng.normal(size=(4, 7, 3))
    assert np.array_equal(evaluate(first.network, x)[""], evaluate(again.network, x)[""])
    told.write_text(told.read_text().replace('"last"', '"mean"'))
    assert not np.array_equal(evaluate(imported(path, structure=told).network, x)[""], evaluate(first.network, x)[""])
    inside = imported(stored(tmp_path, lstm(), structure="\n".join(first.notes[1:])))
    assert inside.notes == () and len(inside.network.layers) == 3


EVERYTHING = """steps = 9
[[layer]]
op = "conv"
weights = "conv"
stride = 2
padding = 1
groups = 3
[[layer]]
op = "batch_norm"
weights = "bn"
eps = 1e-3
[[layer]]
op = "activation"
function = "gelu"
[[layer]]
op = "avg_pool"
kernel_size = 3
stride = 1
padding = 1
[[layer]]
op = "layer_norm"
weights = "norm"
[[layer]]
op = "{cell}"
weights = "cell"
{more}
[[layer]]
op = "{end}"
[[layer]]
op = "linear"
weights = "fc"
[[layer]]
op = "activation"
function = "log_softmax"
"""


@pytest.mark.parametrize(
    ("cell", "more", "end", "both"),
    [("lstm", "", "final_states", True), ("gru", "", "mean", False), ("rnn", 'nonlinearity = "relu"', "max", True)],
)
def test_every_layer_is_what_torch_computes(tmp_path: Path, cell: str, more: str, end: str, both: bool) -> None:
    needs("torch")
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[cell] * 4
    sizes: dict[str, tuple[int, ...]] = {"conv.weight": (6, 1, 3), "conv.bias": (6,), "norm.weight": (6,)}
    sizes |= {f"bn.{k}": (6,) for k in ("weight", "bias", "running_mean", "running_var")}
    ways = ("", "_reverse") if both else ("",)
    for k, way in ((k, way) for k in (0, 1) for way in ways):
        into = 6 if k == 0 else 4 * len(ways)
        sizes |= {f"cell.weight_ih_l{k}{way}": (rows, into), f"cell.weight_hh_l{k}{way}": (rows, 4)}
        sizes |= {f"cell.bias_ih_l{k}{way}": (rows,), f"cell.bias_hh_l{k}{way}": (rows,)}
    sizes |= {"fc.weight": (2, 4 * len(ways)), "fc.bias": (2,)}
    tensors = {
        k: rng.uniform(0.1, 0.5, s).astype(np.float32) * rng.choice([-1, 1]) ** ("var" not in k)
        for k, s in sizes.items()
    }
    told = tmp_path / "s.toml"
    told.write_text(EVERYTHING.format(cell=cell, more=more, end=end))
    made = read(stored(tmp_path, tensors), Options("m", None, None, False, told))
    assert made.original is not None and made.network.window == 9 and made.runtime.startswith("torch ")
    x = probes(made, made.network, None)
    want, got = made.original(x), evaluate(made.network, x)
    for name, y in want.items():
        assert difference(y, got[name]).value < 1e-5, name
    assert set(want) > {"conv", "bn", "norm", "fc"}


class Runs:
    """A pickle of it calls os.mkdir."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def zipped(path: Path, data: bytes, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as z:
        for name, blob in {"data.pkl": data, "version": b"3\n", "byteorder": b"little", **more}.items():
            z.writestr(f"m/{name}", blob)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_refused_by_name_and_not_run(tmp_path: Path, protocol: int, legacy: bool) -> None:
    trap = tmp_path / "executed"
    data = pickle.dumps({"w": Runs(trap)}, protocol)
    path = tmp_path / "m.pt"
    if legacy:
        head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
        path.write_bytes(b"".join(pickle.dumps(v, 2) for v in head) + data)
    else:
        zipped(path, data)
    with pytest.raises(ToolkitError, match=r"holds (posix|nt)\.mkdir, code; nothing of it was executed"):
        imported(path)
    pickle.loads(data)  # the trap is one
    assert trap.is_dir()
    trap.rmdir()
    with pytest.raises(ToolkitError, match="nothing of it was executed"):
        imported(path)
    assert not trap.exists()


def tensor_pickle(size: tuple[int, ...], stride: tuple[int, ...], numel: int, module: bytes = b"torch._utils") -> bytes:
    """{"w": a tensor}, with sizes as they are claimed."""
    out = io.BytesIO()
    storage = b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    number = lambda n: b"\x8a\x08" + n.to_bytes(8, "little", signed=True)  # noqa: E731
    numbers = lambda v: b"(" + b"".join(map(number, v)) + b"t"  # noqa: E731
    out.write(b"\x80\x02}X\x01\x00\x00\x00wc" + module + b"\n_rebuild_tensor_v2\n((" + storage + number(numel) + b"tQ")
    out.write(b"K\x00" + numbers(size) + numbers(stride) + b"\x89}tRs.")
    return out.getvalue()


HUGE = 1 << 40
REFUSED = {
    "terabytes claimed": (tensor_pickle((HUGE,), (1,), HUGE), rf"{HUGE} elements claimed, 16 bytes there"),
    "terabytes of one value": (tensor_pickle((HUGE,), (0,), 4), rf"w \[{HUGE}\] does not fit its 4 stored values"),
    "negative stride": (tensor_pickle((4,), (-1,), 4), "a damaged pickle .*not a tensor"),
    "another module": (tensor_pickle((4,), (1,), 4, b"evil"), "holds evil._rebuild_tensor_v2, code"),
    "a huge memo": (b"\x80\x02}r\xff\xff\xff\x7f.", "a dict of nothing"),
    "no end": (b"\x80\x02}", "a damaged pickle"),
    "a whole model": (b"\x80\x02c__main__\nNet\n)\x81.", r"holds __main__.Net, a whole model.*state_dict\(\)"),
    "a layer": (b"\x80\x02ctorch.nn.modules.rnn\nLSTM\n)\x81.", "holds torch.nn.modules.rnn.LSTM, a whole model"),
    "a dict in itself": (b"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s.", "a dict of 'w', and none is a state_dict"),
    "numbers": (b"\x80\x02K\x05.", "holds a int; expected a state_dict"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_pickles_that_lie_are_refused(tmp_path: Path, name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(ToolkitError, match=message) as e:
        imported(zipped(tmp_path / "m.pt", data, **{"data/0": bytes(16)}))
    assert "\n" not in str(e.value)


def test_archives_that_are_no_state_dict_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.pt", b"", **{"constants.pkl": b"", "code/__torch__.py": b""})
    with pytest.raises(ToolkitError, match=r"a TorchScript archive.*save model.state_dict\(\).*torch.onnx.export"):
        imported(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("m/data.pkl", bytes(1 << 20))
    with pytest.raises(ToolkitError, match=r"m/data.pkl is compressed \(\d+ -> 1048576 bytes\)"):
        imported(path)
    path.write_bytes((DATA / "torch_lstm.pt").read_bytes()[:-100])
    with pytest.raises(ToolkitError, match="not a complete zip archive"):
        imported(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ToolkitError, match=r"not one of torch.save \(no magic number\)"):
        imported(path)
    own = tmp_path / "own.safetensors"
    save_file(lstm(), own, {"kind": "tealight-network"})
    with pytest.raises(ToolkitError, match="one of Tealight's own files"):
        imported(own)


WRONG = {
    "proj_size": ({"lstm.weight_hr_l0": np.zeros((2, 4))}, "an LSTM with proj_size, which has no form here"),
    "attention": ({"attn.in_proj_weight": np.zeros((9, 3))}, r"attn.in_proj_weight \[9, 3\] belongs to no layer known"),
    "wrong rank": ({"fc.weight": np.zeros((2, 4, 1, 1))}, r"fc\.\w+ \[.*\] belongs to no layer known"),
    "wrong width": ({"fc.weight": np.zeros((2, 5))}, "in no order do the widths of its layers fit: fc 5->2, lstm 3->4"),
    "odd rows": ({"lstm.weight_hh_l0": np.zeros((8, 4))}, r"lstm\.\w+ \[.*\] belongs to no layer"),
    "short bias": ({"lstm.bias_hh_l0": np.zeros(4)}, r"lstm.bias_hh_l0 \[4\]: expected \[16\] in a lstm"),
    "half a direction": (
        {"lstm.weight_hh_l0_reverse": np.zeros((16, 4)), "fc.weight": np.zeros((2, 8))},
        "no tensor lstm.weight_ih_l0_reverse",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_tensors_of_no_known_layer_are_refused_by_name(tmp_path: Path, name: str) -> None:
    more, message = WRONG[name]
    with pytest.raises(ToolkitError, match=message):
        imported(stored(tmp_path, lstm(**more)))


def test_nan_weights_and_open_windows_are_refused(tmp_path: Path) -> None:
    from quantize.float_graph import shapes

    path = stored(tmp_path, lstm(**{"fc.bias": np.array([1, np.nan])}))
    with pytest.raises(QuantizeError, match=r"fc\.b: a weight is NaN or infinite"):
        shapes(imported(path).network, 7)
    with pytest.raises(ToolkitError, match="does not say how many steps a window has; add --steps N or --stream"):
        read(path, Options("m", None, None, False, None))
    assert "steps" not in "".join(imported(stored(tmp_path, lstm()), stream=True).notes[1:])


TOML = {
    "steps = 0": "steps = 0: expected the steps of a window",
    "layers = 3": "unknown key 'layers'; did you mean \"layer\"",
    "": r"expected one \[\[layer\]\] or more",
    '[[layer]]\nop = "lsmt"': "layer 1: op = 'lsmt'; did you mean \"lstm\"",
    '[[layer]]\nop = "rnn"\nnonlinearty = "relu"': "unknown key 'nonlinearty'; did you mean \"nonlinearity\"",
    '[[layer]]\nop = "conv"\nstride = "2"': "stride = '2': expected such as 1",
    '[[layer]]\nop = "last"\nweights = "x"': "weights = 'x': expected the prefix",
    '[[layer]]\nop = "lstm"\nweights = "lstm"': r"fc.bias \[2\] is in no layer of the structure",
    '[[layer]]\nop = "gru"\nweights = "lstm"': r"lstm.weight_ih_l0 \[16, 3\]: expected \[12, any\] in a gru",
    '[[layer]]\nop = "linear"\nweights = "head"': "no tensor head.weight for a linear",
    '[[layer]]\nop = "last"': r"fc.bias \[2\] is in no layer of the structure",
    "= 3": "not TOML",
}


@pytest.mark.parametrize("text", TOML)
def test_structures_that_do_not_fit_are_refused(tmp_path: Path, text: str) -> None:
    told = tmp_path / "s.toml"
    told.write_text(text)
    with pytest.raises(ToolkitError, match=TOML[text]) as e:
        imported(stored(tmp_path, lstm()), structure=told)
    assert "\n" not in str(e.value)


def test_the_pages_of_the_importers_are_what_their_script_makes() -> None:
    """The numbers are kept in docs/import.json by the run that measured them; nothing may be refused or above 1e-5."""
    import importlib.util
    import json

    spec = importlib.util.spec_from_file_location("import_page", DATA.parents[1] / "docs" / "import.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept = json.loads(script.KEPT.read_text("utf-8"))
    assert script.PAGE.read_text("utf-8") == script.page(kept), "run python docs/import.py"
    assert script.GUIDE.read_text("utf-8") == script.guide(script.GUIDE.read_text("utf-8")), "run python docs/import.py"
    assert len(kept["rows"]) == 196 and all(float(v) < 1e-5 for v in kept["rows"].values())
