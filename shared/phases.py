"""When a phase is open, and how many evaluations a model may still have in it. Pure: the orchestrator refuses by it, others show it.

An evaluation counts on the day (UTC) on which it was asked for, over all versions of its environment, from then on and whatever
becomes of it; but one that failed or was cancelled before it ran, so before its first call, does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from shared.contracts import Status

COUNTED_BY = {"status": 1, "started_at": 1, "created_at": 1}
"""What of an evaluation's document must be read to count it."""


class Quota(Protocol):
    """A phase, as the manifest or the API has it."""

    @property
    def name(self) -> str: ...
    @property
    def end(self) -> datetime | None: ...
    @property
    def max_submissions(self) -> int | None: ...
    @property
    def max_submissions_per_day(self) -> int | None: ...


@dataclass(frozen=True)
class Standing:
    """`left`: how many may be started now, None where there is no quota. `next_at`: where none may, when the next may; None: never."""

    used: int
    used_today: int
    left: int | None
    next_at: datetime | None = None


def counts(evaluation: Mapping[str, Any]) -> bool:
    """Whether an evaluation, by its document, is one of those that its model may have."""
    return evaluation["started_at"] is not None or evaluation["status"] not in (Status.FAILED, Status.CANCELLED)


def standing(phase: Quota, asked_at: Iterable[datetime], now: datetime) -> Standing:
    """`asked_at`: when each evaluation that counts was created."""
    times = list(asked_at)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
    today = sum(time >= midnight for time in times)
    total, daily = phase.max_submissions, phase.max_submissions_per_day
    rooms = [most - used for most, used in ((total, len(times)), (daily, today)) if most is not None]
    left = max(0, min(rooms)) if rooms else None
    next_at = None
    if left == 0 and (total is None or len(times) < total):
        tomorrow = midnight + timedelta(days=1)
        next_at = tomorrow if phase.end is None or tomorrow < phase.end else None
    return Standing(len(times), today, left, next_at)


def refusal(phase: Quota, found: Standing, model_name: str) -> str | None:
    """Why no further evaluation may be started, or None: how many are used, and when the next is possible."""
    if found.left != 0:
        return None
    if phase.max_submissions is not None and found.used >= phase.max_submissions:
        return (
            f"model {model_name} has used {found.used} of its {phase.max_submissions} evaluations in phase {phase.name}; "
            "none is left"
        )
    following = f"the next is possible at {in_utc(found.next_at)}" if found.next_at else "none is left before it closes"
    return (
        f"model {model_name} has used {found.used_today} of its {phase.max_submissions_per_day} evaluations a day (UTC) "
        f"in phase {phase.name}; {following}"
    )


def in_utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def state_of(start: datetime | None, end: datetime | None, now: datetime) -> str:
    """`open`, `open, closes in 3 days`, `opens in 2 hours` or `closed`."""
    if start is not None and now < start:
        return f"opens in {_span(start - now)}"
    if end is None:
        return "open"
    return f"open, closes in {_span(end - now)}" if now < end else "closed"


def _span(span: timedelta) -> str:
    """In the largest unit of which there is at least one, rounded down; below a minute that."""
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(span.total_seconds() // seconds)
        if count:
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "a minute"
