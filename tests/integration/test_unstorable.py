"""What MongoDB cannot hold must never stop the scorer: it says so, as evidence against the one document."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo.errors import OperationFailure

from services.scorer.landing import land, result
from shared.contracts import Prediction
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database, is_unstorable

MIB = 1024**2


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    client = mongo.connect(stores)
    name = f"unstorable_{uuid4().hex[:8]}"
    await mongo.provision(client[name])
    yield client[name]
    await client.drop_database(name)
    client.close()


def document(index: int, **changes: Any) -> dict[str, Any]:
    fields = {
        "evaluation": "e1",
        "model": "m1",
        "index": index,
        "item_id": str(index),
        "target": "4",
        "scoring": {"scorer": "exact_match"},
        "outcome": "scored",
        "output": "4",
    }
    return result(Prediction.model_validate(fields | changes), 0.0) | {"index": index}


async def test_the_largest_that_is_allowed_is_stored(database: Database) -> None:
    # A target and an answer of 4 MiB each, of which the answer is also what was compared.
    await land(database, [document(0, target="y" * 4 * MIB, output="é" * 2 * MIB)])
    assert await database["results"].count_documents({}) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"output": "x" * 17 * MIB},
        {"usage": {"total_tokens": 10**30}},
    ],
    ids=["above 16 MB", "above 64 bits"],
)
async def test_what_cannot_be_stored_is_evidence_against_itself_alone(database: Database, bad: dict[str, Any]) -> None:
    good = [document(index) for index in range(10)]
    with pytest.raises((OperationFailure, OverflowError)) as failure:
        await land(database, [*good[:5], document(10, **bad), *good[5:]])
    assert is_unstorable(failure.value)
    for one in good:
        await land(database, [one])
    assert await database["results"].count_documents({}) == 10
