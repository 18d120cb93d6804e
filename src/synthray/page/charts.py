"""Line charts as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

# Told apart by colour-blind eyes (Okabe and Ito 2008), dark enough on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b38600", "#56b4e9", "#5b6b7b")
_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 48
_LEGEND_ROW = 20


@dataclass(frozen=True, eq=False)
class Series:
    """One line or cloud of points; points that are not finite are left out and break the line.

    Attributes:
        name: in the legend.
        x, y: coordinates, equally many.
        style: joined by a line, or dots.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: Literal["line", "dots"] = "line"


@dataclass(frozen=True, eq=False)
class LineChart:
    """A chart with two linear axes.

    Attributes:
        series: what to draw.
        x_label, y_label: axis titles, with units.
        caption: what it shows.
        y_range: fixed ends of the y axis; None fits the data.
    """

    series: Sequence[Series]
    x_label: str
    y_label: str
    caption: str = ""
    y_range: tuple[float, float] | None = None


def svg_chart(chart: LineChart) -> str:
    """The chart as an `<svg>` element."""
    points = [list(zip(map(float, s.x), map(float, s.y), strict=True)) for s in chart.series]
    finite = [(x, y) for line in points for x, y in line if math.isfinite(x) and math.isfinite(y)]
    x_ticks = _ticks([x for x, _ in finite] or [0, 1])
    y_ticks = _ticks(list(chart.y_range) if chart.y_range else [y for _, y in finite] or [0, 1])
    legend = _LEGEND_ROW * math.ceil(len(chart.series) / 3) if len(chart.series) > 1 else 0
    scale = _Scale(x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1])
    parts = [_grid(chart, scale, x_ticks, y_ticks)]
    for i, (series, line) in enumerate(zip(chart.series, points, strict=True)):
        colour = _COLOURS[i % len(_COLOURS)]
        parts.append(_dots(line, scale, colour) if series.style == "dots" else _line(line, scale, colour))
        if legend:
            parts.append(_legend_entry(i, series.name, colour))
    height = _HEIGHT + legend
    label = escape(chart.caption or f"{chart.y_label} against {chart.x_label}")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" aria-label="{label}" '
        f'font-family="inherit" font-size="12.5" fill="#5b6b7b">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Scale:
    left: float
    right: float
    bottom: float
    top: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place in the drawing, values beyond the axes held at their ends."""
        across = (min(max(x, self.left), self.right) - self.left) / (self.right - self.left)
        up = (min(max(y, self.bottom), self.top) - self.bottom) / (self.top - self.bottom)
        inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return round(_LEFT + across * inner_width, 2), round(_HEIGHT - _BOTTOM - up * inner_height, 2)


def _ticks(values: Sequence[float]) -> list[float]:
    """Four to nine round numbers (1, 2 or 5 times a power of ten apart) from below the least to above the greatest."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [n * step for n in range(first, last + 1)]


def _grid(chart: LineChart, scale: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> str:
    parts: list[str] = []
    for tick in y_ticks:
        x0, y = scale.at(x_ticks[0], tick)
        x1, _ = scale.at(x_ticks[-1], tick)
        parts.append(f'<path d="M{x0} {y}H{x1}" stroke="#e3e8ed"/>')
        parts.append(f'<text x="{x0 - 8}" y="{y + 4}" text-anchor="end">{tick:.6g}</text>')
    for tick in x_ticks:
        x, y = scale.at(tick, y_ticks[0])
        parts.append(f'<path d="M{x} {y}v5" stroke="#aab6c1"/>')
        parts.append(f'<text x="{x}" y="{y + 19}" text-anchor="middle">{tick:.6g}</text>')
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text x="{middle_x}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(chart.x_label)}</text>')
    turn = f'transform="rotate(-90 14 {middle_y})"'
    parts.append(f'<text x="14" y="{middle_y}" text-anchor="middle" {turn}>{escape(chart.y_label)}</text>')
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]], scale: _Scale, colour: str) -> str:
    steps: list[str] = []
    pen = "M"
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        place = scale.at(x, y)
        steps.append(f"{pen}{place[0]} {place[1]}")
        pen = "L"
    return f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'


def _dots(points: Sequence[tuple[float, float]], scale: _Scale, colour: str) -> str:
    places = [scale.at(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return "".join(f'<circle cx="{x}" cy="{y}" r="3.2" fill="{colour}" fill-opacity="0.75"/>' for x, y in places)


def _legend_entry(number: int, name: str, colour: str) -> str:
    x = _LEFT + (number % 3) * (_WIDTH - _LEFT) // 3
    y = _HEIGHT + _LEGEND_ROW * (number // 3) + 10
    return f'<rect x="{x}" y="{y - 9}" width="14" height="8" rx="2" fill="{colour}"/>' + (
        f'<text x="{x + 20}" y="{y}">{escape(name)}</text>'
    )
