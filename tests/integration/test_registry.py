"""The registry of models over real stores: what is kept of a model, and of what it was before."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from services.orchestrator.models import Models
from services.orchestrator.pacing import Pacing
from shared.errors import Invalid
from shared.key_variables import KeyVariables
from shared.networks import Networks
from shared.service import Service
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database

FIELDS: dict[str, Any] = {
    "name": "m0.26",
    "source": "running",
    "base_url": "http://127.0.0.1:1/v1",
    "model": "sample",
    "api_key": None,
    "api_key_env": None,
    "tags": [],
    "owner": None,
    "max_concurrency": 4,
    "timeout_s": 60.0,
    "connect_timeout_s": 5.0,
    "max_attempts": 3,
    "price": None,
}


@pytest.fixture
async def service(stores: Settings) -> AsyncIterator[Service]:
    service = Service("registry-test", stores)
    await service.connect()
    yield service
    await service.broker.stop()


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    client = mongo.connect(stores)
    name = f"registry_{uuid4().hex[:8]}"
    yield client[name]
    await client.drop_database(name)
    client.close()


@pytest.fixture
def models(service: Service, database: Database) -> Models:
    keys = KeyVariables(("*_API_KEY",))
    return Models(database, service.broker, service.js, Pacing(database, service.js), Networks(loopback=True), keys)


async def add(models: Models, **fields: Any) -> str:
    model_id = f"m{uuid4().hex[:12]}"
    await models.create({**FIELDS, **fields}, model_id)
    return model_id


async def test_changes_are_versions_and_a_repeated_change_is_none(models: Models) -> None:
    model_id = await add(models)
    assert (await models.update(model_id, {"timeout_s": 30.0}))["settings_version"] == 2
    assert (await models.update(model_id, {"timeout_s": 30.0}))["settings_version"] == 2
    assert (await models.update(model_id, {"tags": ["a"], "owner": "me"}))["settings_version"] == 2
    document = await models.get(model_id)
    assert [(row["version"], row["settings"]["timeout_s"]) for row in document["versions"]] == [(1, 60.0), (2, 30.0)]
    assert (document["tags"], document["owner"]) == (["a"], "me")


async def test_changes_at_the_same_time_are_each_a_version(models: Models) -> None:
    model_id = await add(models)
    await asyncio.gather(*(models.update(model_id, {"timeout_s": float(seconds)}) for seconds in range(1, 9)))
    document = await models.get(model_id)
    assert document["settings_version"] == 9
    assert [row["version"] for row in document["versions"]] == list(range(1, 10))
    assert sorted(row["settings"]["timeout_s"] for row in document["versions"][1:]) == list(range(1, 9))
    assert document["versions"][-1]["settings"]["timeout_s"] == document["timeout_s"]


async def test_a_variable_that_is_not_allowed_is_refused_and_nothing_is_changed(models: Models) -> None:
    with pytest.raises(Invalid, match="api_key_env: AWS_SECRET_ACCESS_KEY is not among the variables") as refused:
        await add(models, api_key_env="AWS_SECRET_ACCESS_KEY")
    assert [error["loc"] for error in refused.value.errors] == [["api_key_env"]]
    model_id = await add(models, api_key_env="A_API_KEY")
    with pytest.raises(Invalid, match="ASSAY_SECRET_KEY is one of Assay's own"):
        await models.update(model_id, {"api_key_env": "ASSAY_SECRET_KEY"})
    assert (await models.get(model_id))["api_key_env"] == "A_API_KEY"
