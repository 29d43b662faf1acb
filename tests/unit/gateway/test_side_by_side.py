"""What the comparison says of metrics and settings."""

from typing import Any

import pytest

from gateway.web.side_by_side import axis_of, best_of, metric_rows, setting_rows
from shared import texts
from shared.manifest import Column


def evaluation(accuracy: float, **fields: Any) -> dict[str, Any]:
    metrics = {
        "overall_score": accuracy,
        "accuracy": accuracy,
        "accuracy_ci95": [accuracy - 0.05, accuracy + 0.05],
        "scores": {"words": 12.5, "edit_distance": 3.0},
        "latency_ms": {"p50": 1000 * accuracy, "p95": 900.0},
        "tokens": {"total": 10},
    }
    return {
        "model_name": "m",
        "model_settings": {"model": "m"},
        "version": "abc",
        "limit": None,
        "samples_per_item": 1,
        "params": {"temperature": 0},
        "progress": {"total": 400},
        "metrics": metrics,
        **fields,
    }


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ([0.1, 0.2, 0.2], "higher", {1, 2}),
        ([0.1, 0.2, 0.2], "lower", {0}),
        ([0.2, 0.2], "higher", set()),
        ([0.20001, 0.20002], "higher", set()),
        ([0.30001, 0.30002, 0.2], "higher", {0, 1}),
        ([None, 0.2], "higher", set()),
        ([None, 0.2, 0.1], "lower", {2}),
        ([1, 2], "", set()),
        ([None, None], "higher", set()),
    ],
)
def test_best_is_marked_where_there_is_a_choice(values: list[float | None], better: str, best: set[int]) -> None:
    assert best_of(values, better, texts.percent) == best


def test_rates_share_the_whole_scale_and_other_numbers_the_largest() -> None:
    rows = {row.title: row for row in metric_rows([evaluation(0.5), evaluation(0.25)], [])}
    assert [cell.share for cell in rows["Accuracy"].cells] == [0.5, 0.25]
    assert rows["Accuracy"].cells[0].interval == (0.45, 0.55)
    assert rows["Accuracy"].cells[0].notes == ["95% interval 45.00% to 55.00%"]
    assert [cell.share for cell in rows["Latency, median"].cells] == [1.0, 0.5]
    assert [cell.best for cell in rows["Latency, median"].cells] == [False, True]
    assert [cell.text for cell in rows["Words"].cells] == ["12.5", "12.5"]
    assert not any(cell.best for cell in rows["Tokens"].cells)


def test_a_scores_direction_is_what_the_leaderboard_says() -> None:
    first, second = evaluation(0.5), evaluation(0.25)
    second["metrics"]["scores"] = {"edit_distance": 2.0}
    rows = {row.title: row for row in metric_rows([first, second], [Column(key="edit_distance", sorting="asc")])}
    assert [cell.best for cell in rows["Edit distance"].cells] == [False, True]
    assert rows["Words"].better == ""
    assert rows["Words"].cells[1].text == "\u2014"


def test_an_evaluation_without_metrics_has_dashes() -> None:
    rows = metric_rows([evaluation(0.5), evaluation(0.5, metrics=None)], [])
    assert {row.cells[1].text for row in rows} == {"\u2014"}
    assert metric_rows([evaluation(0.5, metrics=None)] * 2, []) == []


def test_settings_that_differ_stand_apart() -> None:
    other = evaluation(0.5, limit=100, progress={"total": 200}, samples_per_item=2, params={"temperature": 1})
    differ, same = setting_rows([evaluation(0.5), other])
    assert {row.title: row.values for row in differ} == {
        "Items": ["all 400", "the first 100"],
        "Samples an item": ["1", "2"],
        "Temperature": ["0", "1"],
    }
    assert [row.title for row in same] == ["Model", "Name at the endpoint", "Environment version"]


@pytest.mark.parametrize("rates", [[0.0], [1.0], [0.931, 0.97], [0.0, 1.0], [0.5, 0.5], [0.003, 0.99]])
def test_the_axis_holds_every_rate_between_few_ticks(rates: list[float]) -> None:
    axis = axis_of(rates)
    assert 0 <= axis.start <= min(rates)
    assert max(rates) <= axis.end <= 1
    assert 2 <= len(axis.ticks) <= 7
    assert (axis.ticks[0][0], axis.ticks[-1][0]) == (0.0, 1.0)
    assert all(0 <= axis.place(rate) <= 1 for rate in rates)
