"""Writes docs/onnx.md: what the ONNX importer takes, and the onnx package's own cases for operators run through it and
through the generated C. Run from the root: `python -m docs.onnx_cases`; five minutes, later ones less."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import onnx

from tests.onnx_conformance import Outcome, cases, compiled, outcomes
from toolkit.importers.onnx_ import FORMS, LAYERS
from toolkit.importers.onnx_constants import CONSTANTS
from toolkit.importers.onnx_moves import MOVES
from toolkit.importers.onnx_read import FIRST_OPSET

EXPORTS = Path(__file__).with_name("onnx_exports.json")
PAGE = Path(__file__).with_name("onnx.md")  # a docs/onnx.py would be what `import onnx` finds
HEAD = """# ONNX

`import` takes opset {first} to {newest}, float32 or double, of any exporter. It follows every tensor of the graph as
an array of addresses (layer, window, step, feature), so Transpose, Reshape, Slice, Concat and their like are exact
wherever they stand, and what cannot be a layer is refused by its operator and node. `export --to onnx` writes standard
operators; importing that file gives the same network, bit for bit.

Layers are made of: {layers}.

Values are moved by: {moves}; Shape is a constant, because open sizes are fixed first (`--steps`, `--batch`). Constants
alone may also go through: {constants}.

Not taken, and what to use: {forms}.

Things to know: an input besides the sequence is a first state of a recurrent layer and taken as zeros; the model's
output is the first one, the others are left out with a remark; last cell states, `sequence_lens` below the
window, first states that depend on the input, and quantized activations are refused; a clip in ONNX bounds the gates'
inputs. An RNN that was unrolled step by step becomes one layer again; layer normalisation, GELU and softsign that an
older opset wrote in several operators, too.

## The onnx package's own cases

Every case of onnx {version} (`onnx.backend.test`) whose graph holds one of these operators: import, the float64
definition as read and as deployed, and the generated float32 C, each compared with the expected output within the
case's tolerance. "expanded" are operators written out in others. The case's first input is the sequence, the others are
constants.

{table}

## PyTorch's exporters

{exports}

### Passed cases
{passed_and_refused}
"""


def main() -> None:
    found = [o for case in cases() for o in outcomes(case, compiled)]
    failed = [o for o in found if o.result == "failed"]
    assert not failed, "\n".join(f"{o.case}: {o.text}" for o in failed)
    PAGE.write_text(_page(found), encoding="utf-8")


def _page(found: list[Outcome]) -> str:
    kinds = ("passed", "refused", "failed")
    groups = {"of one operator": [o for o in found if not expanded(o)], "expanded": [o for o in found if expanded(o)]}
    table = ["| outputs of cases | passed | refused by name | failed |", "|---|---|---|---|"]
    for name, outs in groups.items():
        counts = Counter(o.result for o in outs)
        table.append(f"| {name} | {' | '.join(str(counts[k]) for k in kinds)} |")
    return HEAD.format(
        first=FIRST_OPSET,
        newest=onnx.defs.onnx_opset_version(),
        version=onnx.__version__,
        layers=", ".join(sorted(LAYERS)),
        moves=", ".join(sorted(MOVES)),
        constants=", ".join(sorted(CONSTANTS.keys() - LAYERS.keys() - MOVES.keys())),
        forms="; ".join(f"{op}: {form}" for op, form in sorted(FORMS.items())),
        table="\n".join(table),
        exports=_exports(),
        passed_and_refused=_lists(found),
    )


def _exports() -> str:
    """The grid of docs/onnx_exports.py, a row for each exporter, cell and output."""
    made = json.loads(EXPORTS.read_text("utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    head = [
        "| exporter | cell | dense layer sees | imported | largest difference from onnxruntime |",
        "|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, ...], list[float | str]] = {}
    for exporter, cell, _, _, _, output, found in made["rows"]:
        groups.setdefault((exporter, cell, output), []).append(found)
    for key, found in groups.items():
        good = [d for d in found if isinstance(d, float)]
        head.append(f"| {' | '.join(key)} | {len(good)} of {len(found)} | {max(good):.1e} |")
    return "\n".join([f"{versions}; 1 and 2 layers, one and both directions, batch first and time first.", "", *head])


def expanded(o: Outcome) -> bool:
    """Whether a case is an operator written out in others."""
    return "_expanded" in o.case


def _lists(found: list[Outcome]) -> str:
    passed = sorted({o.case.removeprefix("test_") for o in found if o.result == "passed"})
    lines = ["", ", ".join(passed), "", "### Refused cases, by what was said", ""]
    reasons: dict[str, list[str]] = {}
    for o in found:
        if o.result == "refused":
            reasons.setdefault(_reason(o.text), []).append(o.case.removeprefix("test_"))
    for reason, names in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        shown = list(dict.fromkeys(names))
        more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
        lines.append(f"- {reason} ({', '.join(shown[:6])}{more})")
    return "\n".join(lines)


def _reason(text: str) -> str:
    """A message without the names and sizes of one case, and without the list of all operators."""
    text = re.sub(r' "[^"]*"| that makes [^:]*', "", text)
    text = re.sub(r"; (supported|expected one of):? .*", "", text)
    return re.sub(r"\[[^]]*\]|\b\d+\b", "n", text).replace("|", "or")


if __name__ == "__main__":
    main()
