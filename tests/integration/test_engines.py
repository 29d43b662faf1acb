"""Orders to launchers and what follows from their states, on a real broker and database. The tests themselves are the launcher."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from nats.js.errors import KeyNotFoundError

from services.orchestrator.creation import redrive
from services.orchestrator.engines import Engines
from services.orchestrator.models import Models, settings_of
from services.orchestrator.needs import Needs
from services.orchestrator.pacing import Pacing
from services.orchestrator.store import Store
from shared import subjects
from shared.api import ModelCreate
from shared.buckets import Mirror
from shared.contracts import EngineLines, EngineOrder, EngineState, Event, ModelEndpoint, ModelStatus, PacingState
from shared.errors import Conflict, Invalid
from shared.readback import read_back
from shared.service import Service
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Document


async def eventually(what: Callable[[], Awaitable[Any]], deadline_s: float = 20) -> Any:
    """The first true answer."""
    async with asyncio.timeout(deadline_s):
        while not (answer := await what()):
            await asyncio.sleep(0.02)
    return answer


class Played:
    """An orchestrator's part of it, one registered model, and the hands of its launcher."""

    def __init__(self, service: Service, database: mongo.Database) -> None:
        self.service, self.js, self.database = service, service.js, database
        self.pacing = Pacing(database, service.js)
        settings = service.settings
        self.models = Models(database, service.broker, service.js, self.pacing, settings.networks, settings.key_names)
        self.engines = Engines(service.js, self.models)
        self.id = f"m{uuid4().hex[:12]}"
        self._mirrors = [
            Mirror(service.js, subjects.KV_ENGINES, self.engines.changed, keys)
            for keys in (subjects.engine_wanted(self.id), subjects.engine_state(self.id))
        ]

    async def start(self) -> None:
        for mirror in self._mirrors:
            await mirror.start()
        self.following = self.service.spawn(self.engines.follow(), "following engines")
        engine = {"name": "sample", "checkpoint": "/models/m", "idle_stop_s": 60, "start_timeout_s": 600}
        fields = ModelCreate.model_validate({"name": "m 0.26", "engine": engine})
        await self.models.create(fields.model_dump(mode="json"), self.id)

    async def stop(self) -> None:
        self.following.cancel()
        for mirror in self._mirrors:
            await mirror.stop()

    async def statuses(self) -> list[str]:
        """What was announced, in order."""
        told = []
        subject = subjects.event("_", "assay.model.status")
        async for message in read_back(self.service.nc, self.js, subjects.EVENTS, subject, 0):
            event = Event.model_validate_json(message.data)
            if event.data["model"] == self.id:
                told.append(event.data["status"])
        return told

    async def entry(self, bucket: str, key: str) -> bytes | None:
        store = await self.js.key_value(bucket)
        try:
            return (await store.get(key)).value
        except KeyNotFoundError:
            return None

    async def order(self) -> EngineOrder:
        value = await self.entry(subjects.KV_ENGINES, subjects.engine_wanted(self.id))
        assert value
        return EngineOrder.model_validate_json(value)

    async def endpoint(self) -> ModelEndpoint | None:
        """What predictors know."""
        value = await self.entry(subjects.KV_MODELS, self.id)
        return ModelEndpoint.model_validate_json(value) if value else None

    async def says(self, status: str, detail: str, **fields: Any) -> Document:
        """The launcher says it; the model's document once it follows."""
        state = EngineState(
            model=self.id,
            status=ModelStatus(status),
            detail=detail,
            **{"since": time.time(), "at": time.time(), "request": 1, **fields},
        )
        store = await self.js.key_value(subjects.KV_ENGINES)
        await store.put(subjects.engine_state(self.id), state.model_dump_json().encode())
        return await self.until(status, detail)

    async def until(self, status: str, detail: str) -> Document:
        async def found() -> Document | None:
            document = await self.models.get(self.id)
            return document if (document["status"], document["status_detail"]) == (status, detail) else None

        document: Document = await eventually(found)
        return document

    async def evaluation(self, number: int, **fields: Any) -> Document:
        model = await self.models.get(self.id)
        document = {
            "_id": f"e{uuid4().hex[:12]}",
            "number": number,
            "model": self.id,
            "model_settings": settings_of(model),
            "status": "queued",
            "round": 0,
            "epoch": 1,
            "outbox": [],
            "created_at": model["created_at"],
            **fields,
        }
        await self.database["evaluations"].insert_one(document)
        return document

    def needs(self, evaluation: Document) -> Needs:
        return Needs(Store(self.database, "o1"), self.engines, evaluation, wait_s=900)


@pytest.fixture
async def played(stores: Settings) -> AsyncIterator[Played]:
    service = Service("orchestrator", stores)
    await service.connect()
    client = mongo.connect(stores)
    database = client[f"engines_{uuid4().hex[:8]}"]
    await mongo.provision(database)
    played = Played(service, database)
    await played.start()
    yield played
    await played.stop()
    await client.drop_database(database.name)
    client.close()
    await service.broker.stop()


async def test_a_model_follows_its_engine_from_start_to_stop(played: Played) -> None:
    document = await played.models.get(played.id)
    assert (document["status"], document["base_url"], document["model"]) == ("stopped", None, "m-0.26")
    assert await played.endpoint() is None
    before = time.time()
    started = await played.engines.start(played.id)
    assert (started["status"], started["status_detail"]) == ("starting", "waits for a launcher to take it")
    order = await played.order()
    assert (order.request, order.served_name, order.settings.checkpoint) == (1, "m-0.26", "/models/m")
    assert order.until >= before + 660
    await played.says("starting", "loading, 1 s")
    assert await played.endpoint() is None
    document = await played.says("running", "answers", base_url="http://127.0.0.1:7001/v1")
    assert document["base_url"] == "http://127.0.0.1:7001/v1"
    endpoint = await played.endpoint()
    assert endpoint
    assert (endpoint.base_url, endpoint.model) == ("http://127.0.0.1:7001/v1", "m-0.26")
    assert endpoint.has_engine
    # From now on it counts as idle.
    await eventually(lambda: _is(played.order(), lambda order: order.until < time.time() + 60))
    # It dies, and comes back on another port: what predictors hold of it waits meanwhile.
    await played.says("starting", "died (exit 1); starting again")
    assert (await played.endpoint()) == endpoint
    # This engine calls the model as it likes, which is no setting of the model's.
    there = {"base_url": "http://127.0.0.1:7002/v1", "served_name": "/models/m"}
    document = await played.says("running", "answers", **there, restarts=1)
    moved = await played.endpoint()
    assert moved
    assert (moved.base_url, moved.model) == ("http://127.0.0.1:7002/v1", "/models/m")
    assert (document["model"], settings_of(document)["model"]) == ("m-0.26", "m-0.26")
    await played.engines.stop(played.id)
    assert (await played.order()).until == 0
    document = await played.says("stopped", "asked to stop")
    assert document["base_url"] is None
    assert await played.endpoint() is None
    assert await played.statuses() == ["stopped", "starting", "running", "starting", "running", "stopped"]


async def _is(value: Awaitable[Any], what: Callable[[Any], bool]) -> bool:
    return what(await value)


async def test_what_predictors_found_is_over_when_the_engine_is_up_again(played: Played) -> None:
    await played.engines.start(played.id)
    await played.says("running", "answers", base_url="http://127.0.0.1:7001/v1")
    states = await played.js.key_value(subjects.KV_PACING)
    state = PacingState.model_validate_json((await states.get(played.id)).value or b"")
    away = state.model_copy(update={"status": ModelStatus.UNREACHABLE, "detail": "refused", "at": time.time()})
    await states.put(played.id, away.model_dump_json().encode())
    await played.says("starting", "died; starting again")
    document = await played.says("running", "answers again", base_url="http://127.0.0.1:7002/v1")
    assert document["base_url"] == "http://127.0.0.1:7002/v1"


async def test_a_launcher_that_is_gone_is_told(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.orchestrator.engine_states.GONE_S", 0.5)
    await played.engines.start(played.id)
    await played.says("starting", "its launcher is gone; waits for another")


async def test_what_failed_is_tried_again_for_a_new_wish(played: Played) -> None:
    await played.engines.start(played.id)
    await played.says("failed", "exit 1: no such file")
    first = await played.evaluation(1)
    found = await played.needs(first).look()
    assert (found.waits, found.failed) == (True, False)
    assert (await played.order()).request == 2
    assert first["engine_requests"] == {"round": 0, played.id: 2}
    second = await played.evaluation(2)
    assert not (await played.needs(second).look()).failed
    assert (await played.order()).request == 2
    await played.says("failed", "exit 1: still no such file", request=2)
    for evaluation in (first, second):
        # Whoever owns it by then.
        found = await played.needs(dict(evaluation)).look()
        assert found.failed
        assert found.message == "the engine of model m 0.26 failed: exit 1: still no such file"
    assert (await played.order()).request == 2
    redriven = {**second, "round": 1}
    assert not (await played.needs(redriven).look()).failed
    assert (await played.order()).request == 3


async def test_an_evaluation_keeps_the_engine_of_its_judge_up(played: Played) -> None:
    settings = settings_of(await played.models.get(played.id))
    evaluation = await played.evaluation(1, model="m-gone", model_settings={}, judge=played.id, judge_settings=settings)
    found = await played.needs(evaluation).look()
    assert found.message == "Starting the engine of judge m 0.26: waits for a launcher to take it"
    order = await played.order()
    assert time.time() + 50 < order.until <= time.time() + 60
    store = await played.js.key_value(subjects.KV_ENGINES)
    nearly_over = order.model_copy(update={"until": time.time() + 10})
    await store.put(subjects.engine_wanted(played.id), nearly_over.model_dump_json().encode())
    needs = played.needs(evaluation)

    async def moved_on() -> bool:
        await needs.keep()
        return (await played.order()).until > time.time() + 50

    await eventually(moved_on)
    assert (await played.order()).request == order.request


async def test_an_engine_that_is_needed_is_neither_stopped_nor_changed(played: Played) -> None:
    changed = {"engine": {"name": "sample", "checkpoint": "/models/other"}}
    evaluation = await played.evaluation(7)
    with pytest.raises(Conflict, match=r"evaluation #7 needs the engine of model m 0\.26"):
        await played.engines.stop(played.id)
    with pytest.raises(Conflict, match="evaluation #7 needs"):
        await played.models.update(played.id, changed)
    await played.database["evaluations"].update_one({"_id": evaluation["_id"]}, {"$set": {"status": "completed"}})
    await played.engines.start(played.id)
    with pytest.raises(Conflict, match="is up; stop it first"):
        await played.models.update(played.id, {"model": "other"})
    with pytest.raises(Invalid, match=r"base_url: model m 0\.26 has an engine"):
        await played.models.update(played.id, {"base_url": "http://127.0.0.1:1/v1"})
    await played.engines.stop(played.id)
    await played.until("stopped", "stopped")
    assert (await played.models.update(played.id, changed))["engine"]["checkpoint"] == "/models/other"


async def test_an_evaluation_is_not_redriven_with_another_checkpoint(played: Played) -> None:
    ended = {"status": "completed", "open": False, "progress": {"total": 2, "done": 2, "infra_error": 1}}
    said = {"group": "g1", "slug": "sums", "model_name": "m 0.26"}
    evaluation = await played.evaluation(9, **ended, **said)
    await played.models.update(played.id, {"engine": {"name": "sample", "checkpoint": "/models/other"}})
    with pytest.raises(Conflict, match=r"the engine of model m 0\.26 has other settings than when evaluation #9"):
        await redrive(played.database, evaluation["_id"])
    await played.models.update(played.id, {"engine": evaluation["model_settings"]["engine"]})
    assert (await redrive(played.database, evaluation["_id"]))["round"] == 1


async def test_a_model_that_is_not_up_is_not_probed(played: Played) -> None:
    with pytest.raises(Conflict, match="is stopped: its engine has to run before it is asked"):
        await played.models.probe(played.id)


async def test_a_deleted_model_leaves_nothing(played: Played) -> None:
    await played.engines.start(played.id)
    await played.says("running", "answers", base_url="http://127.0.0.1:7001/v1")
    store = await played.js.key_value(subjects.KV_ENGINES)
    await store.put(subjects.engine_log(played.id), EngineLines(lines=["a"]).model_dump_json().encode())
    await played.models.delete(played.id)
    await played.engines.forget(played.id)
    assert await played.entry(subjects.KV_ENGINES, subjects.engine_wanted(played.id)) is None
    # The launcher stops it, since nobody wants it any more.
    state = EngineState(model=played.id, status=ModelStatus.STOPPED, since=0, at=0)
    await store.put(subjects.engine_state(played.id), state.model_dump_json().encode())

    async def cleared() -> bool:
        keys = (subjects.engine_state(played.id), subjects.engine_log(played.id))
        return not any([await played.entry(subjects.KV_ENGINES, key) for key in keys])

    await eventually(cleared)
    assert await played.endpoint() is None
