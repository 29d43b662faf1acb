"""The arithmetic of the benchmarks, on made-up figures."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bench.fixtures import BenchError, problems
from bench.latency import ideal_s
from bench.machine import cpu_model
from bench.timing import Timing, timing
from shared.api import EventOut

POSTED = 1_750_000_000.0


def event(kind: str, after_s: float, **data: Any) -> EventOut:
    return EventOut(
        id=f"{kind}:{after_s}",
        source="test",
        type=f"assay.evaluation.{kind}",
        subject="evaluations/e1",
        time=datetime.fromtimestamp(POSTED + after_s, UTC),
        data=data,
        cursor="1",
    )


@pytest.mark.parametrize(
    ("items", "concurrency", "seconds"),
    [(1_319, 64, 10.5), (1_319, 256, 3.0), (128, 64, 1.0), (129, 64, 1.5), (1, 64, 0.5)],
)
def test_the_ideal_is_whole_waves_of_calls(items: int, concurrency: int, seconds: float) -> None:
    assert ideal_s(items, concurrency, 0.5) == seconds


def test_an_evaluation_is_timed_from_its_post() -> None:
    events = [
        event("queued", 0.25),
        event("started", 0.5),
        event("progress", 1.5, done=50),
        event("progress", 2.5, done=100),
        event("completed", 4.0),
    ]

    found = timing(POSTED, 100, events)

    assert (found.started_s, found.stored_s, found.completed_s) == (0.5, 2.5, 4.0)


def test_counts_between_two_events_lie_on_a_line() -> None:
    found = Timing(100, 0.5, [(0.5, 0), (1.5, 50), (3.5, 100)], 4.0)
    assert found.told == 50

    assert found.at(25) == 1.0
    assert found.at(50) == 1.5
    assert found.at(75) == 2.5
    assert found.steady_per_s == pytest.approx(80 / (3.1 - 0.7))


def test_an_evaluation_that_never_completed_has_no_time() -> None:
    with pytest.raises(BenchError, match="never was completed"):
        timing(POSTED, 10, [event("started", 0.5), event("failed", 1.0)])


def test_results_that_never_came_have_no_time() -> None:
    with pytest.raises(BenchError, match="only 50 of 100"):
        Timing(100, 0.5, [(0.5, 0), (1.5, 50)], 4.0).at(100)


def test_the_cpu_is_named() -> None:
    assert cpu_model(["processor\t: 0\n", "model name\t: Some CPU @ 2.00GHz\n"]) == "Some CPU @ 2.00GHz"


def test_the_problems_are_different_ones_and_the_same_each_time() -> None:
    first = problems(500)

    assert len({row["question"] for row in first}) == 500
    assert first == problems(500)
