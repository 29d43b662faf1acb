"""Predictions whose scoring takes its time, through a real broker into a real database: they hold up nobody, and none is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from nats.js.api import ConsumerInfo

from services.scorer import lane as lane_module
from services.scorer.handlers import Scorer
from services.scorer.lane import Way
from services.scorer.scorers import Score
from services.scorer.workers import ScorerFailed, Workers
from shared import parking, subjects
from shared.contracts import Prediction
from shared.large import LargeMessages
from shared.provision import provision
from shared.service import Service
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database
from shared.storage.objects import Objects

LANE = "sandbox"
SLOW = {"scorer": "code"}
FAST = {"scorer": "exact_match"}


class Scene:
    """A database of its own on the shared stores, and as many scorers as a test starts."""

    def __init__(self, settings: Settings, service: Service, database: Database, objects: Objects) -> None:
        self.settings, self.service, self.database = settings, service, database
        self.large = LargeMessages(service.nc, objects, settings.message_max_bytes)
        self.evaluation = f"e{uuid4().hex}"
        self._exits = AsyncExitStack()

    async def scorer(
        self, score: Callable[[Prediction], Awaitable[Score]], at_once: int = 4, lane: str = LANE
    ) -> Scorer:
        scorer = Scorer(self.service, self.database, self.large, {lane: Way(score, at_once)})
        await scorer.start()
        tasks = [asyncio.create_task(work()) for work in (scorer.land_batches, scorer.land_scored)]

        async def stop() -> None:
            await scorer.stop()
            for task in tasks:
                task.cancel()

        self._exits.push_async_callback(stop)
        return scorer

    async def predict(self, count: int, scoring: dict[str, Any] = SLOW, first: int = 0, **fields: Any) -> None:
        for index in range(first, first + count):
            body = {"evaluation": self.evaluation, "model": "m", "index": index, "item_id": str(index), "target": "yes"}
            whole = {**body, "scoring": scoring, "outcome": "scored", "output": "yes", **fields}
            prediction = Prediction.model_validate(whole)
            subject = subjects.prediction(self.evaluation, prediction.scoring.lane)
            headers = {"Nats-Msg-Id": prediction.message_id()}
            await self.service.js.publish(subject, prediction.model_dump_json().encode(), headers=headers)

    async def results(self, count: int) -> list[dict[str, Any]]:
        """When there are so many."""
        query = {"evaluation": self.evaluation}
        async with asyncio.timeout(30):
            while await self.database["results"].count_documents(query) < count:
                await asyncio.sleep(0.02)
        return await self.database["results"].find(query).sort("index", 1).to_list(None)

    async def consumer(self) -> ConsumerInfo:
        info: ConsumerInfo = await self.service.js.consumer_info(subjects.PREDICTIONS, subjects.scorer_consumer(LANE))
        return info

    async def until_empty(self) -> None:
        async with asyncio.timeout(30):
            while (await self.service.js.stream_info(subjects.PREDICTIONS)).state.messages:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self._exits.aclose()


@pytest.fixture
async def scene(stores: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    service, objects = Service("lanes", stores), Objects(stores)
    await service.connect()
    # A second instead of ten: what nobody keeps in progress comes again soon.
    monkeypatch.setattr(lane_module, "SCORER_ACK_WAIT_S", 1.0)
    name = subjects.scorer_consumer(LANE)
    present = (await service.js.consumer_info(subjects.PREDICTIONS, name)).config
    await service.js.add_consumer(subjects.PREDICTIONS, present.evolve(ack_wait=1.0))
    client = mongo.connect(stores)
    database = client[f"lanes_{uuid4().hex[:8]}"]
    await mongo.provision(database)
    found = Scene(stores, service, database, objects)
    yield found
    await found.close()
    await client.drop_database(database.name)
    client.close()
    await provision(service.js, stores)
    await service.broker.stop()
    await objects.aclose()


class Gate:
    """Scores when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.begun = 0

    async def score(self, prediction: Prediction) -> Score:
        self.begun += 1
        await self.open.wait()
        return Score("yes", "yes", True, {"passed": 1.0}, "all tests passed")

    async def wait(self, begun: int) -> None:
        async with asyncio.timeout(10):
            while self.begun < begun:
                await asyncio.sleep(0.02)


async def test_slow_ones_hold_up_nothing_and_few_are_taken_beforehand(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "HELD", 5)
    gate = Gate()
    await scene.scorer(gate.score, at_once=3)
    await scene.predict(10)
    await gate.wait(3)
    await scene.predict(20, FAST, first=100)
    assert [row["index"] for row in await scene.results(20)] == list(range(100, 120))
    info = await scene.consumer()
    assert (info.num_ack_pending, info.num_pending, gate.begun) == (5, 5, 3)
    gate.open.set()
    rows = await scene.results(30)
    assert [(row["scores"], row["detail"], row["correct"]) for row in rows[:10]] == [
        ({"passed": 1.0}, "all tests passed", True)
    ] * 10
    await scene.until_empty()
    assert gate.begun == 10


async def test_an_evaluation_that_had_much_time_lets_others_go_first(scene: Scene) -> None:
    gate, order = Gate(), []

    async def score(prediction: Prediction) -> Score:
        if prediction.item_id == "0":
            await gate.score(prediction)
        order.append((prediction.evaluation, prediction.index))
        return Score("yes", "yes", True, {})

    await scene.scorer(score, at_once=1)
    slow = scene.evaluation
    await scene.predict(6)
    await gate.wait(1)
    scene.evaluation = f"e{uuid4().hex}"
    await scene.predict(6, first=1)
    async with asyncio.timeout(10):
        while (await scene.consumer()).num_pending:
            await asyncio.sleep(0.02)
    gate.open.set()
    await scene.results(6)
    assert order[:7] == [(slow, 0), *((scene.evaluation, index) for index in range(1, 7))]
    scene.evaluation = slow
    assert len(await scene.results(6)) == 6


async def test_what_is_under_way_is_not_delivered_again(scene: Scene) -> None:
    gate = Gate()
    await scene.scorer(gate.score)
    await scene.predict(2)
    await gate.wait(2)
    await asyncio.sleep(2.5)  # more than twice what the broker waits
    assert (await scene.consumer()).num_redelivered == 0
    gate.open.set()
    assert len(await scene.results(2)) == 2
    await scene.until_empty()
    assert gate.begun == 2


async def test_what_a_scorer_had_taken_comes_again_to_another(scene: Scene) -> None:
    stuck, gate = Gate(), Gate()
    first = await scene.scorer(stuck.score)
    await scene.predict(6)
    await stuck.wait(4)
    await first.stop()
    gate.open.set()
    await scene.scorer(gate.score)
    assert len(await scene.results(6)) == 6
    await scene.until_empty()
    assert gate.begun == 6


async def test_what_was_never_called_is_not_scored(scene: Scene) -> None:
    gate = Gate()
    await scene.scorer(gate.score)
    await scene.predict(1, outcome="infra_error", output="", error="no endpoint")
    (row,) = await scene.results(1)
    assert (row["outcome"], row["correct"], row["target"], gate.begun) == ("infra_error", False, "yes", 0)


async def test_where_the_scorer_fails_the_message_is_parked(scene: Scene) -> None:
    async def fail(prediction: Prediction) -> Score:
        raise ScorerFailed("it has a bug")

    await scene.scorer(fail)
    await scene.predict(1)
    subject = subjects.prediction(scene.evaluation, LANE)
    await scene.service.js.publish(subject, b"garbage", headers={"Nats-Msg-Id": f"{scene.evaluation}:1:0:0:0"})
    await scene.until_empty()
    found = [entry async for entry, _ in parking.parked(scene.service.js, scope=scene.evaluation)]
    for entry in found:
        await scene.service.js.delete_msg(subjects.PARKED, int(entry.id))
    assert sorted(entry.reason for entry in found) == [
        "the prediction cannot be read: the body: Invalid JSON: expected value at line 1 column 1",
        "the prediction cannot be scored: it has a bug",
    ]


async def test_what_may_work_later_waits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scorer.handlers.AGAIN_S", 0.01)
    tries = 0

    async def away(prediction: Prediction) -> Score:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("not there yet")
        return Score("yes", "yes", True, {})

    await scene.scorer(away)
    await scene.predict(1)
    assert [row["correct"] for row in await scene.results(1)] == [True]
    assert tries == 3


@pytest.mark.usefixtures("plugins")
async def test_a_scorer_that_another_package_brings_scores_what_is_predicted(scene: Scene) -> None:
    workers = Workers(1)
    await scene.scorer(workers.score, lane="process")
    await scene.predict(1, {"scorer": "word_count", "slack": 1}, output="three words here", target="4")
    await scene.predict(1, {"scorer": "awkward", "time_limit_s": 0.2}, first=1, output="loop")
    counted, endless = await scene.results(2)
    await workers.stop()
    assert (counted["prediction"], counted["correct"], counted["scores"]) == ("3", True, {"closeness": 0.75})
    assert counted["detail"] == "3 words"
    assert (endless["correct"], endless["outcome"]) == (False, "scored")
    assert endless["detail"] == "Not scored: it takes more than 0.2 s of CPU time"
