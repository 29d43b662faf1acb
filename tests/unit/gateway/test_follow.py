"""History and live are joined without a gap or a repeat, whatever their timing."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from gateway.entry import Entry, entry_of
from gateway.follow import Read, follow
from gateway.live import Closed, Feed, TooSlow, Wants
from shared.errors import Unavailable


def entry(position: int, scope: str = "e1", kind: str = "progress", round_: int = 0) -> Entry:
    return entry_of(position, scope, {"type": f"assay.evaluation.{kind}", "data": {"round": round_}})


class Stream:
    """A stream in memory: what is published is there to read back at once, and reaches the feed only when it is passed on."""

    def __init__(self, limit: int = 100) -> None:
        self.feed = Feed(limit)
        self.entries: list[Entry] = []
        self.during_read: Callable[[], None] = lambda: None

    def publish(self, *entries: Entry, live: bool = True) -> None:
        self.entries.extend(entries)
        for one in entries if live else ():
            self.pass_on(one)

    def pass_on(self, one: Entry) -> None:
        self.feed.last = one.position
        self.feed.publish(one)

    async def read(self, after: int) -> AsyncGenerator[Entry, None]:
        for one in [one for one in self.entries if one.position > after]:
            yield one
        self.during_read()


def positions(entries: list[Entry]) -> list[int]:
    return [one.position for one in entries]


async def no_end(one: Entry) -> bool:
    return False


async def ends_at_completed(one: Entry) -> bool:
    return one.type.endswith("completed")


def everything(one: Entry) -> bool:
    return True


async def take(
    stream: Stream, count: int, after: int = 0, read: Read | None = None, wants: Wants = everything
) -> list[int]:
    found: list[Entry] = []
    async with aclosing(follow(stream.feed, read or stream.read, wants, after, is_last=no_end)) as entries:
        async for one in entries:
            found.append(one)
            if len(found) == count:
                break
    return positions(found)


async def test_history_then_live() -> None:
    stream = Stream()
    stream.publish(entry(1), entry(2))
    entries = follow(stream.feed, stream.read, everything, 0, is_last=no_end)
    assert positions([await anext(entries), await anext(entries)]) == [1, 2]
    following = asyncio.ensure_future(anext(entries))
    await asyncio.sleep(0)
    stream.publish(entry(3))
    assert (await following).position == 3
    await entries.aclose()


async def test_what_comes_while_history_is_read_is_there_once() -> None:
    stream = Stream()
    stream.publish(entry(1), entry(2))

    def meanwhile() -> None:
        stream.publish(entry(3), entry(4))
        stream.during_read = lambda: None

    stream.during_read = meanwhile
    assert await take(stream, 4) == [1, 2, 3, 4]


async def test_a_feed_that_lags_behind_the_history_repeats_nothing() -> None:
    stream = Stream()
    stream.publish(entry(1), entry(2), live=False)

    def meanwhile() -> None:
        for one in stream.entries:
            stream.pass_on(one)
        stream.publish(entry(3))
        stream.during_read = lambda: None

    stream.during_read = meanwhile
    assert await take(stream, 3) == [1, 2, 3]


async def test_more_than_may_wait_during_a_long_history_is_read_back() -> None:
    stream = Stream(limit=2)
    stream.publish(entry(1))

    def meanwhile() -> None:
        stream.during_read = lambda: None
        stream.publish(*(entry(position) for position in range(2, 10)))

    stream.during_read = meanwhile
    assert await take(stream, 9) == list(range(1, 10))


async def test_a_history_that_breaks_off_is_read_on() -> None:
    stream = Stream()
    stream.publish(*(entry(position) for position in range(1, 6)))
    broken: list[int] = []

    async def read(after: int) -> AsyncGenerator[Entry, None]:
        async for one in stream.read(after):
            if one.position == 4 and not broken:
                broken.append(after)
                raise Unavailable("nats does not answer")
            yield one

    assert await take(stream, 5, read=read) == [1, 2, 3, 4, 5]
    assert broken == [0]


async def test_after_and_what_is_wanted_hold_in_both() -> None:
    stream = Stream()
    stream.publish(entry(1), entry(2, "e2"), entry(3), entry(4, "e2"))

    def meanwhile() -> None:
        stream.during_read = lambda: None
        stream.publish(entry(5), entry(6, "e2"))

    stream.during_read = meanwhile
    assert await take(stream, 2, after=2, wants=lambda one: one.scope == "e2") == [4, 6]


async def test_the_last_one_ends_it_in_history_and_live() -> None:
    stream = Stream()
    stream.publish(entry(1), entry(2, kind="completed"), entry(3))
    found = [one async for one in follow(stream.feed, stream.read, everything, 0, is_last=ends_at_completed)]
    assert positions(found) == [1, 2]

    stream = Stream()
    stream.during_read = lambda: stream.publish(entry(1), entry(2, kind="completed"), entry(3))
    found = [one async for one in follow(stream.feed, stream.read, everything, 0, is_last=ends_at_completed)]
    assert positions(found) == [1, 2]


async def test_an_ended_log_stops_with_its_history() -> None:
    stream = Stream()
    stream.publish(entry(1), entry(2))
    found = [one async for one in follow(stream.feed, stream.read, everything, 2, is_last=no_end, ended=True)]
    assert found == []


async def test_a_client_that_does_not_keep_up_is_told() -> None:
    stream = Stream(limit=2)
    entries = follow(stream.feed, stream.read, everything, 0, is_last=no_end)
    following = asyncio.ensure_future(anext(entries))
    await asyncio.sleep(0)
    stream.publish(*(entry(position) for position in range(1, 5)))
    with pytest.raises(TooSlow):
        await following


async def test_a_feed_that_closes_ends_everybody_after_what_has_come() -> None:
    stream = Stream()
    stream.during_read = lambda: stream.publish(entry(1))
    entries = follow(stream.feed, stream.read, everything, 0, is_last=no_end)
    assert (await anext(entries)).position == 1
    stream.feed.close()
    with pytest.raises(Closed):
        await anext(entries)
    with pytest.raises(Closed):
        await anext(follow(stream.feed, Stream().read, everything, 1, is_last=no_end))


async def test_a_scope_gets_its_own_and_everybody_else_all() -> None:
    feed = Feed()
    with feed.subscribe(everything, "e1") as own, feed.subscribe(everything) as whole:
        for one in (entry(1), entry(2, "e2"), entry(3)):
            feed.publish(one)
        assert feed.listeners == 2
        assert [(await anext(own)).position for _ in range(2)] == [1, 3]
        assert [(await anext(whole)).position for _ in range(3)] == [1, 2, 3]
        feed.close()
        for subscription in (own, whole):
            with pytest.raises(Closed):
                await anext(subscription)
    assert feed.listeners == 0


async def test_nobody_is_left_behind_in_the_feed() -> None:
    stream = Stream()
    stream.publish(entry(1))
    await take(stream, 1)
    assert stream.feed.listeners == 0


def test_an_event_is_sent_with_its_cursor() -> None:
    one = entry_of(42, "e1", {"type": "assay.evaluation.completed", "data": {"round": 2, "message": "é"}})
    assert one.text == '{"type":"assay.evaluation.completed","data":{"round":2,"message":"é"},"cursor":"42"}'
    assert (one.round, one.is_final) == (2, True)
    assert not entry(1).is_final
