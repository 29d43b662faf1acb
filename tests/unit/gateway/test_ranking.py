"""The order of a leaderboard."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.ranking import interval, metric, rank, scores_of
from shared.manifest import Column, Leaderboard, SubmissionRule

SCORE = Column(key="overall_score")
PLAIN = Leaderboard(columns=[SCORE])
ITEMS = {"v2": 100, "v1": 90}
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def evaluation(number: int, score: Any = 0.5, version: str = "v2", **fields: Any) -> dict[str, Any]:
    """Of a model of its own, and without an interval, but for what is given."""
    ends = fields.pop("ends", None)
    return {
        "_id": f"e{number}",
        "number": number,
        "model": f"m{number}",
        "model_name": f"model {number}",
        "version": version,
        "limit": None,
        "progress": {"total": 100},
        "finished_at": None,
        "metrics": {
            "overall_score": score,
            "accuracy": score,
            "coverage": 1.0,
            "accuracy_ci95": ends,
            "intervals": {"overall_score": ends, "accuracy": ends, "scores": {}},
        },
        **fields,
    }


def ranks(rows: list[Any]) -> list[tuple[int, int | None, bool]]:
    return [(row.number, row.rank, row.tied) for row in rows]


# Ranks


def test_without_intervals_the_same_score_to_the_bit_shares_a_rank() -> None:
    nearly = math.nextafter(0.7, 1)
    found = [evaluation(1, 0.7), evaluation(2, 0.9), evaluation(3, 0.7), evaluation(4, nearly), evaluation(5, 0.1)]
    assert ranks(rank(found, PLAIN, "v2", ITEMS)) == [
        (2, 1, False),
        (4, 2, False),
        (1, 3, True),
        (3, 3, True),
        (5, 5, False),
    ]


def test_what_its_interval_does_not_tell_apart_from_the_best_is_first_too() -> None:
    found = [
        evaluation(1, 0.60, ends=[0.50, 0.70]),
        evaluation(2, 0.95, ends=[0.93, 0.97]),
        evaluation(3, 0.94, ends=[0.92, 0.96]),
        evaluation(4, 0.925, ends=[0.90, 0.945]),
        evaluation(5, 0.30, ends=[0.20, 0.40]),
    ]
    # 4 overlaps with 2 and 3, though barely; 1 and 5 are below all three.
    assert ranks(rank(found, PLAIN, "v2", ITEMS)) == [
        (2, 1, True),
        (3, 1, True),
        (4, 1, True),
        (1, 4, False),
        (5, 5, False),
    ]


def test_a_rank_counts_those_that_are_better_beyond_doubt() -> None:
    chain = [evaluation(n, 0.9 - n / 10, ends=[0.83 - n / 10, 0.97 - n / 10]) for n in range(4)]
    # Each overlaps with its neighbours alone: 2 is beaten by 0, and 3 by 0 and 1.
    assert ranks(rank(chain, PLAIN, "v2", ITEMS)) == [(0, 1, True), (1, 1, True), (2, 2, False), (3, 3, False)]


def test_a_wide_interval_earns_the_rank_that_it_could_have() -> None:
    found = [
        evaluation(1, 0.9, ends=[0.88, 0.92]),
        evaluation(2, 0.8, ends=[0.78, 0.82]),
        evaluation(3, 0.7, ends=[0.3, 0.95]),
    ]
    assert ranks(rank(found, PLAIN, "v2", ITEMS)) == [(1, 1, True), (3, 1, True), (2, 2, False)]


def test_intervals_that_touch_do_not_tell_apart() -> None:
    found = [evaluation(1, 0.9, ends=[0.8, 1.0]), evaluation(2, 0.7, ends=[0.6, 0.8])]
    assert ranks(rank(found, PLAIN, "v2", ITEMS)) == [(1, 1, True), (2, 1, True)]


def test_the_first_column_decides_and_its_direction() -> None:
    board = Leaderboard(columns=[Column(key="wer", sorting="asc"), SCORE])
    found = [
        evaluation(n, metrics={"wer": wer, "overall_score": 0.5, "intervals": {"wer": ends}})
        for n, wer, ends in ((1, 0.3, [0.25, 0.35]), (2, 0.1, [0.05, 0.15]), (3, 0.14, [0.1, 0.2]), (4, 0.2, None))
    ]
    rows = rank(found, board, "v2", ITEMS)
    assert ranks(rows) == [(2, 1, True), (3, 1, True), (4, 2, False), (1, 4, False)]
    assert rows[0].scores == {"wer": 0.1, "overall_score": 0.5}
    assert rows[0].intervals == {"wer": (0.05, 0.15)}


def test_parts_and_older_versions_come_last_without_a_rank() -> None:
    found = [
        evaluation(1, 0.9, limit=10),
        evaluation(2, 0.8, version="v1"),
        evaluation(3, 0.1),
        evaluation(4, 0.2, limit=100),
        evaluation(5, 0.95, version="gone", limit=5),
    ]
    rows = rank(found, PLAIN, "v2", ITEMS)
    assert ranks(rows) == [(4, 1, False), (3, 2, False), (5, None, False), (1, None, False), (2, None, False)]
    assert {row.number: row.partial for row in rows} == {4: False, 3: False, 5: True, 1: True, 2: False}


def test_without_the_metric_there_is_no_rank() -> None:
    found = [evaluation(1, None), evaluation(2, math.nan), evaluation(3, 0.0), evaluation(4, metrics=None)]
    assert ranks(rank(found, PLAIN, "v2", ITEMS)) == [
        (3, 1, False),
        (1, None, False),
        (2, None, False),
        (4, None, False),
    ]


def test_nobody_yet() -> None:
    assert rank([], PLAIN, "v2", ITEMS) == []


# Which stand on it


def of_models(*entries: tuple[int, str, float], **fields: Any) -> list[dict[str, Any]]:
    return [evaluation(number, score, model=model, **fields) for number, model, score in entries]


@pytest.mark.parametrize(
    ("rule", "on_it"),
    [
        ("all", [2, 4, 1, 5, 3]),
        ("force_last", [5, 3]),
        ("force_best", [2, 1]),
        ("add", []),
        ("add_and_delete", []),
    ],
)
def test_the_rule_says_which_of_a_models_evaluations(rule: SubmissionRule, on_it: list[int]) -> None:
    found = of_models((1, "b", 0.5), (2, "a", 0.9), (3, "b", 0.2), (4, "a", 0.7), (5, "a", 0.4))
    board = Leaderboard(columns=[SCORE], submission_rule=rule)
    rows = rank(found, board, "v2", ITEMS)
    assert [row.number for row in rows] == on_it
    assert [row.rank for row in rows] == list(range(1, len(on_it) + 1))


def test_the_last_and_the_best_are_of_the_whole_phase_of_this_version() -> None:
    found = [
        *of_models((1, "a", 0.5), (2, "a", 0.4)),
        *of_models((3, "a", 0.9), limit=10),
        *of_models((4, "a", 0.8), version="v1"),
        *of_models((5, "b", 0.3), version="v1"),
    ]
    last = Leaderboard(columns=[SCORE], submission_rule="force_last")
    best = Leaderboard(columns=[SCORE], submission_rule="force_best")
    assert ranks(rank(found, last, "v2", ITEMS)) == [(2, 1, False)]
    assert ranks(rank(found, best, "v2", ITEMS)) == [(1, 1, False)]


def test_the_best_is_that_of_the_first_column_and_of_equals_the_first() -> None:
    board = Leaderboard(columns=[Column(key="duration_s", sorting="asc")], submission_rule="force_best")
    found = [evaluation(n, model="a", metrics={"duration_s": value}) for n, value in ((1, 9.0), (2, 3.0), (3, 3.0))]
    assert ranks(rank(found, board, "v2", ITEMS)) == [(2, 1, False)]


@pytest.mark.parametrize("rule", ["add", "add_and_delete"])
def test_by_hand_the_newest_put_there_stands_whatever_it_scores(rule: SubmissionRule) -> None:
    board = Leaderboard(columns=[SCORE], submission_rule=rule)
    found = [
        evaluation(1, 0.9, model="a", listed_at=NOON),
        evaluation(2, 0.2, model="a", listed_at=NOON + timedelta(seconds=1)),
        evaluation(3, 0.8, model="a", listed_at=None),
        evaluation(4, 0.7, model="b", listed_at=NOON),
        evaluation(5, 0.6, model="c", version="v1", listed_at=NOON),
    ]
    rows = rank(found, board, "v2", ITEMS)
    assert ranks(rows) == [(4, 1, False), (2, 2, False), (5, None, False)]
    assert rows[0].listed_at == NOON


# Columns


def test_a_programs_key_is_what_a_column_of_its_name_means() -> None:
    metrics = {"correct": 26, "scores": {"correct": 1.0}, "intervals": {"scores": {"correct": None}}}
    assert metric({"metrics": metrics}, "correct") == 26.0
    by_program = {**metrics, "columns": {"unmatched": [], "missing": []}}
    assert metric({"metrics": by_program}, "correct") == 1.0
    assert interval({"metrics": by_program}, "correct") is None


def test_computed_columns_are_of_the_other_ones() -> None:
    columns = [
        Column.model_validate({"key": name, "computed": {"operation": name, "of": ["a", "b"]}})
        for name in ("avg", "min", "max", "sum")
    ]
    columns += [Column(key="a"), Column(key="b", hidden=True)]
    whole = scores_of({"metrics": {"a": 0.25, "scores": {"b": 0.75}}}, columns)
    assert whole == {"avg": 0.5, "min": 0.25, "max": 0.75, "sum": 1.0, "a": 0.25, "b": 0.75}
    assert scores_of({"metrics": {"a": 0.25}}, columns) == {
        **dict.fromkeys(("avg", "min", "max", "sum", "b")),
        "a": 0.25,
    }


def test_a_computed_column_may_rank() -> None:
    board = Leaderboard.model_validate(
        {"columns": [{"key": "mean", "computed": {"operation": "avg", "of": ["a", "b"]}}, {"key": "a"}, {"key": "b"}]}
    )
    found = [evaluation(n, metrics={"a": a, "b": b}) for n, a, b in ((1, 0.0, 0.5), (2, 0.4, 0.4), (3, 1.0, None))]
    assert ranks(rank(found, board, "v2", ITEMS)) == [(2, 1, False), (1, 2, False), (3, None, False)]


def test_a_row_carries_what_it_is_judged_by() -> None:
    board = Leaderboard(columns=[SCORE, Column(key="f1"), Column(key="bleu")])
    found = evaluation(7, 0.5, ends=[0.4, 0.6])
    found["metrics"] |= {"scores": {"bleu": 0.2}}
    found["metrics"]["intervals"]["scores"] = {"bleu": [0.1, 0.3]}
    (row,) = rank([found], board, "v2", ITEMS)
    assert row.accuracy_ci95 == (0.4, 0.6)
    assert row.scores == {"overall_score": 0.5, "f1": None, "bleu": 0.2}
    assert row.intervals == {"overall_score": (0.4, 0.6), "bleu": (0.1, 0.3)}
    assert (row.model, row.model_name, row.total, row.coverage) == ("m7", "model 7", 100, 1.0)


def test_of_an_older_evaluation_the_interval_of_accuracy_is_known() -> None:
    metrics = {"overall_score": 0.5, "accuracy": 0.5, "f1": 0.5, "accuracy_ci95": [0.4, 0.6]}
    assert interval(metrics, "accuracy") == (0.4, 0.6)
    assert interval(metrics, "overall_score") == (0.4, 0.6)
    assert interval({**metrics, "overall_score": 0.7}, "overall_score") is None
    assert interval(metrics, "f1") is None
    assert interval({}, "accuracy") is None


@pytest.mark.parametrize("value", [None, "0.5", True, math.inf, math.nan, {"p50": 1}])
def test_only_finite_numbers_are_metrics(value: Any) -> None:
    assert metric({"metrics": {"a": value}}, "a") is None
