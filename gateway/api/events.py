"""Events: an evaluation's own log and the feed of all, as history, as SSE and over websockets."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, WebSocket
from starlette.responses import Response

from gateway import examples, sse
from gateway.auth import VIEWER
from gateway.entry import Entry
from gateway.log import Selection, at_rest, parse_after, parse_types, split
from gateway.lookups import find_evaluation
from gateway.openapi import Responses, problems
from gateway.paging import Limit
from gateway.parts import Parts, PartsOf, parts_of
from gateway.sockets import serve
from shared.api import EventOut, Page
from shared.storage.mongo import Document

router = APIRouter(tags=["events"], responses=problems(400, 401, 403, 422, 503))
sockets = APIRouter()

After = Annotated[str | None, Query(description="The cursor of an event: what came after it. `0`: from the beginning.")]
NextPage = Annotated[str | None, Query(description="`next` of the page before; goes before `after`.")]
LastEventId = Annotated[str | None, Header(description="Where an SSE client goes on; goes before `after`.")]

_ANSWERS: Responses = {
    200: {
        "model": Page[EventOut],
        "description": "A page of history as JSON, or, with `Accept: text/event-stream`, history and then live as SSE",
        "content": {
            "application/json": {"example": examples.page(examples.EVENT)},
            sse.MEDIA_TYPE: {"schema": {"type": "string"}},
        },
    },
    204: {"description": "SSE only: nothing came after `after`, and nothing will; do not reconnect"},
}


@router.get(
    "/evaluations/{evaluation}/events",
    summary="An evaluation's log",
    dependencies=[VIEWER],
    responses={**_ANSWERS, **problems(404)},
)
async def evaluation_events(
    evaluation: str,
    request: Request,
    parts: PartsOf,
    after: After = None,
    cursor: NextPage = None,
    limit: Limit = 50,
    last_event_id: LastEventId = None,
) -> Response:
    """From its beginning where `after` is left out. What a websocket delivered is in the history already.

    Live ends after `completed`, `failed` or `cancelled`. The log stays readable after the feed of all has let go of it.
    """
    parts.need_nats()
    if not wants_stream(request):
        position = parse_after(after if cursor is None else cursor) or 0
        document = await find_evaluation(parts.database, evaluation)
        await parts.log.check_evaluation(document, position)
        return await page_of(parts.log.history(document["_id"], position), limit)
    document, entries = await open_evaluation(parts, evaluation, last_event_id or after)
    if not at_rest(document):
        return sse.stream(entries)
    first = await anext(entries, None)
    return Response(status_code=204) if first is None else sse.stream(chain(first, entries))


@router.get(
    "/events",
    summary="The feed of all",
    dependencies=[VIEWER],
    responses={**_ANSWERS, **problems(404, 410)},
)
async def all_events(
    request: Request,
    parts: PartsOf,
    after: After = None,
    evaluation: Annotated[list[str] | None, Query(description="Only of these evaluations (id or number).")] = None,
    type: Annotated[list[str] | None, Query(description="Only of these types, such as assay.model.status.")] = None,
    cursor: NextPage = None,
    limit: Limit = 50,
    last_event_id: LastEventId = None,
) -> Response:
    """Of all evaluations, models and environments, for as long as it is kept; 410 for an `after` before that.

    `evaluation` and `type` may be repeated, or hold several with commas between them. As SSE, without `after`: from now on; as
    JSON, without `after`: from the beginning of what is kept.
    """
    parts.need_nats()
    if wants_stream(request):
        return sse.stream(await open_all(parts, last_event_id or after, evaluation or [], type or []))
    selection = await select(parts, evaluation or [], type or [])
    position = parse_after(after if cursor is None else cursor) or 0
    await parts.log.check_all(position)
    return await page_of(parts.log.history_of_all(selection, position), limit)


@sockets.websocket("/evaluations/{evaluation}/events/ws")
async def evaluation_socket(websocket: WebSocket, evaluation: str) -> None:
    async def open_entries() -> AsyncGenerator[Entry, None]:
        after = websocket.query_params.get("after")
        return (await open_evaluation(parts_of(websocket), evaluation, after))[1]

    await serve(websocket, open_entries)


@sockets.websocket("/events/ws")
async def all_socket(websocket: WebSocket) -> None:
    async def open_entries() -> AsyncGenerator[Entry, None]:
        asked = websocket.query_params
        return await open_all(
            parts_of(websocket), asked.get("after"), asked.getlist("evaluation"), asked.getlist("type")
        )

    await serve(websocket, open_entries)


async def open_evaluation(
    parts: Parts, reference: str, after: str | None
) -> tuple[Document, AsyncGenerator[Entry, None]]:
    """An evaluation and its log after a cursor; raises `NotFound`, `BadRequest`, `Unavailable`."""
    parts.need_nats()
    position = parse_after(after) or 0
    document = await find_evaluation(parts.database, reference)
    await parts.log.check_evaluation(document, position)
    return document, parts.log.follow_evaluation(document, position)


async def open_all(
    parts: Parts, after: str | None, evaluations: list[str], types: list[str]
) -> AsyncGenerator[Entry, None]:
    """The feed of all after a cursor or from now on; raises `Gone`, `NotFound`, `Invalid`, `BadRequest`, `Unavailable`."""
    parts.need_nats()
    position = parse_after(after)
    entries = await parts.log.follow_all(await select(parts, evaluations, types), position)
    await parts.log.check_all(position)
    return entries


async def select(parts: Parts, evaluations: list[str], types: list[str]) -> Selection:
    """What is asked for, evaluations by their ids."""
    found = [(await find_evaluation(parts.database, name, {"_id": 1}))["_id"] for name in split(evaluations)]
    return Selection(frozenset(found), parse_types(types))


def wants_stream(request: Request) -> bool:
    return sse.MEDIA_TYPE in request.headers.get("accept", "")


async def page_of(entries: AsyncGenerator[Entry, None], limit: int) -> Response:
    """A page of history, each event with the very bytes that a socket sends."""
    found: list[Entry] = []
    async with aclosing(entries):
        async for entry in entries:
            found.append(entry)
            if len(found) > limit:
                break
    following = f'"{found[limit - 1].position}"' if len(found) > limit else "null"
    body = f'{{"items":[{",".join(entry.text for entry in found[:limit])}],"next":{following}}}'
    return Response(body, media_type="application/json")


async def chain(first: Entry, rest: AsyncGenerator[Entry, None]) -> AsyncGenerator[Entry, None]:
    async with aclosing(rest):
        yield first
        async for entry in rest:
            yield entry
