"""What an engine's order and state come to: the model's status, and whether a new order is due. Pure: no broker, no clock.

Times are Unix times in seconds.
"""

from dataclasses import dataclass

from shared.contracts import EngineOrder, EngineSettings, EngineState, ModelStatus
from shared.storage.mongo import Document

GONE_S = 10.0
"""A state that its launcher has not renewed for so long is nobody's: the launcher is gone, and its engine with it."""

MOVED_S = 2.0
"""`until` is moved on in steps of at least so many seconds: one write serves all evaluations that need the engine."""

AT_WORK = (ModelStatus.STARTING, ModelStatus.RUNNING)


@dataclass(frozen=True)
class Known:
    """What KV `engines` holds of a model. `silent_s`: for how long, by this process's own clock, its state has not changed."""

    order: EngineOrder | None = None
    state: EngineState | None = None
    silent_s: float = 0.0

    @property
    def at_work(self) -> bool:
        """Whether a launcher has the engine in hand."""
        return self.state is not None and self.state.status in AT_WORK and self.silent_s < GONE_S

    @property
    def failed(self) -> bool:
        """Whether the last order's engine has failed."""
        if self.state is None or self.state.status is not ModelStatus.FAILED:
            return False
        return self.order is None or self.state.request >= self.order.request

    def wanted(self, at: float) -> bool:
        """Whether a launcher is to start it: one that was idle and has made room for others is not, until it is asked for again."""
        if self.order is None or self.order.until <= at:
            return False
        state, asked_at = self.state, self.order.until - self.order.settings.idle_stop_s
        stopped = state is not None and state.status is ModelStatus.STOPPED and state.request >= self.order.request
        return not (stopped and state is not None and state.since > asked_at)


@dataclass(frozen=True)
class Seen:
    """How an engine is. `base_url` is where it answers and `served_name` what it calls the model, while it runs; `attended`: a launcher has
    said so, or need not."""

    status: ModelStatus
    detail: str
    base_url: str | None = None
    served_name: str | None = None
    attended: bool = True


def seen(known: Known, at: float) -> Seen:
    """The status that a model has by its engine; once that is `running`, how its calls go decides."""
    state = known.state
    if known.at_work:
        assert state
        if state.status is ModelStatus.RUNNING and state.base_url:
            return Seen(ModelStatus.RUNNING, state.detail or "the engine answers", state.base_url, state.served_name)
        return Seen(ModelStatus.STARTING, state.detail or "the engine starts")
    if known.failed:
        assert state
        return Seen(ModelStatus.FAILED, state.detail or "the engine failed, and nobody said why")
    if known.wanted(at):
        gone = state is not None and state.status in AT_WORK
        why = "its launcher is gone; waits for another" if gone else "waits for a launcher to take it"
        return Seen(ModelStatus.STARTING, why, attended=False)
    if state is not None and state.status is ModelStatus.STOPPED and state.detail:
        return Seen(ModelStatus.STOPPED, state.detail)
    return Seen(ModelStatus.STOPPED, "not started yet" if known.order is None else "stopped")


def order_due(known: Known, model: Document, at: float, until: float, *, again: bool) -> EngineOrder | None:
    """The order to be written so that the engine of `model` is up until `until`; None where nothing has to be.

    An order that is in force is moved on. A new one is a new request; what has failed is tried again only where `again`.
    """
    order = known.order
    if known.failed and not again:
        return None
    if order is not None and order.until > at and not known.failed:
        return order.model_copy(update={"until": until}) if until - order.until >= MOVED_S else None
    former = max(order.request if order else 0, known.state.request if known.state else 0)
    return EngineOrder(
        model=model["_id"],
        model_name=model["name"],
        served_name=model["model"],
        settings=EngineSettings.model_validate(model["engine"]),
        until=until,
        request=former + 1,
    )


def settled(known: Known, at: float) -> EngineOrder | None:
    """The order of an engine that has come up: what a person's start gave it to start with is over, and it counts as idle from now on."""
    order = known.order
    if order is None or not known.at_work or not known.state or known.state.status is not ModelStatus.RUNNING:
        return None
    until = at + order.settings.idle_stop_s
    return order.model_copy(update={"until": until}) if order.until - until >= MOVED_S else None
