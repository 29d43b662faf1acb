"""Publishing many at a time, on a real nats-server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig

from shared.publisher import NotTaken, Publisher
from shared.settings import Settings


@asynccontextmanager
async def publishing(stores: Settings, max_msgs: int = -1) -> AsyncIterator[tuple[Publisher, JetStreamContext, str]]:
    """A publisher and a stream of its own, whose name is its subject too."""
    name = f"T{uuid4().hex}"
    token = stores.nats_token
    nc = await nats.connect(stores.nats_url, token=token.get_secret_value() if token else None)
    js = nc.jetstream()
    await js.add_stream(
        StreamConfig(
            name=name,
            subjects=[name],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_msgs=max_msgs,
            duplicate_window=30.0,
        )
    )
    publisher = Publisher(nc)
    await publisher.start()
    try:
        yield publisher, js, name
    finally:
        await publisher.stop()
        await js.delete_stream(name)
        await nc.close()


async def stored(js: JetStreamContext, stream: str) -> list[bytes | None]:
    state = (await js.stream_info(stream)).state
    return [(await js.get_msg(stream, seq)).data for seq in range(state.first_seq, state.last_seq + 1)]


async def test_what_is_acknowledged_is_stored_once_and_in_order(stores: Settings) -> None:
    payloads = [b"%d" % number for number in range(500)]
    async with publishing(stores) as (publisher, js, subject):
        await publisher.publish_all([(subject, payload, f"id-{payload.decode()}") for payload in payloads])
        assert await stored(js, subject) == payloads
        await publisher.publish_all([(subject, payload, f"id-{payload.decode()}") for payload in payloads[:100]])
        await asyncio.gather(*(publisher.publish(subject, b"again", f"id-{number}") for number in range(20)))
        assert await stored(js, subject) == payloads


async def test_a_full_stream_refuses_what_it_does_not_take(stores: Settings) -> None:
    async with publishing(stores, max_msgs=3) as (publisher, js, subject):
        with pytest.raises(NotTaken, match="maximum messages exceeded"):
            await publisher.publish_all([(subject, b"%d" % number, f"id-{number}") for number in range(5)])
        assert await stored(js, subject) == [b"0", b"1", b"2"]


async def test_a_subject_that_no_stream_takes_is_told(stores: Settings) -> None:
    async with publishing(stores) as (publisher, _, subject):
        with pytest.raises(NotTaken, match="no stream takes"):
            await publisher.publish(f"{subject}.nowhere", b"x", "id")


async def test_without_an_answer_it_is_not_taken(stores: Settings) -> None:
    async with publishing(stores) as (publisher, _, subject):
        silent = await publisher._nc.subscribe(f"{subject}-core")  # somebody listens and never answers
        with pytest.raises(NotTaken, match="no acknowledgement in time"):
            await publisher.publish(f"{subject}-core", b"x", "id")
        await silent.unsubscribe()
