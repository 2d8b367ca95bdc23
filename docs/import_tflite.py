"""The table of docs/tflite.md: every file of tests/data/tflite/ through `import`, with its proof.

.venv/bin/python docs/import_tflite.py"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from quantize.network import load_network  # noqa: E402
from toolkit.errors import ToolkitError  # noqa: E402
from toolkit.importers import Options  # noqa: E402
from toolkit.stages.import_ import import_model  # noqa: E402

PAGE = ROOT / "docs" / "tflite.md"
BEGIN, END = "<!-- table: docs/import_tflite.py -->", "<!-- end -->"
MADE = {"fused": "tf_keras", "loop": "Keras 3", "unrolled": "Keras 3"}


def files() -> list[Path]:
    """The fixtures, in order."""
    return sorted((ROOT / "tests" / "data" / "tflite").glob("*.tflite"))


def row(path: Path, folder: Path) -> str:
    """One line: imported with the largest difference or the share of equal bytes, or refused and why."""
    kind, _, what = path.stem.partition("_")
    made = "tf_keras" if what.endswith("tf_keras") else MADE[kind]
    begin = f"| {what.removesuffix('_tf_keras').replace('_', ' ')} | {made}, {kind} |"
    out = folder / path.stem / "model.safetensors"
    options = Options("net", None, None, False, None)
    try:
        found: dict[str, Any] = import_model(path, out, options, samples=None, say=lambda s: None)
    except ToolkitError as e:
        reason = str(e).split(": ", 1)[1].replace("|", r"\|")
        return f"{begin} {path.stat().st_size} | | refused: {reason} | | |"
    layers = load_network(out).layers
    weights = sum(v.nbytes for x in layers for v in x.weights.values())
    if "equal" in found:
        weights //= 4
        result = f"| {found['equal']:.2%} of {found['bytes']}"
    else:
        result = f"{max(d['largest'] for d in found['differences'].values()):.1e} |"
    names = ", ".join(x.op for x in layers)
    return f"{begin} {path.stat().st_size} | {weights} | imported: {names} | {result} |"


def table() -> str:
    """The whole table."""
    head = "| model | made by, as | bytes of the file | of our weights | | largest difference | equal bytes |"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [row(path, Path(folder)) for path in files()]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def main() -> None:
    """Writes the table into the page."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
