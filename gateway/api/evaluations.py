"""Evaluations: read from MongoDB, started, cancelled and redriven by the orchestrator."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from gateway import examples
from gateway.auth import RUNNER, VIEWER
from gateway.idempotency import IdempotencyKey, hash_of, repeat_of
from gateway.lookups import environment_filter, find_evaluation
from gateway.openapi import example, problems
from gateway.paging import Cursor, Limit, cut, decode, encode
from gateway.parts import PartsOf
from gateway.plain import PlainBody
from shared.api import Evaluation, EvaluationCreate, EvaluationsCreated, Page
from shared.contracts import Status
from shared.views import evaluation_view

router = APIRouter(prefix="/evaluations", tags=["evaluations"], responses=problems(400, 401, 403, 422, 503))

CREATE_TIMEOUT_S = 30.0
"""A group may have a thousand evaluations."""

_ONE = example(200, "The evaluation", examples.EVALUATION)
_REQUEST = {
    "environment": "word-problems",
    "phase": "dev",
    "models": [examples.MODEL["id"]],
    "limit": 100,
    "params": {"temperature": 0, "max_tokens": 256},
}


@router.get(
    "",
    summary="List evaluations",
    dependencies=[VIEWER],
    responses=example(200, "Newest first", examples.page(examples.EVALUATION)),
)
async def list_evaluations(
    parts: PartsOf,
    environment: Annotated[str | None, Query(description="`slug` or `slug@version`.")] = None,
    model: Annotated[str | None, Query(description="A model's id.")] = None,
    status: Annotated[list[Status] | None, Query(description="Only in these statuses.")] = None,
    group: Annotated[str | None, Query(description="Those that were started together.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Evaluation]:
    query: dict[str, Any] = environment_filter(environment) if environment is not None else {}
    if model is not None:
        query["model"] = model
    if group is not None:
        query["group"] = group
    if status:
        query["status"] = {"$in": [str(value) for value in status]}
    if cursor is not None:
        query["number"] = {"$lt": decode(cursor, int)[0]}
    newest_first = parts.database["evaluations"].find(query, {"outbox": 0}).sort("number", -1)
    rows = await newest_first.limit(limit + 1).to_list(limit + 1)
    page, following = cut(rows, limit, lambda row: encode(row["number"]))
    return Page(items=[evaluation_view(row) for row in page], next=following)


@router.post(
    "",
    summary="Start one evaluation a model",
    status_code=202,
    dependencies=[RUNNER],
    responses={
        **example(202, "Started", {"group": examples.EVALUATION["group"], "evaluations": [examples.EVALUATION]}),
        **problems(404, 409, 413),
    },
)
async def create_evaluations(
    body: Annotated[
        EvaluationCreate, Body(openapi_examples={"one model": {"summary": "One model", "value": _REQUEST}})
    ],
    plain: PlainBody,
    response: Response,
    parts: PartsOf,
    idempotency_key: IdempotencyKey = None,
) -> EvaluationsCreated:
    """Accepted also where a model is unreachable: its evaluation waits. `phase` defaults to the environment's first."""
    asked = {**body.model_dump(mode="json"), "params": body.params.model_dump(mode="json", exclude_unset=True)}
    repeat = repeat_of("evaluations", idempotency_key, hash_of(plain))
    created = await parts.command(
        "orchestrator", "evaluations.create", {"request": asked, "idempotency": repeat}, timeout=CREATE_TIMEOUT_S
    )
    response.headers["Location"] = f"/v1/evaluations?group={created['group']}"
    return EvaluationsCreated.model_validate(created)


@router.get("/{evaluation}", summary="One evaluation", dependencies=[VIEWER], responses={**_ONE, **problems(404)})
async def get_evaluation(evaluation: str, parts: PartsOf) -> Evaluation:
    """By id or by number."""
    return evaluation_view(await find_evaluation(parts.database, evaluation))


@router.post(
    "/{evaluation}/cancel",
    summary="Stop an evaluation",
    dependencies=[RUNNER],
    responses={**_ONE, **problems(404, 409)},
)
async def cancel_evaluation(evaluation: str, parts: PartsOf) -> Evaluation:
    """Results that land afterwards are kept, but change no status."""
    document = await find_evaluation(parts.database, evaluation, {"_id": 1})
    return Evaluation.model_validate(await parts.command("orchestrator", "evaluations.cancel", {"id": document["_id"]}))


@router.post(
    "/{evaluation}/redrive",
    summary="Call again what ended in infra_error",
    status_code=202,
    dependencies=[RUNNER],
    responses={**example(202, "Running again", examples.EVALUATION), **problems(404, 409)},
)
async def redrive_evaluation(evaluation: str, parts: PartsOf) -> Evaluation:
    """Takes a completed evaluation back to `running` in its next round; what it has is served until that is verified."""
    document = await find_evaluation(parts.database, evaluation, {"_id": 1})
    return Evaluation.model_validate(
        await parts.command("orchestrator", "evaluations.redrive", {"id": document["_id"]})
    )
