"""Registering what an endpoint lists, all or nothing, over real stores and a real predictor's handlers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.msg import Msg

from services.orchestrator.listed import ListedModels
from services.orchestrator.models import Models
from services.predictor.handlers import Predictor
from shared import subjects
from shared.errors import Invalid, Problem
from shared.large import LargeMessages
from shared.networks import Networks
from shared.secrets import Cipher
from shared.service import Service
from shared.storage.mongo import Database
from shared.storage.objects import Objects
from tests.integration.test_registry import FIELDS, database, models, service
from tests.running import EndpointProcess

__all__ = ["database", "models", "service"]


@pytest.fixture
async def listed(service: Service, database: Database, models: Models) -> AsyncIterator[ListedModels]:
    """With a predictor's answer to the one question that it asks."""
    cipher: asyncio.Future[Cipher] = asyncio.get_running_loop().create_future()
    predictor = Predictor(service, cipher, LargeMessages(service.nc, Objects(service.settings), 1024**2))

    async def answer(message: Msg) -> None:
        try:
            body: dict[str, Any] = {"ok": await predictor.list_models(json.loads(message.data))}
        except Problem as problem:
            body = {"problem": problem.as_dict()}
        await message.respond(json.dumps(body).encode())

    subscription = await service.nc.subscribe(subjects.LIST_MODELS, cb=answer)
    yield ListedModels(database, service.broker, models, Networks(loopback=True))
    await subscription.unsubscribe()


@pytest.fixture
def endpoint() -> Any:
    endpoint = EndpointProcess("--models", "a", "b", "c")
    yield endpoint
    endpoint.stop()


async def test_what_an_endpoint_lists_is_registered_in_one_step_and_not_twice(
    listed: ListedModels, database: Database, endpoint: EndpointProcess
) -> None:
    fields = {**FIELDS, "base_url": f"{endpoint.base_url}/", "tags": ["local"]}
    with pytest.raises(Invalid, match="'x' is not listed by the endpoint; there are: a, b, c"):
        await listed.create(fields, ["a", "x"], lambda name: f"m-{name}")
    assert await database["models"].count_documents({}) == 0

    registered, present = await listed.create(fields, ["b"], lambda name: f"m-{name}")
    assert ([row["_id"] for row in registered], present) == (["m-b"], [])
    byname = {**fields, "base_url": endpoint.base_url.replace("127.0.0.1", "localhost")}
    registered, present = await listed.create(byname, None, lambda name: f"n-{name}")
    assert [row["_id"] for row in registered] == ["n-a", "n-c"]
    assert [row["_id"] for row in present] == ["m-b"]
    stored = [row async for row in database["models"].find().sort("model")]
    assert [(row["name"], row["model"], row["status"], row["tags"]) for row in stored] == [
        (name, name, "running", ["local"]) for name in "abc"
    ]
    assert all(counts["requests"] == 0 for counts in endpoint.stats().values()), "no model is loaded by being listed"


async def test_where_one_cannot_be_registered_none_is(
    listed: ListedModels,
    models: Models,
    service: Service,
    database: Database,
    endpoint: EndpointProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish = models.publish

    async def failing(document: Any) -> None:
        await publish(document)
        if document["model"] == "c":
            raise TimeoutError

    monkeypatch.setattr(models, "publish", failing)
    fields = {**FIELDS, "base_url": endpoint.base_url}
    with pytest.raises(TimeoutError):
        await listed.create(fields, None, lambda name: f"gone-{name}")
    assert await database["models"].count_documents({}) == 0
    known = await (await service.js.key_value(subjects.KV_MODELS)).keys()
    assert not any(key.startswith("gone-") for key in known)


async def test_an_endpoint_that_cannot_be_asked_is_told(listed: ListedModels, endpoint: EndpointProcess) -> None:
    endpoint.kill()
    with pytest.raises(Invalid, match="base_url cannot be asked for its models: cannot connect: connection refused"):
        await listed.create({**FIELDS, "base_url": endpoint.base_url}, None, str)
