"""Frames of Server-Sent Events."""

import asyncio
from collections.abc import AsyncGenerator

from gateway.entry import Entry, entry_of
from gateway.live import TooSlow
from gateway.sse import HEARTBEAT, frame, frames


def entry(position: int) -> Entry:
    return entry_of(position, "e1", {"type": "assay.evaluation.log", "data": {"message": "two\nlines"}})


def test_a_frame_holds_the_event_in_one_line() -> None:
    lines = frame(entry(7)).decode().split("\n")
    assert lines[:2] == ["id: 7", "event: assay.evaluation.log"]
    assert lines[2] == f"data: {entry(7).text}"
    assert lines[3:] == ["", ""]


async def test_heartbeats_while_nothing_comes_and_no_event_lost() -> None:
    go_on = asyncio.Event()
    closed: list[bool] = []

    async def entries() -> AsyncGenerator[Entry, None]:
        try:
            yield entry(1)
            await go_on.wait()
            yield entry(2)
        finally:
            closed.append(True)

    found: list[bytes] = []
    async for part in frames(entries(), heartbeat_s=0.01):
        found.append(part)
        if found.count(HEARTBEAT) == 3:
            go_on.set()
    events = [part for part in found if part.startswith(b"id:")]
    assert events == [frame(entry(1)), frame(entry(2))]
    assert found.count(HEARTBEAT) >= 3
    assert closed == [True]


async def test_a_slow_client_is_let_go_and_may_resume() -> None:
    async def entries() -> AsyncGenerator[Entry, None]:
        yield entry(1)
        raise TooSlow("this client does not keep up")

    assert [part async for part in frames(entries())][1:] == [frame(entry(1))]


async def test_a_client_that_goes_leaves_nothing_behind() -> None:
    closed = asyncio.Event()

    async def entries() -> AsyncGenerator[Entry, None]:
        try:
            yield entry(1)
            await asyncio.Event().wait()
        finally:
            closed.set()

    stream = frames(entries(), heartbeat_s=0.01)
    while await anext(stream) != HEARTBEAT:
        pass
    await stream.aclose()
    await asyncio.wait_for(closed.wait(), 1)
