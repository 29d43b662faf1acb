"""Items on which evaluations differ, out of a real MongoDB, against a plain look at every result."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from gateway.compared import OUTPUT_CHARACTERS, count_patterns, find_compared, find_differing, items_in_all
from gateway.differences import FIRST_SPAN, differing, everyone, only
from shared.errors import Invalid, NotFound
from shared.settings import Settings
from shared.storage import mongo
from shared.storage.mongo import Database, Document

ITEMS = 3 * FIRST_SPAN


@pytest.fixture
async def database(stores: Settings) -> AsyncIterator[Database]:
    client = mongo.connect(stores)
    name = f"compared_{uuid4().hex[:8]}"
    await mongo.provision(client[name])
    yield client[name]
    await client.drop_database(name)
    client.close()


async def add_evaluation(database: Database, number: int, results: list[Document], **fields: Any) -> Document:
    """An evaluation, each of its results being `{correct, ...}` of the item at its place."""
    evaluation: Document = {
        "_id": f"e{number}",
        "number": number,
        "slug": "sums",
        "phase": "dev",
        "version": "0a",
        "environment": "sums@0a",
        "samples_per_item": 1,
        "progress": {"total": len(results)},
        **fields,
    }
    await database["evaluations"].insert_one(evaluation)
    await database["results"].insert_many(
        {
            "_id": f"e{number}:{index}:0",
            "evaluation": evaluation["_id"],
            "index": index,
            "sample": 0,
            "item_id": str(index),
            "target": "4",
            "prediction": "4" if result["correct"] else "5",
            "output": "It is 4" if result["correct"] else "It is 5",
            "outcome": "scored",
            "error": None,
            **result,
        }
        for index, result in enumerate(results)
    )
    return evaluation


def random_results(seed: int, right: float, infra: float = 0.01) -> list[Document]:
    chance = random.Random(seed)
    kinds = [("scored", chance.random() < right, chance.random() < infra) for _ in range(ITEMS)]
    return [
        {"outcome": "infra_error" if lost else kind, "correct": correct and not lost} for kind, correct, lost in kinds
    ]


def pattern_of(found: list[Document]) -> int | None:
    if any(result["outcome"] == "infra_error" for result in found):
        return None
    return sum(1 << place for place, result in enumerate(found) if result["correct"])


@pytest.mark.parametrize("number", [2, 3])
async def test_every_differing_item_is_found_once_and_counted(database: Database, number: int) -> None:
    results = [random_results(seed, 0.995 - 0.01 * seed) for seed in range(number)]
    evaluations = [await add_evaluation(database, place + 1, each) for place, each in enumerate(results)]
    expected = [pattern_of([each[index] for each in results]) for index in range(ITEMS)]
    counts = await count_patterns(database, evaluations)
    assert counts.items == Counter(pattern for pattern in expected if pattern is not None)
    assert counts.compared < counts.looked_at == ITEMS

    for wanted in (differing(number), [only(1)], [everyone(number)]):
        found: list[int] = []
        after: int | None = -1
        while after is not None:
            rows, after = await find_differing(database, evaluations, wanted, after, 40)
            assert len(rows) <= 40
            found += [row.index for row in rows]
            for row in rows:
                assert [answer.correct for answer in row.answers] == [each[row.index]["correct"] for each in results]
        assert found == [index for index, pattern in enumerate(expected) if pattern in wanted]


async def test_where_differences_are_rare_a_search_stops_in_time_and_goes_on(database: Database) -> None:
    results = [[{"correct": True} for _ in range(ITEMS)] for _ in range(2)]
    results[1][ITEMS - 1]["correct"] = False
    evaluations = [await add_evaluation(database, place + 1, each) for place, each in enumerate(results)]
    rows, after = await find_differing(database, evaluations, differing(2), -1, 40, search_s=0)
    assert (rows, after) == ([], FIRST_SPAN - 1)
    assert (await count_patterns(database, evaluations, count_s=0)).looked_at == FIRST_SPAN
    rows, after = await find_differing(database, evaluations, differing(2), FIRST_SPAN - 1, 40)
    assert ([row.index for row in rows], after) == ([ITEMS - 1], None)


async def test_only_items_that_all_have_are_compared(database: Database) -> None:
    first = await add_evaluation(database, 1, [{"correct": True}, {"correct": True}, {"correct": True}])
    second = await add_evaluation(database, 2, [{"correct": True}, {"correct": False}])
    assert items_in_all([first, second]) == 2
    counts = await count_patterns(database, [first, second])
    assert (counts.compared, counts.only(0)) == (2, 1)


async def test_of_another_version_an_item_is_the_same_by_id_and_target(database: Database) -> None:
    first = await add_evaluation(database, 1, [{"correct": True}] * 3)
    other = {"version": "0b", "environment": "sums@0b"}
    changed: list[Document] = [
        {"correct": False},
        {"correct": False, "target": "6"},
        {"correct": False, "item_id": "x"},
    ]
    second = await add_evaluation(database, 2, changed, **other)
    counts = await count_patterns(database, [first, second])
    assert counts.items == {only(0): 1}
    rows, _ = await find_differing(database, [first, second], differing(2), -1, 10)
    assert [row.item_id for row in rows] == ["0"]


async def test_long_texts_are_cut_where_they_are_stored_and_missing_ones_told_apart(database: Database) -> None:
    first = await add_evaluation(database, 1, [{"correct": True, "output": "\u00e9" * 10_000}])
    unread = {"correct": False, "outcome": "no_answer", "prediction": None, "output": "", "error": "empty"}
    second = await add_evaluation(database, 2, [unread])
    await database["items"].insert_one({"environment": "sums@0a", "phase": "dev", "index": 0, "input": "2 + 2?"})
    (row,), _ = await find_differing(database, [first, second], differing(2), -1, 10)
    assert (row.input.text, row.target and row.target.text) == ("2 + 2?", "4")
    long, empty = row.answers
    assert (len(long.output.text), long.output.left_out) == (OUTPUT_CHARACTERS, 10_000 - OUTPUT_CHARACTERS)
    assert (empty.prediction, empty.output.text, empty.error, empty.outcome) == (None, "", "empty", "no_answer")


async def test_what_cannot_be_compared_is_refused_by_name(database: Database) -> None:
    for number in range(1, 11):
        await add_evaluation(database, number, [{"correct": True}], **({"phase": "test"} if number == 10 else {}))
    assert [one["number"] for one in await find_compared(database, ["2", "e1", "2"])] == [2, 1]
    with pytest.raises(NotFound, match="no evaluation 99"):
        await find_compared(database, ["1", "99"])
    with pytest.raises(Invalid, match="at least two"):
        await find_compared(database, ["1", "e1"])
    with pytest.raises(Invalid, match="At most 8 evaluations can be compared at once; 9 were chosen"):
        await find_compared(database, [str(number) for number in range(1, 10)])
    with pytest.raises(Invalid, match="#1 ran sums, phase dev; #10 ran sums, phase test"):
        await find_compared(database, ["1", "10"])
