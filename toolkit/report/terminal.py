"""The report's summary for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

LABELS = {
    "persistence": "Last value (persistence)",
    "seasonal": "Value a season ago",
    "linear_ar": "Linear autoregression",
    "float": "Network, float",
    "quantized": "Network, quantized",
}
WIDTH = 100
BAR = 24


def size(v: float | None) -> str:
    """Bytes for people: `412 B`, `9.8 KB`, `4 MB` (of 1024)."""
    if v is None:
        return "–"
    if v < 1024:
        return f"{v:.0f} B"
    scaled, unit = (v / 1024, "KB") if v < 1024 * 1024 else (v / 1024 / 1024, "MB")
    return f"{scaled:.1f}".removesuffix(".0") + f" {unit}"


def by_folder(paths: Sequence[str]) -> list[str]:
    """`quantize.json`, `build/microbit (3 files)`: the files of one folder together."""
    folders = Counter(str(PurePosixPath(p).parent) if "/" in p else p for p in paths)
    return [f"{name} ({n} file{'s' if n > 1 else ''})" if "/" in name else name for name, n in folders.items()]


def summary(report: dict[str, Any]) -> str:
    """Accuracy, parity and memory as text, with colours where standard output is a terminal."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH)
    parts: list[RenderableType] = [Text()]
    parts += [
        *_imported(report["import"]),
        *_accuracy(report["accuracy"]),
        *_parity(report),
        *_floats(report),
        *_memory(report),
    ]
    if report["stale"]:
        parts.append(
            Text(
                f"Left out, not made for the model that is here now: {', '.join(by_folder(report['stale']))}.",
                style="yellow",
            )
        )
    with console.capture() as capture:
        console.print(Group(*parts))
    return capture.get().rstrip("\n")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 or not column else "right", no_wrap=k == 0)
    return table


def _bar(share: float) -> Text:
    filled = max(0, min(round(share * BAR), BAR))
    return Text.assemble(("█" * filled, "cyan"), ("·" * (BAR - filled), "dim"))


def imported_sentences(found: dict[str, Any] | None) -> list[str]:
    """What the import proved, and what quantization moved."""
    if found is None:
        return []
    if not found["proven"]:
        lines = [f"Imported from {found['format']}, not proven: {found['runtime']}."]
    elif found["equal"] is not None:
        lines = [f"Imported from {found['format']}: {found['equal']:.2%} of the bytes of {found['runtime']}."]
    elif found["largest"] is None:
        lines = [f"Imported from {found['format']}, int8; the quantized model that is here is not the file's own."]
    else:
        assumed = "; the structure is assumed" if found["structure"] == "assumed" else ""
        within = f"within {found['largest']:.2g} on {found['inputs']} inputs"
        lines = [f"Imported from {found['format']}: equal to {found['runtime']} {within}{assumed}."]
    if found["ner"] is not None:
        lines.append(f"Quantization moves the outputs by {found['ner']:.4f} of their deviation (NER).")
    return lines


def _imported(found: dict[str, Any] | None) -> list[RenderableType]:
    return [Text(line, style="" if found and found["proven"] else "yellow") for line in imported_sentences(found)]


def _accuracy(a: dict[str, Any]) -> list[RenderableType]:
    known = [k for k in LABELS if a.get(k) is not None]
    if not known:
        return []
    table = _table("Forecasts of the test split", f"RMSE {a['unit']}".strip(), "Skill", "")
    for k in known:
        skill = f"{(1 - a[k] / a['persistence']) * 100:.1f} %" if a["persistence"] and k != "persistence" else ""
        table.add_row(Text(LABELS[k]), f"{a[k]:.4g}", skill, _bar(a[k] / (max(a[x] for x in known) or 1)))
    lines: list[RenderableType] = [table]
    lines += [Text(s, style="bold red" if s.startswith(("Loss", "No skill")) else "green") for s in a["verdict"]]
    if a["ner"] is not None:
        lines.append(Text(f"Quantization: NER {a['ner']:.4f}, RMSE ratio {a['rmse_ratio']:.5f}."))
    return lines


def _parity(report: dict[str, Any]) -> list[RenderableType]:
    p = report["parity"]
    if p["oracle"] is None:
        return [Text("\nParity: not compared.")]
    table = _table("Parity", "Emulator", "Steps", "Run hash", "Equal", "Kernels", "Instr.")
    table.add_row(Text("oracle (NumPy)"), "", str(p["steps"]), p["oracle"], "", "", "")
    for name, b in report["boards"].items():
        equal = Text("yes", "green") if b["parity"] else Text("NO", "bold red") if b["hash"] else Text("not compared")
        steps = "" if b["steps"] is None else str(b["steps"])
        per = "" if b["instructions_per_step"] is None else f"{b['instructions_per_step']:,.0f}"
        table.add_row(
            Text(name), Text(b["emulator"] or ""), steps, Text(b["hash"] or ""), equal, kernels(b["kernels"]), per
        )
    if p["equal"]:
        said = Text(f"Bit for bit equal, every output and every state: oracle = {' = '.join(p['compared'])}.", "green")
    else:
        said = Text("Parity is not shown: something differs, or was not compared.", "bold red")
    return [table, said]


def float_line(name: str, f: dict[str, Any]) -> str:
    """What a float32 run is held to: never equal bits."""
    if not f["passed"]:
        return f"float32, {name}: not within 1e-5 of float64."
    return f"float32, {name}: {f['steps']} steps within 1e-5 of float64, at most {f['error']:.2g}."


def _floats(report: dict[str, Any]) -> list[RenderableType]:
    return [Text(float_line(k, f), style="green" if f["passed"] else "bold red") for k, f in report["f32"].items()]


def kernels(found: dict[str, str]) -> str:
    """`dsp`, or `dsp (head ref)` where a layer has another kernel than most."""
    used = list(found.values())
    if not used:
        return ""
    most = max(dict.fromkeys(used), key=used.count)
    others = [f"{k} {v}" for k, v in found.items() if v != most]
    return f"{most} ({', '.join(others)})" if others else most


def _memory(report: dict[str, Any]) -> list[RenderableType]:
    m, built = report["memory"], {n: b for n, b in report["boards"].items() if b["memory"]["flash"] is not None}
    if not built:
        return []
    table = _table("Memory", "Used", "Of", "", "")
    for name, b in built.items():
        own = b["memory"]
        stack = b["stack_total"] if b["stack_total"] is not None else b["stack_limit"] or 0
        for what, used, limit in (
            ("flash", own["flash"], b["flash_limit"]),
            ("RAM", own["ram"] + stack, b["ram_limit"]),
        ):
            share = used / limit if limit else 0.0
            table.add_row(Text(f"{name} {what}"), size(used), size(limit), f"{share * 100:.2g} %", _bar(share))
    model = f"weights {size(m['weights'])}, tables {size(m['tables'])}, code {size(m['code'])}"
    stream = f"{size((m['state'] or 0) + (m['scratch'] or 0))} per stream"
    stack = f", stack {size(m['stack'])}" if m["stack"] is not None else ""
    return [table, Text(f"The model itself on {m['board']}: {model}; RAM {stream}{stack}.")]
