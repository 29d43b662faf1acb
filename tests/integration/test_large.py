"""The claim check on a real broker and object store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from nats.aio.msg import Msg

from shared.errors import TooLarge
from shared.large import HEADER, HEADROOM, LargeMessages
from shared.service import Service, call
from shared.settings import Settings
from shared.storage.objects import ObjectMissing, Objects


@asynccontextmanager
async def large(stores: Settings, max_bytes: int) -> AsyncIterator[tuple[Service, LargeMessages]]:
    service, objects = Service("largetest", stores), Objects(stores)
    await service.connect()
    await objects.provision()
    try:
        yield service, LargeMessages(service.nc, objects, max_bytes)
    finally:
        await service.broker.stop()
        await objects.aclose()


async def through(service: Service, body: bytes, headers: dict[str, str]) -> Msg:
    arriving: asyncio.Queue[Msg] = asyncio.Queue()
    subject = f"largetest.{uuid4().hex}"
    subscription = await service.nc.subscribe(subject, cb=arriving.put)
    await service.nc.publish(subject, body, headers=headers)
    message = await asyncio.wait_for(arriving.get(), 10)
    await subscription.unsubscribe()
    return message


async def test_the_brokers_own_limit_counts_too(stores: Settings) -> None:
    async with large(stores, 10**9) as (service, messages):
        limit = service.nc.max_payload
        fits = b"x" * (limit - HEADROOM)
        assert not messages.too_large(fits)
        assert messages.too_large(fits + b"x")
        # With headers, what fits is really carried.
        message = await through(service, fits, {"Nats-Msg-Id": "x" * (HEADROOM // 2)})
        assert len(message.data) == len(fits)


async def test_a_body_waits_until_it_is_discarded_or_swept(stores: Settings) -> None:
    async with large(stores, 1024) as (service, messages):
        evaluation = f"e{uuid4().hex}"
        bodies = [bytes([number]) * 5000 for number in range(3)]
        kept = []
        for number, body in enumerate(bodies):
            assert messages.too_large(body)
            headers = await messages.put("JOBS", evaluation, f"{evaluation}:{number}:0:0:0", body)
            kept.append(await through(service, b"", headers))
        other = await through(service, b"", await messages.put("JOBS", f"{evaluation}0", "a:0:0:0:0", b"other"))
        assert [await messages.body(message) for message in kept] == bodies
        assert kept[0].headers
        assert kept[0].headers[HEADER] == f"messages/{evaluation}/JOBS/{evaluation}-0-0-0-0"

        await messages.discard(kept[0])
        await messages.discard(kept[0])
        with pytest.raises(ObjectMissing):
            await messages.body(kept[0])
        assert await messages.body(kept[1]) == bodies[1]
        await messages.sweep(evaluation)
        await messages.sweep(evaluation)
        for message in kept:
            with pytest.raises(ObjectMissing):
                await messages.body(message)
        assert await messages.body(other) == b"other", "the sweep took another evaluation's"
        await messages.discard(other)


async def test_a_small_message_is_its_own_body(stores: Settings) -> None:
    async with large(stores, 1024) as (service, messages):
        message = await through(service, b"small", {HEADER: "messages/somewhere/else"})
        assert await messages.body(message) == b"small"


async def test_a_command_whose_answer_is_too_large_says_so(stores: Settings) -> None:
    service = Service("largetest", stores)
    await service.connect()

    @service.command("say")
    async def say(body: dict[str, int]) -> str:
        return "x" * body["length"]

    await service.broker.start()
    try:
        assert await call(service.broker, "largetest.say", {"length": 3}) == "xxx"
        with pytest.raises(TooLarge, match=r"its answer of .* bytes is larger than the broker carries"):
            await call(service.broker, "largetest.say", {"length": service.nc.max_payload})
        with pytest.raises(TooLarge, match="the request to the largetest is larger"):
            await call(service.broker, "largetest.say", {"length": 1, "more": "x" * service.nc.max_payload})
    finally:
        await service.broker.stop()
