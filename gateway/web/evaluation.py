"""`/evaluations/{id or number}`: one evaluation. Its log while it runs, its score breakdown once there is one, and what can be done."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.api.evaluations import cancel_evaluation, redrive_evaluation
from gateway.auth import RUNNER
from gateway.lookups import find_evaluation
from gateway.parts import Parts, PartsOf
from gateway.web import scores
from gateway.web.loglines import TEXT, last_lines
from gateway.web.render import page
from shared.api import Evaluation, Model
from shared.contracts import ACTIVE, ModelStatus, Status
from shared.views import evaluation_view, model_view

router = APIRouter(include_in_schema=False)

AWAY = (ModelStatus.UNREACHABLE, ModelStatus.STARTING, ModelStatus.STOPPED, ModelStatus.FAILED)
"""Statuses of a model that is not called."""

Tab = tuple[str, str, str, int | None]
"""A tab's key, address, title, and how many of what it shows there are."""


async def frame(parts: Parts, reference: str) -> dict[str, Any]:
    """What `evaluation.html` and every template that extends it needs, but for `tab`, the key of the tab that is shown.

    Raises `NotFound` where there is no such evaluation.
    """
    document = await find_evaluation(parts.database, reference, {"outbox": 0})
    evaluation = evaluation_view(document)
    found = await parts.database["models"].find_one({"_id": evaluation.model})
    model = model_view(found) if found else None
    judge = await parts.database["models"].find_one({"_id": evaluation.judge}) if evaluation.judge else None
    active = evaluation.status in ACTIVE
    return {
        "evaluation": evaluation,
        "model": model,
        "base": f"/evaluations/{evaluation.number}",
        "tabs": tabs(evaluation),
        "active": active,
        "has_scores": has_scores(evaluation),
        "judge": judge,
        "waits": waits_for(evaluation, [one for one in (model, model_view(judge) if judge else None) if one]),
        "submission": next((file for file in evaluation.files if file.name == "submission.zip"), None),
        "may_redrive": evaluation.status == Status.COMPLETED and evaluation.progress.infra_error > 0,
        "again": again(evaluation),
    }


def waits_for(evaluation: Evaluation, needed: Sequence[Model]) -> Model | None:
    """Which of its models it cannot call now, since that is unreachable, or its engine is not up."""
    if evaluation.status not in (Status.QUEUED, Status.RUNNING):
        return None  # nothing is called any more
    return next((model for model in needed if model.status in AWAY), None)


def tabs(evaluation: Evaluation) -> list[Tab]:
    """The score breakdown comes first once there is one; until then the log is what the evaluation's own address shows."""
    base = f"/evaluations/{evaluation.number}"
    first: list[Tab] = [("scores", base, "Score Breakdown", None)] if has_scores(evaluation) else []
    shown: list[Tab] = [
        *first,
        ("log", f"{base}/log" if first else base, "Log", None),
        (
            "cases",
            f"{base}/cases",
            "Detailed Results",
            None if evaluation.status in ACTIVE else evaluation.progress.done,
        ),
        ("files", f"{base}/files", "Files", len(evaluation.files)),
    ]
    if any(file.name == "dataset.jsonl" for file in evaluation.files):
        shown.append(("dataset", f"{base}/dataset", "Dataset", None))
    return shown


def has_scores(evaluation: Evaluation) -> bool:
    """Whether there is a score that stands: one that runs again has only that of its last round."""
    return evaluation.metrics is not None and evaluation.status not in ACTIVE


def again(evaluation: Evaluation) -> str:
    """Where the same phase of the same version is run with other models."""
    environment = f"{evaluation.environment}@{evaluation.environment_version}"
    asked = {"phase": evaluation.phase, **({"judge": evaluation.judge} if evaluation.judge else {})}
    return f"/environments/{environment}/evaluate?{urlencode(asked)}"


@router.get("/evaluations/{reference}")
async def show_evaluation(reference: str, request: Request, parts: PartsOf) -> Response:
    values = await frame(parts, reference)
    evaluation: Evaluation = values["evaluation"]
    if not has_scores(evaluation):
        return await log_page(request, parts, values)
    return page(request, "evaluation.html", tab="scores", **values, breakdown=await scores.breakdown(parts, evaluation))


@router.get("/evaluations/{reference}/log")
async def show_log(reference: str, request: Request, parts: PartsOf) -> Response:
    return await log_page(request, parts, await frame(parts, reference))


async def log_page(request: Request, parts: Parts, values: dict[str, Any]) -> Response:
    lines = await last_lines(parts, values["evaluation"])
    return page(
        request, "evaluation_log.html", tab="log", **values, lines=lines, line_chars=TEXT, rendered=datetime.now(UTC)
    )


@router.post("/evaluations/{reference}/cancel", dependencies=[RUNNER])
async def cancel(reference: str, parts: PartsOf) -> Response:
    """For the button where no script runs; a script asks the API itself."""
    evaluation = await cancel_evaluation(reference, parts)
    return RedirectResponse(f"/evaluations/{evaluation.number}", 303)


@router.post("/evaluations/{reference}/redrive", dependencies=[RUNNER])
async def redrive(reference: str, parts: PartsOf) -> Response:
    """As `cancel`."""
    evaluation = await redrive_evaluation(reference, parts)
    return RedirectResponse(f"/evaluations/{evaluation.number}", 303)
