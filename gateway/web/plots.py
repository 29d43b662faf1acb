"""What the charts of a score breakdown show: distributions made into columns, scales, sentences and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from gateway.distributions import BINS, Bins, Distributions
from gateway.web.charts import Chart, Column, draw
from gateway.web.render import seconds
from shared import texts

COLUMNS = 40
_FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_CLOCK = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True)
class Plot:
    """A chart with what it means, and its figures as a table."""

    title: str
    meaning: str
    svg: Markup
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    legend: Sequence[tuple[str, str]] = ()


def latency_plot(latency: Bins, spread: Mapping[str, float] | None) -> Plot | None:
    """How many calls took how long, with the median and the 95th percentile marked."""
    if not spread or not latency.counts:
        return None
    within = {at: count for at, count in latency.counts.items() if at < BINS}
    beyond = latency.counts.get(BINS, 0)
    step, columns = merged(within or {BINS - 1: 0}, COLUMNS)
    width = latency.width * step
    start, end = columns.start * width, columns.stop * width
    counts = [sum(within.get(at * step + n, 0) for n in range(step)) for at in columns]
    drawn = [
        Column(
            at * width,
            (at + 1) * width,
            (count,),
            f"{texts.duration(at * width)} to {texts.duration((at + 1) * width)}: {texts.count(count)}",
        )
        for at, count in zip(columns, counts, strict=True)
    ]
    ticks = [(at, texts.duration(at)) for at in even_ticks(start, end, 5)]
    if beyond:
        # What lies far out is one column after the others.
        room = max(width, (end - start) / 24)
        drawn.append(Column(end, end + room, (beyond,), f"above {texts.duration(end)}: {texts.count(beyond)}"))
        ticks = [tick for tick in ticks if tick[0] <= end - (end - start) / 6]
        ticks.append((end + room, f"> {texts.duration(end)}"))
        end += room
    top, levels = level(max(column.parts[0] for column in drawn))
    total = sum(latency.counts.values())
    median, high = spread["p50"], spread["p95"]
    svg = draw(
        Chart(
            name="latency",
            title="Latency",
            summary=f"{texts.count(total)} calls: half of them took at most {texts.duration(median)}, 95% at most "
            f"{texts.duration(high)}, the slowest {texts.duration(spread['max'])}.",
            columns=drawn,
            series=("chart-column",),
            start=start,
            end=end,
            top=top,
            ticks=ticks,
            levels=levels,
            marks=[
                (at, f"{name} {texts.duration(at)}")
                for name, at in (("median", median), ("95th percentile", high))
                if start <= at <= end
            ],
        )
    )
    rows = [
        (column.label.rpartition(": ")[0], texts.count(column.parts[0]), texts.percent(column.parts[0] / total))
        for column in drawn
        if column.parts[0]
    ]
    return Plot(
        "Latency",
        "How many calls took how long, from sending to the whole answer.",
        svg,
        ("Time", "Calls", "Share"),
        rows,
    )


def arrivals_plot(found: Distributions) -> Plot | None:
    """How many results a second came in over the first round, those that failed apart."""
    answered, failed = found.answered.counts, found.failed.counts
    together = {at: answered.get(at, 0) + failed.get(at, 0) for at in {*answered, *failed}}
    if not together:
        return None
    step, columns = merged({0: 0, **together}, COLUMNS)
    width = found.answered.width * step
    drawn = []
    for at in columns:
        good, bad = (sum(counts.get(at * step + n, 0) for n in range(step)) for counts in (answered, failed))
        said = f"{clock(at * width)} to {clock((at + 1) * width)}: {rate((good + bad) / width)} a second"
        drawn.append(
            Column(at * width, (at + 1) * width, (good / width, bad / width), said + (f", {bad} failed" if bad else ""))
        )
    end = columns.stop * width
    highest = max(sum(column.parts) for column in drawn)
    top, levels = level(highest)
    total = sum(together.values())
    svg = draw(
        Chart(
            name="arrivals",
            title="Throughput over time",
            summary=f"{texts.count(total)} results came in within {seconds(end)}, at most {rate(highest)} a second.",
            columns=drawn,
            series=("chart-column", "chart-failed"),
            start=0.0,
            end=end,
            top=top,
            ticks=[(at, clock(at)) for at in clock_ticks(end)],
            levels=levels,
        )
    )
    rows = [(column.label.rpartition(": ")[0], rate(column.parts[0]), rate(column.parts[1])) for column in drawn]
    legend = [("chart-column", "Answered"), ("chart-failed", "Failed")] if failed else []
    meaning = "Results a second, from the start of the run."
    return Plot("Throughput over time", meaning, svg, ("Time", "Answered/s", "Failed/s"), rows, legend)


def merged(counts: Mapping[int, int], most: int) -> tuple[int, range]:
    """How many bins go into a column so that there are at most `most`, and the columns from the first to the last with a count."""
    low, high = min(counts), max(counts)
    for step in _FACTORS:
        columns = range(low // step, high // step + 1)
        if len(columns) <= most:
            return step, columns
    raise ValueError(f"{high - low} bins are too many for {most} columns")


def level(highest: float) -> tuple[float, list[tuple[float, str]]]:
    """The top of a vertical scale, and its levels: half of it and all of it."""
    if highest <= 0:
        return 1.0, []
    power = 10.0 ** floor(log10(highest) + 1e-12)
    top = next(
        factor * power for factor in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if factor * power >= highest * 0.999999
    )
    return top, [(top / 2, compact(top / 2)), (top, compact(top))]


def even_ticks(start: float, end: float, most: int) -> list[float]:
    """At most about `most` places at multiples of 1, 2, 2.5 or 5 times a power of ten."""
    span = (end - start) / most
    power = 10.0 ** floor(log10(span) + 1e-12)
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= span * 0.999999)
    return [n * step for n in range(ceil(start / step - 1e-9), floor(end / step + 1e-9) + 1)]


def clock_ticks(end: float) -> list[float]:
    """About five places from 0 on that a clock would name."""
    step = next((step for step in _CLOCK if end / step <= 5), ceil(end / 5 / 86400) * 86400)
    return [n * step for n in range(int(end / step + 1e-9) + 1)]


def clock(value: float) -> str:
    """0 as `0 s`, 90 as `1.5 min`, 7200 as `2 h`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if value >= size:
            return f"{texts.plain(round(value / size, 1))}\u00a0{unit}"
    return f"{texts.plain(round(value, 2))}\u00a0s"


def rate(value: float) -> str:
    """Results a second."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def compact(value: float) -> str:
    """1200 as `1.2k`: what has little room."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{texts.plain(round(value / size, 2))}{unit}"
    return texts.plain(round(value, 2))


def figures(found: Distributions, metrics: Mapping[str, Any]) -> list[Plot]:
    """The plots that there is something for."""
    plots = (latency_plot(found.latency, metrics.get("latency_ms")), arrivals_plot(found))
    return [plot for plot in plots if plot]
