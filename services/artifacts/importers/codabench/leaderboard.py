"""A competition's leaderboard as an environment's."""

from collections.abc import Sequence
from typing import Any

from services.artifacts.importers.codabench.competition import Column, Leaderboard
from services.artifacts.importers.report import Report

_OPERATIONS = ("avg", "min", "max", "sum")
_PRECISION = 2
"""Codabench's default, in digits."""

_RULES = {
    "add": "add",
    "add_and_delete": "add_and_delete",
    "add_and_delete_multiple": "all",
    "force_last": "force_last",
    "force_latest_multiple": "all",
    "force_best": "force_best",
}


def leaderboard_of(leaderboards: Sequence[Leaderboard] | None, report: Report) -> dict[str, Any] | None:
    """The first leaderboard, its columns by their index: the first one ranks, there as here. None where there is none."""
    if not leaderboards:
        report.note("The competition has no leaderboard; the one here ranks by the overall score.")
        return None
    if more := len(leaderboards) - 1:
        report.drop(
            "leaderboards",
            f"Only the first leaderboard was carried over, {leaderboards[0].title or 'without a title'}.",
            more,
        )
    chosen = leaderboards[0]
    columns = sorted(chosen.columns, key=lambda column: column.index or 0)
    by_index = {column.index: column for column in columns}
    carried: list[dict[str, Any]] = []
    for column in columns:
        if any(other["key"] == column.key for other in carried):
            report.drop("columns", f"Column {column.key!r} is there twice; the first one was kept.")
        elif (values := _column(column, by_index, report)) is not None:
            carried.append(values)
    if not any("computed" not in values for values in carried):
        report.note("No column of the leaderboard could be carried over; the one here ranks by the overall score.")
        return None
    return {"columns": carried, **_rule(chosen.submission_rule, report)}


def _column(column: Column, by_index: dict[int | None, Column], report: Report) -> dict[str, Any] | None:
    values: dict[str, Any] = {
        "key": column.key,
        "title": column.title or column.key,
        "sorting": column.sorting or "desc",
        "precision": min(10, max(0, _PRECISION if column.precision is None else column.precision)),
    }
    if column.hidden:
        values["hidden"] = True
    operation = (column.computation or "").strip().lower()
    if not operation:
        return values
    of = [by_index.get(index) for index in column.computation_indexes or ()]
    if operation not in _OPERATIONS:
        why = f"{operation!r} is not computed here, only {', '.join(_OPERATIONS)}"
    elif not of or None in of:
        why = "it names no columns, or some that are not there"
    elif any(other is not None and other.computation for other in of):
        why = "it is computed of computed columns"
    else:
        keys = list(dict.fromkeys(other.key for other in of if other is not None))
        return {**values, "computed": {"operation": operation, "of": keys}}
    report.drop("columns", f"Column {column.title or column.key!r} was left out: {why}.")
    return None


def _rule(written: str | None, report: Report) -> dict[str, str]:
    if not written:
        report.note(
            "No submission rule is given: every evaluation stands on the leaderboard (Codabench's default is that somebody adds it)."
        )
        return {}
    rule = _RULES.get(written.strip().lower().replace("-", "_").replace(" ", "_"))
    if rule is None:
        report.note(f"The submission rule {written!r} is not known: every evaluation stands on the leaderboard.")
        return {}
    if rule == "all":
        report.note(f"The submission rule {written!r} became 'all': every evaluation stands on the leaderboard.")
    return {"submission_rule": rule}
