"""Metrics and settings of evaluations beside each other, as the comparison shows them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.ranking import metric
from gateway.web.render import seconds, words
from shared import texts
from shared.manifest import Column
from shared.storage.mongo import Document

Interval = tuple[float, float]


@dataclass
class Cell:
    """A metric of one evaluation. `share` and `interval` are fractions of the row's scale."""

    value: float | None
    text: str
    share: float | None = None
    interval: Interval | None = None
    notes: list[str] = field(default_factory=list)
    best: bool = False


@dataclass
class MetricRow:
    """A metric of all. `scale` says where its bars end; `better` is `higher`, `lower` or empty where neither is."""

    title: str
    better: str
    scale: str
    cells: list[Cell]


@dataclass(frozen=True)
class SettingRow:
    """A setting, with its value in each evaluation."""

    title: str
    values: list[str]


@dataclass(frozen=True)
class Axis:
    """A scale of rates from `start` to `end`, with its ticks as (place from 0 to 1, label)."""

    start: float
    end: float
    ticks: list[tuple[float, str]]

    def place(self, rate: float) -> float:
        return (rate - self.start) / (self.end - self.start)


def metric_rows(evaluations: Sequence[Document], columns: Sequence[Column]) -> list[MetricRow]:
    """Every metric that one of them has; `columns` of the environment's leaderboard say which direction of a score is better."""
    asked = {column.key: "higher" if column.sorting == "desc" else "lower" for column in columns}
    known: list[tuple[str, str, Callable[[float | None], str]]] = [
        ("overall_score", asked.get("overall_score", "higher"), texts.percent),
        ("accuracy", "higher", texts.percent),
        ("exact_match", "higher", texts.percent),
        ("answer_rate", "higher", texts.percent),
        ("coverage", "higher", texts.percent),
    ]
    listed = {key for key, _, _ in known}
    own = sorted({name for one in evaluations for name in (_metrics(one).get("scores") or {})} - listed)
    known += [(name, asked.get(name, ""), texts.percent) for name in own]
    rows = [_rate_row(evaluations, key, better, show) for key, better, show in known]
    rows += [
        _row("Latency, median", "lower", texts.duration, _nested(evaluations, "latency_ms", "p50")),
        _row("Latency, 95th percentile", "lower", texts.duration, _nested(evaluations, "latency_ms", "p95")),
        _row("First token, median", "lower", texts.duration, _nested(evaluations, "ttft_ms", "p50")),
        _row("Items per second", "higher", _two_places, [metric(one, "items_per_s") for one in evaluations]),
        _row("Duration", "lower", seconds, [metric(one, "duration_s") for one in evaluations]),
        _row("Tokens", "", texts.count, _nested(evaluations, "tokens", "total")),
        _row("Cost", "lower", texts.dollars, [metric(one, "cost") for one in evaluations]),
        _row("Judge's cost", "", texts.dollars, [metric(one, "judge_cost") for one in evaluations]),
        _row("Calls repeated", "", texts.count, [metric(one, "retries") for one in evaluations]),
    ]
    return [row for row in rows if any(cell.value is not None for cell in row.cells)]


def best_of(values: Sequence[float | None], better: str, show: Callable[[float | None], str]) -> set[int]:
    """The places of the best value, among values that read the same all of them; none where there is nothing to choose from:
    one value, all that read the same, or no better direction."""
    known = [value for value in values if value is not None]
    if not better or len({show(value) for value in known}) < 2:
        return set()
    best = show(max(known) if better == "higher" else min(known))
    return {place for place, value in enumerate(values) if value is not None and show(value) == best}


def setting_rows(evaluations: Sequence[Document]) -> tuple[list[SettingRow], list[SettingRow]]:
    """The settings that differ, and those that are the same in all."""
    judged = any(one.get("judge_name") for one in evaluations)
    rows = [
        SettingRow("Model", [one["model_name"] for one in evaluations]),
        SettingRow("Name at the endpoint", [_setting(one, "model") for one in evaluations]),
        *([SettingRow("Judge", [_said(one.get("judge_name")) for one in evaluations])] if judged else []),
        SettingRow("Environment version", [one["version"][:12] for one in evaluations]),
        SettingRow("Items", [_limit(one) for one in evaluations]),
        SettingRow("Samples an item", [texts.count(one["samples_per_item"]) for one in evaluations]),
    ]
    names = sorted({name for one in evaluations for name in one["params"]})
    rows += [SettingRow(words(name), [_said(one["params"].get(name)) for one in evaluations]) for name in names]
    differ = [row for row in rows if len(set(row.values)) > 1]
    return differ, [row for row in rows if len(set(row.values)) == 1]


def axis_of(rates: Sequence[float]) -> Axis:
    """A scale in steps of 1, 2, 5, 10 or 20 percent that holds all of these rates between at most seven ticks."""
    low, high = min(rates) * 100, max(rates) * 100
    for step in (1, 2, 5, 10, 20):
        start, end = int(low // step) * step, min(100, -int(-high // step) * step)
        end = max(end, start + step)
        if end > 100:
            start, end = 100 - step, 100
        if (end - start) / step <= 6:
            break
    ticks = list(range(start, end + 1, step))
    return Axis(start / 100, end / 100, [((tick - start) / (end - start), f"{tick}%") for tick in ticks])


def _rate_row(evaluations: Sequence[Document], key: str, better: str, show: Callable[[float | None], str]) -> MetricRow:
    """A rate on the scale from 0 to 100 %, with its interval; a score that is no rate on one from 0 to the largest."""
    values = [metric(one, key) for one in evaluations]
    if any(value is not None and not 0 <= value <= 1 for value in values):
        row = _row(words(key), better, texts.plain, values)
    else:
        row = _row(words(key), better, show, values, end=1.0)
        row.scale = "0 to 100%"
    for cell, one in zip(row.cells, evaluations, strict=True):
        found = _metrics(one)
        interval = found.get("accuracy_ci95")
        if interval and cell.value == found.get("accuracy") and key in ("accuracy", "overall_score"):
            cell.interval = (interval[0], interval[1])
        if cell.interval and key == "accuracy":
            low, high = cell.interval
            cell.notes.append(f"95% interval {texts.percent(low)} to {texts.percent(high)}")
        bounds = (found.get("bounds") or {}).get(key)
        if bounds and row.scale == "0 to 100%":
            cell.notes.append(f"bounds {texts.percent(bounds[0])} to {texts.percent(bounds[1])}")
    return row


def _row(
    title: str,
    better: str,
    show: Callable[[float | None], str],
    values: Sequence[float | None],
    end: float | None = None,
) -> MetricRow:
    known = [value for value in values if value is not None]
    end = end or max(known, default=0) or 1.0
    best = best_of(values, better, show)
    cells = [
        Cell(
            value,
            show(value),
            share=None if value is None or min(known) < 0 else value / end,
            best=place in best,
        )
        for place, value in enumerate(values)
    ]
    return MetricRow(title, better, f"0 to {show(end)}", cells)


def _metrics(evaluation: Document) -> Mapping[str, Any]:
    return evaluation.get("metrics") or {}


def _nested(evaluations: Sequence[Document], name: str, part: str) -> list[float | None]:
    return [(_metrics(one).get(name) or {}).get(part) for one in evaluations]


def _two_places(value: float | None) -> str:
    return "\u2014" if value is None else f"{value:,.2f}"


def _setting(evaluation: Document, name: str) -> str:
    return _said((evaluation.get("model_settings") or {}).get(name))


def _limit(evaluation: Document) -> str:
    items = texts.count(int(evaluation["progress"]["total"]) // int(evaluation["samples_per_item"]))
    return f"the first {items}" if evaluation.get("limit") else f"all {items}"


def _said(value: Any) -> str:
    return "\u2014" if value is None else str(value)
