"""Metrics against numbers computed by hand."""

import json
from collections.abc import Iterable
from fractions import Fraction
from itertools import groupby
from math import sqrt
from statistics import mean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.metrics import Metrics, wilson


def result(index: int, sample: int = 0, **fields: Any) -> dict[str, Any]:
    """A scored, wrong result of one call, but for what is given."""
    plain = {
        "item_id": f"item-{index}",
        "index": index,
        "sample": sample,
        "outcome": "scored",
        "correct": False,
        "prediction": "1",
        "target": "2",
        "scores": {},
        "latency_ms": None,
        "ttft_ms": None,
        "usage": None,
        "attempts": 1,
        "started_at": None,
        "landed_at": None,
    }
    return plain | fields


def right(index: int, sample: int = 0, **fields: Any) -> dict[str, Any]:
    return result(index, sample, **{"correct": True, "prediction": "2"} | fields)


def failed(index: int, sample: int = 0, **fields: Any) -> dict[str, Any]:
    return result(index, sample, **{"outcome": "infra_error", "prediction": None} | fields)


def metrics_of(results: Iterable[dict[str, Any]], main_metric: str = "accuracy") -> dict[str, Any]:
    listed = list(results)
    metrics = Metrics(len(listed))
    for one in listed:
        metrics.add(one)
    return metrics.finish(main_metric)


def verdict(score: float | None = 0.5, **fields: Any) -> dict[str, Any]:
    return {"score": score, "usage": {"total_tokens": 30}, "attempts": 1, "latency_ms": 20.0} | fields


def test_what_the_judge_took_is_counted_apart() -> None:
    metrics = Metrics(6, judged=True)
    for one in (
        right(0, scores={"judge": 1.0}, judge=[verdict()], usage={"total_tokens": 7}),
        right(1, scores={"judge": 1.0}, judge=[verdict(), verdict(usage=None, latency_ms=40.0)]),
        result(2, scores={"judge": 0.0}, judge=[verdict(score=None, attempts=3)]),
        result(3, scores={"judge": 0.0}, judge=[]),  # a rubric that could not be rendered with the answer
        result(4, outcome="no_answer", prediction=None),
        failed(5, judge=[verdict()]),  # the second question failed
    ):
        metrics.add(one)
    found = metrics.finish("judge")
    assert found["overall_score"] == 2 / 5
    assert found["tokens"]["total"] == 7
    assert found["judge"] == {
        "asked": 5,
        "unread": 2,
        "attempts": 7,
        "tokens": {"prompt": 0, "completion": 0, "total": 120, "unreported": 1},
        "latency_ms": {"p50": 20.0, "p95": pytest.approx(36.0), "mean": 24.0, "max": 40.0},
    }


def test_without_a_judge_there_is_nothing_of_one() -> None:
    assert not {"judge", "judge_cost"} & metrics_of([right(0)]).keys()


PRICE = {"input": 0.5, "output": 2.0}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def costs(results: list[dict[str, Any]], price: Any = PRICE, judge_price: Any = PRICE) -> tuple[Any, Any]:
    metrics = Metrics(len(results), price=price, judged=True, judge_price=judge_price)
    for one in results:
        metrics.add(one)
    found = metrics.finish()
    return found["cost"], found["judge_cost"]


def test_tokens_cost_what_they_are_priced_at() -> None:
    judged = right(0, usage=USAGE, judge=[verdict(usage=USAGE), verdict(usage=USAGE)])
    # What failed was not answered, and what is not counted of it is free.
    results = [judged, failed(1, attempts=3), result(2, outcome="model_error"), right(3, usage=USAGE, attempts=2)]
    assert costs(results) == (pytest.approx(2 * 0.0007), pytest.approx(2 * 0.0007))
    assert costs(results, price=None) == (None, pytest.approx(2 * 0.0007))
    assert costs(results, judge_price={"input": 0.5, "output": None}) == (pytest.approx(2 * 0.0007), None)


@pytest.mark.parametrize("usage", [None, {"total_tokens": 1100}, {"prompt_tokens": 1000}])
def test_an_answer_without_a_whole_count_has_no_cost(usage: dict[str, int] | None) -> None:
    results = [right(0, usage=USAGE, judge=[verdict(usage=USAGE)]), right(1, usage=usage, judge=[verdict(usage=usage)])]
    assert costs(results) == (None, None)


def test_what_was_never_counted_has_no_cost_and_what_was_never_called_costs_nothing() -> None:
    assert costs([failed(0, judge=[verdict(score=None, usage=None)])]) == (None, None)
    assert costs([failed(0, attempts=0)]) == (0, 0)


def test_counts_and_rates() -> None:
    metrics = metrics_of(
        [
            right(0),
            right(1, prediction=" 2\n"),
            right(2, prediction="2.001"),
            result(3),
            result(4, prediction=None),
            result(5, outcome="no_answer", prediction=None),
            result(6, outcome="model_error", prediction=None),
            failed(7),
        ]
    )
    assert {name: metrics[name] for name in ("total", "called", "correct")} == {"total": 8, "called": 7, "correct": 3}
    assert [metrics[name] for name in ("scored", "no_answer", "model_error", "infra_error")] == [5, 1, 1, 1]
    assert metrics["accuracy"] == metrics["overall_score"] == 3 / 7
    assert metrics["exact_match"] == 2 / 7
    assert metrics["answer_rate"] == 5 / 7
    assert metrics["coverage"] == 7 / 8
    assert metrics["bounds"] == {
        "accuracy": [3 / 8, 4 / 8],
        "exact_match": [2 / 8, 3 / 8],
        "answer_rate": [5 / 8, 6 / 8],
        "overall_score": [3 / 8, 4 / 8],
        "scores": {},
    }


def test_full_coverage_has_no_bounds() -> None:
    metrics = metrics_of([right(0), result(1)])
    assert metrics["coverage"] == 1.0
    assert "bounds" not in metrics


def test_nothing_called_has_no_rates() -> None:
    metrics = metrics_of([failed(0), failed(1, started_at=3.0, attempts=5)], "f1")
    assert metrics["coverage"] == 0.0
    for name in ("accuracy", "exact_match", "answer_rate", "overall_score", "accuracy_stderr", "accuracy_ci95"):
        assert metrics[name] is None
    assert metrics["bounds"]["accuracy"] == [0.0, 1.0]
    assert metrics["bounds"]["overall_score"] == [0.0, 1.0]
    assert metrics["latency_ms"] is None
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_no_samples_at_all() -> None:
    metrics = metrics_of([])
    assert (metrics["total"], metrics["coverage"], metrics["accuracy"], metrics["accuracy_ci95"]) == (
        0,
        None,
        None,
        None,
    )


def test_scores_are_means_over_called() -> None:
    metrics = metrics_of(
        [
            right(0, scores={"f1": 1.0}),
            result(1, scores={"f1": 0.5}),
            result(2, outcome="no_answer"),
            result(3, outcome="model_error"),
            failed(4),
        ],
        "f1",
    )
    assert metrics["scores"] == {"f1": 1.5 / 4}
    assert metrics["overall_score"] == 1.5 / 4
    assert metrics["accuracy"] == 1 / 4
    assert metrics["bounds"]["overall_score"] == metrics["bounds"]["scores"]["f1"] == [1.5 / 5, 2.5 / 5]


def test_a_score_outside_0_and_1_has_no_bounds() -> None:
    metrics = metrics_of([result(0, scores={"length": 12.0, "f1": 0.0}), failed(1)], "length")
    assert metrics["scores"] == {"f1": 0.0, "length": 12.0}
    assert metrics["bounds"]["overall_score"] is None
    assert metrics["bounds"]["scores"] == {"length": None, "f1": [0.0, 0.5]}


def test_a_main_metric_that_no_result_has_is_refused_unless_nothing_was_scored() -> None:
    assert metrics_of([result(0, outcome="no_answer")], "f1")["overall_score"] == 0.0
    with pytest.raises(ValueError, match=r"main metric 'fl'; there are accuracy, exact_match, answer_rate, f1"):
        metrics_of([result(0, scores={"f1": 0.5})], "fl")


def test_one_sample_an_item_has_the_standard_error_of_the_central_limit_theorem() -> None:
    metrics = metrics_of([right(0), right(1), right(2), result(3)])
    assert metrics["accuracy_stderr"] == pytest.approx(sqrt(0.75 * 0.25 / 3), rel=1e-15)
    assert metrics["accuracy_stderr"] == pytest.approx(stdev([1, 1, 1, 0]) / 2, rel=1e-15)


def test_wilson_interval() -> None:
    # 81 of 263 as in Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 3.
    assert wilson(81 / 263, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert wilson(15 / 148, 148) == pytest.approx([0.0624, 0.1605], abs=5e-5)
    assert wilson(0 / 20, 20) == [0.0, pytest.approx(0.1611, abs=5e-5)]
    assert wilson(1.0, 20) == [pytest.approx(1 - 0.1611, abs=5e-5), 1.0]
    metrics = metrics_of([right(index) if index < 15 else result(index) for index in range(148)])
    assert metrics["accuracy_ci95"] == wilson(15 / 148, 148)


def test_several_samples_an_item_are_clustered() -> None:
    # Item means 1, 1/2, 0: their standard error is stdev(1, 1/2, 0) / sqrt(3) = 0.5 / sqrt(3).
    results = [right(0, 0), right(0, 1), right(1, 0), result(1, 1), result(2, 0), result(2, 1)]
    metrics = metrics_of(results)
    assert metrics["accuracy"] == 0.5
    assert metrics["accuracy_stderr"] == pytest.approx(0.5 / sqrt(3), rel=1e-15)
    # deff = (1/12) / (1/4 / 5) = 5/3, so 6 samples are worth 3.6.
    assert metrics["accuracy_ci95"] == pytest.approx(wilson(0.5, 3.6), rel=1e-15)


def test_unequal_items_are_clustered_by_their_residuals() -> None:
    # c = (2, 0), k = (2, 1), p = 2/3: residuals 2/3 and -2/3, SE^2 = 2/1 * (8/9) / 9.
    metrics = metrics_of([right(0, 0), right(0, 1), result(1, 0), failed(1, 1)])
    assert metrics["accuracy_stderr"] == pytest.approx(sqrt(2 * 8 / 81), rel=1e-15)


def test_copies_of_an_answer_add_no_certainty() -> None:
    once = metrics_of([right(0), result(1), right(2), result(3)])
    copied = metrics_of(
        [(right if index % 2 == 0 else result)(index, sample) for index in range(4) for sample in range(50)]
    )
    assert copied["accuracy_stderr"] == once["accuracy_stderr"]
    low, high = copied["accuracy_ci95"]
    assert high - low > 0.6


def test_all_right_is_not_certain() -> None:
    metrics = metrics_of([right(index, sample) for index in range(10) for sample in range(4)])
    assert metrics["accuracy_stderr"] == 0.0
    assert metrics["accuracy_ci95"] == wilson(1.0, 10)


def test_one_item_has_no_standard_error() -> None:
    metrics = metrics_of([right(0, 0), result(0, 1)])
    assert metrics["accuracy_stderr"] is None
    assert metrics["accuracy_ci95"] == wilson(0.5, 1)


def test_throughput_is_from_the_first_call_to_the_last_landing() -> None:
    metrics = metrics_of(
        [
            right(0, started_at=100.5, landed_at=101.0),
            right(1, started_at=100.0, landed_at=104.0),
            failed(2, landed_at=102.0),
        ]
    )
    assert metrics["items_per_s"] == 3 / 4
    assert metrics_of([failed(0)])["items_per_s"] is None
    assert metrics_of([right(0, started_at=1.0, landed_at=1.0)])["items_per_s"] is None


def test_latencies_of_what_was_called() -> None:
    times = [30.0, 10.0, 50.0, 20.0, 40.0]
    results = [right(index, latency_ms=time) for index, time in enumerate(times)]
    metrics = metrics_of([*results, failed(5, latency_ms=9e9), result(6, ttft_ms=7.0)])
    assert metrics["latency_ms"] == {"p50": 30.0, "p95": pytest.approx(48.0), "mean": 30.0, "max": 50.0}
    assert metrics["ttft_ms"] == {"p50": 7.0, "p95": 7.0, "mean": 7.0, "max": 7.0}


def test_tokens_attempts_and_retries() -> None:
    def usage(prompt: int | None, completion: int | None, total: int | None) -> dict[str, int | None]:
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}

    metrics = metrics_of(
        [
            right(0, usage=usage(10, 5, 15)),
            right(1, usage=usage(10, 5, None), attempts=3),
            right(2, usage=usage(None, None, 7)),
            right(3, usage=usage(None, None, None)),
            right(4),
            failed(5, attempts=0),
        ]
    )
    assert metrics["tokens"] == {"prompt": 20, "completion": 10, "total": 37, "unreported": 2}
    assert (metrics["attempts"], metrics["retries"]) == (7, 2)


@pytest.mark.parametrize("places", [[(1, 0), (0, 0)], [(0, 1), (0, 0)], [(0, 0), (0, 0)]])
def test_results_out_of_order_or_twice_are_refused(places: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="each once"):
        metrics_of(right(index, sample) for index, sample in places)


def test_missing_results_are_refused() -> None:
    metrics = Metrics(2)
    metrics.add(right(0))
    with pytest.raises(ValueError, match="1 results came for 2 samples"):
        metrics.finish()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="score 'f1' of item 'item-0'"):
        metrics_of([result(0, scores={"f1": value})])


OUTCOMES = st.sampled_from(["right", "wrong", "infra_error"])


@given(st.lists(st.lists(OUTCOMES, min_size=1, max_size=4), max_size=12))
def test_streamed_sums_equal_the_formulas(items: list[list[str]]) -> None:
    make = {"right": right, "wrong": result, "infra_error": failed}
    results = [make[outcome](index, sample) for index, item in enumerate(items) for sample, outcome in enumerate(item)]
    metrics = metrics_of(results)
    json.dumps(metrics, allow_nan=False)
    called = [one for one in results if one["outcome"] == "scored"]
    if not called:
        assert metrics["accuracy"] is None
        return
    p = Fraction(sum(one["correct"] for one in called), len(called))
    assert metrics["accuracy"] == float(p)
    low, high = metrics["accuracy_ci95"]
    assert 0 <= low <= float(p) <= high <= 1
    groups = [list(group) for _, group in groupby(called, key=lambda one: one["index"])]
    if len(groups) > 1:
        squares = sum(sum(one["correct"] - p for one in group) ** 2 for group in groups)
        assert metrics["accuracy_stderr"] == sqrt(squares * len(groups) / ((len(groups) - 1) * len(called) ** 2))
        if len({len(group) for group in groups}) == 1:
            means = [mean(float(one["correct"]) for one in group) for group in groups]
            assert metrics["accuracy_stderr"] == pytest.approx(stdev(means) / sqrt(len(means)), rel=1e-12, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_order_of_scores_changes_no_bit(values: list[float]) -> None:
    def scores(ordered: list[float]) -> dict[str, Any]:
        metrics = metrics_of(
            result(index, scores={"f1": value}, latency_ms=value) for index, value in enumerate(ordered)
        )
        return {"scores": metrics["scores"], "latency_ms": metrics["latency_ms"]}

    assert scores(values) == scores(sorted(values))


# Intervals


def test_every_rate_has_its_interval_and_the_main_metric_that_of_what_it_is() -> None:
    results = [right(0), right(1, prediction="2.0"), result(2), result(3, outcome="no_answer", prediction=None)]
    metrics = metrics_of(results)
    intervals = metrics["intervals"]
    assert intervals["accuracy"] == metrics["accuracy_ci95"] == wilson(1 / 2, 4)
    assert intervals["exact_match"] == wilson(1 / 4, 4)
    assert intervals["answer_rate"] == wilson(3 / 4, 4)
    assert intervals["overall_score"] == intervals["accuracy"]
    assert intervals["scores"] == {}


def test_a_score_of_zeros_and_ones_has_the_interval_of_a_rate() -> None:
    rows = [right(0, 0), right(0, 1), right(1, 0), result(1, 1), result(2, 0), result(2, 1), right(3, 0), right(3, 1)]
    rows = [row | {"scores": {"s": float(row["correct"])}} for row in rows]
    metrics = metrics_of(rows, "s")
    assert metrics["intervals"]["scores"]["s"] == pytest.approx(metrics["accuracy_ci95"])
    assert metrics["intervals"]["overall_score"] == metrics["intervals"]["scores"]["s"]


def test_the_interval_of_a_score_by_hand() -> None:
    values = [0.2, 0.4, 0.9, 0.5]
    metrics = metrics_of([result(index, scores={"f1": value}) for index, value in enumerate(values)], "f1")
    m, squared_error = mean(values), stdev(values) ** 2 / 4
    assert metrics["intervals"]["scores"]["f1"] == pytest.approx(wilson(m, 4 / 3 * m * (1 - m) / squared_error))
    beyond = metrics_of([result(index, scores={"words": 100 * value}) for index, value in enumerate(values)])
    half = 1.959963984540054 * 100 * sqrt(squared_error)
    assert beyond["intervals"]["scores"]["words"] == pytest.approx([100 * m - half, 100 * m + half])


def test_what_has_no_score_counts_0_in_its_interval_too() -> None:
    told = metrics_of([result(0, scores={"f1": 0.5}), result(1, scores={"f1": 0.25}), result(2, scores={"f1": 0.0})])
    untold = metrics_of(
        [
            result(0, scores={"f1": 0.5}),
            result(1, scores={"f1": 0.25}),
            result(2, outcome="model_error", prediction=None),
        ]
    )
    assert untold["intervals"]["scores"] == told["intervals"]["scores"]


def test_scores_that_are_all_alike_are_not_certain() -> None:
    alike = metrics_of([result(index, scores={"f1": 0.3}) for index in range(7)])
    assert alike["intervals"]["scores"]["f1"] == pytest.approx(wilson(0.3, 7))
    perfect = metrics_of([result(index, scores={"f1": 1.0}) for index in range(7)])
    assert perfect["intervals"]["scores"]["f1"] == wilson(1, 7)


def test_nothing_called_has_no_interval() -> None:
    metrics = metrics_of([failed(0), failed(1)])
    assert metrics["intervals"] == {
        "accuracy": None,
        "exact_match": None,
        "answer_rate": None,
        "overall_score": None,
        "scores": {},
    }


def test_scores_over_all_answers_are_made_of_their_statistics() -> None:
    metrics = Metrics(4)
    for index, outcome in enumerate(["scored", "no_answer", "infra_error", "scored"]):
        counted = {"statistics": [index, 10]} if outcome != "infra_error" else {}
        metrics.add(result(index, outcome=outcome, scores={"sentence_bleu": 0.5}, correct=False) | counted)
    assert metrics.statistics == [4, 30]
    found = metrics.finish("bleu", {"bleu": 0.25})
    assert (found["overall_score"], found["corpus"]) == (0.25, ["bleu"])
    assert found["scores"] == {"sentence_bleu": pytest.approx(1 / 3), "bleu": 0.25}
    for over in (found["bounds"], found["intervals"]):
        assert over["overall_score"] is None
        assert over["scores"]["bleu"] is None
        assert over["scores"]["sentence_bleu"] is not None


def test_where_nothing_is_claimed_of_an_answer_nobody_says_how_many_are_correct() -> None:
    metrics = metrics_of([right(0), result(1, correct=None)])
    assert [metrics[name] for name in ("correct", "accuracy", "exact_match", "accuracy_ci95")] == [None] * 4
    assert (metrics["called"], metrics["answer_rate"]) == (2, 1.0)
