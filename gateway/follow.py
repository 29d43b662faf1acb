"""One client's way through the log: what was, then what comes, without a gap or a repeat.

Listening begins before the history is read, and what both bring is dropped by its position. The history is read from the same
stream that the feed is, so it reaches at least as far as the feed had got.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from gateway.live import Entry, Feed, Wants

Read = Callable[[int], AsyncGenerator[Entry, None]]
IsLast = Callable[[Entry], Awaitable[bool]]


async def follow(
    feed: Feed, read: Read, wants: Wants, after: int, *, is_last: IsLast, ended: bool = False
) -> AsyncGenerator[Entry, None]:
    """Every wanted event after a position, in order, until `is_last` says so of one.

    Args:
        read: the history after a position, up to its present end.
        ended: nothing more will come, so stop where the history does.
    Raises `TooSlow` and `Closed` as a subscription does.
    """
    position = after
    while True:
        with feed.subscribe(wants) as live:
            async with aclosing(read(position)) as history:
                async for entry in history:
                    position = entry.position
                    if wants(entry):
                        yield entry
                        if await is_last(entry):
                            return
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
