"""Charts as inline SVG, drawn on the server: they read without a script, and need no inline style.

Places along the width are percentages, so that a chart is as wide as its frame while its text keeps its size; heights are
pixels. Colours come from classes (static/scores.css). Texts are escaped here, since the result is markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

LEFT, RIGHT = 11.0, 99.5
"""Where the horizontal scale begins and ends, in percent of the width; left of it stand the levels."""

PLOT = 150
"""Pixels from the base line up to the top of the vertical scale."""

LINE = 16


@dataclass(frozen=True)
class Column:
    """From `start` to `end` on the horizontal scale; `parts`, one for each series, stand on each other. `label` is its tooltip."""

    start: float
    end: float
    parts: tuple[float, ...]
    label: str


@dataclass(frozen=True)
class Chart:
    """Columns over a scale. `name` makes its ids unique on a page; `summary` says in a sentence what one sees.

    `ticks` are places on the horizontal scale with their texts, `levels` the same on the vertical one, which goes from 0 to `top`;
    `marks` are places with a text that a line is drawn at.
    """

    name: str
    title: str
    summary: str
    columns: Sequence[Column]
    series: Sequence[str]
    start: float
    end: float
    top: float
    ticks: Sequence[tuple[float, str]]
    levels: Sequence[tuple[float, str]]
    marks: Sequence[tuple[float, str]] = field(default_factory=tuple)

    def x(self, value: float) -> float:
        """Percent of the width."""
        return LEFT + (value - self.start) / (self.end - self.start) * (RIGHT - LEFT)


def draw(chart: Chart) -> Markup:
    """The chart as an `<svg>`. A mark's text has a line of its own above the plot."""
    head = LINE * len(chart.marks) + 10
    base = head + PLOT
    height = base + 24
    parts = [
        Markup(
            '<svg class="chart" width="100%" height="{}" role="img" aria-labelledby="{}-title {}-summary">'
            '<title id="{}-title">{}</title><desc id="{}-summary">{}</desc>'
        ).format(height, chart.name, chart.name, chart.name, chart.title, chart.name, chart.summary)
    ]
    for level, text in chart.levels:
        y = base - level / chart.top * PLOT
        parts.append(
            Markup(
                '<line class="chart-grid" x1="{}%" x2="{}%" y1="{:.1f}" y2="{:.1f}"/>'
                '<text class="chart-text" x="{}%" y="{:.1f}" dy="4" text-anchor="end">{}</text>'
            ).format(LEFT, RIGHT, y, y, LEFT - 1.5, y, text)
        )
    parts += [_column(chart, column, base) for column in chart.columns]
    parts.append(Markup('<line class="chart-base" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(LEFT, RIGHT, base, base))
    for place, text in chart.ticks:
        x = chart.x(place)
        anchor = "start" if x < LEFT + 2 else "end" if x > 96 else "middle"
        parts.append(
            Markup('<text class="chart-text" x="{:.3f}%" y="{}" text-anchor="{}">{}</text>').format(
                x, base + 18, anchor, text
            )
        )
    for row, (place, text) in enumerate(chart.marks):
        x = chart.x(place)
        anchor, shift = ("end", -6) if x > 60 else ("start", 6)
        y = LINE * row + 12
        parts.append(
            Markup(
                '<line class="chart-mark" x1="{:.3f}%" x2="{:.3f}%" y1="{}" y2="{}"/>'
                '<text class="chart-mark-text" x="{:.3f}%" dx="{}" y="{}" text-anchor="{}">{}</text>'
            ).format(x, x, y - 9, base, x, shift, y, anchor, text)
        )
    return Markup("").join([*parts, Markup("</svg>")])


def _column(chart: Chart, column: Column, base: int) -> Markup:
    left, right = chart.x(column.start), chart.x(column.end)
    gap = min(0.3, (right - left) * 0.12)
    drawn = Markup("")
    y = float(base)
    for series, value in zip(chart.series, column.parts, strict=True):
        if value > 0:
            # What is there must be seen, however small it is beside the others.
            tall = max(value / chart.top * PLOT, 1.5)
            y -= tall
            drawn += Markup('<rect class="{}" x="{:.3f}%" width="{:.3f}%" y="{:.1f}" height="{:.1f}"/>').format(
                series, left + gap / 2, right - left - gap, y, tall
            )
    return Markup("<g><title>{}</title>{}</g>").format(column.label, drawn) if drawn else drawn


@dataclass(frozen=True)
class Segment:
    """A part of a whole; `kind` is a class and names the pattern that it is filled with."""

    kind: str
    label: str
    count: int


def draw_parts(segments: Sequence[Segment]) -> Markup:
    """A whole as one bar of its parts. The legend beside it says the numbers, so that it is hidden from screen readers."""
    whole = sum(segment.count for segment in segments)
    shown = [segment for segment in segments if segment.count]
    parts = [Markup('<svg class="parts" width="100%" height="16" aria-hidden="true" focusable="false">')]
    at = 0.0
    # A part that would be too thin to be seen gets half a percent; the others share what is left.
    widths = [max(segment.count / whole * 100, 0.5) for segment in shown]
    scale = 100 / sum(widths) if widths else 1
    for segment, width in zip(shown, widths, strict=True):
        parts.append(
            Markup('<rect class="part part-{}" x="{:.3f}%" width="{:.3f}%" height="16"/>').format(
                segment.kind, at, width * scale
            )
        )
        at += width * scale
    return Markup("").join([*parts, Markup("</svg>")])
