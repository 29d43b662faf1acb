"""How many evaluations a model may still have."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.contracts import Status
from shared.manifest import Phase
from shared.quotas import Standing, counts, refusal, standing

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
