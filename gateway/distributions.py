"""How an evaluation's latencies, arrivals and misses are distributed: counted by MongoDB in one pass each, and kept while they hold.

A count over a million results takes seconds, and a completed evaluation's results change only with its next round; so a count
is made once a round, and the newest `KEPT` are kept. Every answer is small, whatever the evaluation's size: at most `BINS` + 1
numbers for each distribution.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import PyMongoError

from shared.api import Evaluation
from shared.contracts import Outcome
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.gateway")

BINS = 600
KEPT = 64
AT_ONCE = 2
"""Counts under way: more would only take the disk from those who write results."""

TIMEOUT_S = 50
TAGGED_SAMPLES = 100_000
"""Up to so many samples the score is counted by tag: each looks its item up."""

TAGS = 24
_FAILED = [str(Outcome.MODEL_ERROR), str(Outcome.INFRA_ERROR)]
_CALLED = {"$ne": str(Outcome.INFRA_ERROR)}


@dataclass(frozen=True)
class Bins:
    """Counts by bin: bin n holds what is from n * `width` up to the next; the last one, `BINS`, all that is beyond."""

    width: float
    counts: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tag:
    name: str
    called: int
    correct: int


@dataclass(frozen=True)
class Distributions:
    """`latency` in milliseconds, of called samples; `answered` and `failed` by the second, from the first round's start, when
    results landed; `misses` counts test cases with at least one sample that was called and is not correct."""

    latency: Bins
    answered: Bins
    failed: Bins
    misses: int
    tags: list[Tag]


class Counting:
    """Counts, and keeps what it has counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[tuple[str, int], asyncio.Task[Distributions]] = OrderedDict()
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def of(self, evaluation: Evaluation, wait_s: float) -> Distributions | None:
        """Those of a completed evaluation, or None where counting takes longer than `wait_s`: it goes on, ask again.

        Raises `PyMongoError` where it failed.
        """
        key = (evaluation.id, evaluation.round)
        task = self._kept.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._count(evaluation))
            self._kept[key] = task
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        await asyncio.wait({task}, timeout=wait_s)
        return task.result() if task.done() else None

    async def _count(self, evaluation: Evaluation) -> Distributions:
        async with self._gate:
            start, span = await self._span(evaluation)
            (answered, failed), latency, misses, tags = await asyncio.gather(
                self._arrivals(evaluation, start, bin_width(span)),
                self._latency(evaluation),
                self._misses(evaluation),
                self._tags(evaluation),
            )
            return Distributions(latency, answered, failed, misses, tags)

    async def _span(self, evaluation: Evaluation) -> tuple[float, float]:
        """When the first round began, as Unix time, and how many seconds it took."""
        if evaluation.round == 0 and evaluation.started_at and evaluation.finished_at:
            return (
                evaluation.started_at.timestamp(),
                (evaluation.finished_at - evaluation.started_at).total_seconds(),
            )
        landed = {"first": {"$min": "$landed_at"}, "last": {"$max": "$landed_at"}}
        rows = await self._aggregate(
            [{"$match": {"evaluation": evaluation.id, "round": 0}}, {"$group": {"_id": None, **landed}}]
        )
        first, last = (rows[0]["first"], rows[0]["last"]) if rows else (None, None)
        return (first, last - first) if first is not None and last is not None else (0.0, 0.0)

    async def _latency(self, evaluation: Evaluation) -> Bins:
        spread = (evaluation.metrics or {}).get("latency_ms")
        if not spread:
            return Bins(1.0)
        width = bin_width(min(spread["max"] * 1.001, spread["p95"] * 2))
        at = {"$min": [BINS, {"$floor": {"$divide": ["$latency_ms", width]}}]}
        rows = await self._aggregate(
            [
                {"$match": {"evaluation": evaluation.id, "outcome": _CALLED, "latency_ms": {"$ne": None}}},
                {"$group": {"_id": at, "count": {"$sum": 1}}},
            ]
        )
        return Bins(width, {int(row["_id"]): row["count"] for row in rows})

    async def _arrivals(self, evaluation: Evaluation, start: float, width: float) -> tuple[Bins, Bins]:
        at = {"$floor": {"$divide": [{"$subtract": ["$landed_at", start]}, width]}}
        bounded = {"$max": [0, {"$min": [BINS, at]}]}
        rows = await self._aggregate(
            [
                {"$match": {"evaluation": evaluation.id, "round": 0, "landed_at": {"$ne": None}}},
                {"$group": {"_id": {"at": bounded, "failed": {"$in": ["$outcome", _FAILED]}}, "count": {"$sum": 1}}},
            ]
        )
        answered, failed = (
            {int(row["_id"]["at"]): row["count"] for row in rows if row["_id"]["failed"] is wanted}
            for wanted in (False, True)
        )
        return Bins(width, answered), Bins(width, failed)

    async def _misses(self, evaluation: Evaluation) -> int:
        metrics = evaluation.metrics or {}
        if evaluation.samples_per_item == 1 and metrics.get("correct") is not None:
            return int(metrics["called"]) - int(metrics["correct"])
        rows = await self._aggregate(
            [
                {"$match": {"evaluation": evaluation.id, "outcome": _CALLED, "correct": False}},
                {"$group": {"_id": "$index"}},
                {"$count": "count"},
            ]
        )
        return rows[0]["count"] if rows else 0

    async def _tags(self, evaluation: Evaluation) -> list[Tag]:
        """By the items' column `tags` (texts, or one text), where the first item has one; the most frequent first."""
        phase = f"{evaluation.environment}@{evaluation.environment_version}:{evaluation.phase}:"
        first = await self._database["items"].find_one({"_id": f"{phase}0"}, {"metadata.tags": 1})
        if not first or not (first.get("metadata") or {}).get("tags") or evaluation.progress.total > TAGGED_SAMPLES:
            return []
        item = {"$concat": [{"$literal": phase}, {"$toString": "$index"}]}
        found = {"from": "items", "localField": "item", "foreignField": "_id", "as": "found"}
        rows = await self._aggregate(
            [
                {"$match": {"evaluation": evaluation.id, "outcome": _CALLED}},
                {"$project": {"correct": 1, "item": item}},
                {"$lookup": {**found, "pipeline": [{"$project": {"tags": "$metadata.tags"}}]}},
                {"$unwind": "$found"},
                {"$unwind": "$found.tags"},
                {"$match": {"found.tags": {"$type": "string"}}},
                {
                    "$group": {
                        "_id": "$found.tags",
                        "called": {"$sum": 1},
                        "correct": {"$sum": {"$cond": ["$correct", 1, 0]}},
                    }
                },
                {"$sort": {"called": -1, "_id": 1}},
                {"$limit": TAGS},
            ]
        )
        return [Tag(row["_id"], row["called"], row["correct"]) for row in rows]

    async def _aggregate(self, stages: list[dict[str, Any]]) -> list[Document]:
        try:
            found = self._database["results"].aggregate(stages, maxTimeMS=TIMEOUT_S * 1000)
            return [row async for row in found]
        except PyMongoError as error:
            logger.warning("cannot count results: %s", type(error).__name__)
            raise


def bin_width(span: float) -> float:
    """A width of 1, 2 or 5 times a power of ten such that `BINS` of them are at least `span`; never below a thousandth."""
    width = 0.001
    while True:
        for factor in (1, 2, 5):
            if width * factor * BINS >= span:
                return width * factor
        width *= 10
