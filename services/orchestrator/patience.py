"""How long an evaluation waits for a model, its own or its judge, that is unreachable or whose engine is not up. Pure: no broker, no
database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.orchestrator.engine_states import Seen
from shared.contracts import ModelStatus
from shared.storage.mongo import Document

TAKEN_WITHIN = timedelta(seconds=10)
"""For so long it is nothing to speak of that no launcher has taken an engine: one that was killed is back by then."""


@dataclass(frozen=True)
class Patience:
    """`waits`: the model cannot be called; `over`: it has been so for as long as the evaluation may wait, or its engine has `failed`.
    `message` says so, to be told as `level`."""

    waits: bool = False
    over: bool = False
    failed: bool = False
    message: str = ""
    level: str = "warning"


def patience(
    model: Document | None,
    evaluation: Document,
    now: datetime,
    wait_s: float,
    who: str = "model",
    engine: Seen | None = None,
) -> Patience:
    """`wait_s` seconds count from when the model became unreachable, or the evaluation's round was asked for if that was later.

    An `engine` that a launcher has in hand is waited for as long as it starts: how long that may take is its launcher's to decide. One
    that no launcher takes is like a model that is unreachable.
    """
    if model is None:
        return Patience()
    if engine and engine.status is ModelStatus.FAILED:
        return Patience(True, True, True, f"the engine of {who} {model['name']} failed: {engine.detail}")
    asked_at: datetime = evaluation.get("redriven_at") or evaluation["created_at"]
    own = evaluation.get("unreachable_wait_s")
    limit = timedelta(seconds=wait_s if own is None else own)
    if engine is None or engine.status is ModelStatus.RUNNING:
        if model["status"] != ModelStatus.UNREACHABLE:
            return Patience()
        since, detail = max(model["status_since"], asked_at), model["status_detail"]
    else:
        # The document follows what launchers say, a moment later.
        since = max(model["status_since"], asked_at) if model["status"] == ModelStatus.STARTING else now
        detail, limit = engine.detail, max(limit, TAKEN_WITHIN)
        if engine.attended or now - since < TAKEN_WITHIN:
            message = f"Starting the engine of {who} {model['name']}: {detail}"
            return Patience(waits=True, message=message, level="info")
    if now - since < limit:
        until = f"{since + limit:%Y-%m-%d %H:%M:%S} UTC"
        return Patience(waits=True, message=f"Waiting for {who} {model['name']} until {until}: {detail}")
    reason = f"{who} {model['name']} was unreachable for {limit.total_seconds():g} s: {detail}"
    return Patience(waits=True, over=True, message=reason)
