"""The order of a leaderboard."""

import math
from typing import Any

import pytest

from gateway.ranking import metric, rank
from shared.manifest import Column

SCORE = Column(key="overall_score")
ITEMS = {"v2": 100, "v1": 90}


def evaluation(number: int, score: Any = 0.5, version: str = "v2", **fields: Any) -> dict[str, Any]:
    return {
        "_id": f"e{number}",
        "number": number,
        "model": f"m{number}",
        "model_name": f"model {number}",
        "version": version,
        "limit": None,
        "progress": {"total": 100},
        "finished_at": None,
        "metrics": {"overall_score": score, "accuracy": score, "coverage": 1.0, "accuracy_ci95": [0.4, 0.6]},
        **fields,
    }


def ranks(rows: list[Any]) -> list[tuple[int, int | None, bool]]:
    return [(row.number, row.rank, row.tied) for row in rows]


def test_best_first_and_the_same_score_to_the_bit_shares_a_rank() -> None:
    nearly = math.nextafter(0.7, 1)
    found = [evaluation(1, 0.7), evaluation(2, 0.9), evaluation(3, 0.7), evaluation(4, nearly), evaluation(5, 0.1)]
    assert ranks(rank(found, [SCORE], "v2", ITEMS)) == [
        (2, 1, False),
        (4, 2, False),
        (1, 3, True),
        (3, 3, True),
        (5, 5, False),
    ]


def test_the_first_column_decides_and_its_direction() -> None:
    columns = [Column(key="wer", sorting="asc"), SCORE]
    found = [
        evaluation(1, 0.5, metrics={"wer": 0.3, "overall_score": 0.5}),
        evaluation(2, 0.5, metrics={"wer": 0.1, "overall_score": 0.5}),
    ]
    rows = rank(found, columns, "v2", ITEMS)
    assert ranks(rows) == [(2, 1, False), (1, 2, False)]
    assert rows[0].scores == {"wer": 0.1, "overall_score": 0.5}


def test_parts_and_older_versions_come_last_without_a_rank() -> None:
    found = [
        evaluation(1, 0.9, limit=10),
        evaluation(2, 0.8, version="v1"),
        evaluation(3, 0.1),
        evaluation(4, 0.2, limit=100),
        evaluation(5, 0.95, version="gone", limit=5),
    ]
    rows = rank(found, [SCORE], "v2", ITEMS)
    assert ranks(rows) == [(4, 1, False), (3, 2, False), (5, None, False), (1, None, False), (2, None, False)]
    assert {row.number: row.partial for row in rows} == {4: False, 3: False, 5: True, 1: True, 2: False}


def test_without_the_metric_there_is_no_rank() -> None:
    found = [evaluation(1, None), evaluation(2, math.nan), evaluation(3, 0.0), evaluation(4, metrics=None)]
    assert ranks(rank(found, [SCORE], "v2", ITEMS)) == [
        (3, 1, False),
        (1, None, False),
        (2, None, False),
        (4, None, False),
    ]


def test_nobody_yet() -> None:
    assert rank([], [SCORE], "v2", ITEMS) == []


def test_a_row_carries_what_it_is_judged_by() -> None:
    (row,) = rank([evaluation(7, 0.5)], [SCORE, Column(key="f1")], "v2", ITEMS)
    assert row.accuracy_ci95 == (0.4, 0.6)
    assert row.scores == {"overall_score": 0.5, "f1": None}
    assert (row.model, row.model_name, row.total, row.coverage) == ("m7", "model 7", 100, 1.0)


@pytest.mark.parametrize("value", [None, "0.5", True, math.inf, math.nan, {"p50": 1}])
def test_only_finite_numbers_are_metrics(value: Any) -> None:
    assert metric({"metrics": {"a": value}}, "a") is None
