"""What KV `pacing` says of models, for those who read MongoDB and those who listen: status and limit into `models`, and events.

Predictors write the bucket and have no database. Several orchestrators may do this at once: an event's id follows from what it
tells, so the broker swallows repeats, and a document takes only what is newer than it has.
"""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pymongo.errors import PyMongoError

from services.orchestrator.broker import publish_event
from services.orchestrator.state import SOURCE, now
from shared import subjects
from shared.contracts import Event, ModelEndpoint, ModelStatus, PacingState
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.orchestrator")

MIRROR_S = 1.0
"""A model's document and events follow its state at most so often."""


class Pacing:
    """The states of all models, and the orchestrator's own writes to them."""

    def __init__(self, database: Database, js: JetStreamContext) -> None:
        self._models = database["models"]
        self._js = js
        self._states: dict[str, PacingState] = {}
        self._changed: dict[str, PacingState] = {}

    def limit(self, model_id: str) -> int | None:
        """Calls at once that the model may have at present; None where that is not known yet."""
        state = self._states.get(model_id)
        return state.limit if state else None

    async def changed(self, key: str, value: bytes | None) -> None:
        """KV `pacing`."""
        if value is None:
            self._states.pop(key, None)
            return
        self._states[key] = self._changed[key] = PacingState.model_validate_json(value)

    async def mirror(self) -> None:
        """All the time: bring documents up to date and announce what has changed."""
        while True:
            await asyncio.sleep(MIRROR_S)
            changed, self._changed = self._changed, {}
            for model_id, state in changed.items():
                try:
                    await self._bring_up_to_date(model_id, state)
                except (PyMongoError, NatsError, TimeoutError) as error:
                    logger.warning("cannot store the state of model %s: %s", model_id, type(error).__name__)
                    self._changed.setdefault(model_id, state)

    async def _bring_up_to_date(self, model_id: str, state: PacingState) -> None:
        """First the document, then the event: who hears of it and looks finds it so."""
        newer = {"_id": model_id, "$or": [{"pacing.at": {"$exists": False}}, {"pacing.at": {"$lt": state.at}}]}
        await self._models.update_one(newer, {"$set": mirrored(state)})
        await self.tell(model_id)

    async def tell(self, model_id: str) -> None:
        """Announce what a model's document says, unless that was the last thing told."""
        document = await self._models.find_one({"_id": model_id})
        if document is None:
            return
        telling = {"status": document["status"], "limit": document["pacing"]["limit"]}
        if document.get("announced") != telling:
            await _announce(self._js, document)
            await self._models.update_one({"_id": model_id}, {"$set": {"announced": telling}})

    async def ensure(self, endpoint: ModelEndpoint, status: ModelStatus, detail: str) -> None:
        """A state for a model that has none yet."""
        store = await self._js.key_value(subjects.KV_PACING)
        with suppress(KeyWrongLastSequenceError):
            await store.create(endpoint.id, first_state(endpoint, status, detail).model_dump_json().encode())

    async def found(self, endpoint: ModelEndpoint, status: ModelStatus, detail: str) -> bool:
        """A probe that was asked for found this; whether it counts: not against calls that are being answered."""
        store = await self._js.key_value(subjects.KV_PACING)
        while True:
            try:
                entry = await store.get(endpoint.id)
            except KeyNotFoundError:
                await self.ensure(endpoint, status, detail)
                return True
            state = PacingState.model_validate_json(entry.value or b"")
            if state.status == status:
                return True
            if status is ModelStatus.UNREACHABLE and state.status is ModelStatus.RUNNING and state.in_flight:
                return False
            at = max(time.time(), state.at + 0.001)
            state = state.model_copy(
                update={"status": status, "detail": detail, "since": at, "at": at, "hold_until": None}
            )
            try:
                await store.update(endpoint.id, state.model_dump_json().encode(), last=entry.revision)
            except KeyWrongLastSequenceError:
                continue
            return True

    async def forget(self, model_id: str) -> None:
        store = await self._js.key_value(subjects.KV_PACING)
        await store.delete(model_id)


def first_state(endpoint: ModelEndpoint, status: ModelStatus, detail: str) -> PacingState:
    """The state of a model that nobody has called yet."""
    at = time.time()
    return PacingState(
        status=status,
        detail=detail,
        since=at,
        at=at,
        mode="auto" if endpoint.max_concurrency == "auto" else "fixed",
        limit=endpoint.first_limit,
    )


def mirrored(state: PacingState) -> Document:
    """The fields of a model's document that follow its state."""
    return {
        "status": state.status.value,
        "status_detail": state.detail,
        "status_since": datetime.fromtimestamp(state.since, UTC),
        "pacing": {
            **state.model_dump(
                include={"mode", "limit", "in_flight", "calls_per_s", "latency_ms", "calls", "refused", "at"}
            ),
            "updated_at": datetime.fromtimestamp(state.at, UTC),
        },
    }


async def _announce(js: JetStreamContext, document: Document) -> None:
    """`assay.model.status`: what a document says by now, beside what was last announced of it."""
    status, detail, limit = document["status"], document["status_detail"], document["pacing"]["limit"]
    if (document.get("announced") or {}).get("status") == status:
        message = f"{document['name']}: {limit} calls at once"
    else:
        message = f"{document['name']}: {status} ({detail})"
    event = Event(
        id=f"{document['_id']}:{status}:{document['pacing']['at']:.3f}",
        source=SOURCE,
        type="assay.model.status",
        subject=f"models/{document['_id']}",
        time=now(),
        data={
            "model": document["_id"],
            "name": document["name"],
            "status": status,
            "detail": detail,
            "limit": limit,
            "message": message,
        },
    )
    await publish_event(js, event, "_")
