"""report.json and the run's arrays -> report.html. Everything from the run is escaped by the template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jinja2
from markupsafe import Markup

from toolkit.report import charts
from toolkit.report.files import METHODS, RunFiles
from toolkit.report.scores import tables
from toolkit.report.svg import moment
from toolkit.report.terminal import LABELS, by_folder, float_line, kernels, size

TARGETS = 4  # drawn at most
FLASH_KINDS = (
    ("weights", "weights, biases, multipliers"),
    ("tables", "sigmoid and tanh tables"),
    ("code", "the model's code"),
    ("firmware", "startup, UART and test program"),
    ("vectors", "test vectors, not in a product"),
)


def page(files: RunFiles, report: dict[str, Any]) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("toolkit.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.filters.update(
        size=size, kernels=kernels, count=lambda v: "–" if v is None else f"{v:,.0f}".replace(",", "\u202f")
    )
    environment.globals.update(both=both, float_line=float_line, labels={k: LABELS[k] for k in METHODS})
    return environment.get_template("report.html.j2").render(
        r=report,
        targets=_targets(files, report),
        rmse_bars=_rmse_bars(report),
        metrics=tables(report["metrics"], LABELS),
        training=_both(lambda w: charts.training_chart(files.epochs, w), 460, 360) if len(files.epochs) > 1 else None,
        drift=_drift(report),
        flash=[_flash(n, b) for n, b in report["boards"].items() if b["memory"]["flash"] is not None],
        ram=[_ram(n, b) for n, b in report["boards"].items() if b["memory"]["ram"] is not None],
        summary=_summary(report),
        stale=by_folder(report["stale"]),
    )


def both(wide: Markup, narrow: Markup) -> Markup:
    """Two drawings of one picture; the page's width decides which is seen."""
    return Markup('<div class="wide">{}</div><div class="narrow">{}</div>').format(wide, narrow)


def _both(draw: Callable[[int], Markup], wide: int, narrow: int) -> Markup:
    return both(draw(wide), draw(narrow))


def _targets(files: RunFiles, report: dict[str, Any]) -> list[dict[str, Any]]:
    forecast, prepared = files.forecast, files.prepared
    if forecast is None or prepared is None or not len(forecast["rows"]):
        return []
    out = []
    for j, target in enumerate(report["accuracy"]["targets"][:TARGETS]):
        shown, name, unit = charts.stretch(forecast, prepared, j), target["name"], target["unit"]
        out.append(
            {
                "name": name,
                "unit": unit,
                "forecast": both(*(charts.forecast_chart(shown, name, unit, w) for w in (960, 380))),
                "histogram": both(*(charts.histogram(forecast, name, unit, j, w) for w in (460, 360))),
                "gaps": len(shown.breaks),
                "span": " to ".join(moment(float(t), shown.period) for t in shown.times[[0, -1]]),
                "shown": len(shown.times),
            }
        )
    return out


def _rmse_bars(report: dict[str, Any]) -> list[dict[str, Any]]:
    """One bar per method, and its skill over the last value."""
    a = report["accuracy"]
    known = [k for k in METHODS if a[k] is not None]
    longest = max((a[k] for k in known), default=1.0) or 1.0
    return [
        {
            "key": k,
            "label": LABELS[k],
            "rmse": a[k],
            "share": a[k] / longest * 100,
            "skill": 1 - a[k] / a["persistence"] if a["persistence"] else None,
        }
        for k in known
    ]


def _drift(report: dict[str, Any]) -> Markup | None:
    drift = report["quantization"]["drift"]
    return None if drift is None else both(charts.drift_chart(drift, 460), charts.drift_chart(drift, 360))


def _flash(name: str, b: dict[str, Any]) -> dict[str, Any]:
    m = b["memory"]
    parts = [
        {"kind": k, "words": words, "bytes": m[k], "share": m[k] / m["flash_image"] * 100} for k, words in FLASH_KINDS
    ]
    used = {"bytes": m["flash"], "limit": b["flash_limit"], "image": m["flash_image"]}
    return {"name": name, "title": b["title"], "parts": parts, **used}


def _ram(name: str, b: dict[str, Any]) -> dict[str, Any]:
    """What lies in RAM: the stream's struct, other variables, and the stack as measured, or else its reserve."""
    m = b["memory"]
    own = (m["state"] or 0) + (m["scratch"] or 0)
    stack = b["stack_total"] if b["stack_total"] is not None else b["stack_limit"] or 0
    kinds = (
        ("state", "one stream's state", m["state"] or 0),
        ("scratch", "scratch beside it", m["scratch"] or 0),
        ("firmware", "test program's variables", max(m["ram"] - own, 0)),
        ("stack", "stack: measured, before a run its reserve", stack),
    )
    total = sum(v for *_, v in kinds) or 1
    parts = [{"kind": k, "words": w, "bytes": v, "share": v / total * 100} for k, w, v in kinds]
    return {"name": name, "title": b["title"], "parts": parts, "bytes": total, "limit": b["ram_limit"]}


def _summary(report: dict[str, Any]) -> str:
    """What the network is, in one line: `LSTM 1 → 32 → dense 1`."""
    m = report["model"]
    ops = {"lstm": "LSTM", "gru": "GRU", "lstm_norm": "LSTM with layer norm"}
    shape = " → ".join([str(len(m["inputs"])), *(f"{ops.get(x['op'], x['op'])} {x['outputs']}" for x in m["layers"])])
    ahead = f"{m['horizon']} step{'s' if m['horizon'] != 1 else ''} ahead"
    if m["period"]:
        ahead += f" ({duration(m['horizon'] * m['period'])})"
    mode = f"windows of {m['window']} samples" if m["mode"] == "window" else "one endless stream"
    return f"{shape}, {ahead}, {mode}"


def duration(seconds: float) -> str:
    """`30 min`, `2 h`, `1.5 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
