"""Quotas on a real MongoDB: as many starts at once as one likes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.orchestrator.creation import create_evaluations
from services.orchestrator.quotas import RESERVED_FOR, reserve
from services.orchestrator.state import now
from shared.api import EvaluationCreate
from shared.errors import Conflict
from shared.manifest import Phase
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database, Document
from tests.integration.test_gateway_api import MODEL, WHEN

DAILY = Phase(name="daily", data="a.jsonl", max_submissions_per_day=2)


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    client = mongo.connect(stores)
    name = f"quotas_{uuid4().hex[:8]}"
    await mongo.provision(client[name])
    phases: list[dict[str, Any]] = [
        {"name": "free", "data": "a.jsonl"},
        {"name": "three", "data": "a.jsonl", "max_submissions": 3},
        {"name": "daily", "data": "a.jsonl", "max_submissions_per_day": 2},
        {"name": "early", "data": "a.jsonl", "start": "2099-12-01T09:00:00+02:00"},
        {"name": "late", "data": "a.jsonl", "end": "2020-01-01"},
    ]
    manifest = {
        "slug": "sums",
        "title": "Sums",
        "prompt": {"template": "{{ input }}"},
        "phases": phases,
        "scoring": {"scorer": "numeric"},
    }
    environment = {"slug": "sums", "title": "Sums", "manifest": manifest, "created_at": WHEN}
    of_phases = [{"name": phase["name"], "items": 5} for phase in phases]
    await client[name]["environments"].insert_one(
        {**environment, "_id": "sums@0a", "version": "0a", "phases": of_phases}
    )
    await client[name]["models"].insert_many(
        [{**MODEL, "_id": model_id, "name": f"model {model_id}", "created_at": WHEN} for model_id in ("m1", "m2", "m3")]
    )
    yield client[name]
    await client.drop_database(name)
    client.close()


async def start(database: Database, phase: str, *models: str, key: str | None = None) -> list[Document]:
    return await create_evaluations(
        database, EvaluationCreate(environment="sums", phase=phase, models=list(models)), key
    )


async def started(database: Database, phase: str) -> list[str]:
    return [row["model"] async for row in database["evaluations"].find({"phase": phase}).sort("number", 1)]


async def test_many_starts_at_once_do_not_exceed_it(database: Database) -> None:
    answers = await asyncio.gather(*(start(database, "three", "m1") for _ in range(24)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 21
    assert {str(error) for error in refused} == {
        "model model m1 has used 3 of its 3 evaluations in phase three; none is left"
    }
    assert all(isinstance(error, Conflict) for error in refused)
    assert await started(database, "three") == ["m1"] * 3
    # Another model has its own.
    await start(database, "three", "m2")
    await start(database, "free", "m1")


async def test_a_group_is_started_whole_or_not_at_all(database: Database) -> None:
    for _ in range(3):
        await start(database, "three", "m2")
    with pytest.raises(Conflict, match="model m2 has used 3 of its 3"):
        await start(database, "three", "m1", "m2", "m3")
    assert await started(database, "three") == ["m2"] * 3
    # What was reserved for m1 is free again.
    for _ in range(3):
        await start(database, "three", "m1")


async def test_the_same_key_uses_one(database: Database) -> None:
    first = await start(database, "three", "m1", key="k")
    again = await asyncio.gather(*(start(database, "three", "m1", key="k") for _ in range(5)))
    assert {row["_id"] for rows in again for row in rows} == {first[0]["_id"]}
    assert await started(database, "three") == ["m1"]
    for _ in range(2):
        await start(database, "three", "m1")


async def test_what_never_ran_is_given_back(database: Database) -> None:
    evaluations = [row for _ in range(3) for row in await start(database, "three", "m1")]
    await database["evaluations"].update_one({"_id": evaluations[0]["_id"]}, {"$set": {"status": "cancelled"}})
    await start(database, "three", "m1")
    await database["evaluations"].update_one(
        {"_id": evaluations[1]["_id"]}, {"$set": {"status": "failed", "started_at": WHEN}}
    )
    with pytest.raises(Conflict):
        await start(database, "three", "m1")


async def test_each_day_has_its_own(database: Database) -> None:
    for _ in range(2):
        await start(database, "daily", "m1")
    with pytest.raises(
        Conflict, match=r"2 of its 2 evaluations a day \(UTC\) in phase daily; the next .* 00:00:00 UTC"
    ):
        await start(database, "daily", "m1")
    await database["evaluations"].update_many({}, {"$set": {"created_at": now() - timedelta(days=1)}})
    await start(database, "daily", "m1")


async def test_a_reservation_of_a_process_that_died_runs_out(database: Database) -> None:
    model = {"_id": "m1", "name": "m1"}
    for evaluation_id in ("e1", "e2"):
        await reserve(database, "sums", DAILY, model, evaluation_id, now())
    with pytest.raises(Conflict):
        await reserve(database, "sums", DAILY, model, "e3", now())
    # The same evaluation, tried again, has its place.
    await reserve(database, "sums", DAILY, model, "e2", now())
    await reserve(database, "sums", DAILY, model, "e3", now() + RESERVED_FOR + timedelta(seconds=1))


async def test_a_phase_that_is_not_open_says_when(database: Database) -> None:
    with pytest.raises(Conflict, match=r"^phase early opens at 2099-12-01 07:00:00 UTC$"):
        await start(database, "early", "m1")
    with pytest.raises(Conflict, match=r"^phase late closed at 2020-01-01 00:00:00 UTC$"):
        await start(database, "late", "m1")
