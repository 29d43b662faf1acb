"""Writes to `evaluations`, each under its owner's epoch, and the leases on MongoDB's own clock.

An evaluation belongs to one orchestrator while its lease lasts. Each take-over increments `epoch`; an owner that was only
slow finds that its writes match nothing and lets go.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from pymongo import ReplaceOne, ReturnDocument

from services.orchestrator.state import may_become
from shared.contracts import Event, Status
from shared.errors import LostOwnership
from shared.storage.mongo import Database, Document

LEASE_MS = 5000
RENEW_S = 1.5

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""A lease that has run out: what a new evaluation starts with, to be claimed like any other."""

_EXPIRY: Document = {"$add": ["$$NOW", LEASE_MS]}


class Store:
    """The orchestrator's documents. `owner` is this process's instance."""

    def __init__(self, database: Database, owner: str) -> None:
        self.database = database
        self.owner = owner
        self._evaluations = database["evaluations"]

    async def claim(self) -> Document | None:
        """Take over one evaluation that nobody holds, or None."""
        return await self._evaluations.find_one_and_update(
            {"open": True, "$expr": {"$lt": ["$lease_until", "$$NOW"]}},
            [{"$set": {"owner": self.owner, "epoch": {"$add": ["$epoch", 1]}, "lease_until": _EXPIRY}}],
            return_document=ReturnDocument.AFTER,
        )

    async def renew(self, held: Mapping[str, int]) -> None:
        """Prolong the leases of the evaluations that this process drives, given with their epochs.

        Not of all that have its name: of a claim whose answer was lost nobody here knows, and it must run out to be claimed again.
        """
        if held:
            driven = [{"_id": evaluation_id, "epoch": epoch} for evaluation_id, epoch in held.items()]
            query = {"owner": self.owner, "open": True, "$or": driven}
            await self._evaluations.update_many(query, [{"$set": {"lease_until": _EXPIRY}}])

    async def release(self) -> None:
        """At a clean stop: others need not wait for the leases to run out."""
        await self._evaluations.update_many({"owner": self.owner, "open": True}, {"$set": {"lease_until": LONG_AGO}})

    async def cancel_requests(self) -> list[str]:
        """Evaluations of this process that someone wants cancelled."""
        query = {"owner": self.owner, "open": True, "cancel_requested": True}
        return [row["_id"] async for row in self._evaluations.find(query, {"_id": 1})]

    async def check(self, evaluation: Document) -> None:
        """Raises `LostOwnership` where another process has taken it over."""
        query = {"_id": evaluation["_id"], "epoch": evaluation["epoch"]}
        if await self._evaluations.find_one(query, {"_id": 1}) is None:
            raise LostOwnership(evaluation["_id"])

    async def write(self, evaluation: Document, changes: Document, events: list[Event] | None = None) -> None:
        """Change an owned evaluation, and put into its outbox, in the same write, what must be said of it.

        Raises `LostOwnership` where another process has taken it over.
        """
        update: Document = {"$set": changes}
        outbox = [event.model_dump(mode="json") for event in events or []]
        if outbox:
            update["$push"] = {"outbox": {"$each": outbox}}
        done = await self._evaluations.update_one({"_id": evaluation["_id"], "epoch": evaluation["epoch"]}, update)
        if done.matched_count == 0:
            raise LostOwnership(evaluation["_id"])
        evaluation.update(changes)
        evaluation["outbox"] = [*evaluation["outbox"], *outbox]

    async def transition(
        self, evaluation: Document, status: Status, changes: Document | None = None, events: list[Event] | None = None
    ) -> None:
        """Change the status. An impossible change is a fault of ours and raises `ValueError`."""
        if not may_become(Status(evaluation["status"]), status):
            raise ValueError(f"{evaluation['_id']} cannot go from {evaluation['status']} to {status}")
        await self.write(evaluation, {"status": status.value, **(changes or {})}, events)

    async def announced(self, evaluation: Document, count: int) -> None:
        """The first `count` events of the outbox are in the stream."""
        rest = evaluation["outbox"][count:]
        done = await self._evaluations.update_one(
            {"_id": evaluation["_id"], "epoch": evaluation["epoch"]}, {"$set": {"outbox": rest}}
        )
        if done.matched_count == 0:
            raise LostOwnership(evaluation["_id"])
        evaluation["outbox"] = rest

    async def part(self, model_id: str) -> tuple[float, float]:
        """This process's part (0..1] of a model's window, and how many results a second land of others' evaluations of it.

        The part is by priority, among the evaluations that have something to send.
        """
        own, everybody, others_per_s = 0, 0, 0.0
        query = {"model": model_id, "status": Status.RUNNING, "open": True, "remaining": {"$ne": 0}}
        async for row in self._evaluations.find(query, {"owner": 1, "priority": 1, "landed_per_s": 1}):
            everybody += row["priority"]
            if row["owner"] == self.owner:
                own += row["priority"]
            else:
                others_per_s += row.get("landed_per_s") or 0.0
        return (own / everybody if own else 1.0), others_per_s

    async def scores(self, evaluation: Document) -> Document | None:
        """What the scorer has written for the present round."""
        return await self.database["scores"].find_one({"_id": f"{evaluation['_id']}:{evaluation['round']}"})

    async def files(self, evaluation: Document, kind: str) -> Document | None:
        """What artifacts has stored and verified: `submission` (of round 0) or `files` of the present round."""
        round_ = 0 if kind == "submission" else evaluation["round"]
        return await self.database["filesets"].find_one({"_id": f"{evaluation['_id']}:{round_}:{kind}"})

    async def archive(self, evaluation_id: str, entries: list[tuple[int, Event]]) -> None:
        """Keep the log beyond the stream's age. Repeating it changes nothing."""
        if entries:
            await self.database["events"].bulk_write(
                [
                    ReplaceOne(
                        {"_id": position},
                        {"evaluation": evaluation_id, "event": event.model_dump(mode="json")},
                        upsert=True,
                    )
                    for position, event in entries
                ]
            )
