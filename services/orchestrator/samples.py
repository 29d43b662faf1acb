"""Which samples are to be sent: read from MongoDB in small steps, in the order of (index, sample).

Nothing of a position is stored. Since jobs are sent in order and leave JOBS only for PREDICTIONS, and that only for `results`,
the furthest sample in any of the three (looked at in this order) is the furthest ever sent.
"""

from collections import deque
from typing import Any, NamedTuple, Protocol

import orjson

from services.orchestrator.state import empty_progress
from shared.contracts import Outcome, message_id
from shared.storage.mongo import Database

CHUNK = 512
"""Items read at once: what an evaluation holds in memory at most."""


class Outgoing(NamedTuple):
    """A job as it is published: a `Job` in JSON, and the id by which the broker knows a repeat."""

    payload: bytes
    message_id: str


class Jobs:
    """Makes the jobs of one round of an evaluation.

    Written from what is stored, without a `Job` object for each: that would validate what was validated when it was stored, and costs
    four times as much. `tests/unit/orchestrator/test_samples.py` reads them back.
    """

    def __init__(self, evaluation: dict[str, Any], dispatch: int) -> None:
        self._evaluation: str = evaluation["_id"]
        self._round: int = evaluation["round"]
        self._dispatch = dispatch
        self._common = {
            "evaluation": self._evaluation,
            "model": evaluation["model"],
            "round": self._round,
            "dispatch": dispatch,
            "params": evaluation["params"],
            # A program scores later; until then each answer has its own scorer, if it has one.
            "scoring": evaluation["scoring"].get("item_scorer") or evaluation["scoring"],
        }
        self._judge = evaluation.get("judge")
        if self._judge:
            self._common["judge"] = self._judge

    def make(self, item: dict[str, Any], sample: int) -> Outgoing:
        """The self-contained message for one sample of an item."""
        index = item["index"]
        fields = {
            "index": index,
            "sample": sample,
            "item_id": item["item_id"],
            "messages": item["messages"],
            "target": item["target"],
            # A rubric may show the judge what was asked; a column of that name wins, as in a prompt.
            "hints": {"input": item["input"], **item["hints"]} if self._judge else item["hints"],
        }
        return Outgoing(
            orjson.dumps(self._common | fields),
            message_id(self._evaluation, index, sample, self._round, self._dispatch),
        )


class Source(Protocol):
    """Where the next samples come from."""

    @property
    def remaining(self) -> int: ...

    async def take(self, count: int) -> list[Outgoing]: ...


class Fresh:
    """Round 0: every sample of the phase's first `items` items, from a position (index * samples_per_item + sample) on."""

    def __init__(self, database: Database, evaluation: dict[str, Any], position: int) -> None:
        self._items = database["items"]
        self._evaluation = evaluation
        self._jobs = Jobs(evaluation, 0)
        self._samples = evaluation["samples_per_item"]
        self.position = position
        self.total = evaluation["progress"]["total"]
        self._buffer: deque[dict[str, Any]] = deque()

    @property
    def remaining(self) -> int:
        return int(self.total - self.position)

    async def take(self, count: int) -> list[Outgoing]:
        """The next `count` samples at most; `position` moves with them."""
        jobs: list[Outgoing] = []
        while len(jobs) < count and self.remaining > 0:
            index, sample = divmod(self.position, self._samples)
            while self._buffer and self._buffer[0]["index"] < index:
                self._buffer.popleft()
            if not self._buffer:
                self._buffer.extend(await self._read(index))
            jobs.append(self._jobs.make(self._buffer[0], sample))
            self.position += 1
        return jobs

    async def _read(self, index: int) -> list[dict[str, Any]]:
        query = {
            "environment": self._evaluation["environment"],
            "phase": self._evaluation["phase"],
            "index": {"$gte": index, "$lt": index + CHUNK},
        }
        projection = {"index": 1, "item_id": 1, "messages": 1, "target": 1, "hints": 1}
        if self._evaluation.get("judge"):
            projection["input"] = 1
        items = await self._items.find(query, projection).sort("index", 1).to_list(CHUNK)
        if not items:
            raise LookupError(
                f"item {index} of {self._evaluation['environment']} {self._evaluation['phase']} is not there"
            )
        return items


class Listed:
    """A list of (index, sample): what a redrive calls again, or what was lost on the way and is sent again.

    `dispatch` sets these jobs apart from the first ones, whose ids the broker may still know.
    """

    def __init__(
        self, database: Database, evaluation: dict[str, Any], keys: list[tuple[int, int]], dispatch: int
    ) -> None:
        self._items = database["items"]
        self._evaluation = evaluation
        self._jobs = Jobs(evaluation, dispatch)
        self._keys = deque(keys)

    @property
    def remaining(self) -> int:
        return len(self._keys)

    async def take(self, count: int) -> list[Outgoing]:
        keys = [self._keys.popleft() for _ in range(min(count, len(self._keys)))]
        query = {
            "environment": self._evaluation["environment"],
            "phase": self._evaluation["phase"],
            "index": {"$in": sorted({index for index, _ in keys})},
        }
        items = {item["index"]: item async for item in self._items.find(query)}
        return [self._jobs.make(items[index], sample) for index, sample in keys]


async def furthest_result(database: Database, evaluation: dict[str, Any]) -> int:
    """One past the furthest sample with a result of round 0, as a position."""
    found = await (
        database["results"]
        .find({"evaluation": evaluation["_id"]}, {"index": 1, "sample": 1})
        .sort([("index", -1), ("sample", -1)])
        .to_list(1)
    )
    return found[0]["index"] * evaluation["samples_per_item"] + found[0]["sample"] + 1 if found else 0


async def missing(database: Database, evaluation: dict[str, Any], limit: int, after: int = 0) -> list[tuple[int, int]]:
    """The first samples, up to `limit`, that have no result that counts for the present round, from the item `after` on."""
    if evaluation["round"] > 0:
        rows = await _stale(database, evaluation, after).limit(limit).to_list(limit)
        return [(row["index"], row["sample"]) for row in rows]
    samples, total = evaluation["samples_per_item"], evaluation["progress"]["total"]
    absent: list[tuple[int, int]] = []
    expected = after * samples
    query = {"evaluation": evaluation["_id"], "index": {"$gte": after}}
    cursor = database["results"].find(query, {"index": 1, "sample": 1, "_id": 0})
    async for row in cursor.sort([("index", 1), ("sample", 1)]).batch_size(2000):
        position = row["index"] * samples + row["sample"]
        while expected < position and len(absent) < limit:
            absent.append(divmod(expected, samples))
            expected += 1
        expected = position + 1
        if len(absent) >= limit:
            return absent
    while expected < total and len(absent) < limit:
        absent.append(divmod(expected, samples))
        expected += 1
    return absent


def _stale(database: Database, evaluation: dict[str, Any], after: int):  # type: ignore[no-untyped-def]  # Motor's cursor has no public type
    """Results that a redrive has still to replace."""
    query = {
        "evaluation": evaluation["_id"],
        "index": {"$gte": after},
        "outcome": Outcome.INFRA_ERROR,
        "round": {"$lt": evaluation["round"]},
    }
    return database["results"].find(query, {"index": 1, "sample": 1}).sort([("index", 1), ("sample", 1)])


async def count(database: Database, evaluation: dict[str, Any]) -> dict[str, int]:
    """Progress as `results` has it: what decides. A stale `infra_error` of an earlier round counts as not done."""
    claims = "correct" in evaluation["progress"]
    progress = empty_progress(evaluation["progress"]["total"], claims=claims)
    groups = database["results"].aggregate(
        [
            {"$match": {"evaluation": evaluation["_id"]}},
            {
                "$group": {
                    "_id": {
                        "outcome": "$outcome",
                        "stale": {"$lt": ["$round", evaluation["round"]]},
                        "correct": "$correct",
                    },
                    "count": {"$sum": 1},
                }
            },
        ]
    )
    async for group in groups:
        key = group["_id"]
        if key["outcome"] == Outcome.INFRA_ERROR and key["stale"]:
            continue
        progress["done"] += group["count"]
        progress[key["outcome"]] += group["count"]
        if claims and key["correct"]:
            progress["correct"] += group["count"]
    return progress
