"""`/environments/{slug}`: what an environment measures, its phases, its leaderboard and its evaluations."""

from typing import Any

from fastapi import APIRouter

from gateway.lookups import find_environment, versions_of
from gateway.parts import Parts
from shared.views import environment_detail_view

router = APIRouter(include_in_schema=False)


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
        "address": f"/environments/{reference}",
        "is_latest": environment.version == environment.versions[0].version,
        "evaluation_count": await parts.database["evaluations"].count_documents({"slug": environment.slug}),
    }
