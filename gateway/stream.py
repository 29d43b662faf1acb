"""The stream EVENTS: read live once for the whole process, and read back on demand.

Live, an ephemeral consumer that acknowledges nothing is read from the last position on. It is gone when nats-server was killed
or has not heard of us for a while, and what it sent into a broken connection is lost; so after a reconnect, when it is gone, and
when its own count skips, a new one begins after the last position that arrived.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, Error, OutboundBufferLimitError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from gateway.live import Entry, Feed, entry_of
from shared import subjects
from shared.errors import Unavailable
from shared.pull import Puller
from shared.service import Service, until_up

logger = logging.getLogger("assay.gateway")

BATCH = 256
FETCH_TIMEOUT_S = 5.0
INACTIVE_S = 30.0
"""How long the server keeps a consumer that nobody asks: one that we lost goes away by itself."""


@contextmanager
def nats_or_unavailable() -> Iterator[None]:
    """Translate what a broker that is away raises."""
    try:
        yield
    except (TimeoutError, Error, ConnectionClosedError, OutboundBufferLimitError) as error:
        raise Unavailable("nats does not answer") from error


def _consumer(start: int, subject: str | None = None) -> ConsumerConfig:
    return ConsumerConfig(
        filter_subject=subject,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=max(1, start),
        ack_policy=AckPolicy.NONE,
        inactive_threshold=INACTIVE_S,
        mem_storage=True,
    )


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
        """Take the stream's present end as where live begins. The service must be connected."""
        self._feed.last = await until_up(self._end, "the stream of events")
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
                with suppress(Error, ConnectionClosedError):
                    await puller.stop()

    async def _end(self) -> int:
        return (await self._service.js.stream_info(subjects.EVENTS)).state.last_seq

    async def _create(self) -> str:
        end = await self._end()
        if end < self._feed.last:
            logger.warning("the stream of events began anew at position %d, before it was at %d", end, self._feed.last)
            self._feed.restart(end)
        info = await self._service.js.add_consumer(subjects.EVENTS, _consumer(self._feed.last + 1))
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
        """Every event on a subject after a position, up to the last one that there is now.

        The end is that position and not the consumer's count of what is pending: for a consumer that is created while messages
        come in, 2.9.10 counts some of them twice, and who waits for those waits for ever.
        """
        with nats_or_unavailable():
            end = await self._last(subject)
        if end <= after:
            return
        nc, js = self._service.nc, self._service.js
        with nats_or_unavailable():
            consumer = (await js.add_consumer(subjects.EVENTS, _consumer(after + 1, subject))).name
            inbox = nc.new_inbox()
            arriving = await nc.subscribe(inbox)
        try:
            position, deadline = after, time.monotonic() + FETCH_TIMEOUT_S
            while position < end:
                with nats_or_unavailable():
                    messages = await self._pull(consumer, inbox, arriving, end)
                for message in messages:
                    position = message.metadata.sequence.stream
                    if entry := parse(message):
                        yield entry
                if messages:
                    deadline = time.monotonic() + FETCH_TIMEOUT_S
                elif time.monotonic() > deadline:
                    raise Unavailable("nats does not deliver the events that it holds")
                else:
                    await asyncio.sleep(0.05)
        finally:
            with suppress(TimeoutError, Error, ConnectionClosedError):
                await arriving.unsubscribe()
                await js.delete_consumer(subjects.EVENTS, consumer)

    async def _last(self, subject: str) -> int:
        """The position of a subject's last event, 0 where there is none."""
        try:
            return (await self._service.js.get_last_msg(subjects.EVENTS, subject)).seq or 0
        except NotFoundError:
            return 0

    async def _pull(self, consumer: str, inbox: str, arriving: Subscription, end: int) -> list[Msg]:
        """One batch of what is there now, up to `end`. The client's own `fetch` would wait for a batch to be full."""
        request = json.dumps({"batch": BATCH, "no_wait": True}).encode()
        await self._service.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{subjects.EVENTS}.{consumer}", request, reply=inbox)
        messages: list[Msg] = []
        while len(messages) < BATCH:
            message = await arriving.next_msg(timeout=FETCH_TIMEOUT_S)
            if not message.reply:
                # A status and no message of the stream: that was all there is.
                if (message.headers or {}).get("Status") == "503":
                    raise Unavailable("nats has lost the consumer")
                break
            messages.append(message)
            if message.metadata.sequence.stream >= end:
                break
        return messages
