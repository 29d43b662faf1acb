"""Transitions and what is said of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.orchestrator.state import (
    empty_progress,
    may_become,
    over_time,
    progress_event,
    scored_event,
    status_event,
)
from shared.contracts import Status

EVALUATION = {
    "_id": "e1",
    "number": 678,
    "group": "g1",
    "slug": "word-problems",
    "model": "m1",
    "model_name": "m0.26",
    "round": 1,
}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.SCORING])
def test_every_active_status_may_fail_or_be_cancelled(status: Status) -> None:
    assert may_become(status, Status.FAILED)
    assert may_become(status, Status.CANCELLED)


def test_only_a_redrive_leads_out_of_completed() -> None:
    assert [status for status in Status if may_become(Status.COMPLETED, status)] == [Status.RUNNING]
    assert not any(may_become(final, status) for final in (Status.FAILED, Status.CANCELLED) for status in Status)


def test_a_status_event_has_the_same_id_when_it_is_said_again() -> None:
    assert status_event(EVALUATION, Status.COMPLETED).id == "e1:1:completed"
    assert status_event(EVALUATION, Status.COMPLETED).type == "assay.evaluation.completed"


def test_the_progress_line_is_what_people_read() -> None:
    progress = empty_progress(100) | {"done": 10}
    data = progress_event(EVALUATION, progress, rate=5.0).data
    assert data["message"] == "Processing: 10/100 (10%)"
    assert data["eta_s"] == 18.0


def test_the_percentage_is_not_rounded_up_to_a_hundred() -> None:
    data = progress_event(EVALUATION, empty_progress(1000) | {"done": 999}, rate=0.0).data
    assert data["percent"] == 99
    assert data["eta_s"] is None


def test_the_scored_line_is_what_people_read() -> None:
    data = scored_event(EVALUATION, {"accuracy": 0.26, "correct": 26, "called": 100}).data
    assert data["message"] == "accuracy=26.00% correct=26/100"


def test_the_scored_line_without_any_call() -> None:
    data = scored_event(EVALUATION, {"accuracy": None, "correct": 0, "called": 0}).data
    assert data["message"] == "accuracy=n/a correct=0/0"


def test_of_a_scoring_program_the_first_scores_are_told() -> None:
    scores = {"ndcg": 0.8123456789, "loss": 12345.0, "c": 1.0, "d": 0.0, "e": -1e-9, "f": 2.0}
    metrics = {"accuracy": None, "correct": 0, "called": 3, "scores": scores, "columns": {}}
    assert scored_event(EVALUATION, metrics).data["message"] == "ndcg=0.812346 loss=12345 c=1 d=0 e=-1e-09"


STARTED = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "after_s", "is_over"),
    [
        ({}, 1e9, False),
        ({"execution_time_limit_s": None}, 1e9, False),
        ({"execution_time_limit_s": 60}, 60, False),
        ({"execution_time_limit_s": 60}, 60.001, True),
        ({"execution_time_limit_s": 60, "redriven_at": STARTED + timedelta(seconds=50)}, 100, False),
    ],
)
def test_a_phases_limit_counts_from_running_on(fields: dict[str, Any], after_s: float, is_over: bool) -> None:
    evaluation = {**EVALUATION, "phase": "final", "started_at": STARTED, **fields}
    message = over_time(evaluation, {"done": 3, "total": 5}, STARTED + timedelta(seconds=after_s))
    told = "phase final gives the predictions of an evaluation 60 s, in which 3 of 5 came"
    assert message == (told if is_over else None)
