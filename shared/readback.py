"""Reading back what a stream holds of a subject: the history of events, for clients and for the archive."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from shared.errors import Unavailable

BATCH = 256
PATIENCE_S = 5.0
INACTIVE_S = 30.0
"""How long the server keeps a consumer that nobody asks: one that we lost goes away by itself."""


def reader(start: int, subject: str | None = None) -> ConsumerConfig:
    """An ephemeral consumer from a position on, that acknowledges nothing."""
    return ConsumerConfig(
        filter_subject=subject,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=max(1, start),
        ack_policy=AckPolicy.NONE,
        inactive_threshold=INACTIVE_S,
        mem_storage=True,
    )


async def read_back(
    nc: Client, js: JetStreamContext, stream: str, subject: str, after: int
) -> AsyncGenerator[Msg, None]:
    """Every message on a subject after a position, up to the last one that there is now.

    The end is that position and not the consumer's count of what is pending: for a consumer that is created while messages
    come in, 2.9.10 counts some of them twice, and who waits for those waits for ever.

    Raises `Unavailable` and what nats-py raises of a broker that is away.
    """
    try:
        end = (await js.get_last_msg(stream, subject)).seq or 0
    except NotFoundError:
        return
    if end <= after:
        return
    consumer = (await js.add_consumer(stream, reader(after + 1, subject))).name
    inbox = nc.new_inbox()
    arriving = await nc.subscribe(inbox)
    try:
        position, deadline = after, time.monotonic() + PATIENCE_S
        while position < end:
            messages = await _pull(nc, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", inbox, arriving, end)
            for message in messages:
                position = message.metadata.sequence.stream
                yield message
            if messages:
                deadline = time.monotonic() + PATIENCE_S
            elif time.monotonic() > deadline:
                raise Unavailable("nats does not deliver what it holds")
            else:
                await asyncio.sleep(0.05)
    finally:
        with suppress(TimeoutError, Error):
            await arriving.unsubscribe()
            await js.delete_consumer(stream, consumer)


async def _pull(nc: Client, subject: str, inbox: str, arriving: Subscription, end: int) -> list[Msg]:
    """One batch of what is there now, up to `end`. The client's own `fetch` would wait for a batch to be full."""
    await nc.publish(subject, json.dumps({"batch": BATCH, "no_wait": True}).encode(), reply=inbox)
    messages: list[Msg] = []
    while len(messages) < BATCH:
        message = await arriving.next_msg(timeout=PATIENCE_S)
        if not message.reply:
            # A status and no message of the stream: that was all there is.
            if (message.headers or {}).get("Status") == "503":
                raise Unavailable("nats has lost the consumer")
            break
        messages.append(message)
        if message.metadata.sequence.stream >= end:
            break
    return messages
