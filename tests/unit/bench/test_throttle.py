"""How much CPU time a held process may take."""

import os

import pytest

from bench.throttle import ENOUGH_S, MOST_S, Allowance, cpu_time_s


def test_a_process_stops_when_it_has_used_its_time_and_goes_on_when_enough_has_come() -> None:
    allowance = Allowance(0.1)

    assert allowance.spend(MOST_S / 2, 0.0)
    assert not allowance.spend(MOST_S, 0.0)  # half of it is owed
    assert not allowance.spend(0.0, (MOST_S / 2 + ENOUGH_S / 2) / 0.1)
    assert allowance.spend(0.0, ENOUGH_S / 0.1)


def test_idle_time_does_not_gather() -> None:
    allowance = Allowance(0.1)

    assert allowance.spend(0.0, 1000.0)
    assert not allowance.spend(MOST_S, 0.0)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_process_that_wants_a_whole_core_gets_its_share(share: float) -> None:
    allowance, used, runs = Allowance(share), 0.0, True
    for _ in range(100_000):  # milliseconds
        used += 0.001 * runs
        runs = allowance.spend(0.001 * runs, 0.001)

    assert used == pytest.approx(100 * share, rel=0.01)


def test_cpu_time_is_that_of_the_process() -> None:
    before = sum(os.times()[:2])

    assert before <= cpu_time_s(os.getpid()) + 0.02
