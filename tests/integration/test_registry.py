"""The registry of models over real stores: what is kept of a model, of what it was before, and whether it is offered."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.orchestrator.creation import create_evaluations
from services.orchestrator.models import Models
from services.orchestrator.pacing import Pacing
from services.orchestrator.platform import Platform
from shared.api import EvaluationCreate
from shared.errors import Conflict, Invalid
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


KEYS = KeyVariables(("*_API_KEY",))


@pytest.fixture
def models(service: Service, database: Database) -> Models:
    return Models(database, service.broker, service.js, Pacing(database, service.js), Networks(loopback=True), KEYS)


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


async def test_a_key_is_sent_to_no_other_server_than_it_was_given_for(models: Models) -> None:
    model_id = await add(models, api_key="ciphertext")
    with pytest.raises(Invalid, match="base_url: leads to another server than its key was given for"):
        await models.update(model_id, {"base_url": "http://127.0.0.1:2/v1"})
    assert (await models.get(model_id))["base_url"] == "http://127.0.0.1:1/v1"
    await models.update(model_id, {"base_url": "http://127.0.0.1:1/other"})
    moved = await models.update(model_id, {"base_url": "http://127.0.0.1:2/v1", "api_key": "another"})
    assert (moved["base_url"], moved["api_key"]) == ("http://127.0.0.1:2/v1", "another")
    assert (await models.update(model_id, {"base_url": "http://127.0.0.1:3/v1", "api_key": None}))["api_key"] is None


# The platform


@pytest.fixture
def platform(database: Database, models: Models) -> Platform:
    return Platform(database, models, None, Networks(loopback=True), KEYS)


async def test_a_platform_model_is_published_when_it_is_registered_and_any_other_when_one_says_so(
    models: Models, platform: Platform
) -> None:
    offered = await models.get(await add(models, source="platform"))
    assert offered["published_at"] == offered["created_at"]
    model_id = await add(models)
    with pytest.raises(Conflict, match=r"model m0\.26 is not published, so it cannot be withdrawn"):
        await platform.withdraw(model_id)
    published = await platform.publish(model_id)
    assert await platform.publish(model_id) == published
    withdrawn = await platform.withdraw(model_id)
    assert (withdrawn["published_at"], await platform.withdraw(model_id)) == (None, withdrawn)
    again = await platform.publish(model_id)
    assert again["published_at"] > published["published_at"]
    assert again["withdrawn_at"] is None
    assert await models.get(model_id) == again


async def test_no_evaluation_of_a_withdrawn_model_starts(
    models: Models, platform: Platform, database: Database
) -> None:
    manifest = {
        "slug": "sums",
        "title": "Sums",
        "prompt": {"template": "{{ input }}"},
        "phases": [{"name": "dev", "data": "dev.jsonl"}],
        "scoring": {"scorer": "numeric"},
    }
    version = {"_id": "sums@1", "slug": "sums", "version": "1", "title": "Sums", "manifest": manifest}
    await database["environments"].insert_one({**version, "phases": [{"name": "dev", "items": 2}]})
    kept, gone = await add(models, name="kept"), await add(models, name="gone", source="platform")
    await models.update(kept, {"timeout_s": 30.0})
    request = EvaluationCreate(environment="sums", models=[kept, gone])
    before = await create_evaluations(database, request, "one")
    assert [row["model_settings_version"] for row in before] == [2, 1]
    assert before[0]["model_settings"]["timeout_s"] == 30.0
    await platform.withdraw(gone)
    with pytest.raises(Conflict, match="model gone was withdrawn from the platform") as refused:
        await create_evaluations(database, request, "two")
    assert [error["loc"] for error in refused.value.errors] == [["models", 1]]
    assert await database["evaluations"].count_documents({}) == 2
    await platform.publish(gone)
    assert len(await create_evaluations(database, request, "three")) == 2


class File:
    """A models file that an operator writes, and what the platform makes of it."""

    def __init__(self, path: Path, platform: Platform, database: Database) -> None:
        self.path, self.platform, self._models = path, platform, database["models"]
        self._saved = 0

    async def says(self, text: str) -> dict[str, dict[str, Any]]:
        """The models by name, when it has been looked at."""
        self.path.write_text(text)
        self._saved += 1  # a second apart, however coarse the clock of the file system is
        os.utime(self.path, (self._saved, self._saved))
        await self.platform.look(self.path)
        return {row["name"]: row async for row in self._models.find()}


@pytest.fixture
def file(tmp_path: Path, platform: Platform, database: Database) -> File:
    return File(tmp_path / "models.yaml", platform, database)


def entry(name: str, **fields: Any) -> str:
    given = {"name": name, "base_url": "http://127.0.0.1:1/v1", "model": "m", **fields}
    return "  - " + "\n    ".join(f"{key}: {value}" for key, value in given.items()) + "\n"


async def test_the_models_file_is_made_so_whatever_it_says(file: File, models: Models) -> None:
    by_hand = await add(models, name="by-hand", source="platform")
    adopted = await add(models, name="adopted", source="platform", timeout_s=60.0)
    first = await file.says("models:\n" + entry("one") + entry("two") + entry("adopted", timeout_s=60))
    assert {name for name, row in first.items() if row.get("kept_in_file")} == {"one", "two", "adopted"}
    assert first["adopted"]["_id"] == adopted
    assert first["one"]["published_at"] is not None

    second = await file.says("models:\n" + entry("one", timeout_s=5) + entry("three"))
    assert (second["one"]["_id"], second["one"]["settings_version"]) == (first["one"]["_id"], 2)
    assert second["two"]["withdrawn_at"] is not None
    assert second["three"]["published_at"] is not None
    # What a person registered is not the file's.
    assert (second["by-hand"]["_id"], second["by-hand"].get("withdrawn_at")) == (by_hand, None)

    third = await file.says("models:\n" + entry("one", timeout_s=5) + entry("two"))
    assert (third["two"]["_id"], third["two"]["withdrawn_at"]) == (first["two"]["_id"], None)
    assert third["one"] == second["one"]


async def test_a_file_with_an_error_changes_nothing_and_the_log_says_what_is_wrong(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    before = await file.says("models:\n" + entry("one"))
    wrong = "models:\n" + entry("one", timeout_s=5) + entry("two", timeout_s="soon")
    assert await file.says(wrong) == before
    assert await file.says(wrong) == before
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "the models file is wrong, and what it said before stays: models.yaml.models.1.timeout_s: line 9: "
        "must be a number"
    ]
    assert set(await file.says("models:\n" + entry("two"))) == {"one", "two"}
    file.path.unlink()
    await file.platform.look(file.path)
    assert "cannot be read, and what it said before stays: No such file or directory" in caplog.text


async def test_what_the_file_keeps_is_changed_there_alone(file: File, platform: Platform) -> None:
    model_id = (await file.says("models:\n" + entry("one")))["one"]["_id"]
    for refused in (platform.check_free, platform.publish, platform.withdraw):
        with pytest.raises(Conflict, match="model one is kept in the operator's models file; change it there"):
            await refused(model_id)
    # Where no file is kept any more, they are like any other.
    await platform.keep()
    await platform.withdraw(model_id)


async def test_two_orchestrators_that_read_the_file_at_once_make_one_model_of_each(
    file: File, platform: Platform, models: Models, database: Database
) -> None:
    other = Platform(database, models, None, Networks(loopback=True), KEYS)
    names = [f"model-{number}" for number in range(20)]
    file.path.write_text("models:\n" + "".join(map(entry, names)))
    await asyncio.gather(platform.look(file.path), other.look(file.path))
    assert sorted([model["name"] async for model in database["models"].find()]) == sorted(names)


async def test_the_deployments_token_stays_with_the_router(models: Models) -> None:
    model_id = await add(models, deployment_key=True, api_key="ciphertext")
    with pytest.raises(Invalid, match="the deployment's own token goes to the router alone"):
        await models.update(model_id, {"base_url": "http://127.0.0.1:2/v1"})
    await models.update(model_id, {"base_url": "http://127.0.0.1:2/v1", "api_key": None})
    moved = await models.update(model_id, {"base_url": "http://127.0.0.1:3/v1"})
    assert (moved["base_url"], moved["deployment_key"]) == ("http://127.0.0.1:3/v1", False)
