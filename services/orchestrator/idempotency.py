"""`Idempotency-Key`: the same key and body give the first answer again, the same key with another body is a conflict.

(draft-ietf-httpapi-idempotency-key-header.) What a create makes gets ids derived from the key, so that a repeat after a crash
in the middle finishes the first one instead of making a second.
"""

import hashlib
from typing import Any

from pymongo.errors import DuplicateKeyError

from services.orchestrator.state import now
from shared.errors import Conflict
from shared.storage.mongo import Database


class Idempotency:
    def __init__(self, database: Database) -> None:
        self._records = database["idempotency"]

    async def claim(self, key: str, body_hash: str) -> Any:
        """The first answer where there is one, else None: go on, and `finish`."""
        try:
            await self._records.insert_one({"_id": key, "hash": body_hash, "answer": None, "created_at": now()})
            return None
        except DuplicateKeyError:
            record = await self._records.find_one({"_id": key})
        if record is None:
            return None
        if record["hash"] != body_hash:
            raise Conflict("this Idempotency-Key came with another body before; use a new key for a new request")
        return record["answer"]

    async def finish(self, key: str, answer: Any) -> None:
        await self._records.update_one({"_id": key}, {"$set": {"answer": answer}})

    async def forget(self, key: str) -> None:
        """The request was refused: corrected, it may come again under the same key."""
        await self._records.delete_one({"_id": key, "answer": None})


def derived_id(prefix: str, key: str, position: int = 0) -> str:
    """An id that the same key gives again; safe as a subject token."""
    return prefix + hashlib.sha256(f"{key}\n{position}".encode()).hexdigest()[:16]
