"""What a launcher does next, as a pure function of what is wanted and how things are."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared.contracts import EngineOrder, EngineState, ModelStatus

HEARTBEAT_S = 2.0
"""How often a launcher renews the state of an engine that it has in hand."""
STALE_S = 10.0
"""A state that is older belongs to a launcher that is gone."""
IDLE_S = 10.0
"""While somebody needs an engine, it is asked for again every few seconds; one that was not for so long makes room where others wait."""
AT_WORK = (ModelStatus.STARTING, ModelStatus.RUNNING)


@dataclass(frozen=True)
class World:
    """All that a decision is made of. `at_hand` are the models whose engines this launcher has in hand, `stopping` those of them that it is
    stopping already; `dead` the launchers that are known to be gone; times are Unix times in seconds."""

    orders: Mapping[str, EngineOrder]
    states: Mapping[str, EngineState]
    at_hand: Collection[str]
    room: int
    now: float
    stopping: Collection[str] = ()
    dead: Collection[str] = ()


@dataclass
class Decision:
    take: list[str] = field(default_factory=list)
    """To be claimed and started."""
    stop: list[str] = field(default_factory=list)
    """In hand, and not wanted any more."""
    make_room: list[str] = field(default_factory=list)
    """In hand and idle, while others wait: stopped before their time."""
    waits: list[str] = field(default_factory=list)
    """Wanted, and without room."""
    settle: list[str] = field(default_factory=list)
    """Said to be at work, by a launcher that is gone, and not wanted: stopped."""
    forget: list[str] = field(default_factory=list)
    """Nobody has ordered them any more: their model is gone."""
    look_again_at: float | None = None
    """When the answer may be another although nothing has changed."""


def decide(world: World) -> Decision:
    """In the order in which they came to wait, so that nobody waits for ever."""
    decision = Decision()
    moments: list[float] = []
    wanted = []
    for model in sorted(world.orders.keys() | world.states.keys() | set(world.at_hand)):
        order, state = world.orders.get(model), world.states.get(model)
        is_wanted = order is not None and _is_wanted(order, state, world.now)
        if model in world.at_hand:
            if is_wanted and order:
                moments.append(order.until)
            else:
                decision.stop.append(model)
        elif _is_held(state, world):
            assert state
            moments.append(state.at + STALE_S)
        elif is_wanted:
            wanted.append(model)
        elif order is None:
            decision.forget.append(model)
        elif state and state.status in AT_WORK:
            decision.settle.append(model)
    wanted.sort(key=lambda model: (_since(world.states.get(model)), model))
    free = max(0, world.room - len(world.at_hand))
    decision.take, decision.waits = wanted[:free], wanted[free:]
    if decision.waits:
        moments.append(world.now + HEARTBEAT_S)
        leaving = len(set(decision.stop) | set(world.stopping))
        decision.make_room = _idle(world)[: max(0, len(decision.waits) - leaving)]
    decision.look_again_at = min(moments, default=None)
    return decision


def _asked_at(order: EngineOrder) -> float:
    """When it was last asked for: an order is moved on to that and the time that the engine may then be idle."""
    return order.until - order.settings.idle_stop_s


def _is_wanted(order: EngineOrder, state: EngineState | None, now: float) -> bool:
    """What has failed is tried again only for a new request, what was stopped while idle only when it is asked for again."""
    if state is not None and state.request >= order.request:
        if state.status is ModelStatus.FAILED:
            return False
        if state.status is ModelStatus.STOPPED and state.since > _asked_at(order):
            return False
    return order.until > now


def _idle(world: World) -> list[str]:
    """What runs and nobody needs at the moment, the longest first."""
    found = []
    for model in world.at_hand:
        order, state = world.orders.get(model), world.states.get(model)
        runs = state is not None and state.status is ModelStatus.RUNNING and model not in world.stopping
        if order and runs and world.now < order.until and _asked_at(order) < world.now - IDLE_S:
            found.append((_asked_at(order), model))
    return [model for _, model in sorted(found)]


def _is_held(state: EngineState | None, world: World) -> bool:
    """Whether another launcher has it in hand."""
    return (
        state is not None
        and state.launcher is not None
        and state.launcher not in world.dead
        and state.at > world.now - STALE_S
    )


def _since(state: EngineState | None) -> float:
    """When it began to wait; what has just been ordered comes last."""
    return state.since if state and state.status is ModelStatus.STARTING else float("inf")
