"""Registering a bundle: what the scorer is asked about it, and what is stored of an item."""

import itertools
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.artifacts.batches import BATCH, in_batches
from services.artifacts.bundles import Limits
from services.artifacts.registration import Registration, already_there, item_document
from services.artifacts.targets import MAX_REQUEST_BYTES
from shared.errors import Invalid
from shared.service import Service
from shared.storage.mongo import Database
from shared.storage.objects import Objects
from tests.unit.artifacts.bundles import make, manifest, phase


@dataclass
class Answer:
    body: bytes


@dataclass
class Scorer:
    """Stands for a service with its broker; refuses the targets that are no number."""

    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def broker(self) -> "Scorer":
        return self

    async def request(self, body: dict[str, Any], subject: str, timeout: float) -> Answer:
        assert subject == "scorer.targets.check"
        self.requests.append(body)
        answers = [None if item["target"].isdigit() else "target has no number" for item in body["items"]]
        return Answer(json.dumps({"ok": answers}).encode())


@dataclass
class Store:
    """Holds the one staged bundle."""

    staged: Path
    removed: list[str] = field(default_factory=list)

    async def get_file(self, name: str, path: Path) -> None:
        shutil.copy(self.staged, path)

    async def remove(self, name: str) -> None:
        self.removed.append(name)


async def refusal(archive: Path, scorer: Scorer) -> Invalid:
    store = Store(archive)
    # Nothing is written before every target is right, so there is no database.
    registration = Registration(
        cast(Service, scorer),
        cast(Database, None),
        cast(Objects, store),
        None,
        Limits(max_unpacked_bytes=10**8),
    )
    with pytest.raises(Invalid) as caught:
        await registration.register({"key": "staging/a"})
    assert store.removed == ["staging/a"]
    return caught.value


def rows(*answers: str) -> str:
    return "".join(
        json.dumps({"id": f"i{n}", "question": "?", "answer": text}) + "\n" for n, text in enumerate(answers)
    )


async def test_a_wrong_target_is_named_by_its_line_in_the_file(tmp_path: Path) -> None:
    data = "\n\n" + rows("1", "four", "2")
    problem = await refusal(make(tmp_path, manifest(), dev__jsonl=data), scorer := Scorer())
    assert problem.errors == [
        {
            "loc": ["dev.jsonl", 4, "answer"],
            "msg": "line 4: target has no number",
            "text": rows("1", "four").splitlines()[1],
        }
    ]
    assert problem.detail == "bundle has 1 error: dev.jsonl: line 4: target has no number"
    assert scorer.requests == [
        {
            "scoring": {"scorer": "numeric", "tolerance": 0},
            "items": [{"target": text, "hints": {}} for text in ("1", "four", "2")],
        }
    ]


async def test_no_more_is_asked_once_there_are_too_many_wrong_targets(tmp_path: Path) -> None:
    phases = [phase(name=name, data=f"{name}.jsonl") for name in ("dev", "test")]
    archive = make(tmp_path, manifest(phases=phases), dev__jsonl=rows(*["x"] * (BATCH + 1)), test__jsonl=rows("x"))
    problem = await refusal(archive, scorer := Scorer())
    assert "more than 20 errors" in problem.detail
    assert len(scorer.requests) == 1


async def test_a_request_fits_a_message(tmp_path: Path) -> None:
    targets = ["1" * 150_000] * 4 + ["2" * 500_000, "x"]
    await refusal(make(tmp_path, manifest(), dev__jsonl=rows(*targets)), scorer := Scorer())
    assert [len(request["items"]) for request in scorer.requests] == [2, 2, 1, 1]
    sizes = [len(json.dumps(request, separators=(",", ":"))) for request in scorer.requests]
    assert [size <= MAX_REQUEST_BYTES for size in sizes] == [True, True, False, True]


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(2, 100))
def test_batches_hold_every_item_once_in_order_and_are_as_full_as_they_may_be(items: list[str], most: int) -> None:
    def size(batch: list[str]) -> int:
        return sum(len(item.encode()) + 1 for item in batch)

    batches = list(in_batches(items, lambda item: len(item.encode()), most))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == 1 or size(batch) <= most for batch in batches)
    assert all(size([*batch, after[0]]) > most for batch, after in itertools.pairwise(batches))


def test_batches_are_of_limited_length() -> None:
    batches = in_batches(range(2 * BATCH + 1), lambda _: 1, 10**9)
    assert [len(batch) for batch in batches] == [BATCH, BATCH, 1]


def test_what_is_stored_of_an_item() -> None:
    line = json.dumps({"index": 3, "line": 5, "item_id": "a", "metadata": {"line": 1}}).encode()
    assert item_document("sums@0", "dev", line) == {
        "_id": "sums@0:dev:3",
        "environment": "sums@0",
        "phase": "dev",
        "index": 3,
        "item_id": "a",
        "metadata": {"line": 1},
    }


def test_what_an_earlier_try_left_is_known_by_its_position() -> None:
    errors = [{"index": 3, "code": 11000, "errmsg": "duplicate"}, {"index": 7, "code": 11000, "errmsg": "duplicate"}]

    assert already_there({"writeErrors": errors, "writeConcernErrors": []}) == [3, 7]


@pytest.mark.parametrize(
    "details",
    [
        {"writeErrors": [{"index": 0, "code": 11000}, {"index": 1, "code": 10334}]},
        {"writeErrors": [{"index": 0, "code": 11000}], "writeConcernErrors": [{"code": 64}]},
    ],
)
def test_other_failures_of_a_bulk_are_not_taken_for_that(details: dict[str, Any]) -> None:
    assert already_there(details) is None
