"""A predictor's work on one model, against a real nats-server."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.predictor.answers import Answer
from services.predictor.endpoint import Endpoint
from services.predictor.notes import Notes
from services.predictor.worker import TRIES, ModelWorker
from shared import subjects
from shared.contracts import ChatMessage, Job, ModelEndpoint
from shared.large import LargeMessages
from shared.networks import Networks
from shared.parking import parked
from shared.provision import ensure_consumer, model_consumer
from shared.publisher import Publisher
from shared.scoring import ExactMatchScoring
from shared.service import Service
from shared.settings import Settings
from shared.storage.objects import Objects


class Broken(Endpoint):
    """One kind of job makes the predictor itself fail."""

    calls = 0

    async def call(self, job: Job) -> Answer:
        self.calls += 1
        raise ZeroDivisionError("a bug")


@pytest.fixture
async def service(stores: Settings) -> AsyncIterator[Service]:
    service = Service("workertest", stores)
    await service.connect()
    yield service
    await service.js.purge_stream(subjects.PARKED)
    await service.broker.stop()


async def test_a_job_that_makes_the_predictor_fail_each_time_is_parked_with_the_reason(
    service: Service, stores: Settings
) -> None:
    model, evaluation = f"m{uuid4().hex}", f"e{uuid4().hex}"
    endpoint = Broken(
        ModelEndpoint(
            id=model,
            name="broken",
            base_url="http://127.0.0.1:9/v1",
            model="broken",
            max_concurrency=4,
            timeout_s=60,
            connect_timeout_s=5,
            max_attempts=5,
        ),
        None,
        Networks(loopback=True),
    )
    await ensure_consumer(service.js, subjects.JOBS, model_consumer(model, 4))
    objects = Objects(stores)
    large = LargeMessages(service.nc, objects, stores.message_max_bytes)
    worker = ModelWorker(service.nc, service.js, Publisher(service.nc), endpoint, {}, Notes(), large)
    told = await service.nc.subscribe(subjects.parked(evaluation))
    job = Job(
        evaluation=evaluation,
        model=model,
        index=3,
        sample=0,
        round=0,
        item_id="3",
        target="4",
        scoring=ExactMatchScoring(scorer="exact_match"),
        messages=[ChatMessage(role="user", content="2 + 2?")],
    )
    await service.js.publish(subjects.job(model, evaluation), job.model_dump_json().encode())
    await worker.start(None)
    try:
        await told.next_msg(timeout=60)
        (found,) = [entry async for entry, _ in parked(service.js, scope=evaluation)]
    finally:
        await worker.stop(1)
        await service.js.delete_consumer(subjects.JOBS, subjects.model_consumer(model))
        await objects.aclose()

    assert endpoint.calls == TRIES
    assert found.reason == f"the predictor itself failed {TRIES} times: ZeroDivisionError: a bug"
    assert found.parked_by == "predictor"
    assert found.replayable
