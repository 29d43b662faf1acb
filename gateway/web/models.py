"""`/models`: the endpoints that are evaluated, and `/models/{id}`: one of them, its settings and what it was evaluated on."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.api.evaluations import list_evaluations
from gateway.api.models import get_model, list_models
from gateway.paging import Cursor
from gateway.parts import PartsOf
from gateway.web.model_fields import LIMITS, SOURCES
from gateway.web.render import page
from shared.api import Evaluation
from shared.contracts import ModelSource, ModelStatus

router = APIRouter(include_in_schema=False)

PAGE = 50


@router.get("/models")
async def show_models(
    request: Request,
    parts: PartsOf,
    source: Annotated[ModelSource | Literal[""], Query()] = "",
    status: Annotated[ModelStatus | Literal[""], Query()] = "",
    cursor: Cursor = None,
) -> Response:
    """Empty filters are what a form sends for "all"."""
    sources, statuses = [source] if source else None, [status] if status else None
    found = await list_models(parts, sources, statuses, PAGE, cursor)
    asked = {"source": source or None, "status": status or None}
    return page(
        request,
        "models.html",
        models=found.items,
        next=_address("/models", **asked, cursor=found.next) if found.next else None,
        # What the page's script asks the API for again and again: the same models.
        live=_address("/models", **asked, limit=PAGE, cursor=cursor),
        source=source,
        shown_status=status,
        sources=SOURCES,
        statuses=list(ModelStatus),
        limits=LIMITS,
        edited=None,
    )


@router.get("/models/{model_id}")
async def show_model(request: Request, model_id: str, parts: PartsOf, cursor: Cursor = None) -> Response:
    model = await get_model(model_id, parts)
    evaluations = await list_evaluations(parts, None, model_id, None, None, PAGE, cursor)
    return page(
        request,
        "model.html",
        model=model,
        evaluations=evaluations.items,
        first_page=cursor is None,
        next=_address(f"/models/{model_id}", cursor=evaluations.next) if evaluations.next else None,
        sources=SOURCES,
        limits=LIMITS,
        edited=model,
        again=again,
    )


def again(evaluation: Evaluation) -> str:
    """The Evaluate page, filled in as for this evaluation."""
    return _address(
        f"/environments/{evaluation.environment}/evaluate",
        models=evaluation.model,
        phase=evaluation.phase,
        limit=evaluation.limit,
        samples_per_item=evaluation.samples_per_item if evaluation.samples_per_item > 1 else None,
        priority=evaluation.priority if evaluation.priority > 1 else None,
    )


def _address(path: str, **query: Any) -> str:
    """`path` with what is not None."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path
