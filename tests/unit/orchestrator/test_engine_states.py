"""What an engine's order and state come to."""

from typing import Any

import pytest

from services.orchestrator.engine_states import GONE_S, Known, Seen, order_due, seen, settled
from shared.contracts import EngineOrder, EngineSettings, EngineState, ModelStatus

NOW = 1000.0
MODEL = {
    "_id": "m1",
    "name": "m 0.26",
    "model": "m-0.26",
    "engine": {"name": "vllm", "checkpoint": "/m", "idle_stop_s": 60},
}


def order(**fields: Any) -> EngineOrder:
    settings = EngineSettings.model_validate(MODEL["engine"])
    given = {"until": NOW + 60, "request": 2, **fields}
    return EngineOrder(model="m1", model_name="m 0.26", served_name="m-0.26", settings=settings, **given)


def state(status: str, **fields: Any) -> EngineState:
    return EngineState(model="m1", status=ModelStatus(status), **{"since": 0, "at": 0, "request": 2, **fields})


RUNNING = state("running", base_url="http://127.0.0.1:1/v1", served_name="m:adapter", detail="answers")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Known(), Seen(ModelStatus.STOPPED, "not started yet")),
        (Known(order(until=0)), Seen(ModelStatus.STOPPED, "stopped")),
        (Known(order(until=0), state("stopped", detail="idle")), Seen(ModelStatus.STOPPED, "idle")),
        (Known(order(), state("starting", detail="loading")), Seen(ModelStatus.STARTING, "loading")),
        (Known(order(), RUNNING), Seen(ModelStatus.RUNNING, "answers", RUNNING.base_url, "m:adapter")),
        # It still answers, while its launcher stops it.
        (Known(order(until=0), RUNNING), Seen(ModelStatus.RUNNING, "answers", RUNNING.base_url, "m:adapter")),
        (Known(order(), state("failed", detail="exit 1")), Seen(ModelStatus.FAILED, "exit 1")),
        (Known(order(until=0), state("failed", detail="exit 1")), Seen(ModelStatus.FAILED, "exit 1")),
    ],
)
def test_a_model_is_what_its_launcher_says(known: Known, expected: Seen) -> None:
    assert seen(known, NOW) == expected


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (Known(order()), "waits for a launcher to take it"),
        (Known(order(), state("stopped")), "waits for a launcher to take it"),
        (Known(order(request=3), state("failed")), "waits for a launcher to take it"),
        (Known(order(), RUNNING, silent_s=GONE_S), "its launcher is gone; waits for another"),
    ],
)
def test_what_is_wanted_and_nobody_has_in_hand_waits_unattended(known: Known, why: str) -> None:
    assert seen(known, NOW) == Seen(ModelStatus.STARTING, why, attended=False)


def test_an_engine_whose_launcher_is_gone_is_stopped_where_nobody_wants_it() -> None:
    assert seen(Known(order(until=0), RUNNING, silent_s=GONE_S), NOW).status is ModelStatus.STOPPED


def test_the_first_order_has_the_models_settings() -> None:
    first = order_due(Known(), MODEL, NOW, NOW + 60, again=True)
    assert first == order(request=1)


@pytest.mark.parametrize("left", [59.0, 61.0])
def test_an_order_in_force_is_not_written_for_less_than_a_step(left: float) -> None:
    assert order_due(Known(order(until=NOW + left), RUNNING), MODEL, NOW, NOW + 60, again=True) is None


def test_an_order_in_force_is_moved_on() -> None:
    moved = order_due(Known(order(until=NOW + 50), RUNNING), MODEL, NOW, NOW + 60, again=False)
    assert moved == order(until=NOW + 60)


@pytest.mark.parametrize("present", [None, RUNNING, state("stopped")])
def test_an_order_that_has_run_out_is_followed_by_a_new_request(present: EngineState | None) -> None:
    new = order_due(Known(order(until=NOW), present), MODEL, NOW, NOW + 60, again=False)
    assert new == order(request=3)


def test_an_engine_that_has_made_room_is_stopped_until_it_is_asked_for_again() -> None:
    made_room = state("stopped", since=NOW - 5, detail="made room")
    assert seen(Known(order(until=NOW + 40), made_room), NOW) == Seen(ModelStatus.STOPPED, "made room")
    again = order_due(Known(order(until=NOW + 40), made_room), MODEL, NOW, NOW + 60, again=False)
    assert again == order()
    assert seen(Known(again, made_room), NOW).status is ModelStatus.STARTING


def test_what_has_failed_is_tried_again_for_a_new_wish_alone() -> None:
    failed = Known(order(), state("failed"))
    assert order_due(failed, MODEL, NOW, NOW + 60, again=False) is None
    assert order_due(failed, MODEL, NOW, NOW + 60, again=True) == order(request=3)
    # Where somebody else has tried it again already, that is joined.
    assert order_due(Known(order(request=3), state("failed")), MODEL, NOW, NOW + 60, again=True) is None


def test_a_request_is_newer_than_any_that_was_answered() -> None:
    """Also where the order was lost with the broker's data, and the state was not."""
    new = order_due(Known(None, state("failed", request=7)), MODEL, NOW, NOW + 60, again=True)
    assert new == order(request=8)


def test_an_engine_that_has_come_up_counts_as_idle_from_then() -> None:
    long = order(until=NOW + 660)
    assert settled(Known(long, RUNNING), NOW) == order(until=NOW + 60)
    assert settled(Known(long, state("starting")), NOW) is None
    assert settled(Known(order(until=NOW + 60), RUNNING), NOW) is None
    assert settled(Known(None, RUNNING), NOW) is None
