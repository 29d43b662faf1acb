"""When a phase is open, and how many evaluations a model may still have in it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.contracts import Status
from shared.manifest import Phase
from shared.phases import Standing, counts, refusal, standing, state_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 3, tzinfo=UTC)
YESTERDAY = datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC)


def phase(**fields: Any) -> Phase:
    return Phase(name="final", data="final.jsonl", **fields)


@pytest.mark.parametrize(
    ("status", "has_run", "counted"),
    [
        (Status.QUEUED, False, True),
        (Status.RUNNING, True, True),
        (Status.COMPLETED, True, True),
        (Status.FAILED, True, True),
        (Status.CANCELLED, True, True),
        (Status.FAILED, False, False),
        (Status.CANCELLED, False, False),
    ],
)
def test_what_ended_before_its_first_call_does_not_count(status: Status, has_run: bool, counted: bool) -> None:
    assert counts({"status": status, "started_at": NOON if has_run else None}) is counted


def test_without_a_quota_there_is_no_end() -> None:
    assert standing(phase(), [NOON] * 1000, NOON) == Standing(1000, 1000, None)
    assert refusal(phase(), standing(phase(), [NOON] * 1000, NOON), "m") is None


def test_a_day_is_one_of_utc() -> None:
    daily = phase(max_submissions_per_day=2)
    assert standing(daily, [YESTERDAY, YESTERDAY, NOON], NOON) == Standing(3, 1, 1)
    used_up = standing(daily, [YESTERDAY, NOON, NOON], NOON)
    assert used_up == Standing(3, 2, 0, MIDNIGHT)
    assert refusal(daily, used_up, "m0.26") == (
        "model m0.26 has used 2 of its 2 evaluations a day (UTC) in phase final; "
        "the next is possible at 2026-01-03 00:00:00 UTC"
    )
    assert standing(daily, [NOON, NOON], MIDNIGHT).left == 2


def test_the_smaller_of_both_quotas_counts_and_the_total_never_comes_back() -> None:
    both = phase(max_submissions=3, max_submissions_per_day=2)
    assert standing(both, [YESTERDAY], NOON).left == 2
    assert standing(both, [YESTERDAY, YESTERDAY], NOON).left == 1
    used_up = standing(both, [YESTERDAY, NOON, NOON], NOON)
    assert (used_up.left, used_up.next_at) == (0, None)
    assert refusal(both, used_up, "m") == "model m has used 3 of its 3 evaluations in phase final; none is left"


def test_tomorrow_is_of_no_use_to_a_phase_that_closes_before() -> None:
    closing = phase(max_submissions_per_day=1, end=MIDNIGHT - timedelta(hours=1))
    used_up = standing(closing, [NOON], NOON)
    assert used_up.next_at is None
    assert "none is left before it closes" in (refusal(closing, used_up, "m") or "")


def test_a_quota_that_was_lowered_below_what_is_used_leaves_none() -> None:
    assert standing(phase(max_submissions=1), [NOON, NOON], NOON).left == 0


@pytest.mark.parametrize(
    ("start_s", "end_s", "state"),
    [
        (None, None, "open"),
        (-5, None, "open"),
        (0, 3 * 86400 + 5, "open, closes in 3 days"),
        (None, 86400, "open, closes in 1 day"),
        (7300, None, "opens in 2 hours"),
        (61, 100, "opens in 1 minute"),
        (1, 100, "opens in a minute"),
        (None, 0, "closed"),
        (-10, -5, "closed"),
    ],
)
def test_what_is_said_of_a_phase(start_s: float | None, end_s: float | None, state: str) -> None:
    start, end = (None if s is None else NOON + timedelta(seconds=s) for s in (start_s, end_s))
    assert state_of(start, end, NOON) == state
