"""The continuous pull, against a real nats-server."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy

from shared.pull import Batches, Puller
from shared.service import Service
from shared.settings import Settings

STREAM = "PULLTEST"


@pytest.fixture
async def service(stores: Settings) -> AsyncIterator[Service]:
    service = Service("pulltest", stores)
    await service.connect()
    await service.js.add_stream(name=STREAM, subjects=["pulltest.>"], retention=RetentionPolicy.WORK_QUEUE)
    yield service
    await service.js.delete_stream(STREAM)
    await service.broker.stop()


async def make(service: Service, max_ack_pending: int) -> None:
    config = ConsumerConfig(
        durable_name="c", ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=max_ack_pending, max_deliver=-1
    )
    await service.js.add_consumer(STREAM, config)


async def test_everything_comes_once_and_more_than_one_request_holds(service: Service) -> None:
    await make(service, 1000)
    batches: Batches[Msg] = Batches(64)
    puller = Puller(service.nc, STREAM, "c", batches.put, batch=16)
    await puller.start()
    for number in range(500):
        await service.js.publish("pulltest.a", str(number).encode())
    seen: list[int] = []
    async with asyncio.timeout(20):
        while len(seen) < 500:
            for message in await batches.get():
                seen.append(int(message.data))
                await puller.acknowledge(message)
    await puller.stop()
    assert seen == list(range(500))


async def test_the_servers_limit_holds_over_two_pullers_and_both_get_their_part(service: Service) -> None:
    await make(service, 10)
    held: list[tuple[str, Msg]] = []
    arrived = asyncio.Condition()

    def take(name: str) -> "Puller":
        def on_message(message: Msg) -> None:
            held.append((name, message))
            task = asyncio.create_task(tell())
            tasks.add(task)

        return Puller(service.nc, STREAM, "c", on_message, batch=64)

    async def tell() -> None:
        async with arrived:
            arrived.notify_all()

    tasks: set[asyncio.Task[None]] = set()
    one, two = take("one"), take("two")
    await one.start()
    await two.start()
    # Both requests wait at the server before the first message does.
    await service.nc.flush()
    for number in range(40):
        await service.js.publish("pulltest.a", str(number).encode())
    async with asyncio.timeout(10), arrived:
        await arrived.wait_for(lambda: len(held) >= 10)
    info = await service.js.consumer_info(STREAM, "c")
    assert info.num_ack_pending == 10
    assert len(held) == 10
    assert Counter(name for name, _ in held) == {"one": 5, "two": 5}
    # What is acknowledged makes room for as many.
    for _, message in held[:4]:
        await one.acknowledge(message)
    async with asyncio.timeout(10), arrived:
        await arrived.wait_for(lambda: len(held) >= 14)
    assert (await service.js.consumer_info(STREAM, "c")).num_ack_pending == 10
    await one.stop()
    await two.stop()


async def test_a_missing_consumer_is_told_and_pulled_from_once_it_is_there(service: Service) -> None:
    gone = asyncio.Event()
    batches: Batches[Msg] = Batches(8)
    puller = Puller(service.nc, STREAM, "c", batches.put, on_gone=gone.set, expires_s=0.5)
    await puller.start()
    async with asyncio.timeout(10):
        await gone.wait()
        await make(service, 10)
        await service.js.publish("pulltest.a", b"now")
        assert [message.data for message in await batches.get()] == [b"now"]
    await puller.stop()
