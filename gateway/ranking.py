"""The order of a leaderboard. Pure.

The rank of a row is 1 + the number of rows that are better beyond doubt: whose 95 % interval lies wholly on the better side of
its own. So rows that their intervals cannot tell apart from the best all have rank 1. It is the rank of Chatbot Arena (Chiang
et al. 2024, 'Chatbot Arena', arXiv:2403.04132, section 4.2), there called rank (UB). Two intervals that do not overlap differ at
more than the 95 % level, while two that overlap a little may still differ (Schenker and Gentleman 2001, 'On Judging the
Significance of Differences by Examining the Overlap Between Confidence Intervals', Am. Stat. 55:182-186): the rule errs towards
ties. A value without an interval counts as known exactly, and then the ranks are those of sports (1, 1, 3).
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.api import LeaderboardRow
from shared.manifest import BY_HAND, Column, Computed, Leaderboard
from shared.storage.mongo import Document

Interval = tuple[float, float]


def rank(
    evaluations: Sequence[Document], leaderboard: Leaderboard, version: str, items: Mapping[str, int]
) -> list[LeaderboardRow]:
    """The rows that the leaderboard's `submission_rule` puts on it: best rank first, and within one the better value.

    Ranked are evaluations of `version` over the whole phase that have the first column's metric; `tied` are those that share
    a rank. All others come after them with no rank: only where all stand on the leaderboard, or somebody has put them there.

    Args:
        evaluations: completed ones of one phase, of any version.
        items: how many items the phase has, by version.
    """
    rows = [row_of(evaluation, leaderboard.columns, items) for evaluation in evaluations]
    first = leaderboard.columns[0]
    rows = _on_it(rows, leaderboard, version)
    ranked = [row for row in rows if is_rankable(row, first, version)]
    _give_ranks(ranked, first)
    others = [row for row in rows if row.rank is None]
    ranked.sort(key=lambda row: (row.rank, -_goodness(row, first), row.number))
    others.sort(key=lambda row: (row.scores[first.key] is None, -_goodness(row, first), row.number))
    return ranked + others


def is_rankable(row: LeaderboardRow, first: Column, version: str) -> bool:
    return row.environment_version == version and not row.partial and row.scores[first.key] is not None


def _on_it(rows: list[LeaderboardRow], leaderboard: Leaderboard, version: str) -> list[LeaderboardRow]:
    rule, first = leaderboard.submission_rule, leaderboard.columns[0]
    if rule == "all":
        return rows
    if rule in BY_HAND:
        return _one_a_model((row for row in rows if row.listed_at), lambda row: (_moment(row.listed_at), row.number))
    if rule == "force_last":
        whole = (row for row in rows if row.environment_version == version and not row.partial)
        return _one_a_model(whole, lambda row: row.number)
    rankable = (row for row in rows if is_rankable(row, first, version))
    return _one_a_model(rankable, lambda row: (_goodness(row, first), -row.number))


def _moment(time: datetime | None) -> float:
    return time.timestamp() if time else -math.inf


def _one_a_model(rows: Iterable[LeaderboardRow], worth: Any) -> list[LeaderboardRow]:
    """Of each model's rows the one that is worth most."""
    found: dict[str, LeaderboardRow] = {}
    for row in rows:
        if row.model not in found or worth(row) > worth(found[row.model]):
            found[row.model] = row
    return list(found.values())


def _goodness(row: LeaderboardRow, column: Column) -> float:
    """Its value in a column, such that more is better; the least where it has none."""
    value = row.scores[column.key]
    if value is None:
        return -math.inf
    return value if column.sorting == "desc" else -value


def _give_ranks(rows: Sequence[LeaderboardRow], column: Column) -> None:
    """See the module. With both ends of all intervals in order, each row's rank is found by bisection."""
    ends = [_ends(row, column) for row in rows]
    lows, highs = sorted(low for low, _ in ends), sorted(high for _, high in ends)
    for row, (low, high) in zip(rows, ends, strict=True):
        better = len(lows) - bisect_right(lows, high) if column.sorting == "desc" else bisect_left(highs, low)
        row.rank = 1 + better
    shared = Counter(row.rank for row in rows)
    for row in rows:
        row.tied = shared[row.rank] > 1


def _ends(row: LeaderboardRow, column: Column) -> Interval:
    value = row.scores[column.key]
    assert value is not None
    return row.intervals.get(column.key) or (value, value)


def metric(evaluation: Document, key: str) -> float | None:
    """A metric that is a finite number, or None: one of the evaluation's, or one of its scores."""
    metrics = evaluation.get("metrics") or {}
    scores = metrics.get("scores") or {}
    value = scores.get(key) if _is_own(metrics, key) else metrics.get(key, scores.get(key))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def interval(metrics: Mapping[str, Any], key: str) -> Interval | None:
    """The 95 % interval of one of an evaluation's metrics, where it has one."""
    known = metrics.get("intervals")
    if known is None:  # of a version of Assay that had accuracy's alone
        is_accuracy = key == "accuracy" or (key == "overall_score" and metrics.get(key) == metrics.get("accuracy"))
        known = {key: metrics.get("accuracy_ci95")} if is_accuracy else {}
    # As in `metric`.
    found = known.get(key) if key in metrics and not _is_own(metrics, key) else (known.get("scores") or {}).get(key)
    return (float(found[0]), float(found[1])) if found else None


def _is_own(metrics: Mapping[str, Any], key: str) -> bool:
    """Whether a scoring program may have chosen this key: its `correct` or `total` is then what a column of that name means. Otherwise
    what the evaluation itself has goes before a score of its items with the same name."""
    return "columns" in metrics and key in metrics["scores"]


def scores_of(evaluation: Document, columns: Sequence[Column]) -> dict[str, float | None]:
    """The value in each column; a computed one is of the others' and has none where one of those is missing."""
    found = {column.key: metric(evaluation, column.key) for column in columns if column.computed is None}
    return {
        column.key: found[column.key] if column.computed is None else _computed(column.computed, found)
        for column in columns
    }


def _computed(computed: Computed, scores: Mapping[str, float | None]) -> float | None:
    values = [scores[key] for key in computed.of]
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return None
    match computed.operation:
        case "min":
            return min(there)
        case "max":
            return max(there)
        case "sum":
            return math.fsum(there)
        case "avg":
            return math.fsum(there) / len(there)


def row_of(evaluation: Document, columns: Sequence[Column], items: Mapping[str, int]) -> LeaderboardRow:
    limit, size = evaluation.get("limit"), items.get(evaluation["version"])
    metrics = evaluation.get("metrics") or {}
    intervals = {column.key: interval(metrics, column.key) for column in columns if column.computed is None}
    # Not validated: ten thousand rows are made for a page of a hundred, all out of what was validated when it was stored.
    return LeaderboardRow.model_construct(
        rank=None,
        tied=False,
        partial=limit is not None and (size is None or limit < size),
        evaluation=evaluation["_id"],
        number=evaluation["number"],
        model=evaluation["model"],
        model_name=evaluation["model_name"],
        judge_name=evaluation.get("judge_name"),
        environment_version=evaluation["version"],
        overall_score=metric(evaluation, "overall_score"),
        accuracy=metric(evaluation, "accuracy"),
        accuracy_ci95=interval(metrics, "accuracy"),
        coverage=metric(evaluation, "coverage"),
        total=evaluation["progress"]["total"],
        finished_at=evaluation.get("finished_at"),
        listed_at=evaluation.get("listed_at"),
        scores=scores_of(evaluation, columns),
        intervals={key: found for key, found in intervals.items() if found},
    )
