"""Quotas that two starts at the same time cannot exceed.

The evaluations themselves say how many of a model's there are in a phase; but between counting them and inserting another one
somebody else may count. So who counts leaves a reservation in the model's document in `quotas`, by a write that fails where that
has changed since it was read. A reservation stands for its evaluation until that is there. Of a process that died in between it
runs out.
"""

from datetime import datetime, timedelta

from pymongo.errors import DuplicateKeyError

from shared.errors import Conflict
from shared.manifest import Phase
from shared.phases import COUNTED_BY, counts, refusal, standing
from shared.storage.mongo import Database, Document

RESERVED_FOR = timedelta(minutes=10)
"""Far longer than an insert can take: its command and every socket give up after a minute."""


async def reserve(
    database: Database, slug: str, phase: Phase, model: Document, evaluation_id: str, created_at: datetime
) -> None:
    """Raises `Conflict` where the model has none left. Repeated with the same evaluation it reserves nothing twice."""
    if phase.max_submissions is None and phase.max_submissions_per_day is None:
        return
    key = _key(slug, phase, model)
    query = {"slug": slug, "phase": phase.name, "model": model["_id"]}
    while True:
        # In this order: a reservation that is gone from the document by now is an evaluation that is found next.
        held = await database["quotas"].find_one({"_id": key})
        there = {row["_id"]: row async for row in database["evaluations"].find(query, COUNTED_BY)}
        waiting = [
            entry
            for entry in (held["reserved"] if held else [])
            if entry["evaluation"] not in there and entry["at"] > created_at - RESERVED_FOR
        ]
        asked_at = [row["created_at"] for row in there.values() if counts(row) and row["_id"] != evaluation_id]
        asked_at += [entry["at"] for entry in waiting if entry["evaluation"] != evaluation_id]
        if reason := refusal(phase, standing(phase, asked_at, created_at), model["name"]):
            raise Conflict(reason)
        reserved = [entry for entry in waiting if entry["evaluation"] != evaluation_id]
        reserved.append({"evaluation": evaluation_id, "at": created_at})
        if await _replace(database, key, held, reserved):
            return


async def release(database: Database, slug: str, phase: Phase, model: Document, evaluation_id: str) -> None:
    """It will not be inserted after all."""
    update = {"$pull": {"reserved": {"evaluation": evaluation_id}}, "$inc": {"revision": 1}}
    await database["quotas"].update_one({"_id": _key(slug, phase, model)}, update)


async def _replace(database: Database, key: str, held: Document | None, reserved: list[Document]) -> bool:
    """Whether nobody else has written since `held` was read."""
    if held is None:
        try:
            await database["quotas"].insert_one({"_id": key, "revision": 0, "reserved": reserved})
        except DuplicateKeyError:
            return False
        return True
    done = await database["quotas"].update_one(
        {"_id": key, "revision": held["revision"]}, {"$set": {"reserved": reserved}, "$inc": {"revision": 1}}
    )
    return done.modified_count == 1


def _key(slug: str, phase: Phase, model: Document) -> str:
    return f"{slug}:{phase.name}:{model['_id']}"
