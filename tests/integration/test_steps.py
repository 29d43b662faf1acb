"""Steps of an evaluation, against a real nats-server."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from nats.js.api import ConsumerInfo

from shared import subjects
from shared.contracts import Step
from shared.service import Service
from shared.settings import Settings
from shared.steps import on_step

STEP = Step(evaluation="e1", round=0)


class Handler:
    """Takes its time until it is let go."""

    def __init__(self) -> None:
        self.begun: list[Step] = []
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()

    async def handle(self, step: Step) -> None:
        self.begun.append(step)
        self.began.set()
        await self.go_on.wait()

    async def refuse(self, step: Step, error: str) -> None:
        raise AssertionError(error)


@pytest.fixture
async def service(stores: Settings) -> AsyncIterator[Service]:
    service = Service("steptest", stores)
    await service.connect()
    yield service
    await service.broker.stop()


async def ask(service: Service, step: Step) -> None:
    await service.js.publish(subjects.lifecycle(step.evaluation, "created"), step.model_dump_json().encode())


async def until(service: Service, reached: Callable[[ConsumerInfo], bool]) -> None:
    async with asyncio.timeout(20):
        while not reached(await service.js.consumer_info(subjects.LIFECYCLE, subjects.ARTIFACTS_CREATED)):
            await asyncio.sleep(0.05)


async def test_a_step_that_is_asked_for_again_while_it_is_being_done_is_done_once(service: Service) -> None:
    handler = Handler()
    on_step(service, subjects.ARTIFACTS_CREATED, "created", handler.handle, handler.refuse)
    await service.broker.start()
    await ask(service, STEP)
    await handler.began.wait()

    await ask(service, STEP)
    await ask(service, STEP)
    # The repeats are acknowledged, and the one that began the work is kept by the server until it is done.
    await until(service, lambda info: info.num_pending == 0 and info.num_ack_pending == 1)
    handler.go_on.set()
    await until(service, lambda info: info.num_ack_pending == 0)

    assert handler.begun == [STEP]


async def test_another_round_is_another_step_and_what_is_done_may_be_asked_for_again(service: Service) -> None:
    handler = Handler()
    handler.go_on.set()
    on_step(service, subjects.ARTIFACTS_CREATED, "created", handler.handle, handler.refuse)
    await service.broker.start()
    again = STEP.model_copy(update={"round": 1})
    for step in (STEP, again, STEP):
        await ask(service, step)
        await until(service, lambda info: info.num_pending == 0 and info.num_ack_pending == 0)

    assert handler.begun == [STEP, again, STEP]


async def test_a_step_that_fails_by_itself_is_refused_with_its_reason_after_five_tries(service: Service) -> None:
    tries = 0
    refused: list[tuple[Step, str]] = []

    async def handle(step: Step) -> None:
        nonlocal tries
        tries += 1
        raise ZeroDivisionError("a bug")

    async def refuse(step: Step, error: str) -> None:
        refused.append((step, error))

    told = await service.nc.subscribe(subjects.lifecycle(STEP.evaluation, "refused"))
    on_step(service, subjects.ARTIFACTS_CREATED, "created", handle, refuse)
    await service.broker.start()
    await ask(service, STEP)
    message = await told.next_msg(timeout=30)
    await until(service, lambda info: info.num_pending == 0 and info.num_ack_pending == 0)

    assert tries == 5
    assert refused == [(STEP, "the steptest cannot do this: ZeroDivisionError; its log says more")]
    assert Step.model_validate_json(message.data) == STEP
