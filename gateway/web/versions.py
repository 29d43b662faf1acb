"""`/environments/{slug}/versions`: every version of an environment, each to look at and to evaluate."""

from collections.abc import Sequence
from itertools import zip_longest
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api.environments import list_versions
from gateway.paging import Cursor, encode
from gateway.parts import PartsOf
from gateway.web.environment import address_of, frame
from gateway.web.render import page
from shared.api import Environment

router = APIRouter(include_in_schema=False)

VERSIONS = 20
"""On a page."""


@router.get("/environments/{reference}/versions")
async def show_versions(request: Request, parts: PartsOf, reference: str, cursor: Cursor = None) -> Response:
    """Newest first, with what differs from the one before."""
    values = await frame(parts, reference)
    # One more than is shown: what the last row is compared with.
    found = (await list_versions(values["environment"].slug, parts, VERSIONS + 1, cursor)).items
    shown = found[:VERSIONS]
    last = shown[-1] if len(found) > VERSIONS else None
    ids = [reference_of(version) for version in shown]
    counted = parts.database["evaluations"].aggregate(
        [{"$match": {"environment": {"$in": ids}}}, {"$group": {"_id": "$environment", "n": {"$sum": 1}}}]
    )
    return page(
        request,
        "versions.html",
        **values,
        rows=[(version, changes(version, before)) for version, before in with_the_one_before(shown, found)],
        evaluations={row["_id"]: row["n"] async for row in counted},
        latest=values["environment"].versions[0].version,
        reference_of=reference_of,
        address_of=address_of,
        next=f"{values['address']}/versions?{urlencode({'cursor': cursor_after(last)})}" if last else None,
    )


def reference_of(version: Environment) -> str:
    return f"{version.slug}@{version.version}"


def cursor_after(version: Environment) -> str:
    return encode(version.created_at, reference_of(version))


def with_the_one_before(
    shown: Sequence[Environment], found: Sequence[Environment]
) -> list[tuple[Environment, Environment | None]]:
    """Each with the next older one; `found` may have one more than is shown."""
    return list(zip_longest(shown, found[1 : len(shown) + 1]))


def changes(version: Environment, before: Environment | None) -> list[str]:
    """What differs from the version before, in words; empty for the first one."""
    if before is None:
        return []
    old = {phase.name: phase for phase in before.phases}
    new = {phase.name: phase for phase in version.phases}
    said = [f"new phase {name}" for name in new if name not in old]
    said += [f"without phase {name}" for name in old if name not in new]
    said += [
        f"other items in {name}"
        for name in new
        if name in old and (new[name].items, new[name].items_sha256) != (old[name].items, old[name].items_sha256)
    ]
    return said or ["the same items"]
