"""`/`: the environments there are, and a bundle to add one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gateway.api.environments import Search, Tags, latest_versions, list_environments, register
from gateway.auth import ADMIN
from gateway.boards import find_best, leaderboard_of
from gateway.imports import FORM_FIELDS, options_from_form
from gateway.paging import Cursor
from gateway.parts import Parts, PartsOf
from gateway.uploads import receive
from gateway.web import bundles
from gateway.web.environment import address_of
from gateway.web.figures import is_rate, shown
from gateway.web.render import page
from gateway.web.tags import Facet, facets
from shared.api import Environment
from shared.contracts import ACTIVE
from shared.errors import Problem
from shared.imports import FORMATS
from shared.storage.mongo import Database, Document

router = APIRouter(include_in_schema=False)

CARDS = 24
"""On a page."""


@dataclass(frozen=True)
class Best:
    """The highest place on a leaderboard: `rate` 0..1 where the score is one."""

    text: str
    rate: float | None
    model_name: str
    phase: str


@dataclass(frozen=True)
class Card:
    environment: Environment
    evaluations: int
    active: int
    best: Best | None

    @property
    def items(self) -> int:
        return sum(phase.items for phase in self.environment.phases)


@router.get("/")
async def show_hub(
    request: Request,
    parts: PartsOf,
    q: Search = None,
    tag: Tags = None,
    cursor: Cursor = None,
) -> Response:
    return await _hub(request, parts, (q or "").strip(), list(dict.fromkeys(tag or [])), cursor)


@router.post("/", dependencies=[ADMIN])
async def add_environment(request: Request, parts: PartsOf) -> Response:
    """For the form where no script runs; a script asks the API itself."""
    sent: dict[str, str] = {}
    try:
        upload = await receive(request, parts.settings, FORM_FIELDS)
        sent = upload.texts
        try:
            options = options_from_form(sent, has_file=upload.bundle is not None)
            registered = await register(parts, upload.bundle, options)
        finally:
            await upload.close()
    except Problem as problem:
        if problem.status >= 500:
            raise
        return await _hub(request, parts, problem=problem, sent=sent)
    return RedirectResponse(address_of(registered["slug"]), 303)


async def _hub(
    request: Request,
    parts: Parts,
    q: str = "",
    chosen: Sequence[str] = (),
    cursor: str | None = None,
    problem: Problem | None = None,
    sent: Mapping[str, str] | None = None,
) -> Response:
    found = await list_environments(parts, q or None, [*chosen], CARDS, cursor)
    return page(
        request,
        "hub.html",
        status=problem.status if problem else 200,
        cards=await cards(parts.database, found.items),
        q=q,
        chosen=chosen,
        tags=await hub_facets(parts.database, q, chosen),
        tag_address=lambda tag: hub_address("", [tag]),
        is_first=cursor is None,
        next=hub_address(q, chosen, found.next) if found.next else None,
        problem=problem,
        wrong=[bundles.place(error) for error in problem.errors] if problem else [],
        formats=FORMATS,
        sent={**dict.fromkeys(FORM_FIELDS, ""), **(sent or {})},
        max_upload_mb=parts.settings.max_upload_mb,
        max_upload_bytes=parts.settings.max_upload_bytes,
    )


def hub_address(q: str, tags: Sequence[str], cursor: str | None = None) -> str:
    """The hub with what is searched for; without anything the hub itself."""
    query = urlencode({"q": q or [], "tag": tags, "cursor": cursor or []}, doseq=True)
    return f"/?{query}" if query else "/"


async def hub_facets(database: Database, q: str, tags: Sequence[str]) -> list[Facet]:
    found = latest_versions(q or None, [*tags])
    return await facets(database, "environments", found, tags, lambda chosen: hub_address(q, chosen))


async def cards(database: Database, environments: Sequence[Environment]) -> list[Card]:
    """Each with how many evaluations it has, of all versions, and its best score, of the latest one."""
    slugs = [environment.slug for environment in environments]
    is_active = {"$in": ["$status", [str(status) for status in ACTIVE]]}
    group = {"_id": "$slug", "all": {"$sum": 1}, "active": {"$sum": {"$cond": [is_active, 1, 0]}}}
    counted = database["evaluations"].aggregate([{"$match": {"slug": {"$in": slugs}}}, {"$group": group}])
    counts = {row["_id"]: row async for row in counted}
    ids = [f"{environment.slug}@{environment.version}" for environment in environments]
    fields = {"slug": 1, "version": 1, "phases": 1, "manifest.leaderboard": 1}
    documents = {row["slug"]: row async for row in database["environments"].find({"_id": {"$in": ids}}, fields)}
    bests = await asyncio.gather(*(best(database, documents[slug]) for slug in slugs))
    return [
        Card(
            environment,
            counts.get(environment.slug, {}).get("all", 0),
            counts.get(environment.slug, {}).get("active", 0),
            found,
        )
        for environment, found in zip(environments, bests, strict=True)
    ]


async def best(database: Database, environment: Document) -> Best | None:
    """The first row of the leaderboard of the largest phase that has one: a score on the few items of a trial phase says less."""
    column = next(column for column in leaderboard_of(environment).columns if not column.hidden)
    for phase in sorted(environment["phases"], key=lambda phase: -phase["items"]):
        row = await find_best(database, environment, phase["name"])
        if row is not None:
            value = row.scores[column.key]
            rate = is_rate(column, [value])
            return Best(shown(value, column, rate=rate), value if rate else None, row.model_name, phase["name"])
    return None
