"""`/models`: what is evaluated, and `/models/{id}`: one of them, its settings and what it was evaluated on."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from gateway.api.evaluations import list_evaluations
from gateway.api.models import (
    Tags,
    get_engine_log,
    get_model,
    list_models,
    list_settings_versions,
    publish_model,
    start_model,
    stop_model,
    withdraw_model,
)
from gateway.auth import ADMIN, RUNNER
from gateway.paging import Cursor
from gateway.parts import Parts, PartsOf
from gateway.web.model_fields import SHOWN
from gateway.web.render import page
from gateway.web.tags import Facet, facets
from shared.api import Evaluation, Model
from shared.contracts import ModelSource, ModelStatus
from shared.storage.mongo import Database

router = APIRouter(include_in_schema=False)

PAGE = 50

VERSIONS = 20
"""Of the settings, the newest."""


@router.get("/models")
async def show_models(
    request: Request,
    parts: PartsOf,
    source: Annotated[ModelSource | Literal[""], Query()] = "",
    status: Annotated[ModelStatus | Literal[""], Query()] = "",
    tag: Tags = None,
    withdrawn: bool = False,
    cursor: Cursor = None,
) -> Response:
    """Empty filters are what a form sends for "all"."""
    filters: dict[str, Any] = {
        "source": source or None,
        "status": status or None,
        "withdrawn": "true" if withdrawn else None,
    }
    tags = list(dict.fromkeys(tag or []))
    found = await list_models(
        parts,
        source=[source] if source else None,
        status=[status] if status else None,
        tag=tags or None,
        withdrawn=withdrawn,
        limit=PAGE,
        cursor=cursor,
    )
    asked = {**filters, "tag": tags or None}
    return page(
        request,
        "models.html",
        models=found.items,
        next=_address("/models", **asked, cursor=found.next) if found.next else None,
        # What the page's script asks the API for again and again: the same models.
        live=_address("/models", **asked, limit=PAGE, cursor=cursor),
        source=source,
        shown_status=status,
        withdrawn=withdrawn,
        chosen=tags,
        tags=await model_facets(parts.database, filters, tags, withdrawn=withdrawn),
        filtered=bool(source or status or tags),
        **SHOWN,
        statuses=list(ModelStatus),
        edited=None,
    )


async def model_facets(
    database: Database, filters: Mapping[str, Any], tags: Sequence[str], *, withdrawn: bool
) -> list[Facet]:
    """Of the models that the filters find."""
    query = {name: filters[name] for name in ("source", "status") if filters[name]}
    if tags:
        query["tags"] = {"$all": [*tags]}
    if not withdrawn:
        query["withdrawn_at"] = None
    return await facets(
        database,
        "models",
        [{"$match": query}],
        tags,
        lambda chosen: _address("/models", **filters, tag=[*chosen] or None),
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
        versions=(await list_settings_versions(model_id, parts, limit=VERSIONS)).items,
        lines=await engine_lines(parts, model),
        first_page=cursor is None,
        next=_address(f"/models/{model_id}", cursor=evaluations.next) if evaluations.next else None,
        **SHOWN,
        edited=model,
        again=again,
    )


async def engine_lines(parts: Parts, model: Model) -> list[str]:
    """What its engine wrote last; nothing where it has none, or while the broker cannot be asked."""
    if model.engine is None or not parts.connected:
        return []
    return (await get_engine_log(model.id, parts)).lines


@router.post("/models/{model_id}/start", dependencies=[RUNNER])
async def start(model_id: str, parts: PartsOf) -> Response:
    """For the button where no script runs; a script asks the API itself."""
    await start_model(model_id, parts)
    return RedirectResponse(f"/models/{model_id}", 303)


@router.post("/models/{model_id}/stop", dependencies=[RUNNER])
async def stop(model_id: str, parts: PartsOf) -> Response:
    """As `start`."""
    await stop_model(model_id, parts)
    return RedirectResponse(f"/models/{model_id}", 303)


@router.post("/models/{model_id}/publish", dependencies=[ADMIN])
async def publish(model_id: str, parts: PartsOf) -> Response:
    """As `start`."""
    await publish_model(model_id, parts)
    return RedirectResponse(f"/models/{model_id}", 303)


@router.post("/models/{model_id}/withdraw", dependencies=[ADMIN])
async def withdraw(model_id: str, parts: PartsOf) -> Response:
    """As `start`."""
    await withdraw_model(model_id, parts)
    return RedirectResponse(f"/models/{model_id}", 303)


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
    """`path` with what is not None; a list's values each under its name."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path
