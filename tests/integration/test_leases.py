"""Who holds an evaluation, on a real MongoDB."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from services.orchestrator.store import LONG_AGO, Store
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    client = mongo.connect(stores)
    name = f"leases_{uuid4().hex[:8]}"
    await client[name]["evaluations"].insert_one(
        {"_id": "e1", "number": 1, "open": True, "owner": None, "epoch": 0, "lease_until": LONG_AGO}
    )
    yield client[name]
    await client.drop_database(name)
    client.close()


async def lease(database: Database) -> datetime:
    document: dict[str, Any] | None = await database["evaluations"].find_one({"_id": "e1"})
    assert document
    until: datetime = document["lease_until"]
    return until


async def test_what_is_held_is_nobody_elses_while_it_is_renewed(database: Database) -> None:
    one, two = Store(database, "one"), Store(database, "two")
    claimed = await one.claim()
    assert claimed
    assert claimed["epoch"] == 1
    assert await two.claim() is None
    before = await lease(database)
    await two.renew({"e1": 1})
    assert await lease(database) == before
    await one.renew({"e1": 1})
    assert await lease(database) > before


async def test_a_claim_whose_answer_was_lost_runs_out(database: Database) -> None:
    store = Store(database, "one")
    assert await store.claim()
    # The answer went lost on its way: this process drives nothing, or a former epoch, whatever the document says.
    before = await lease(database)
    await store.renew({})
    await store.renew({"e1": 0})
    assert await lease(database) == before
