"""`/evaluations`: every evaluation of every environment, newest first."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api.evaluations import list_evaluations
from gateway.parts import Parts, PartsOf
from gateway.web.render import page
from shared.contracts import ACTIVE, Status
from shared.errors import FieldError, Invalid

router = APIRouter(include_in_schema=False)

PAGE = 50

STATUSES = {"active": "Under way", **{str(status): str(status).capitalize() for status in Status}}
"""What the filter offers; `active` are all that have not ended."""

CHOICES = 1000
"""Environments and models in the filters at most."""


@router.get("/evaluations")
async def show_evaluations(
    request: Request,
    parts: PartsOf,
    status: str = "",
    environment: str = "",
    model: str = "",
    group: str = "",
    cursor: str | None = None,
) -> Response:
    """A filter that is empty lets everything through, as a form sends it."""
    found = await list_evaluations(
        parts, environment or None, model or None, wanted(status), group or None, PAGE, cursor
    )
    asked = {"status": status, "environment": environment, "model": model, "group": group}
    filters = {name: value for name, value in asked.items() if value}
    return page(
        request,
        "evaluations.html",
        evaluations=found.items,
        asked=asked,
        filters=filters,
        first=cursor is None,
        following=f"/evaluations?{urlencode({**filters, 'cursor': found.next})}" if found.next else None,
        without_group="/evaluations?" + urlencode({**filters, "group": ""}),
        statuses=STATUSES,
        **await choices(parts, environment, model),
    )


def wanted(status: str) -> list[Status] | None:
    """The statuses that a choice of the filter stands for; raises `Invalid` for one that it does not offer."""
    if not status:
        return None
    if status == "active":
        return list(ACTIVE)
    if status not in STATUSES:
        error: FieldError = {"loc": ["status"], "msg": f"must be one of {', '.join(STATUSES)}"}
        raise Invalid(f"status {error['msg']}", [error])
    return [Status(status)]


async def choices(parts: Parts, environment: str, model: str) -> dict[str, Any]:
    """`environments` as slugs with titles and `models` as ids with names, those that are asked for among them."""
    newest_first: list[dict[str, Any]] = [
        {"$sort": {"created_at": -1}},
        {"$group": {"_id": "$slug", "title": {"$first": "$title"}}},
        {"$sort": {"title": 1}},
        {"$limit": CHOICES},
    ]
    environments = {row["_id"]: row["title"] async for row in parts.database["environments"].aggregate(newest_first)}
    rows = parts.database["models"].find({}, {"name": 1}).sort("created_at", -1).limit(CHOICES)
    models = {row["_id"]: row["name"] async for row in rows}
    if environment:
        environments.setdefault(environment, environment)
    if model:
        models.setdefault(model, model)
    return {"environments": environments, "models": models}
