"""What a launcher does next."""

from typing import Any

import pytest

from services.launcher.deciding import HEARTBEAT_S, IDLE_S, STALE_S, Decision, World, decide
from shared.contracts import EngineOrder, EngineSettings, EngineState, ModelStatus

NOW = 1000.0
RUNNING, STARTING, STOPPED, FAILED = (
    ModelStatus.RUNNING,
    ModelStatus.STARTING,
    ModelStatus.STOPPED,
    ModelStatus.FAILED,
)


def order(model: str, until: float = NOW + 300, request: int = 1) -> EngineOrder:
    settings = EngineSettings(name="tiny", checkpoint="/c", idle_stop_s=300)
    return EngineOrder(
        model=model, model_name=model, served_name=model, settings=settings, until=until, request=request
    )


def state(model: str, status: ModelStatus, launcher: str | None = None, **changes: Any) -> EngineState:
    return EngineState(
        model=model, status=status, launcher=launcher, **({"since": 1, "at": NOW, "request": 1} | changes)
    )


def decided(
    orders: list[EngineOrder], states: list[EngineState], at_hand: str = "", room: int = 2, **others: Any
) -> Decision:
    return decide(
        World({one.model: one for one in orders}, {one.model: one for one in states}, at_hand, room, NOW, **others)
    )


def test_nothing_is_to_be_done_and_nothing_to_be_waited_for() -> None:
    assert decided([], []) == Decision()


def test_what_is_wanted_is_taken_in_the_order_in_which_it_waited_up_to_the_room() -> None:
    waited = [state("c", STARTING, since=5.0), state("b", STARTING, since=7.0)]
    decision = decided([order(name) for name in "abc"], waited)
    assert (decision.take, decision.waits) == (["c", "b"], ["a"])
    assert decision.look_again_at == NOW + HEARTBEAT_S


def test_what_another_launcher_has_in_hand_is_left_until_its_state_is_old() -> None:
    held = decided([order("a")], [state("a", RUNNING, "other")])
    assert (held.take, held.look_again_at) == ([], NOW + STALE_S)
    assert decided([order("a")], [state("a", RUNNING, "other", at=NOW - STALE_S)]).take == ["a"]
    assert decided([order("a")], [state("a", RUNNING, "other")], dead={"other"}).take == ["a"]


def test_what_has_failed_is_taken_again_only_for_a_new_request() -> None:
    assert decided([order("a")], [state("a", FAILED)]).take == []
    assert decided([order("a", request=2)], [state("a", FAILED)]).take == ["a"]


def test_what_was_stopped_is_taken_again_only_when_it_is_asked_for_again() -> None:
    asked_at = NOW - 20
    idle = order("a", until=asked_at + 300)
    assert decided([idle], [state("a", STOPPED, since=asked_at + 1)]).take == []
    assert decided([idle], [state("a", STOPPED, since=asked_at - 1)]).take == ["a"]
    assert decided([order("a", until=asked_at + 300, request=2)], [state("a", STOPPED, since=NOW)]).take == ["a"]


@pytest.mark.parametrize("orders", [[], [order("a", until=NOW)]])
def test_what_is_in_hand_is_stopped_when_nobody_wants_it(orders: list[EngineOrder]) -> None:
    assert decided(orders, [state("a", RUNNING, "me")], "a").stop == ["a"]


def test_what_is_in_hand_is_looked_at_again_when_its_time_has_passed() -> None:
    decision = decided([order("a", until=NOW + 7)], [state("a", RUNNING, "me")], "a")
    assert (decision.stop, decision.look_again_at) == ([], NOW + 7)


def test_an_idle_engine_makes_room_for_one_that_waits_the_longest_idle_first() -> None:
    at_work = order("w", until=NOW + 299)
    idle, longer = order("i", until=NOW + 300 - IDLE_S - 1), order("l", until=NOW + 300 - IDLE_S - 5)
    states = [state(name, RUNNING, "me") for name in "wil"]
    orders = [at_work, idle, longer, order("n")]
    assert decided(orders, states, "wil", 3).make_room == ["l"]
    assert decided(orders[:3], states, "wil", 3).make_room == []
    # One that leaves already makes room enough.
    assert decided(orders, states, "wil", 3, stopping={"i"}).make_room == []
    assert decided([*orders, order("o"), order("p")], states, "wil", 3).make_room == ["l", "i"]


def test_what_is_being_loaded_makes_no_room() -> None:
    orders = [order("a", until=NOW + 200), order("n")]
    assert decided(orders, [state("a", STARTING, "me")], "a", 1).make_room == []


def test_what_nobody_has_and_nobody_wants_is_settled_or_forgotten() -> None:
    left = [state("a", RUNNING, "gone", at=1), state("b", STOPPED), state("c", RUNNING, "gone", at=1)]
    decision = decided([order("a", until=NOW - 1), order("b", until=NOW - 1)], left)
    assert (decision.settle, decision.forget, decision.take, decision.look_again_at) == (["a"], ["c"], [], None)
