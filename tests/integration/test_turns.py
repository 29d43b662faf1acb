"""Whose turn it is to run a scoring program, on a real broker and database."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.scorer.programs.turns import Turns
from shared.contracts import Status, Step
from shared.service import Service
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database


class Work:
    """Goes on until it is let go, or cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.times = 0
        self.cancelled = False

    async def __call__(self) -> None:
        self.times += 1
        self.began.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    client = mongo.connect(stores)
    name = f"turns_{uuid4().hex[:8]}"
    yield client[name]
    await client.drop_database(name)
    client.close()


@pytest.fixture
async def replicas(stores: Settings) -> AsyncIterator[list[Service]]:
    services = [Service("turntest", stores) for _ in range(2)]
    for service in services:
        await service.connect()
    yield services
    for service in services:
        await service.broker.stop()


@pytest.fixture
async def step(database: Database) -> Step:
    evaluation = f"e{uuid4().hex[:8]}"
    await database["evaluations"].insert_one({"_id": evaluation, "round": 0, "status": Status.SCORING.value})
    return Step(evaluation=evaluation)


async def test_one_replica_alone_is_at_a_program(replicas: list[Service], database: Database, step: Step) -> None:
    first, second = (Turns(service, database, 1) for service in replicas)
    work, other = Work(), Work()
    running = asyncio.create_task(first.take(step, work))
    await work.began.wait()
    await second.take(step, other)
    assert other.times == 0
    work.go_on.set()
    await running
    # Let go of at once: the next one need not wait until a lease has grown old.
    other.go_on.set()
    await second.take(step, other)
    assert (work.times, other.times) == (1, 1)


async def test_no_more_run_at_once_than_may(replicas: list[Service], database: Database, step: Step) -> None:
    turns = Turns(replicas[0], database, 1)
    later = Step(evaluation=f"{step.evaluation}-later")
    await database["evaluations"].insert_one({"_id": later.evaluation, "round": 0, "status": Status.SCORING.value})
    under_way: list[int] = []

    async def work() -> None:
        under_way.append(sum(under_way) + 1)
        # Long enough for the other's lease and its first step, had it not to wait.
        await asyncio.sleep(0.5)
        under_way.append(-1)

    await asyncio.gather(turns.take(step, work), turns.take(later, work))
    assert under_way == [1, -1, 1, -1]


async def test_what_its_evaluation_does_not_want_is_stopped(
    replicas: list[Service], database: Database, step: Step
) -> None:
    work = Work()
    running = asyncio.create_task(Turns(replicas[0], database, 1).take(step, work))
    await work.began.wait()
    await database["evaluations"].update_one({"_id": step.evaluation}, {"$set": {"status": Status.CANCELLED.value}})
    await running
    assert work.cancelled


async def test_a_scorer_that_stops_gives_it_up(replicas: list[Service], database: Database, step: Step) -> None:
    turns, work = Turns(replicas[0], database, 1), Work()
    running = asyncio.create_task(turns.take(step, work))
    await work.began.wait()
    turns.stop()
    with pytest.raises(TimeoutError, match="this scorer stops"):
        await running
    assert work.cancelled
    again = Work()
    again.go_on.set()
    await Turns(replicas[1], database, 1).take(step, again)
    assert again.times == 1


async def test_what_fails_fails_the_step(replicas: list[Service], database: Database, step: Step) -> None:
    async def work() -> None:
        raise LookupError("no such phase")

    with pytest.raises(LookupError, match="no such phase"):
        await Turns(replicas[0], database, 1).take(step, work)
