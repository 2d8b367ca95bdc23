"""Keras' models, of both versions: equal to what Keras computes, or refused by name; nothing of a file is executed."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.float_graph import evaluate
from tests.conftest import needs
from toolkit.errors import ToolkitError
from toolkit.importers import Imported, Options, format_of
from toolkit.importers.keras_ import read
from toolkit.importers.keras_h5 import Damaged
from toolkit.importers.keras_h5 import read as read_h5
from toolkit.stages.import_ import difference, probes

DATA = Path(__file__).parent / "data"
SAVED = {"keras3.keras": "keras", "keras3_hard.h5": "keras", "keras2.h5": "tf_keras", "keras2_hard.h5": "tf_keras"}


@pytest.fixture(autouse=True)
def h5py_is_here() -> None:
    needs("h5py")


def imported(path: Path, *, steps: int | None = None, stream: bool = False) -> Imported:
    assert format_of(path) == "keras"
    return read(path, Options("m", steps, None, stream, None))


@pytest.mark.parametrize("name", SAVED)
def test_files_of_keras_are_what_keras_makes_of_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without Keras, which is then the reason why there is no proof."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "h5py" else None)
    with np.load(DATA / f"{SAVED[name]}.npz") as z:
        x, y = z["x"], z[name]
    made = imported(DATA / name)
    assert np.abs(evaluate(made.network, x)[""][:, 0] - y).max() < 1e-6
    assert made.original is None and made.runtime == "keras and torch are not installed (pip install keras torch)"


@pytest.mark.parametrize("name", SAVED)
def test_originals_run_in_keras_where_it_takes_them(name: str) -> None:
    needs("keras", "torch")
    made = imported(DATA / name)
    if name == "keras2_hard.h5":
        assert made.original is None and "another hard_sigmoid" in made.runtime
    elif made.original is None:  # Keras 3 refuses a Bidirectional of Keras 2
        assert name == "keras2.h5" and "time_major" in made.runtime
    else:
        compare(made)


def compare(made: Imported) -> None:
    assert made.original is not None, made.runtime
    x = probes(made, made.network, None)
    want, got = made.original(x), evaluate(made.network, x)
    for name, y in want.items():
        assert difference(y, got[name]).value < 1e-5, name


def built() -> dict[str, Any]:
    """Models of Keras 3 by name: every layer, in several of its forms."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras import layers as k

    norm = k.Normalization()
    norm.adapt(np.random.default_rng(0).normal(2, 3, (50, 12, 3)))
    start = k.Input((12, 3))
    a, b = k.LSTM(4, return_sequences=True)(start), k.GRU(4, return_sequences=True)(start)
    several = k.Concatenate()([k.Concatenate()([a, b]), k.Multiply()([k.Add()([a, b]), a])])
    ends = [k.GlobalAveragePooling1D()(a), k.LSTM(4, go_backwards=True)(several)]
    back = k.GRU(4, go_backwards=True, return_sequences=True)

    def both(layer: Any, mode: str) -> Any:
        return k.Bidirectional(layer, mode)

    made: dict[str, list[Any]] = {
        "ahead": [
            *(norm, k.Rescaling(0.5, 1), k.Conv1D(6, 3, padding="causal", activation="gelu"), k.MaxPooling1D(2)),
            *(both(k.GRU(4, return_sequences=True), "concat"), both(k.SimpleRNN(4, return_sequences=True), "mul")),
            *(k.Dropout(0.2), k.SimpleRNN(5, "relu", go_backwards=True), k.Dense(2)),
        ],
        "same": [
            *(k.Conv1D(6, 4, 2, "same", groups=3), k.AveragePooling1D(3, 1, "same"), k.BatchNormalization()),
            *(both(k.LSTM(4), "sum"), k.LayerNormalization(), k.Dense(2, "softmax", use_bias=False)),
        ],
        "functions": [
            *(k.Conv1D(6, 3, dilation_rate=2), k.ReLU(6), k.BatchNormalization(scale=False)),
            k.LSTM(5, "softsign", recurrent_activation="hard_sigmoid", return_sequences=True, dropout=0.1),
            *(k.LayerNormalization(center=False), k.TimeDistributed(k.Dense(4))),
            k.GRU(5, reset_after=False, use_bias=False, return_sequences=True),
            *(k.ELU(0.7), k.GlobalMaxPooling1D(), k.Dense(2, k.LeakyReLU(0.1))),
        ],
        "ways": [
            *(k.Bidirectional(k.LSTM(4, return_sequences=True), backward_layer=back), k.Activation("silu")),
            *(k.Softmax(), both(k.GRU(3, return_sequences=True), "ave"), k.Flatten(), k.Dense(2)),
        ],
    }
    models = {name: keras.Sequential([k.Input((12, 3)), *x]) for name, x in made.items()}
    return {**models, "branches": keras.Model(start, k.Average()(ends))}


def test_every_layer_is_what_keras_computes(tmp_path: Path) -> None:
    needs("keras", "torch")
    rng = np.random.default_rng(1)
    for name, model in built().items():
        for w in model.weights:  # no bias of zeros, no gain of ones
            if "float" in str(w.dtype) and "normalization/count" not in w.path:
                w.assign(w + rng.uniform(0.05, 0.4, w.shape).astype(np.float32))
        model.save(tmp_path / f"{name}.keras")
        compare(imported(tmp_path / f"{name}.keras"))


def edited(folder: Path, old: str, new: str, *, member: str = "config.json") -> Path:
    """keras3.keras with other words in its configuration."""
    path = folder / "m.keras"
    with zipfile.ZipFile(DATA / "keras3.keras") as z, zipfile.ZipFile(path, "w") as out:
        for name in z.namelist():
            data = z.read(name)
            if name == member:
                assert old.encode() in data
                data = data.replace(old.encode(), new.encode())
            out.writestr(name, data)
    return path


WRONG = [
    ('"class_name": "Dense"', '"class_name": "Lambda"', r"\(keras\.layers\.Lambda\) is code of its own; nothing was"),
    ('"class_name": "Dense"', '"class_name": "mine>Dense"', "is code of its own; nothing was executed"),
    ('"module": "keras.initializers"', '"module": "os"', "is code of its own; nothing was executed"),
    ('"class_name": "Dense"', '"class_name": "Masking"', r'layer "dense" \(Masking\): no such layer here'),
    ('"class_name": "Functional"', '"class_name": "Net"', "a Net; expected a Sequential or Functional model"),
    ('"activation": "softmax"', '"activation": "mish"', r'layer "dense" \(Dense\): activation "mish"; expected'),
    ('"merge_mode": "sum"', '"merge_mode": null', r"merge_mode = None; expected concat, sum, ave or mul"),
    ('"stateful": false', '"stateful": true', r"stateful = true: trained as one endless stream; add --stream"),
    ('"name": "float32"', '"name": "mixed_float16"', "dtype mixed_float16; expected float32"),
    ('"units": 2', '"units": 3', r"weights of shapes \[3, 8\], \[2, 8\], \[8\]; expected"),
    ('["dense", 0, 0]', '["tense", 0, 0]', 'the output: fed by "tense", which is no layer before it'),
    ("[null, 7, 3]", "[null, 7, 3, 3]", r"an input of shape \[None, 7, 3, 3\]; expected \[batch, steps, features\]"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_what_has_no_form_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ToolkitError, match=message) as e:
        imported(edited(tmp_path, old, new))
    assert "\n" not in str(e.value)


def test_code_in_a_configuration_is_not_run(tmp_path: Path) -> None:
    needs("keras", "torch")
    trap = tmp_path / "executed"
    run = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
    call = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": run, "arguments": {"path": str(trap)}},
    }
    for value in (run, call):
        with pytest.raises(ToolkitError, match="nothing was executed"):
            imported(edited(tmp_path, '"activation": "softmax"', f'"activation": {json.dumps(value)}'))
    assert not trap.exists()


def test_open_windows_need_steps(tmp_path: Path) -> None:
    path = edited(tmp_path, "[null, 7, 3]", "[null, null, 3]")
    with pytest.raises(ToolkitError, match="leaves the steps of a window open; add --steps N or --stream"):
        imported(path)
    assert imported(path, steps=9).network.window == 9
    with pytest.raises(ToolkitError, match=r"--steps 9: .* has windows of 7 steps"):
        imported(DATA / "keras3.keras", steps=9)


def test_damaged_files_are_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    whole = (DATA / "keras2_hard.h5").read_bytes()
    for blob in (
        whole[:3000],
        whole[:-500],
        whole[:8] + bytes(2000),
        whole.replace(b"keras_version", b"kekas_version"),
    ):
        path.write_bytes(blob)
        with pytest.raises(ToolkitError) as e:
            imported(path)
        assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)
    keras = edited(tmp_path, "keras_version", "keras_revision", member="metadata.json")
    with pytest.raises(ToolkitError, match="written by Keras None; expected version 2 or 3"):
        imported(keras)


def test_hdf5_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    import h5py

    def made(write: Any) -> bytes:
        with h5py.File(tmp_path / "x.h5", "w") as f:
            write(f)
        return (tmp_path / "x.h5").read_bytes()

    (tmp_path / "secret").write_bytes(bytes(16))
    outside = [(str(tmp_path / "secret"), 0, 16)]
    with pytest.raises(Damaged, match="packed or outside the file"):
        read_h5(made(lambda f: f.create_dataset("w", (4,), "f4", external=outside)))
    with pytest.raises(Damaged, match="packed or outside the file"):
        read_h5(made(lambda f: f.create_dataset("w", (1 << 24,), "f4", compression="gzip")))
    with pytest.raises(Damaged, match=r"w claims \[1099511627776\] and the file has"):
        read_h5(made(lambda f: f.create_dataset("w", (1 << 40,), "f4")))
    linked = read_h5(made(lambda f: f.__setitem__("w", h5py.ExternalLink(str(tmp_path / "keras.h5"), "/w"))))
    assert not linked.arrays
