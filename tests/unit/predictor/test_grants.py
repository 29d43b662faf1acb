"""Grants: what all replicas together may start."""

from services.predictor.grants import FORGOTTEN_S, Bucket
from shared.contracts import PacingReport


def report(replica: str, *, waiting: int = 0, started: int = 0, tokens: int = 0) -> PacingReport:
    return PacingReport(replica=replica, span_s=0.25, waiting=waiting, started=started, tokens=tokens)


def test_sixty_a_minute_is_one_a_second_whoever_asks() -> None:
    bucket = Bucket(60, tokens=1)
    granted = []
    for quarter in range(41):
        now = quarter / 4
        for replica in ("a", "b"):
            bucket.report(report(replica, waiting=8), now)
        granted.append(sum(bucket.grant(now).values()))
    assert granted[0] == 1
    assert sum(granted) == 11
    assert max(granted) == 1


def test_no_more_than_a_second_gathers_while_nobody_calls() -> None:
    bucket = Bucket(600)
    assert bucket.grant(0.0) == {}
    bucket.report(report("a", waiting=100), 60.0)
    assert bucket.grant(60.0) == {"a": 10}


def test_replicas_share_by_what_they_want() -> None:
    bucket = Bucket(6000, tokens=30)
    bucket.report(report("a", waiting=20), 0.0)
    bucket.report(report("b", waiting=4), 0.0)
    bucket.report(report("c", started=10, tokens=10), 0.0)
    assert bucket.grant(0.0) == {"a": 20, "b": 4}


def test_one_that_started_calls_gets_as_many_again_before_it_has_to_wait() -> None:
    bucket = Bucket(6000, tokens=50)
    bucket.report(report("a", started=12, tokens=2), 0.0)
    assert bucket.grant(0.0) == {"a": 10}


def test_a_replica_that_is_gone_gets_nothing() -> None:
    bucket = Bucket(600, tokens=5)
    bucket.report(report("gone", waiting=8), 0.0)
    bucket.report(report("here", waiting=2), FORGOTTEN_S + 0.1)
    assert bucket.grant(FORGOTTEN_S + 0.1) == {"here": 2}
