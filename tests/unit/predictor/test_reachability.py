"""When an endpoint counts as down."""

from services.predictor.reachability import LAST_PROBE_S, Evidence, Probing
from shared.contracts import PacingReport


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


def test_probes_come_ever_more_rarely() -> None:
    probing = Probing()
    probing.start(0.0)
    at = []
    for _ in range(8):
        at.append(probing.due)
        probing.failed(probing.due)
    assert at[:5] == [1, 3, 7, 15, 31]
    assert at[7] - at[6] == LAST_PROBE_S
