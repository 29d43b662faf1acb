"""Reading memory of processes and what is made of it."""

import os

import pytest

from bench.memory import MB, Resident, cpu_between, cpu_s, descendants, most_between, peaks, resident

STATUS = "Name:\tmongod\nVmPeak:\t 9000 kB\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\nThreads:\t30\n"


def test_resident_memory_and_its_peak_are_bytes() -> None:
    assert resident(STATUS) == Resident(now=1_024_000, most=2_048_000)


def test_a_process_that_has_ended_has_no_memory() -> None:
    assert resident("Name:\tpython\nState:\tZ (zombie)\n") is None


def test_children_and_their_children_belong_to_a_part() -> None:
    parents = {2: 1, 3: 2, 4: 3, 5: 1}

    assert descendants(parents, 2) == [3, 4]
    assert descendants(parents, 4) == []


def test_the_most_is_looked_for_in_a_span_alone() -> None:
    samples = [
        (at, {"nats": Resident(held * MB, 90 * MB)}) for at, held in ((1.0, 80), (2.0, 20), (3.0, 30), (4.0, 70))
    ]

    assert most_between(samples, "nats", 2.0, 3.0) == 30 * MB
    assert most_between(samples, "mongo", 2.0, 3.0) is None


def test_a_peak_outlives_its_process() -> None:
    samples = [(1.0, {"child": Resident(5, 9), "nats": Resident(1, 1)}), (2.0, {"nats": Resident(2, 3)})]

    assert peaks(samples) == pytest.approx({"child": 9, "nats": 3})
    assert list(peaks(samples)) == ["child", "nats"]


def test_cpu_time_is_read_behind_any_name() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    stat = f"4711 (a (b) c) S 1 1 1 0 -1 4194304 9 0 0 0 {2 * ticks} {ticks} 7 8 20 0 1 0 100"

    assert cpu_s(stat) == 3.0


def test_cores_in_a_span_are_those_between_its_first_and_last_look() -> None:
    samples = [(at, {"nats": Resident(0, 0, used)}) for at, used in ((1.0, 5.0), (2.0, 5.5), (4.0, 6.5), (5.0, 9.0))]

    assert cpu_between(samples, "nats", 1.5, 4.5) == 0.5
    assert cpu_between(samples, "nats", 1.5, 3.0) == 0.0
    assert cpu_between(samples, "mongo", 1.0, 5.0) == 0.0
