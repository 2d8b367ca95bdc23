"""The pictures of the report: forecast, errors, training, drift. Each in any width, so that a phone gets its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup

from toolkit.data.prepared import Prepared, pairs
from toolkit.report.svg import Frame, grid_y, labels_x, line, moment, num, padded, svg, text, ticks, time_ticks

STRETCH = 240  # forecasts shown
SERIES = {  # key: (label, css), in drawing order
    "persistence": ("Last value", "s-persistence"),
    "linear_ar": ("Linear AR", "s-linear_ar"),
    "float": ("Network, float", "s-float"),
    "quantized": ("Network, quantized", "s-quantized"),
}
BINS = 41
QUARTERS = ("1st", "2nd", "3rd", "4th")


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Part of the test rows, by the time that each forecast is for. A line breaks before `breaks`."""

    times: np.ndarray
    values: Mapping[str, np.ndarray]  # of METHODS, [n]
    breaks: np.ndarray
    truth_times: np.ndarray
    truth: np.ndarray
    truth_breaks: np.ndarray
    period: float


def stretch(forecast: Mapping[str, np.ndarray], prepared: Prepared, j: int) -> Stretch:
    """The liveliest STRETCH forecasts of target j: the largest standard deviation of the truth decides, alone."""
    truth, rows = forecast["truth"][:, j], forecast["rows"]
    count = min(STRETCH, len(truth))
    starts = np.arange(0, len(truth) - count + 1, max(1, count // 8))
    spans = rows[starts + count - 1] - rows[starts]
    alive = np.array([truth[s : s + count].std() for s in starts])
    at = int(starts[np.argmax(np.where(spans <= np.median(spans), alive, -1.0))])  # no more gaps than usual
    some = slice(at, at + count)
    rows = rows[some]
    target, horizon = pairs(prepared)[j]
    lead = horizon * (prepared.period or 1)
    first, last = int(rows[0]), int(rows[-1]) + horizon
    all_rows = np.arange(first, last + 1)
    return Stretch(
        times=forecast["times"][some] + lead,
        values={k: forecast[k][some, j] for k in SERIES},
        breaks=np.flatnonzero(np.diff(rows) != 1) + 1,
        truth_times=prepared.times[all_rows],
        truth=prepared.values[all_rows, target],
        truth_breaks=np.flatnonzero(np.isin(all_rows, prepared.starts)),
        period=prepared.period,
    )


def forecast_chart(s: Stretch, name: str, unit: str, width: int) -> Markup:
    """Truth, network and baselines over time; each forecast stands at the time that it is for."""
    wide = width > 600
    x = float(min(s.times[0], s.truth_times[0])), float(max(s.times[-1], s.truth_times[-1]))
    y = padded([s.truth, *s.values.values()], 0.05)
    f = Frame(width, 380 if wide else 300, x, y, top=24)
    parts = [
        grid_y(f, ticks(*y, 6 if wide else 5), unit),
        labels_x(f, time_ticks(*x, 9 if wide else 4, s.period)),
        *(line(f, s.times, s.values[k], s.breaks, css) for k, (_, css) in SERIES.items() if k != "quantized"),
        line(f, s.truth_times, s.truth, s.truth_breaks, "s-truth"),
        line(f, s.times, s.values["quantized"], s.breaks, "s-quantized"),
        _lone_points(f, s),
        *_hits(f, s, unit, every=1 if wide else 2),
    ]
    return svg(f, f"{name}: forecasts of the network and of two baselines against the truth, over time", parts)


def _lone_points(f: Frame, s: Stretch) -> str:
    """A forecast alone between two gaps is no line; it is drawn as a dot."""
    edges = [0, *s.breaks.tolist(), len(s.times)]
    alone = [a for a, b in pairwise(edges) if b - a == 1]
    y = s.values["quantized"]
    return "".join(
        f'<circle cx="{num(f.px(float(s.times[k])))}" cy="{num(f.py(float(y[k])))}" r="2" class="dot"/>' for k in alone
    )


def _hits(f: Frame, s: Stretch, unit: str, every: int) -> list[Markup]:
    """Invisible strips that show the values of their moment."""
    out = []
    truth_at = dict(zip(s.truth_times.tolist(), s.truth.tolist(), strict=True))
    strip = (f.width - f.left - f.right) / max(len(s.times) / every, 1)
    for k in range(0, len(s.times), every):
        t = s.times[k]
        px = f.px(float(t))
        true = truth_at.get(int(t))
        shown = [] if true is None else [f"truth {true:.4g}"]
        shown += [f"{label.lower()} {s.values[key][k]:.4g}" for key, (label, _) in reversed(SERIES.items())]
        title = f"{moment(float(t), s.period)}: {', '.join(shown)}{' ' + unit if unit else ''}"
        base, high = f.height - f.bottom, f.height - f.bottom - f.top
        cy = num(f.py(float(s.values["quantized"][k])))
        out.append(
            Markup(
                '<g class="hit"><rect x="{}" y="{}" width="{}" height="{}"/><line x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<circle cx="{}" cy="{}" r="3.5"/><title>{}</title></g>'
            ).format(num(px - strip / 2), f.top, num(strip), high, num(px), num(px), f.top, base, num(px), cy, title)
        )
    return out


def histogram(forecast: Mapping[str, np.ndarray], name: str, unit: str, j: int, width: int) -> Markup:
    """How often each method errs by how much. The outer bins also hold what is beyond the last value's 99.5 %."""
    errors = {k: forecast[k][:, j] - forecast["truth"][:, j] for k in ("persistence", "float", "quantized")}
    reach = float(np.quantile(np.abs(errors["persistence"]), 0.995)) or float(np.abs(errors["quantized"]).max()) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    counts = {k: np.histogram(np.clip(e, -reach, reach), edges)[0] / len(e) * 100 for k, e in errors.items()}
    top = max(float(c.max()) for c in counts.values()) * 1.08
    f = Frame(width, 250, (-reach, reach), (0.0, top), top=24)
    parts = [
        grid_y(f, ticks(0, top, 4), "% of forecasts"),
        _steps(f, edges, counts["quantized"], "h-quantized", fill=True),
    ]
    parts += [
        _steps(f, edges, counts[k], css, fill=False)
        for k, css in (("persistence", "s-persistence"), ("float", "s-float"))
    ]
    parts.append(_steps(f, edges, counts["quantized"], "s-quantized", fill=False))
    parts.append(
        labels_x(
            f, [(v, f"{v:+.4g}".replace("-", "−") if v else "0") for v in ticks(-reach, reach, 6 if width > 420 else 4)]
        )
    )
    names = {"quantized": "quantized", "float": "float", "persistence": "last value"}
    for k in range(BINS):
        left, right = f.px(edges[k]), f.px(edges[k + 1])
        shown = ", ".join(f"{label} {counts[key][k]:.2g} %" for key, label in names.items())
        title = f"error {edges[k]:+.3g} to {edges[k + 1]:+.3g} {unit}: {shown}"
        parts.append(
            Markup('<g class="hit"><rect x="{}" y="{}" width="{}" height="{}"/><title>{}</title></g>').format(
                num(left), f.top, num(right - left), f.height - f.top - f.bottom, title
            )
        )
    return svg(f, f"{name}: histogram of the forecast errors of the network and of the last value", parts)


def _steps(f: Frame, edges: np.ndarray, counts: np.ndarray, css: str, *, fill: bool) -> str:
    """The outline of a histogram."""
    base = num(f.py(0.0))
    points = [f"M{num(f.px(float(edges[0])))} {base}"]
    for k, c in enumerate(counts):
        points.append(f"V{num(f.py(float(c)))}H{num(f.px(float(edges[k + 1])))}")
    return f'<path d="{"".join(points)}V{base}{"Z" if fill else ""}" class="{css}"/>'


def training_chart(epochs: Sequence[Mapping[str, Any]], width: int) -> Markup:
    """Training and validation loss by epoch; the dot is the epoch whose weights were kept."""
    x = np.array([float(e["epoch"]) for e in epochs])
    curves = {k: np.array([float(e[k]) for e in epochs]) for k in ("train", "val")}
    low, high = padded(list(curves.values()), 0.06)
    f = Frame(width, 250, (float(x[0]), float(x[-1])), (max(low, 0.0), high), top=24, left=52)
    none = np.empty(0, int)
    best = max((k for k, e in enumerate(epochs) if e.get("best")), default=None)
    parts = [
        grid_y(f, ticks(*f.y, 4), "loss (MSE, normalised)"),
        labels_x(f, [(v, f"{v:g}") for v in ticks(*f.x, 6 if width > 420 else 4) if v == int(v)]),
        line(f, x, curves["train"], none, "s-train"),
        line(f, x, curves["val"], none, "s-quantized"),
    ]
    if best is not None:
        px, py = f.px(x[best]), f.py(curves["val"][best])
        title = f"epoch {int(x[best])} was kept: validation loss {curves['val'][best]:.4g}"
        dot = '<circle cx="{}" cy="{}" r="4.5" class="dot"><title>{}</title></circle>'
        parts.append(Markup(dot).format(num(px), num(py), title))
    return svg(f, "Training and validation loss by epoch", parts)


def drift_chart(drift: Mapping[str, Any], width: int) -> Markup:
    """NER of the stream, by quarter of the steps since the reset."""
    ner = [float(v) for v in drift["ner_by_quarter"]]
    top = max(*ner, 1e-12) * 1.25
    f = Frame(width, 190, (0.0, 4.0), (0.0, top), top=24, left=58)
    parts = [grid_y(f, ticks(0, top, 3), "NER"), labels_x(f, [])]
    steps = int(drift["steps"])
    for k, v in enumerate(ner):
        left, right, y = f.px(k + 0.2), f.px(k + 0.8), f.py(v)
        title = f"steps {steps * k // 4} to {steps * (k + 1) // 4} since the reset: NER {v:.3g}"
        bar = '<rect x="{}" y="{}" width="{}" height="{}" rx="3" class="bar"><title>{}</title></rect>'
        parts.append(Markup(bar).format(num(left), num(y), num(right - left), num(f.py(0) - y), title))
        parts.append(text((left + right) / 2, y - 6, f"{v:.4f}", "tick mid strong"))
        parts.append(
            text((left + right) / 2, f.height - 11, f"{QUARTERS[k]}{' quarter' if width > 420 else ''}", "tick mid")
        )
    return svg(f, "Difference between quantized and float network by quarter of the stream", parts)
