"""Streams, consumers and buckets are made where they are missing, and brought up to date where they differ."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from shared import subjects
from shared.provision import consumers, ensure_consumer, model_consumer, provision, streams
from shared.service import Service
from shared.settings import Settings
from shared.storage import mongo


@pytest.fixture
async def js(stores: Settings) -> AsyncIterator[JetStreamContext]:
    service = Service("test", stores)
    await service.connect()
    yield service.js
    await service.broker.stop()


async def test_doing_it_twice_changes_nothing(js: JetStreamContext, stores: Settings) -> None:
    before = [(await js.stream_info(str(stream.name))).config for stream in streams(stores)]
    await provision(js, stores)
    assert [(await js.stream_info(str(stream.name))).config for stream in streams(stores)] == before


async def test_a_stream_with_another_configuration_is_brought_up_to_date(
    js: JetStreamContext, stores: Settings
) -> None:
    wanted = stores.model_copy(update={"events_max_age_s": 3600.0})
    await provision(js, wanted)
    assert (await js.stream_info(subjects.EVENTS)).config.max_age == 3600
    await provision(js, stores)
    assert (await js.stream_info(subjects.EVENTS)).config.max_age == stores.events_max_age_s


async def test_a_consumer_is_brought_up_to_date(js: JetStreamContext, stores: Settings) -> None:
    present = (await js.consumer_info(subjects.PREDICTIONS, subjects.SCORER_CONSUMER)).config
    await js.add_consumer(subjects.PREDICTIONS, present.evolve(ack_wait=77.0))
    await provision(js, stores)
    found = (await js.consumer_info(subjects.PREDICTIONS, subjects.SCORER_CONSUMER)).config
    assert found.ack_wait == present.ack_wait != 77.0


async def test_a_models_concurrency_is_its_controllers_alone(js: JetStreamContext) -> None:
    async def limit() -> int | None:
        found: ConsumerConfig = (await js.consumer_info(subjects.JOBS, subjects.model_consumer("mtest"))).config
        return found.max_ack_pending

    await ensure_consumer(js, subjects.JOBS, model_consumer("mtest", 16))
    await ensure_consumer(js, subjects.JOBS, model_consumer("mtest", 8), keep_max_ack_pending=True)
    assert await limit() == 16
    await ensure_consumer(js, subjects.JOBS, model_consumer("mtest", 8))
    assert await limit() == 8
    await js.delete_consumer(subjects.JOBS, subjects.model_consumer("mtest"))


async def test_indexes_are_made_and_mended(stores: Settings) -> None:
    client = mongo.connect(stores)
    database = client["assay_indexes"]
    try:
        await mongo.provision(database)
        # The same key with another option, as an older version might have left it.
        await database["results"].drop_indexes()
        await database["results"].create_index([("evaluation", 1), ("index", 1), ("sample", 1)], unique=True)
        await database["evaluations"].drop_indexes()
        await database["evaluations"].create_index([("number", -1)], unique=False)
        await mongo.provision(database)
        results = await database["results"].index_information()
        assert "unique" not in results["evaluation_1_index_1_sample_1"]
        evaluations = await database["evaluations"].index_information()
        assert evaluations["number_-1"]["unique"]
    finally:
        await client.drop_database("assay_indexes")
        client.close()


async def test_a_consumer_with_another_filter_is_made_anew_and_loses_nothing(
    js: JetStreamContext, stores: Settings
) -> None:
    """As before scoring that takes its time had queues of its own. A server that is only told the other filter delivers nothing (2.9.10)."""
    scorers = [name for _, consumer in consumers() if (name := str(consumer.durable_name)).startswith("scorer")]
    for name in scorers:
        if name != subjects.SCORER_LANDED:
            await js.delete_consumer(subjects.PREDICTIONS, name)
    former = ConsumerConfig(durable_name=subjects.SCORER_CONSUMER, ack_policy=AckPolicy.EXPLICIT, max_deliver=-1)
    await js.add_consumer(subjects.PREDICTIONS, former)
    evaluation = f"e{uuid4().hex}"
    await js.publish(subjects.prediction(evaluation), b"fast")
    await provision(js, stores)
    await js.publish(subjects.prediction(evaluation, "process"), b"slow")
    for name, body in ((subjects.SCORER_CONSUMER, b"fast"), (subjects.scorer_consumer("process"), b"slow")):
        pull = await js.pull_subscribe_bind(durable=name, stream=subjects.PREDICTIONS)
        (message,) = await pull.fetch(1, timeout=5)
        assert message.data == body
        await message.ack_sync()
