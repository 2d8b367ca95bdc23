"""Fills in what README.md shows of the program's own output. Run from the root: `python docs/readme.py`; a minute."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from quantize.float_ops import MERGE, SEQUENCE
from quantize.ops import OPS as INTEGER
from toolkit.boards import board_names, load_board
from toolkit.nn.layers import OP
from toolkit.stages.boards import table
from toolkit.targets import F32, TARGETS, W8A8

PAGE = Path(__file__).resolve().parents[1] / "README.md"


def boards_table() -> str:
    """The boards, from their TOML files, and how each was tried."""
    heads, *rows = table([load_board(name) for name in board_names()])
    rows = [(f"`{name}`", chip, core, f"`{kernels}`", *rest) for name, chip, core, kernels, *rest in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))


INTEGER_FORM = {  # what quantize.deployable makes of an op that has no kernel of its own
    "activation": "relu, tanh, sigmoid",
    "scale": "yes",
    "take": "the last step",
}
FPU_CORES = {"fpv4": "Cortex-M4, M7, M33 with an FPU"}
OPS = {"lstm_step": "LSTM", "gru_step": "GRU", "dense": "dense head"}


def targets_table() -> str:
    """The kernel targets, from the registry."""
    rows = ["| kernels | for | its own; the rest from `ref` | tables |", "|---|---|---|---|"]
    for t in TARGETS.values():
        schemes: dict[str, list[str]] = {}
        other = W8A8[t.name].ops if t.name in W8A8 else frozenset()
        floats = {f"{op}_f32" for op in OPS if op != "dense" or F32[t.name].dense} if t.name in F32 else set()
        found = (op.rsplit("_", 1) for op in t.ops | other | floats)
        for op, scheme in sorted(found, key=lambda o: [*OPS].index(o[0])):
            schemes.setdefault(OPS[op], []).append(scheme)
        own = ", ".join(f"{op} {' '.join(sorted(names))}" for op, names in schemes.items())
        rows.append(f"| `{t.name}` | {t.cores} | {own} | {t.table_bytes} B |")
    for name in F32.keys() - TARGETS.keys():  # of the FPU alone
        own = ", ".join(f"{text} f32" for op, text in OPS.items() if op != "dense" or F32[name].dense)
        rows.append(f"| `{name}` | {FPU_CORES[name]} | {own} | – |")
    return "\n".join(rows)


def layers_table() -> str:
    """What is trained, imported, quantized, and generated as C, from the registries."""
    head = "| layer | trained | imported | w8a16, C for every board | w8a8 | C in f32 |"
    rows = [head, "|---|---|---|---|---|---|"]
    trained = {*OP.values(), "add"}
    for op in dict.fromkeys((*OP.values(), *SEQUENCE, *MERGE)):
        if op != "dense_hidden":  # what a dense layer below the head becomes
            small = any(f"{op}{s}" in INTEGER for s in ("_w8a8", "_w16a8"))
            cells = (op in trained, op != "lstm_norm", INTEGER_FORM.get(op, op in INTEGER), small, True)
            rows.append(f"| `{op}` | {' | '.join(c if isinstance(c, str) else 'yes' if c else 'no' for c in cells)} |")
    return "\n".join(rows)


def replaced(text: str, mark: str, content: str) -> str:
    """`text` with what stands between the two comments `mark` exchanged."""
    block = f"<!-- {mark} -->\n{content}\n<!-- /{mark} -->"
    return re.sub(f"<!-- {mark} -->.*?<!-- /{mark} -->", lambda _: block, text, flags=re.S)


def main() -> None:
    demo = subprocess.run([sys.executable, "-m", "toolkit", "demo"], stdout=subprocess.PIPE, text=True, check=True)
    shown = "\n".join(line.rstrip() for line in demo.stdout.strip().splitlines())
    text = replaced(PAGE.read_text("utf-8"), "demo", f"```text\n{shown}\n```")
    text = replaced(text, "targets", targets_table())
    text = replaced(text, "layers", layers_table())
    PAGE.write_text(replaced(text, "boards", boards_table()), "utf-8")


if __name__ == "__main__":
    main()
