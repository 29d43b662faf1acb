"""The stream EVENTS: read live once for the whole process, and read back on demand.

Live, an ephemeral consumer that acknowledges nothing is read from the last position on. It is gone when nats-server was killed
or has not heard of us for a while, and what it sent into a broken connection is lost; so after a reconnect, when it is gone, and
when its own count skips, a new one begins after the last position that arrived.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import partial

import orjson
from nats.aio.msg import Msg
from nats.errors import Error

from gateway.entry import Entry, entry_of
from gateway.live import Feed
from shared import subjects
from shared.errors import Unavailable
from shared.pull import Puller
from shared.readback import read_back, reader
from shared.service import Service, until_up

logger = logging.getLogger("assay.gateway")

BATCH = 256

HEAD_START = 4096
"""Events before the present end that a starting gateway takes up: many minutes of several evaluations, read in a tenth of a second."""


@contextmanager
def nats_or_unavailable() -> Iterator[None]:
    """Translate what a broker that is away raises."""
    try:
        yield
    except (TimeoutError, Error) as error:
        raise Unavailable("nats does not answer") from error


def parse(message: Msg) -> Entry | None:
    """An entry of the log, or None for a message that is no event: one bad message must not stop the log."""
    position = message.metadata.sequence.stream
    try:
        return entry_of(position, message.subject.split(".", 2)[1], orjson.loads(message.data))
    except (ValueError, KeyError, TypeError, AttributeError):
        logger.warning("message %d of %s is not an event", position, subjects.EVENTS)
        return None


class LiveRead:
    """Passes everything that is announced on to the feed."""

    def __init__(self, service: Service, feed: Feed) -> None:
        self._service = service
        self._feed = feed
        self._begin_again = asyncio.Event()
        self._consumer = ""
        self._received = 0

    async def start(self) -> None:
        """Begin a little before the stream's present end: who was cut when a gateway stopped comes back to this one at once,
        and finds in memory what it has missed. The service must be connected.
        """
        self._feed.begin(max(0, await until_up(self._end, "the stream of events") - HEAD_START))
        self._service.hooks.append(self._reconnected)

    async def run(self) -> None:
        """Pass on what comes, for ever."""
        while True:
            self._begin_again.clear()
            self._consumer = await until_up(self._create, "the stream of events")
            self._received = 0
            puller = Puller(
                self._service.nc,
                subjects.EVENTS,
                self._consumer,
                partial(self._receive, self._consumer),
                batch=BATCH,
                on_gone=self._begin_again.set,
            )
            try:
                await puller.start()
                await self._begin_again.wait()
            finally:
                with suppress(Error):
                    await puller.stop()

    async def _end(self) -> int:
        return (await self._service.js.stream_info(subjects.EVENTS)).state.last_seq

    async def _create(self) -> str:
        end = await self._end()
        if end < self._feed.last:
            logger.warning("the stream of events began anew at position %d, before it was at %d", end, self._feed.last)
            self._feed.restart(end)
        info = await self._service.js.add_consumer(subjects.EVENTS, reader(self._feed.last + 1))
        return info.name

    def _receive(self, consumer: str, message: Msg) -> None:
        if consumer != self._consumer or self._begin_again.is_set():
            return
        sequence = message.metadata.sequence
        if sequence.consumer != self._received + 1:
            self._begin_again.set()
            return
        self._received += 1
        self._feed.last = sequence.stream
        if entry := parse(message):
            self._feed.publish(entry)

    async def _reconnected(self) -> None:
        self._begin_again.set()


class Kept:
    """What the stream still holds."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def bounds(self) -> tuple[int, int]:
        """The first and last position kept. Where nothing is, the first is one after the last."""
        with nats_or_unavailable():
            state = (await self._service.js.stream_info(subjects.EVENTS)).state
        return (state.first_seq, state.last_seq) if state.messages else (state.last_seq + 1, state.last_seq)

    async def read(self, subject: str, after: int) -> AsyncGenerator[Entry, None]:
        """Every event on a subject after a position, up to the last one that there is now."""
        messages = read_back(self._service.nc, self._service.js, subjects.EVENTS, subject, after)
        with nats_or_unavailable():
            async with aclosing(messages):
                async for message in messages:
                    if entry := parse(message):
                        yield entry
