"""Tags to choose from: how many of what is found have each, and where choosing one or letting it go leads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.storage.mongo import Database

MOST = 24
"""Shown, of those that are not chosen."""


@dataclass(frozen=True)
class Facet:
    """`count` is how many of what is found have the tag; `address` chooses it, or lets it go."""

    tag: str
    count: int
    chosen: bool
    address: str


async def facets(
    database: Database,
    collection: str,
    found: Sequence[Mapping[str, Any]],
    tags: Sequence[str],
    address: Callable[[Sequence[str]], str],
) -> list[Facet]:
    """The chosen `tags` first, then the commonest. `found` are the pipeline's stages to what is found, with the chosen ones; `address` is that
    of a page with these tags chosen."""
    counted = database[collection].aggregate(
        [
            *found,
            {"$project": {"tags": {"$setUnion": ["$tags", []]}}},
            {"$unwind": "$tags"},
            {"$group": {"_id": "$tags", "count": {"$sum": 1}}},
            {"$sort": {"count": -1, "_id": 1}},
            {"$limit": MOST + len(tags)},
        ]
    )
    counts = {row["_id"]: row["count"] async for row in counted}
    chosen = [Facet(tag, counts.pop(tag, 0), True, address([other for other in tags if other != tag])) for tag in tags]
    others = [Facet(tag, count, False, address([*tags, tag])) for tag, count in counts.items()]
    return [*chosen, *others[:MOST]]
