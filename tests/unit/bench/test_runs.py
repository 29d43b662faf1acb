"""What the longer benchmarks make of what they saw."""

import pytest

from bench.__main__ import BENCHMARKS, sizes
from bench.adaptive import Counts, Run
from bench.controllers import holder, last_instance
from bench.hung import slower
from bench.million import rate, rows
from bench.scaling import idle_s
from bench.timing import Timing


def counts(at: float, requests: int, answered: int, refused: int = 0, in_flight: int = 0) -> Counts:
    return Counts(at, requests, answered, refused, in_flight)


RUN = Run(
    [
        counts(0.0, 0, 0),
        counts(1.0, 0, 0),
        counts(2.0, 100, 50, 40, 10),
        counts(11.0, 1_000, 900, 90, 40),
        counts(21.0, 2_000, 1_900, 100, 40),
        counts(31.0, 2_110, 2_000, 110),
        counts(32.0, 2_110, 2_000, 110),
    ],
    lost=0,
)


def test_an_endpoints_rate_is_from_its_first_call_to_its_last_answer() -> None:
    assert RUN.answers_per_s == pytest.approx(2_000 / 30)


def test_refusals_are_a_share_of_the_calls_that_came_later() -> None:
    assert RUN.refused() == pytest.approx(110 / 2_110)
    assert RUN.refused(after_s=10.0) == pytest.approx(20 / 1_110)
    assert RUN.refused(after_s=100.0) == 0.0


def test_calls_under_way_are_averaged_before_the_end_alone() -> None:
    assert RUN.mean_in_flight(after_s=10.0) == 40


def test_the_last_start_of_a_predictor_counts() -> None:
    log = [
        "2026-01-01 INFO    predictor predictor 0123456789ab is connected\n",
        "2026-01-01 INFO    predictor working for model m1 (a)\n",
        "2026-01-01 INFO    predictor predictor ba9876543210 is connected\n",
    ]

    assert last_instance(log) == "ba9876543210"
    assert last_instance([]) is None


def test_a_lease_names_its_holder() -> None:
    instances = {"predictor-1": "0123456789ab", "predictor-2": "ba9876543210"}

    assert holder('{"owner": "ba9876543210"}', instances) == "predictor-2"
    assert holder('{"owner": "somebody else"}', instances) is None


def test_a_neighbour_is_judged_pair_by_pair() -> None:
    def took(seconds: float) -> Timing:
        return Timing(10, 0.0, [(0.0, 0), (seconds, 10)], seconds)

    pairs = [(took(10), took(11)), (took(20), took(21)), (took(10), took(10))]

    assert slower(pairs, lambda timing: timing.completed_s) == pytest.approx(0.05)


def test_a_rate_is_that_of_a_stretch() -> None:
    timing = Timing(100, 0.5, [(0.5, 0), (1.5, 50), (3.5, 100)], 4.0)

    assert rate(timing, 0, 50) == 50
    assert rate(timing, 50, 100) == 25


def test_the_rows_of_a_million_have_ids_of_their_own() -> None:
    made = list(rows(2_500))

    assert len({row["id"] for row in made}) == 2_500
    assert made[0]["question"] == made[1_000]["question"] != made[1]["question"]


def test_idle_time_is_that_of_all_cores_and_of_waiting_for_disks() -> None:
    assert idle_s("cpu  10 0 20 300 50 0 0 0 0 0\ncpu0 5 0 10 150 25\n", 100) == 3.5


def test_each_benchmark_has_its_own_size_unless_one_is_given() -> None:
    assert sizes(["cost", "million"], None, quick=False) == {"cost": 10_000, "million": 1_000_000}
    assert sizes(["cost", "million"], None, quick=True) == {"cost": 1_000, "million": 20_000}
    assert sizes(["cost", "million"], 500, quick=False) == {"cost": 500, "million": 500}


def test_a_benchmark_runs_on_one_stack_or_on_its_own() -> None:
    assert all((chosen.measure is None) != (chosen.alone is None) for chosen in BENCHMARKS.values())
