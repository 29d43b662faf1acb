"""Events as Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse

from gateway.entry import Entry
from gateway.live import Closed, TooSlow
from shared.errors import Problem
from shared.storage.mongo import OUTAGES

HEARTBEAT_S = 15.0
"""Proxies cut connections on which nothing comes, mostly after 30 or 60 s."""

HEARTBEAT = b": still here\n\n"
MEDIA_TYPE = "text/event-stream"


def frame(entry: Entry) -> bytes:
    """One event; its JSON is one line."""
    return f"id: {entry.position}\nevent: {entry.type}\ndata: {entry.text}\n\n".encode()


async def frames(entries: AsyncGenerator[Entry, None], heartbeat_s: float = HEARTBEAT_S) -> AsyncGenerator[bytes, None]:
    """Frames, and a comment whenever none has come for a while.

    Ends where the entries do, and where they cannot go on: a client comes back by itself with `Last-Event-ID`.
    """
    # An answer without a first byte may be held back on its way, and the client would not know that it is connected.
    yield b": connected\n\n"
    async with aclosing(entries):
        while True:
            following = asyncio.ensure_future(anext(entries, None))
            try:
                while not (await asyncio.wait({following}, timeout=heartbeat_s))[0]:
                    yield HEARTBEAT
                entry = following.result()
            except (TooSlow, Closed, Problem, *OUTAGES):
                return
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait({following})
            if entry is None:
                return
            yield frame(entry)


def stream(entries: AsyncGenerator[Entry, None]) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames(entries), headers=headers, media_type=MEDIA_TYPE)
