"""One client's way through the log: what was, then what comes, without a gap or a repeat.

Listening begins before the history is read, and what both bring is dropped by its position. The history is read from the same
stream that the feed is, so it reaches at least as far as the feed had got.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from gateway.entry import Entry
from gateway.live import Feed, Wants
from shared.errors import Unavailable

PATIENCE_S = 15.0
"""How long the history may be out of reach before a client is told: a killed broker is back within about 2 s."""

PAUSE_S = 0.25

Read = Callable[[int], AsyncGenerator[Entry, None]]
IsLast = Callable[[Entry], Awaitable[bool]]


async def follow(
    feed: Feed,
    read: Read,
    wants: Wants,
    after: int,
    *,
    is_last: IsLast,
    scope: str | None = None,
    ended: bool = False,
) -> AsyncGenerator[Entry, None]:
    """Every wanted event after a position, in order, until `is_last` says so of one.

    Args:
        read: the history after a position, up to its present end.
        scope: where all that is wanted is of one.
        ended: nothing more will come, so stop where the history does.
    Raises `TooSlow` and `Closed` as a subscription does, and `Unavailable` where the history stays out of reach.
    """
    position = after
    failing_since: float | None = None
    while True:
        with feed.subscribe(wants, scope) as live:
            try:
                async with aclosing(read(position)) as history:
                    async for entry in history:
                        position = entry.position
                        if wants(entry):
                            yield entry
                            if await is_last(entry):
                                return
            except Unavailable:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > PATIENCE_S:
                    raise
                await asyncio.sleep(PAUSE_S)
                continue
            if ended:
                return
            if live.overflowed:
                continue  # more came during a long history than may wait: read on from where it ended
            async for entry in live:
                if entry.position <= position:
                    continue
                position = entry.position
                yield entry
                if await is_last(entry):
                    return
