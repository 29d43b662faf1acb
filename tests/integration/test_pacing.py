"""Leases, controllers and gates of two replicas, on a real nats-server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.msg import Msg
from nats.js.kv import KeyValue

from services.predictor.gate import SUSPECT_UNREACHABLE
from services.predictor.handlers import Predictor
from shared import subjects
from shared.contracts import Job, ModelEndpoint, ModelStatus, Outcome, PacingState, Prediction
from shared.large import LargeMessages
from shared.lease import RENEW_S, TAKE_OVER_S, VALID_S, Lease
from shared.provision import ensure_consumer, model_consumer
from shared.pull import Batches, Puller
from shared.secrets import Cipher
from shared.service import Service
from shared.settings import Settings
from shared.storage.objects import Objects
from tests.running import EndpointProcess


async def eventually(what: Callable[[], Any], deadline_s: float = 30) -> None:
    async with asyncio.timeout(deadline_s):
        while not what():
            await asyncio.sleep(0.02)


@pytest.fixture
async def services(stores: Settings) -> AsyncIterator[list[Service]]:
    services = [Service("predictor", stores) for _ in range(2)]
    for service in services:
        await service.connect()
    yield services
    for service in services:
        await service.broker.stop()


@pytest.fixture
async def leases(services: list[Service]) -> KeyValue:
    return await services[0].js.key_value(subjects.KV_LEASES)


async def test_one_of_two_holds_a_lease_and_the_other_takes_it_over_when_it_grows_old(leases: KeyValue) -> None:
    times = {"one": 100.0, "two": 7.0}
    key = uuid4().hex
    one = Lease(leases, key, "one", lambda: times["one"])
    two = Lease(leases, key, "two", lambda: times["two"])
    assert await one.tick()
    assert not await two.tick()
    for _ in range(6):
        times["one"] += RENEW_S
        times["two"] += RENEW_S
        assert await one.tick()
        assert not await two.tick()
    # The first one hangs: it stops acting on the lease before the second takes it.
    times["one"] += VALID_S
    assert not one.held
    times["two"] += TAKE_OVER_S + 0.1
    assert await two.tick()
    assert not await one.tick()
    assert not one.held
    times["two"] += RENEW_S
    assert await two.tick()


async def test_a_lease_that_is_given_back_is_free_at_once(leases: KeyValue) -> None:
    key = uuid4().hex
    one, two = Lease(leases, key, "one"), Lease(leases, key, "two")
    assert await one.tick()
    await one.release()
    assert not one.held
    assert await two.tick()


class Fleet:
    """Two predictors, the consumer of one model, and what they publish."""

    def __init__(self, services: list[Service], endpoint: EndpointProcess) -> None:
        self.services = services
        self.endpoint = endpoint
        self.model_id = f"m{uuid4().hex[:12]}"
        self.evaluation = f"e{uuid4().hex[:12]}"
        self.predictions: dict[int, Prediction] = {}
        self.predictors: list[Predictor] = []

    async def start(self, **settings: Any) -> None:
        self.model = ModelEndpoint(
            id=self.model_id,
            name="m",
            base_url=self.endpoint.base_url,
            timeout_s=30,
            connect_timeout_s=5,
            **{"model": "sample-95", "max_concurrency": 8, "max_attempts": 3, **settings},
        )
        js = self.services[0].js
        await ensure_consumer(js, subjects.JOBS, model_consumer(self.model_id, self.model.first_limit))
        first = PacingState(status=ModelStatus.RUNNING, since=0, at=0, limit=self.model.first_limit)
        states = await js.key_value(subjects.KV_PACING)
        await states.put(self.model_id, first.model_dump_json().encode())
        await self.services[0].nc.subscribe(subjects.prediction(self.evaluation), cb=self._predicted)
        for service in self.services:
            cipher: asyncio.Future[Cipher] = asyncio.get_running_loop().create_future()
            large = LargeMessages(service.nc, Objects(service.settings), service.settings.message_max_bytes)
            predictor = Predictor(service, cipher, large)
            await predictor.start()
            self.predictors.append(predictor)
            await predictor.model_changed(self.model_id, self.model.model_dump_json().encode())
            service.spawn(self._follow(predictor, service), "following the bucket")
            service.spawn(predictor.ask_idle(), "asking models that nobody calls")

    async def _follow(self, predictor: Predictor, service: Service) -> None:
        """What `app.py` leaves to a mirror of the whole bucket."""
        store = await service.js.key_value(subjects.KV_PACING)
        watcher = await store.watch(self.model_id)
        async for entry in watcher:
            if entry is not None:
                await predictor.pacing_changed(entry.key, entry.value)

    async def _predicted(self, message: Any) -> None:
        prediction = Prediction.model_validate_json(message.data)
        self.predictions[prediction.index] = prediction

    async def send(self, first: int, count: int) -> None:
        for index in range(first, first + count):
            job = Job.model_validate(
                {
                    "evaluation": self.evaluation,
                    "model": self.model_id,
                    "index": index,
                    "item_id": str(index),
                    "target": "1",
                    "scoring": {"scorer": "exact_match"},
                    "messages": [{"role": "user", "content": f"question {index}"}],
                }
            )
            await self.services[0].js.publish(
                subjects.job(self.model_id, self.evaluation), job.model_dump_json().encode()
            )

    async def state(self) -> PacingState:
        entry = await (await self.services[0].js.key_value(subjects.KV_PACING)).get(self.model_id)
        return PacingState.model_validate_json(entry.value or b"")

    async def until(self, status: ModelStatus) -> PacingState:
        async with asyncio.timeout(30):
            while (state := await self.state()).status is not status:
                await asyncio.sleep(0.05)
        return state

    async def stop(self) -> None:
        for predictor, service in zip(self.predictors, self.services, strict=True):
            await predictor.stop()
            await service.stop_background()
        js = self.services[0].js
        await js.delete_consumer(subjects.JOBS, subjects.model_consumer(self.model_id))
        # What they published belongs to nobody here.
        drained: Batches[Msg] = Batches(1000)
        puller = Puller(self.services[0].nc, subjects.PREDICTIONS, subjects.SCORER_CONSUMER, drained.put)
        await puller.start()
        left = (await js.consumer_info(subjects.PREDICTIONS, subjects.SCORER_CONSUMER)).num_pending or 0
        while left > 0:
            for message in await drained.get():
                await puller.acknowledge(message)
                left -= 1
        await puller.stop()


@pytest.fixture
async def fleet(services: list[Service]) -> AsyncIterator[Fleet]:
    endpoint = EndpointProcess()
    fleet = Fleet(services, endpoint)
    yield fleet
    await fleet.stop()
    fleet.endpoint.stop()


async def test_one_controls_and_the_other_goes_on_from_there(fleet: Fleet) -> None:
    fleet.endpoint.behave(latency_ms=20, max_concurrent=4, retry_after_s=None)
    await fleet.start(max_concurrency=16, max_attempts=50)
    await fleet.send(0, 150)
    controllers = [predictor.controllers[fleet.model_id] for predictor in fleet.predictors]
    await eventually(lambda: any(controller.leads for controller in controllers))
    assert sum(controller.leads for controller in controllers) == 1
    await eventually(lambda: len(fleet.predictions) == 150)
    state = await fleet.state()
    assert state.limit < 16
    info = await fleet.services[0].js.consumer_info(subjects.JOBS, subjects.model_consumer(fleet.model_id))
    assert info.config.max_ack_pending == state.limit
    # It stops as a killed one does: without giving the lease back.
    first = next(controller for controller in controllers if controller.leads)
    second = next(controller for controller in controllers if controller is not first)
    first.abandon()
    await fleet.send(150, 150)
    await eventually(lambda: second.leads)
    assert not first.leads
    assert (await fleet.state()).limit < 16
    await eventually(lambda: len(fleet.predictions) == 300)


async def test_changed_settings_reach_the_consumer_though_nothing_is_called(fleet: Fleet) -> None:
    await fleet.start(max_concurrency=16)
    changed = fleet.model.model_copy(update={"max_concurrency": 5})
    for predictor in fleet.predictors:
        await predictor.model_changed(fleet.model_id, changed.model_dump_json().encode())
    async with asyncio.timeout(30):
        while (
            await fleet.services[0].js.consumer_info(subjects.JOBS, subjects.model_consumer(fleet.model_id))
        ).config.max_ack_pending != 5:
            await asyncio.sleep(0.05)


async def test_no_replica_calls_before_a_retry_after_has_passed(fleet: Fleet) -> None:
    fleet.endpoint.behave(rate_limit_per_s=1, retry_after_s=2)
    await fleet.start(max_attempts=50)
    await fleet.send(0, 12)
    gates = [predictor.workers[fleet.model_id].gate for predictor in fleet.predictors]
    await eventually(lambda: all(gate.held_s > 1 for gate in gates))
    fleet.endpoint.behave()
    requests = fleet.endpoint.stats()["sample-95"]["requests"]
    await eventually(lambda: max(gate.held_s for gate in gates) < 0.5)
    assert fleet.endpoint.stats()["sample-95"]["requests"] == requests
    await eventually(lambda: len(fleet.predictions) == 12)


async def test_a_model_that_is_down_is_left_alone_and_taken_up_again(fleet: Fleet) -> None:
    fleet.endpoint.behave(error_500_rate=1.0)
    await fleet.start(max_attempts=2)
    await fleet.send(0, 60)
    state = await fleet.until(ModelStatus.UNREACHABLE)
    assert "HTTP 500" in state.detail
    # A given-up evaluation's jobs leave though their model is down; here none is, so all wait.
    held = sum(predictor.workers[fleet.model_id].gate.waiting for predictor in fleet.predictors)
    assert held <= 8
    fleet.endpoint.behave()
    await fleet.until(ModelStatus.RUNNING)
    await eventually(lambda: len(fleet.predictions) == 60)
    failed = [row for row in fleet.predictions.values() if row.error]
    assert len(failed) <= 20


async def test_calls_that_cannot_reach_an_engine_wait_for_it_and_go_on_at_its_next_address(fleet: Fleet) -> None:
    fleet.endpoint.kill()
    await fleet.start(has_engine=True, max_attempts=1)
    # Too few for a verdict: its launcher has not noticed yet, nor has anybody else.
    await fleet.send(0, SUSPECT_UNREACHABLE - 1)
    workers = [predictor.workers[fleet.model_id] for predictor in fleet.predictors]
    await eventually(lambda: sum(worker.under_way for worker in workers) == SUSPECT_UNREACHABLE - 1)
    states = await fleet.services[0].js.key_value(subjects.KV_PACING)
    died = PacingState(status=ModelStatus.STARTING, detail="died", since=1, at=time.time(), limit=8)
    await states.put(fleet.model_id, died.model_dump_json().encode())
    await eventually(lambda: all(worker.state and worker.state.status is ModelStatus.STARTING for worker in workers))
    assert not fleet.predictions
    fleet.endpoint = EndpointProcess()
    moved = fleet.model.model_copy(update={"base_url": fleet.endpoint.base_url})
    for predictor in fleet.predictors:
        await predictor.model_changed(fleet.model_id, moved.model_dump_json().encode())
    await fleet.send(SUSPECT_UNREACHABLE - 1, 1)
    assert not fleet.endpoint.stats()["sample-95"]["requests"]
    runs = died.model_copy(update={"status": ModelStatus.RUNNING, "at": time.time()})
    await states.put(fleet.model_id, runs.model_dump_json().encode())
    await eventually(lambda: len(fleet.predictions) == SUSPECT_UNREACHABLE)
    assert {row.outcome for row in fleet.predictions.values()} <= {Outcome.SCORED, Outcome.NO_ANSWER}


async def test_jobs_of_an_evaluation_that_is_given_up_leave_a_model_that_is_down(fleet: Fleet) -> None:
    fleet.endpoint.behave(error_500_rate=1.0)
    await fleet.start(max_attempts=50)
    await fleet.send(0, 8)
    await fleet.until(ModelStatus.UNREACHABLE)
    workers = [predictor.workers[fleet.model_id] for predictor in fleet.predictors]
    await eventually(lambda: sum(worker.gate.waiting for worker in workers) > 0)
    for predictor in fleet.predictors:
        await predictor.evaluation_cancelled(fleet.evaluation, b"cancelled")
    await eventually(lambda: not any(worker.under_way for worker in workers))
    assert not fleet.predictions


async def test_models_that_nobody_calls_are_asked_once_over_the_fleet(fleet: Fleet) -> None:
    for service in fleet.services:
        service.settings = service.settings.model_copy(update={"probe_every_s": 1.0})
    await fleet.start()
    first = await fleet.state()
    async with asyncio.timeout(30):
        while (asked := await fleet.state()).at == first.at or asked.law == {}:
            await asyncio.sleep(0.02)
    assert asked.status is ModelStatus.RUNNING
    assert fleet.endpoint.stats()["sample-95"]["requests"] == 0, "the list of models costs no completion"
    fleet.endpoint.stop()
    gone = await fleet.until(ModelStatus.UNREACHABLE)
    assert "connection refused" in gone.detail
    async with asyncio.timeout(30):
        while (await fleet.state()).asks < 2:
            await asyncio.sleep(0.02)
    assert not any(predictor.controllers[fleet.model_id].leads for predictor in fleet.predictors)
    fleet.endpoint = EndpointProcess("--port", fleet.endpoint.url.rsplit(":", 1)[1])
    back = await fleet.until(ModelStatus.RUNNING)
    assert (back.asks, back.detail) == (0, "it answers")
    assert back.answer_ms is not None
    assert fleet.endpoint.stats()["sample-95"]["requests"] == 1


async def test_a_model_that_is_not_listed_any_more_is_asked_whether_it_is_gone(fleet: Fleet) -> None:
    for service in fleet.services:
        service.settings = service.settings.model_copy(update={"probe_every_s": 0.5})
    await fleet.start(model="removed")
    state = await fleet.until(ModelStatus.UNREACHABLE)
    assert state.detail.startswith("GET /models does not list 'removed', but sample-95, sample-80, sample-60; ")
