"""The order of a leaderboard. Pure."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from shared.api import LeaderboardRow
from shared.manifest import Column
from shared.storage.mongo import Document


def rank(
    evaluations: Sequence[Document], columns: Sequence[Column], version: str, items: Mapping[str, int]
) -> list[LeaderboardRow]:
    """Rows in their order, best first by the first column.

    Ranked are evaluations of `version` over the whole phase that have the first column's metric. Where it is equal to the bit
    they share a rank, and the following ranks are left out (1, 1, 3). All others come after them with no rank.

    Args:
        evaluations: completed ones of one phase, of any version.
        items: how many items the phase has, by version.
    """
    first = columns[0]
    rows = [(_row(evaluation, columns, items), metric(evaluation, first.key)) for evaluation in evaluations]

    def order(entry: tuple[LeaderboardRow, float | None]) -> tuple[bool, bool, float, int]:
        row, value = entry
        better_first = 0.0 if value is None else (-value if first.sorting == "desc" else value)
        return not _is_ranked(row, value, version), value is None, better_first, row.number

    rows.sort(key=order)
    place = 1
    ordered: list[LeaderboardRow] = []
    for _, group in groupby(rows, key=lambda entry: (_is_ranked(entry[0], entry[1], version), entry[1])):
        sharing = list(group)
        for row, value in sharing:
            if _is_ranked(row, value, version):
                row.rank, row.tied = place, len(sharing) > 1
            ordered.append(row)
        place += len(sharing)
    return ordered


def metric(evaluation: Document, key: str) -> float | None:
    """A metric that is a finite number, or None: one of the evaluation's, or the mean of a score of its items."""
    metrics = evaluation.get("metrics") or {}
    value = metrics.get(key, (metrics.get("scores") or {}).get(key))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _is_ranked(row: LeaderboardRow, value: float | None, version: str) -> bool:
    return row.environment_version == version and not row.partial and value is not None


def _row(evaluation: Document, columns: Sequence[Column], items: Mapping[str, int]) -> LeaderboardRow:
    limit, size = evaluation.get("limit"), items.get(evaluation["version"])
    metrics: dict[str, Any] = evaluation.get("metrics") or {}
    return LeaderboardRow(
        rank=None,
        partial=limit is not None and (size is None or limit < size),
        evaluation=evaluation["_id"],
        number=evaluation["number"],
        model=evaluation["model"],
        model_name=evaluation["model_name"],
        environment_version=evaluation["version"],
        overall_score=metric(evaluation, "overall_score"),
        accuracy=metric(evaluation, "accuracy"),
        accuracy_ci95=metrics.get("accuracy_ci95"),
        coverage=metric(evaluation, "coverage"),
        total=evaluation["progress"]["total"],
        finished_at=evaluation.get("finished_at"),
        scores={column.key: metric(evaluation, column.key) for column in columns},
    )
