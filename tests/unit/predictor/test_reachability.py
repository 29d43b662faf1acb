"""When an endpoint counts as down."""

import pytest

from services.predictor.reachability import LAST_PAUSE_S, LONGEST_PAUSE_S, Evidence, ask_at
from shared.contracts import ModelStatus, PacingReport, PacingState


def report(**counts: int) -> PacingReport:
    return PacingReport.model_validate({"replica": "a", "span_s": 0.25, "error": "cannot connect", **counts})


def test_a_few_calls_that_cannot_connect_are_enough() -> None:
    evidence = Evidence()
    evidence.add(report(unreachable=4), 1.0)
    assert evidence.verdict(1.0) is None
    evidence.add(report(unreachable=1), 1.2)
    assert evidence.verdict(1.2) == "cannot connect; 5 calls in turn failed"


def test_an_answer_anywhere_in_the_fleet_clears_it() -> None:
    evidence = Evidence()
    evidence.add(report(unreachable=4), 1.0)
    evidence.add(report(unreachable=9, answered=1), 1.2)
    evidence.add(report(unreachable=4), 1.4)
    assert evidence.verdict(1.4) is None


def test_server_errors_count_only_after_a_second_without_an_answer() -> None:
    evidence = Evidence()
    evidence.add(report(answered=1), 1.0)
    evidence.add(report(failing=50), 1.5)
    assert evidence.verdict(1.5) is None
    evidence.add(report(failing=1), 2.1)
    assert evidence.verdict(2.1) is not None


def test_a_silent_model_is_not_one_that_is_down() -> None:
    evidence = Evidence()
    evidence.add(report(failing=3), 1.0)
    assert evidence.verdict(100.0) is None
    evidence.add(report(timeouts=500), 1.0)
    assert evidence.verdict(100.0) is None


def state(status: ModelStatus, at: float, **fields: float) -> PacingState:
    return PacingState.model_validate({"status": status, "since": 1000.0, "at": at, "limit": 8, **fields})


def test_one_that_answers_is_asked_once_in_a_while_and_not_all_at_once() -> None:
    running = state(ModelStatus.RUNNING, 1000.0)
    assert [ask_at(running, 60, spread) for spread in (-1, 0, 1)] == [1045.0, 1060.0, 1075.0]
    assert ask_at(running, 0, 0) is None


def test_one_that_is_down_is_asked_ever_more_rarely_though_no_other_is() -> None:
    pauses = []
    at = 1000.0
    for asks in range(60):
        due = ask_at(state(ModelStatus.UNREACHABLE, at, asks=asks), 0, 0)
        assert due is not None
        pauses.append(due - at)
        at = due
    assert pauses[:6] == [1, 2, 4, 8, 16, LAST_PAUSE_S]
    assert set(pauses[6:30]) == {LAST_PAUSE_S}
    assert pauses[-1] == LONGEST_PAUSE_S


@pytest.mark.parametrize("status", ["paused", "starting", "stopped", "failed"])
def test_others_are_not_asked(status: str) -> None:
    assert ask_at(state(ModelStatus(status), 1000.0), 60, 0) is None
