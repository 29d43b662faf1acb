"""How long an evaluation waits for a model, its own or its judge, that is unreachable. Pure: no broker, no database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts import ModelStatus
from shared.storage.mongo import Document


@dataclass(frozen=True)
class Patience:
    """`waits`: the model is unreachable; `over`: it has been so for as long as the evaluation may wait. `message` says so."""

    waits: bool = False
    over: bool = False
    message: str = ""


def patience(
    model: Document | None, evaluation: Document, now: datetime, wait_s: float, who: str = "model"
) -> Patience:
    """`wait_s` seconds count from when the model became unreachable, or the evaluation's round was asked for if that was later."""
    if model is None or model["status"] != ModelStatus.UNREACHABLE:
        return Patience()
    asked_at: datetime = evaluation.get("redriven_at") or evaluation["created_at"]
    since = max(model["status_since"], asked_at)
    own = evaluation.get("unreachable_wait_s")
    limit = timedelta(seconds=wait_s if own is None else own)
    if now - since < limit:
        until = f"{since + limit:%Y-%m-%d %H:%M:%S} UTC"
        return Patience(
            waits=True, message=f"Waiting for {who} {model['name']} until {until}: {model['status_detail']}"
        )
    reason = f"{who} {model['name']} was unreachable for {limit.total_seconds():g} s: {model['status_detail']}"
    return Patience(waits=True, over=True, message=reason)
