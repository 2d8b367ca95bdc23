"""Writes docs/import.md: models exported by torch and Keras, imported, beside the originals; and the lists of options
in docs/importing.md. Run from the root: `python docs/import.py`; measured rows are kept in docs/import.json, which is
begun anew with `--again`."""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("KERAS_BACKEND", "torch")

from quantize.float_graph import evaluate  # noqa: E402
from toolkit.errors import ToolkitError, write_whole  # noqa: E402
from toolkit.host_f32 import build_and_load  # noqa: E402
from toolkit.importers import Options, keras_builder, keras_ops  # noqa: E402
from toolkit.importers.torch_layers import FUNCTIONS  # noqa: E402
from toolkit.importers.torch_structure import OPS, WITH_WEIGHTS  # noqa: E402
from toolkit.stages.import_ import difference, probes, read_model  # noqa: E402

KEPT, PAGE, GUIDE = (ROOT / "docs" / name for name in ("import.json", "import.md", "importing.md"))
STEPS, INPUTS, UNITS = 6, 3, 4
LAYERS, WAYS, OUT = ("1 layer", "2 layers"), ("one way", "both ways"), ("last", "sequence")
SAVES = ("zip", "legacy", "safetensors")
KERAS = {"LSTM": {}, "GRU": {}, "GRU, reset before": {"reset_after": False}, "SimpleRNN": {}}
HEAD = f"""# What was imported, and how well

Made by `python docs/import.py` ({{versions}}). Models of {INPUTS} inputs, {UNITS} units and a dense head of two
outputs, windows of {STEPS} steps, random weights; 64 windows each. A number is the largest difference from the original
in its own runtime, over max(1, max |y|): of our float64 definition and of our generated float32 C, whichever is larger
(the limit of `import` is 1e-5). Files of TFLite are in [tflite.md](tflite.md), the onnx package's own cases in
[onnx.md](onnx.md), and how to export and import in [importing.md](importing.md).

"""
Rows = dict[str, str]


def measured(path: Path) -> str:
    """The largest difference, or why the file is refused."""
    options = Options("m", STEPS, 1, False, None)
    try:
        _, imported, network = read_model(path, options, say=lambda _: None)
    except ToolkitError as e:
        return f"refused: {str(e).removeprefix(f'{path}: ')}"
    if imported.original is None:
        return f"not proven: {imported.runtime}"
    x = probes(imported, network, None)
    want = imported.original(x)[""]
    run = build_and_load(network)
    ours = (evaluate(network, x)[""], np.stack([run(window) for window in x]))
    return f"{max(difference(want, y).value for y in ours):.1e}"


def torch_model(cell: str, layers: str, ways: str, first: str, out: str) -> Any:
    """A module of torch; `first`: what its input's first axis is."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            both = ways == WAYS[1]
            self.rnn = getattr(nn, cell)(
                INPUTS, UNITS, num_layers=int(layers[0]), bidirectional=both, batch_first=first == "batch_first"
            )
            self.fc = nn.Linear(UNITS * (2 if both else 1), 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, _ = self.rnn(x)
            last = y[:, -1] if first == "batch_first" else y[-1]
            return self.fc(last if out == "last" else y)

    torch.manual_seed(0)
    return Net().eval()


def torch_rows(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Key -> what measures it: both exporters to ONNX, and the state_dict in each form."""
    import torch

    def exported(how: str, cell: str, layers: str, ways: str, first: str, out: str) -> str:
        shape = (1, STEPS, INPUTS) if first == "batch_first" else (STEPS, 1, INPUTS)
        path = folder / "model.onnx"
        model = torch_model(cell, layers, ways, first, out)
        torch.onnx.export(model, (torch.zeros(shape),), path, dynamo=how == "dynamo", verbose=False)
        return measured(path)

    def stored(how: str, cell: str, layers: str, ways: str) -> str:
        from safetensors.torch import save_file

        tensors = torch_model(cell, layers, ways, "batch_first", "last").state_dict()
        path = folder / ("model.safetensors" if how == "safetensors" else "model.pt")
        if how == "safetensors":
            save_file(tensors, path)
        else:
            torch.save(tensors, path, _use_new_zipfile_serialization=how == "zip")
        return measured(path)

    cells = ("LSTM", "GRU", "RNN")
    for key in itertools.product(("legacy", "dynamo"), cells, LAYERS, WAYS, ("batch_first", "time_first"), OUT):
        yield "onnx/" + "/".join(key), lambda key=key: exported(*key)
    for key in itertools.product(SAVES, cells, LAYERS, WAYS):
        yield "state_dict/" + "/".join(key), lambda key=key: stored(*key)


def keras_rows(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Key -> what measures it: Keras 3's own files, and the files of Keras 2 in tests/data."""
    import keras

    def saved(form: str, cell: str, layers: str, ways: str, out: str) -> str:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Input((STEPS, INPUTS))])
        for k in range(int(layers[0])):
            sequence = out == "sequence" or k + 1 < int(layers[0])
            made = getattr(keras.layers, cell.split(",")[0])(UNITS, return_sequences=sequence, **KERAS[cell])
            model.add(keras.layers.Bidirectional(made) if ways == WAYS[1] else made)
        model.add(keras.layers.Dense(2))
        path = folder / f"model.{form}"
        model.save(path)
        return measured(path)

    for key in itertools.product(("keras", "h5"), KERAS, LAYERS, WAYS, OUT):
        yield "keras/" + "/".join(key), lambda key=key: saved(*key)


def collect() -> dict[str, Any]:
    """Every row that is not measured yet, saved one by one."""
    import keras
    import onnxruntime
    import torch

    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, Keras {keras.__version__}"
    again = "--again" in sys.argv or not KEPT.is_file()
    kept: dict[str, Any] = {"versions": versions, "rows": {}} if again else json.loads(KEPT.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for key, measure in itertools.chain(torch_rows(Path(folder)), keras_rows(Path(folder))):
            if key not in kept["rows"]:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    kept["rows"][key] = measure()
                print(key, kept["rows"][key], file=sys.stderr, flush=True)
                write_whole(KEPT, json.dumps(kept, indent=1) + "\n")
    return kept


def page(kept: dict[str, Any]) -> str:
    """docs/import.md of the kept rows."""
    rows: Rows = kept["rows"]
    cells = ("LSTM", "GRU", "RNN")
    counts = [v for v in rows.values() if not v.startswith(("refused", "not proven"))]
    total = (
        f"{len(counts)} of {len(rows)} models imported; the largest difference of all is {max(counts, key=float)}.\n\n"
    )
    firsts = [f"{first}/{out}" for first in ("batch_first", "time_first") for out in OUT]
    onnx = table("exporter, layers", firsts, rows, "onnx", itertools.product(("legacy", "dynamo"), cells, LAYERS, WAYS))
    plain = {
        "/".join(("state_dict", *key[1:], key[0])): rows["/".join(("state_dict", *key))]
        for key in itertools.product(SAVES, cells, LAYERS, WAYS)
    }
    states = table("layers", list(SAVES), plain, "state_dict", itertools.product(cells, LAYERS, WAYS))
    keras = table("file, layers", list(OUT), rows, "keras", itertools.product(("keras", "h5"), KERAS, LAYERS, WAYS))
    return (
        HEAD.format(versions=kept["versions"])
        + total
        + f"## PyTorch through ONNX: `torch.onnx.export(..., dynamo=False)` and `dynamo=True`\n\n{onnx}\n"
        + "## PyTorch's state_dict\n\nThe structure is inferred, and assumed: the last step, or both directions' "
        + f"final states.\n\n{states}\n"
        + f"## Keras 3\n\n{keras}"
    )


def table(first: str, columns: list[str], rows: Rows, kind: str, keys: Iterator[tuple[str, ...]]) -> str:
    """Markdown: a line a key, a column for each end of it."""
    lines = [f"| {first} | {' | '.join(c.replace('/', ', ') for c in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for key in keys:
        found = [rows["/".join((kind, *key, c))].replace("|", "\\|") for c in columns]
        lines.append(f"| {', '.join(key)} | {' | '.join(found)} |")
    return "\n".join(lines) + "\n"


def guide(text: str) -> str:
    """docs/importing.md with the tables that the importers' registries make."""
    lines = ["| op | tensors | options and their defaults |", "|---|---|---|"]
    for op, options in OPS.items():
        told = ", ".join(f"`{k} = {json.dumps(v)}`" for k, v in options.items())
        lines.append(f"| `{op}` | {'`weights`' if op in WITH_WEIGHTS else ''} | {told} |")
    structure = "\n".join(lines) + f"\n\nFunctions of `activation`: {', '.join(FUNCTIONS)}."
    layers = [k for k in keras_ops.LAYERS] + [k for k in keras_ops.MODES]
    keras = f"Layers: {', '.join(layers)}.\n\nActivations: {', '.join([*keras_builder.NAMES, 'hard_sigmoid'])}."
    for name, made in (("structure", structure), ("keras", keras)):
        begin, end = f"<!-- {name}: made by docs/import.py -->\n", f"<!-- /{name} -->"
        before, rest = text.split(begin)
        text = before + begin + made + "\n" + end + rest.split(end, 1)[1]
    return text


if __name__ == "__main__":
    write_whole(PAGE, page(collect()))
    write_whole(GUIDE, guide(GUIDE.read_text("utf-8")))
