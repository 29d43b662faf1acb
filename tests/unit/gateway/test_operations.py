"""What the page of operations makes of what it reads."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import examples
from gateway.entry import Entry, entry_of
from gateway.web.operations import Read, busy_first, cursor_before, failures_in, in_flight, in_order, tried, waiting_in
from shared.api import Evaluation, Model
from shared.errors import Unavailable

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def evaluation(number: int, status: str = "running", **progress: int) -> Evaluation:
    counts = {**examples.EVALUATION["progress"], **progress}
    return Evaluation(**{**examples.EVALUATION, "number": number, "status": status, "progress": counts})


def model(name: str, calls: float | None) -> Model:
    pacing = None if calls is None else {**examples.MODEL["pacing"], "in_flight": calls}
    return Model(**{**examples.MODEL, "name": name, "pacing": pacing})


def entries(*seconds: int) -> list[Entry]:
    def event(second: int) -> dict[str, Any]:
        return {"type": "assay.evaluation.progress", "time": (BEGIN + timedelta(seconds=second)).isoformat()}

    return [entry_of(100 + at, "e1", event(second)) for at, second in enumerate(seconds)]


@pytest.mark.parametrize(
    ("since", "cursor"), [(-5, "99"), (10, "99"), (11, "100"), (20, "100"), (25, "101"), (99, "102")]
)
def test_the_cursor_is_the_one_before_the_first_event_since(since: int, cursor: str) -> None:
    assert cursor_before(entries(10, 20, 30), BEGIN + timedelta(seconds=since), 102) == cursor


def test_where_nothing_was_ever_said_the_feed_begins_now() -> None:
    assert cursor_before([], BEGIN, 0) is None
    assert cursor_before([], BEGIN, 7) == "7"


def test_what_runs_comes_before_what_waits() -> None:
    rows = [evaluation(4, "queued"), evaluation(3, "scoring"), evaluation(2, "queued"), evaluation(1)]
    assert [row.number for row in in_order(rows)] == [1, 3, 2, 4]


def test_samples_waiting_are_those_without_a_result() -> None:
    assert waiting_in([evaluation(1, done=30, total=100), evaluation(2, "queued", done=0, total=50)]) == 120


def test_failures_are_failed_evaluations_and_samples_that_could_not_be_called() -> None:
    rows = [evaluation(1, "completed"), evaluation(2, "failed"), evaluation(3, "completed", infra_error=2)]
    assert [row.number for row in failures_in(rows)] == [2, 3]


def test_models_keep_their_places_as_long_as_the_same_ones_are_busy() -> None:
    rows = [model("c", 3.0), model("a", 0.2), model("b", None), model("d", 12.0)]
    assert [row.name for row in busy_first(rows)] == ["c", "d", "a", "b"]
    assert in_flight(rows) == pytest.approx(15.2)


async def test_the_page_stands_where_something_cannot_be_read() -> None:
    async def fine() -> int:
        return 1

    async def away() -> int:
        raise Unavailable("mongodb does not answer")

    async def slow() -> int:
        raise TimeoutError

    assert await tried(fine()) == Read(1)
    assert await tried(away()) == Read(problem="mongodb does not answer")
    assert await tried(slow()) == Read(problem="no answer yet")


def test_the_very_first_event_comes_after_the_beginning() -> None:
    first = entry_of(1, "e1", {"type": "assay.evaluation.queued", "time": BEGIN.isoformat()})
    assert cursor_before([first], BEGIN, 1) == "0"
