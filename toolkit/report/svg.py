"""A little SVG: a frame with round ticks, lines that break, escaped text. Colours come from the page's CSS classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from markupsafe import Markup

STEPS_S = (60, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400, 30 * 86400, 365 * 86400)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot area in SVG units, and the data that its edges stand for."""

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]
    left: int = 46
    right: int = 12
    top: int = 12
    bottom: int = 30

    def px(self, x: float) -> float:
        """Data to SVG units, across."""
        low, high = self.x
        return self.left + (x - low) / ((high - low) or 1.0) * (self.width - self.left - self.right)

    def py(self, y: float) -> float:
        """Data to SVG units, down."""
        low, high = self.y
        return self.height - self.bottom - (y - low) / ((high - low) or 1.0) * (self.height - self.top - self.bottom)


def num(v: float) -> str:
    """A coordinate: a tenth of a unit is enough."""
    return f"{v:.1f}".removesuffix(".0")


def text(x: float, y: float, content: str, css: str) -> Markup:
    """Escaped text at a place."""
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(num(x), num(y), css, content)


def svg(frame: Frame, label: str, parts: Sequence[str]) -> Markup:
    """The picture; `label` is what a screen reader says."""
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(frame.width, frame.height, label)
    return head + Markup("").join(Markup(p) for p in parts) + Markup("</svg>")


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from low to high."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def grid_y(frame: Frame, values: Sequence[float], unit: str) -> str:
    """Horizontal lines with their numbers; the unit stands above the axis."""
    parts = []
    for v in values:
        y = num(frame.py(v))
        parts.append(
            Markup(f'<line x1="{frame.left}" x2="{frame.width - frame.right}" y1="{y}" y2="{y}" class="grid"/>')
        )
        parts.append(text(frame.left - 8, frame.py(v) + 4, f"{v:.6g}".replace("-", "−"), "tick end"))
    if unit:
        parts.append(text(2, frame.top - 4, unit, "tick"))
    return "".join(parts)


def labels_x(frame: Frame, labelled: Sequence[tuple[float, str]]) -> str:
    """Numbers or times under the plot, with small marks."""
    base = frame.height - frame.bottom
    parts = [Markup(f'<line x1="{frame.left}" x2="{frame.width - frame.right}" y1="{base}" y2="{base}" class="axis"/>')]
    for v, label in labelled:
        x = num(frame.px(v))
        parts.append(Markup(f'<line x1="{x}" x2="{x}" y1="{base}" y2="{base + 4}" class="axis"/>'))
        parts.append(text(frame.px(v), base + 18, label, "tick mid"))
    return "".join(parts)


def time_ticks(low: float, high: float, count: int, period: float) -> list[tuple[float, str]]:
    """Round times (epoch seconds, as the file has them); row numbers when the period is unknown (0)."""
    if period == 0:
        return [(v, f"{v:.6g}") for v in ticks(low, high, count)]
    step = next((s for s in STEPS_S if (high - low) / s <= count), STEPS_S[-1])
    first = math.ceil(low / step) * step
    out = []
    for t in range(first, math.floor(high) + 1, step):
        when = datetime.fromtimestamp(t, timezone.utc)
        midnight = t % 86400 == 0 or step >= 86400
        out.append((float(t), f"{when.day} {MONTHS[when.month - 1]}" if midnight else f"{when:%H:%M}"))
    return out


def moment(t: float, period: float) -> str:
    """A time for people; `row 17` when the period is unknown."""
    if period == 0:
        return f"row {int(t)}"
    when = datetime.fromtimestamp(int(t), timezone.utc)
    return f"{when.day} {MONTHS[when.month - 1]} {when.year} {when:%H:%M}"


def line(frame: Frame, x: np.ndarray, y: np.ndarray, breaks: np.ndarray, css: str) -> str:
    """A line that breaks before each index in `breaks` and at what is not finite."""
    parts: list[str] = []
    pen = "M"
    stops = set(breaks.tolist())
    for k in range(len(x)):
        if not (math.isfinite(x[k]) and math.isfinite(y[k])):
            pen = "M"
            continue
        if k in stops:
            pen = "M"
        parts.append(f"{pen}{num(frame.px(float(x[k])))} {num(frame.py(float(y[k])))}")
        pen = "L"
    return f'<path d="{"".join(parts)}" class="{css}"/>'


def padded(values: Sequence[np.ndarray], share: float) -> tuple[float, float]:
    """The range of all finite values, with some air."""
    every = np.concatenate([np.ravel(v) for v in values])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    air = (high - low) * share or max(abs(high), 1.0) * share
    return low - air, high + air
