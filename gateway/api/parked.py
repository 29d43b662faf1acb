"""Parked messages: read from their stream, replayed and discarded by the orchestrator."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway import examples
from gateway.auth import ADMIN, RUNNER
from gateway.lookups import find_evaluation
from gateway.openapi import example, problems
from gateway.paging import Cursor, Limit, cut, decode, encode
from gateway.parts import PartsOf
from shared import parking
from shared.api import Page, Parked

router = APIRouter(prefix="/parked", tags=["parked"], responses=problems(400, 401, 403, 422, 503))


@router.get(
    "",
    summary="Messages that were set aside",
    dependencies=[RUNNER],
    responses={**example(200, "Oldest first", examples.page(examples.PARKED)), **problems(404)},
)
async def list_parked(
    parts: PartsOf,
    evaluation: Annotated[str | None, Query(description="Only of this evaluation, by id or number.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Parked]:
    """Each was set aside because it is itself bad, with the reason. Its evaluation has gone on without it."""
    after = 0 if cursor is None else max(0, decode(cursor, int)[0])
    scope = (await find_evaluation(parts.database, evaluation, {"_id": 1}))["_id"] if evaluation else "*"
    parts.need_nats()
    rows: list[Parked] = []
    async for entry, _ in parking.parked(parts.service.js, after, scope):
        rows.append(entry)
        if len(rows) > limit:
            break
    page, following = cut(rows, limit, lambda row: encode(int(row.id)))
    return Page(items=page, next=following)


@router.post(
    "/{parked_id}/replay",
    summary="Send it on again",
    dependencies=[ADMIN],
    responses={**example(200, "What was sent on; it is parked no more", examples.PARKED), **problems(404, 409)},
)
async def replay_parked(parked_id: str, parts: PartsOf) -> Parked:
    """For when its cause is mended. Refused where nothing waits for it any more."""
    return Parked.model_validate(await parts.command("orchestrator", "parked.replay", {"id": parked_id}))


@router.delete("/{parked_id}", summary="Throw it away", status_code=204, dependencies=[ADMIN], responses=problems(404))
async def discard_parked(parked_id: str, parts: PartsOf) -> None:
    await parts.command("orchestrator", "parked.discard", {"id": parked_id})
