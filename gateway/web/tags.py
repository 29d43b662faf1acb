"""The hub's tags: how many of the environments that are found have each, and where choosing one or letting it go leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from gateway.api.environments import latest_versions
from shared.storage.mongo import Database

MOST = 24
"""Shown, of those that are not chosen."""


@dataclass(frozen=True)
class Facet:
    """`count` is how many of the environments that are found have the tag; `address` chooses it, or lets it go."""

    tag: str
    count: int
    chosen: bool
    address: str


def address_of(q: str, tags: Sequence[str], cursor: str | None = None) -> str:
    """The hub with what is searched for; without anything the hub itself."""
    asked = {"q": q or [], "tag": tags, "cursor": cursor or []}
    query = urlencode(asked, doseq=True)
    return f"/?{query}" if query else "/"


async def facets(database: Database, q: str, tags: Sequence[str]) -> list[Facet]:
    """The chosen ones first, then the commonest."""
    counted = database["environments"].aggregate(
        [
            *latest_versions(q or None, [*tags]),
            {"$project": {"tags": {"$setUnion": ["$tags", []]}}},
            {"$unwind": "$tags"},
            {"$group": {"_id": "$tags", "count": {"$sum": 1}}},
            {"$sort": {"count": -1, "_id": 1}},
            {"$limit": MOST + len(tags)},
        ]
    )
    counts = {row["_id"]: row["count"] async for row in counted}
    chosen = [
        Facet(tag, counts.pop(tag, 0), True, address_of(q, [other for other in tags if other != tag])) for tag in tags
    ]
    others = [Facet(tag, count, False, address_of(q, [*tags, tag])) for tag, count in counts.items()]
    return [*chosen, *others[:MOST]]
