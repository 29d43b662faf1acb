"""How long an evaluation waits for a model, its own or its judge, that is unreachable or whose engine is not up. Pure: no broker, no
database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.orchestrator.engine_states import Seen
from shared.contracts import ModelStatus
from shared.storage.mongo import Document


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
    if engine and engine.status is not ModelStatus.RUNNING and engine.attended:
        message = f"Starting the engine of {who} {model['name']}: {engine.detail}"
        return Patience(waits=True, message=message, level="info")
    if model["status"] != ModelStatus.UNREACHABLE and (engine is None or engine.attended):
        return Patience()
    detail = engine.detail if engine and not engine.attended else model["status_detail"]
    asked_at: datetime = evaluation.get("redriven_at") or evaluation["created_at"]
    since = max(model["status_since"], asked_at)
    own = evaluation.get("unreachable_wait_s")
    limit = timedelta(seconds=wait_s if own is None else own)
    if now - since < limit:
        until = f"{since + limit:%Y-%m-%d %H:%M:%S} UTC"
        return Patience(waits=True, message=f"Waiting for {who} {model['name']} until {until}: {detail}")
    reason = f"{who} {model['name']} was unreachable for {limit.total_seconds():g} s: {detail}"
    return Patience(waits=True, over=True, message=reason)
