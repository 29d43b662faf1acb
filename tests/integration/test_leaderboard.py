"""Putting evaluations on a leaderboard by hand, on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from services.orchestrator.leaderboard import put_on, take_off
from shared.errors import Conflict, NotFound
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database
from tests.integration.test_gateway_api import WHEN


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    client = mongo.connect(stores)
    name = f"boards_{uuid4().hex[:8]}"
    for version, rule in (("add", "add"), ("both", "add_and_delete"), ("best", "force_best")):
        manifest = {
            "slug": "sums",
            "title": "Sums",
            "prompt": {"template": "{{ input }}"},
            "phases": [{"name": "dev", "data": "dev.jsonl"}],
            "scoring": {"scorer": "numeric"},
            "leaderboard": {"submission_rule": rule},
        }
        phases = [{"name": "dev", "items": 5}]
        await client[name]["environments"].insert_one(
            {"_id": f"sums@{version}", "slug": "sums", "version": version, "manifest": manifest, "phases": phases}
        )
    yield client[name]
    await client.drop_database(name)
    client.close()


async def add(database: Database, number: int, version: str = "both", **fields: Any) -> str:
    evaluation = {
        "_id": f"e{number}",
        "number": number,
        "slug": "sums",
        "environment": f"sums@{version}",
        "phase": "dev",
        "model": "m1",
        "status": "completed",
        "limit": None,
        "listed_at": None,
        "created_at": WHEN,
    }
    await database["evaluations"].insert_one({**evaluation, **fields})
    return f"e{number}"


async def listed(database: Database) -> list[str]:
    return [row["_id"] async for row in database["evaluations"].find({"listed_at": {"$ne": None}}).sort("number", 1)]


async def test_another_one_of_the_model_takes_its_place(database: Database) -> None:
    first, second = await add(database, 1), await add(database, 2)
    other = await add(database, 3, model="m2")
    for evaluation in (first, other, second):
        assert (await put_on(database, evaluation))["listed_at"]
    assert await listed(database) == [second, other]
    assert (await take_off(database, second))["listed_at"] is None
    assert await listed(database) == [other]


async def test_of_many_at_once_one_is_left_or_the_same_moments(database: Database) -> None:
    evaluations = [await add(database, number) for number in range(12)]
    await asyncio.gather(*(put_on(database, evaluation) for evaluation in evaluations))
    left = await listed(database)
    moments = {row["listed_at"] async for row in database["evaluations"].find({"_id": {"$in": left}})}
    assert left
    assert len(moments) == 1
    await take_off(database, left[0])
    assert await listed(database) == []


async def test_what_cannot_stand_there_is_told_why(database: Database) -> None:
    for number, fields, told in (
        (
            1,
            {"status": "running"},
            "evaluation #1 is running; only a completed one can stand on the leaderboard of sums",
        ),
        (
            2,
            {"limit": 3},
            "evaluation #2 ran on 3 of the 5 items of phase dev; only one of the whole phase can stand on",
        ),
        (
            3,
            {"version": "best"},
            "nothing is put on the leaderboard of sums by hand: its submission_rule is force_best",
        ),
    ):
        evaluation = await add(database, number, **fields)
        with pytest.raises(Conflict) as refused:
            await put_on(database, evaluation)
        assert str(refused.value).startswith(told)
    assert await listed(database) == []
    with pytest.raises(NotFound):
        await put_on(database, "nothing")


async def test_what_is_taken_off_is_there_and_may_be(database: Database) -> None:
    stays, absent = await add(database, 1, "add"), await add(database, 2)
    await put_on(database, stays)
    with pytest.raises(Conflict, match=r"nothing is taken off the leaderboard of sums: its submission_rule is add$"):
        await take_off(database, stays)
    with pytest.raises(Conflict, match="evaluation #2 is not on the leaderboard of sums"):
        await take_off(database, absent)
    assert await listed(database) == [stays]
