"""How long an evaluation waits for a model that is unreachable."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.orchestrator.engine_states import Seen
from services.orchestrator.patience import Patience, patience
from shared.contracts import ModelStatus

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def model(status: str = "unreachable", since: float = 0) -> dict[str, Any]:
    return {"name": "m", "status": status, "status_detail": "connection refused", "status_since": after(since)}


def evaluation(**fields: Any) -> dict[str, Any]:
    return {"created_at": after(-100), **fields}


@pytest.mark.parametrize("status", ["running", "paused", "starting"])
def test_a_model_that_is_there_is_not_waited_for(status: str) -> None:
    assert patience(model(status), evaluation(), after(1e6), 10) == Patience()


def test_a_model_that_is_gone_is_not_waited_for() -> None:
    assert patience(None, evaluation(), NOON, 10) == Patience()


def test_waiting_says_until_when_and_why() -> None:
    found = patience(model(), evaluation(), after(9.9), 10)
    assert (found.waits, found.over) == (True, False)
    assert found.message == "Waiting for model m until 2026-01-02 12:00:10 UTC: connection refused"


def test_waiting_ends() -> None:
    found = patience(model(), evaluation(), after(10), 10)
    assert found.over
    assert found.message == "model m was unreachable for 10 s: connection refused"


def test_an_evaluation_that_is_asked_for_later_waits_from_then() -> None:
    asked = evaluation(created_at=after(5))
    assert not patience(model(), asked, after(14.9), 10).over
    assert patience(model(), asked, after(15), 10).over


def test_a_redrive_waits_anew() -> None:
    redriven = evaluation(redriven_at=after(50))
    assert not patience(model(), redriven, after(59), 10).over
    assert patience(model(), redriven, after(60), 10).over


def test_an_evaluation_may_ask_for_another_time() -> None:
    assert patience(model(), evaluation(unreachable_wait_s=0), NOON, 10).over
    assert not patience(model(), evaluation(unreachable_wait_s=60.0), after(59), 10).over
    assert patience(model(), evaluation(unreachable_wait_s=None), after(10), 10).over


def test_a_judge_is_waited_for_as_one() -> None:
    assert patience(model(), evaluation(), NOON, 10, "judge").message.startswith("Waiting for judge m until")
    assert patience(model(), evaluation(), after(10), 10, "judge").message.startswith(
        "judge m was unreachable for 10 s"
    )


STARTING = Seen(ModelStatus.STARTING, "loading, 12 s")
UNATTENDED = Seen(ModelStatus.STARTING, "waits for a launcher to take it", attended=False)


def test_an_engine_is_waited_for_as_long_as_it_starts() -> None:
    found = patience(model("starting"), evaluation(), after(1e6), 10, engine=STARTING)
    assert (found.waits, found.over, found.level) == (True, False, "info")
    assert found.message == "Starting the engine of model m: loading, 12 s"


def test_an_engine_that_fails_ends_the_waiting() -> None:
    engine = Seen(ModelStatus.FAILED, "exit 1: no such file")
    found = patience(model("failed"), evaluation(), NOON, 10, "judge", engine)
    assert (found.over, found.failed) == (True, True)
    assert found.message == "the engine of judge m failed: exit 1: no such file"


def test_an_engine_that_no_launcher_takes_is_waited_for_like_a_model_that_is_away() -> None:
    found = patience(model("starting"), evaluation(), after(9), 0, engine=UNATTENDED)
    assert found.message == "Starting the engine of model m: waits for a launcher to take it"
    found = patience(model("starting"), evaluation(), after(11), 20, engine=UNATTENDED)
    assert found.message == "Waiting for model m until 2026-01-02 12:00:20 UTC: waits for a launcher to take it"
    found = patience(model("starting"), evaluation(), after(20), 20, engine=UNATTENDED)
    assert (found.over, found.failed) == (True, False)
    assert found.message == "model m was unreachable for 20 s: waits for a launcher to take it"


@pytest.mark.parametrize("status", ["running", "stopped", "unreachable"])
def test_a_launcher_that_has_just_gone_is_not_gone_since_its_engine_came_up(status: str) -> None:
    found = patience(model(status), evaluation(), after(1e6), 20, engine=UNATTENDED)
    assert (found.waits, found.over) == (True, False)


def test_an_engine_that_runs_is_a_model_like_any_other() -> None:
    engine = Seen(ModelStatus.RUNNING, "", "http://127.0.0.1:1/v1")
    assert patience(model("running"), evaluation(), NOON, 10, engine=engine) == Patience()
    assert patience(model(), evaluation(), after(10), 10, engine=engine).over
