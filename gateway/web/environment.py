"""`/environments/{slug}`: what an environment measures, how it scores, its phases and its evaluations."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gateway.api.environments import Phase, list_items
from gateway.api.evaluations import list_evaluations
from gateway.auth import CurrentRole
from gateway.lookups import find_environment, versions_of
from gateway.paging import Cursor, encode
from gateway.parts import Parts, PartsOf
from gateway.web import markdown
from gateway.web.render import page
from shared.contracts import ACTIVE, Status
from shared.phases import state_of
from shared.views import environment_detail_view

router = APIRouter(include_in_schema=False)

ITEMS_IN_OVERVIEW = 3
ITEMS = 20
EVALUATIONS = 50

First = Annotated[int, Query(ge=1, le=10**9)]
"""The place of an item in its phase, from 1."""

FILTERS: dict[str, tuple[Status, ...]] = {
    "All": (),
    "Active": ACTIVE,
    "Completed": (Status.COMPLETED,),
    "Failed": (Status.FAILED,),
    "Cancelled": (Status.CANCELLED,),
}
"""Of the list of evaluations, as people ask for them."""


def address_of(reference: str) -> str:
    """`/environments/{slug}`, or of a version of it."""
    return f"/environments/{quote(reference, safe='@')}"


async def frame(parts: Parts, reference: str) -> dict[str, Any]:
    """What `environment_head.html` needs on every tab.

    Gives `environment` (an `EnvironmentDetail`), `address` (of this page's first tab, which keeps the version that was asked
    for), `is_latest` and `evaluation_count` (over all versions). Raises `NotFound`.

    Args:
        reference: `slug`, or `slug@version`.
    """
    document = await find_environment(parts.database, reference)
    versions = await versions_of(parts.database, document["slug"])
    environment = environment_detail_view(document, versions)
    return {
        "environment": environment,
        "address": address_of(reference),
        "is_latest": environment.version == environment.versions[0].version,
        "evaluation_count": await parts.database["evaluations"].count_documents({"slug": environment.slug}),
    }


@router.get("/environments/{reference}")
async def show_overview(request: Request, parts: PartsOf, role: CurrentRole, reference: str) -> Response:
    values = await frame(parts, reference)
    environment = values["environment"]
    items = await list_items(reference, parts, role, limit=ITEMS_IN_OVERVIEW)
    return page(
        request,
        "environment.html",
        **values,
        overview=await asyncio.to_thread(markdown.to_html, environment.overview, environment.title),
        is_cut=len(environment.overview) > markdown.MAX_CHARS,
        items=items.items,
        phase=environment.phases[0],
        item_address=item_address,
    )


@router.get("/environments/{reference}/phases")
async def show_phases(
    request: Request, parts: PartsOf, role: CurrentRole, reference: str, phase: Phase = None, first: First = 1
) -> Response:
    """All phases, and the items of one, from its n-th on."""
    values = await frame(parts, reference)
    environment = values["environment"]
    cursor = (
        encode(first - 2) if first > 1 else None
    )  # an item's place counts from 0, and a cursor names the one before
    items = await list_items(reference, parts, role, phase, limit=ITEMS, cursor=cursor)
    chosen = next(found for found in environment.phases if phase in (None, found.name))

    def from_item(number: int) -> str:
        return f"{values['address']}/phases?{urlencode({'phase': chosen.name, 'first': number})}#items"

    return page(
        request,
        "phases.html",
        **values,
        state_of=state_of,
        now=datetime.now(UTC),
        phase=chosen,
        items=items.items,
        first=first,
        before=from_item(max(1, first - ITEMS)) if first > 1 else None,
        next=from_item(first + ITEMS) if items.next else None,
        item_address=item_address,
    )


@router.get("/environments/{reference}/evaluations")
async def show_evaluations(
    request: Request,
    parts: PartsOf,
    reference: str,
    status: Annotated[list[Status] | None, Query()] = None,
    cursor: Cursor = None,
) -> Response:
    """Of every version, newest first; of one alone where the address names it."""
    values = await frame(parts, reference)
    found = await list_evaluations(parts, environment=reference, status=status, limit=EVALUATIONS, cursor=cursor)
    key = {"environment" if "@" in reference else "slug": reference}
    groups = parts.database["evaluations"].aggregate(
        [{"$match": key}, {"$group": {"_id": "$status", "n": {"$sum": 1}}}]
    )
    counts = {group["_id"]: group["n"] async for group in groups}
    here = f"{values['address']}/evaluations"
    asked = set(status or ())
    return page(
        request,
        "environment_evaluations.html",
        **values,
        evaluations=found.items,
        filters=[
            (
                f"{here}?{urlencode({'status': statuses}, doseq=True)}" if statuses else here,
                title,
                sum(counts.get(name, 0) for name in statuses or counts),
                set(statuses) == asked,
            )
            for title, statuses in FILTERS.items()
        ],
        next=f"{here}?{urlencode({'status': status or [], 'cursor': found.next}, doseq=True)}" if found.next else None,
        is_first=cursor is None,
        is_filtered=bool(asked),
    )


def item_address(reference: str, phase: str, index: int) -> str:
    """Where the API gives one whole item, which a page may show in part."""
    asked = {"phase": phase, "limit": 1, **({"cursor": encode(index - 1)} if index else {})}
    return f"/v1{address_of(reference)}/items?{urlencode(asked)}"
