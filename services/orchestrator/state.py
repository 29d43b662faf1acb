"""The states of an evaluation and what is said when they change. Pure: no broker, no database.

queued -> running -> scoring -> completed
   \\________\\__________\\____-> failed | cancelled          completed -> running (redrive, the next round)
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from shared.contracts import FINAL, Event, Outcome, Status

SOURCE = "/assay/orchestrator"

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.SCORING, Status.FAILED, Status.CANCELLED}),
    Status.SCORING: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset({Status.RUNNING}),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}

SCORES_SAID = 5
"""Of a scoring program's, in the line that a person reads."""

_TYPE_OF = {
    Status.QUEUED: "queued",
    Status.RUNNING: "started",
    Status.SCORING: "scoring",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}


def now() -> datetime:
    """The present in UTC, with the millisecond precision that MongoDB keeps."""
    present = datetime.now(UTC)
    return present.replace(microsecond=present.microsecond // 1000 * 1000)


def may_become(present: Status, following: Status) -> bool:
    return following in TRANSITIONS[present]


def over_time(evaluation: dict[str, Any], progress: dict[str, int], at: datetime) -> str | None:
    """Why the predictions of a running evaluation have taken too long, or None: its phase's limit counts from `running` on."""
    limit = evaluation.get("execution_time_limit_s")
    begun = evaluation.get("redriven_at") or evaluation["started_at"]
    if limit is None or (at - begun).total_seconds() <= limit:
        return None
    return (
        f"phase {evaluation['phase']} gives the predictions of an evaluation {limit:g} s, "
        f"in which {progress['done']} of {progress['total']} came"
    )


def event(evaluation: dict[str, Any], kind: str, data: dict[str, Any], *, event_id: str | None = None) -> Event:
    """An event of an evaluation; `kind` is the last word of its type. `event_id` where a repeat must be recognised."""
    return Event(
        id=event_id or uuid4().hex,
        source=SOURCE,
        type=f"assay.evaluation.{kind}",
        subject=f"evaluations/{evaluation['_id']}",
        time=now(),
        data={
            "evaluation": evaluation["_id"],
            "number": evaluation["number"],
            "group": evaluation["group"],
            "environment": evaluation["slug"],
            "model": evaluation["model"],
            "model_name": evaluation["model_name"],
            "round": evaluation["round"],
            **data,
        },
    )


def status_event(evaluation: dict[str, Any], status: Status, data: dict[str, Any] | None = None) -> Event:
    """The announcement of a status. Its id is `evaluation:round:status`, so that a repeat after a take-over is one."""
    return event(
        evaluation,
        _TYPE_OF[status],
        {"status": status, **(data or {})},
        event_id=f"{evaluation['_id']}:{evaluation['round']}:{status}",
    )


def started_events(evaluation: dict[str, Any], submission_bytes: int) -> list[Event]:
    """What is said when an evaluation starts to run."""
    data = f"{evaluation['environment_title']}, phase {evaluation['phase']}, {evaluation['items']} items"
    judge = evaluation.get("judge_name")
    return [
        status_event(evaluation, Status.RUNNING, {"total": evaluation["progress"]["total"]}),
        log_event(evaluation, f"Benchmark data loaded: {data}, version {evaluation['version'][:12]}", key="data"),
        log_event(evaluation, f"Submission generated: {submission_bytes} bytes", key="submission"),
        *([log_event(evaluation, f"Answers are judged by model {judge}", key="judge")] if judge else []),
    ]


def log_event(evaluation: dict[str, Any], message: str, *, level: str = "info", key: str | None = None) -> Event:
    """A line for a person. With `key` it is said once a round, however often it is tried."""
    event_id = f"{evaluation['_id']}:{evaluation['round']}:log:{key}" if key else None
    return event(evaluation, "log", {"level": level, "message": message}, event_id=event_id)


def progress_event(evaluation: dict[str, Any], progress: dict[str, int], rate: float) -> Event:
    """`Processing: 10/100 (10%)` with the counts behind it, items per second, and seconds left where that can be told."""
    done, total = progress["done"], progress["total"]
    percent = 100 * done // total if total else 100
    return event(
        evaluation,
        "progress",
        {
            **progress,
            "percent": percent,
            "items_per_s": round(rate, 2),
            "eta_s": round((total - done) / rate, 1) if rate > 0 else None,
            "message": f"Processing: {done}/{total} ({percent}%)",
        },
    )


def scored_event(evaluation: dict[str, Any], metrics: dict[str, Any]) -> Event:
    """`accuracy=26.00% correct=26/100`, of the samples that were called; a program's first scores as it has them."""
    accuracy = metrics.get("accuracy")
    shown = "n/a" if accuracy is None else f"{100 * accuracy:.2f}%"
    message = f"accuracy={shown} correct={metrics['correct']}/{metrics['called']}"
    if "columns" in metrics:
        message = " ".join(f"{name}={value:.6g}" for name, value in [*metrics["scores"].items()][:SCORES_SAID])
    return event(
        evaluation,
        "scored",
        {"message": message, "metrics": metrics},
        event_id=f"{evaluation['_id']}:{evaluation['round']}:scored",
    )


def empty_progress(total: int, *, claims: bool = True) -> dict[str, int]:
    """Without `claims` no answer is correct or wrong by itself, and nothing is said of how many are."""
    outcomes = {str(outcome): 0 for outcome in Outcome}
    return {"done": 0, "total": total, **outcomes, **({"correct": 0} if claims else {})}


def is_final(status: str) -> bool:
    return Status(status) in FINAL
