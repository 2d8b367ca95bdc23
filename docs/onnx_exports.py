"""Writes docs/onnx_exports.json: recurrent models through both of PyTorch's ONNX exporters, imported and compared with
onnxruntime. docs/onnx_cases.py shows it. Run from the root: `python -m docs.onnx_exports`; five minutes."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from tests.onnx_models import differences, imported
from tests.torch_exports import STEPS, exported, grid
from toolkit.errors import ToolkitError

FILE = Path(__file__).with_suffix(".json")
RUNS = ("torch", "onnxscript", "onnxruntime")


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in grid():
            row = [case.exporter, case.cell, case.layers, case.both, case.batch_first, case.output]
            try:
                rows.append([*row, max(differences(imported(exported(case), Path(folder), steps=STEPS)).values())])
            except ToolkitError as e:
                rows.append([*row, str(e)])
            print(*rows[-1], file=sys.stderr)
    versions = {name: metadata.version(name).split("+")[0] for name in RUNS}
    lines = ",\n".join(json.dumps(row) for row in rows)
    FILE.write_text(f'{{"versions": {json.dumps(versions)}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
